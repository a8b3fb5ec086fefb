//! Lays files out on a FAT volume labelled `CIDATA`, in memory: no root, no loop device.
//!
//! The same files give the same bytes: times and the volume's serial number are fixed. Tests: in
//! the parent, and `tests/seed_oracle.rs`.

use std::io::{self, Cursor, Write};

use fatfs::{Date, DateTime, FileSystem, FormatVolumeOptions, FsOptions, Time, TimeProvider};

/// The label cloud-init looks for, padded as FAT wants it.
const LABEL: [u8; 11] = *b"CIDATA     ";

/// The volume's serial number: any will do.
const SERIAL: u32 = 0x4341_5354;

const MIB: usize = 1 << 20;

/// Room for FAT's own tables and for the unused ends of clusters.
const OVERHEAD: usize = 128 << 10;

/// The time every file was made: FAT's first, 1980-01-01.
#[derive(Debug)]
struct FixedTime;

static FIXED_TIME: FixedTime = FixedTime;

impl TimeProvider for FixedTime {
    fn get_current_date(&self) -> Date {
        Date { year: 1980, month: 1, day: 1 }
    }

    fn get_current_date_time(&self) -> DateTime {
        DateTime { date: self.get_current_date(), time: Time { hour: 0, min: 0, sec: 0, millis: 0 } }
    }
}

/// A volume with these files in its root, in whole MiB.
pub(super) fn fat(files: &[(&str, Vec<u8>)]) -> io::Result<Vec<u8>> {
    let content: usize = files.iter().map(|(_, bytes)| bytes.len()).sum();
    let mut volume = Cursor::new(vec![0; (content + OVERHEAD).next_multiple_of(MIB)]);
    fatfs::format_volume(&mut volume, FormatVolumeOptions::new().volume_label(LABEL).volume_id(SERIAL))?;
    let options = FsOptions::new().time_provider(&FIXED_TIME).update_accessed_date(false);
    let system = FileSystem::new(&mut volume, options)?;
    for (name, bytes) in files {
        let mut file = system.root_dir().create_file(name)?;
        file.write_all(bytes)?;
        file.flush()?;
    }
    system.unmount()?;
    Ok(volume.into_inner())
}
