//! Puts a disk together: boot record, boot partition, boot loader, and its form as qcow2.
//!
//! Everything happens in files of a private directory; the finished image gets its name by a
//! rename. Tests: `tests/guest_image.rs` boots what comes out.

use std::fs::{self, File};
use std::io::{self, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use plasmavmc_types::ByteSize;

use super::partition::{FIRST_OFFSET, Partition, PartitionType, master_boot_record};
use super::unpacked::Unpacked;
use super::{BuildError, Built};
use crate::exec::{self, QEMU_IMG};
use crate::{HostError, IoContext, publish};

/// Time for syslinux, which writes some 120 KB.
const SYSLINUX_BOUND: Duration = Duration::from_secs(60);
/// Time to pack an image, up to some GB.
const CONVERT_BOUND: Duration = Duration::from_secs(600);

/// The time boot loader files are dated, in seconds since 1970: the beginning of FAT's calendar,
/// so that two builds give the same bytes.
const EPOCH: &str = "315532800";

/// A disk that is being put together.
#[derive(Debug)]
pub(super) struct Disk {
    path: PathBuf,
    partitions: Vec<Partition>,
}

impl Disk {
    /// A disk in the new file `path` with the FAT volume `boot` as its first partition.
    pub(super) fn create(path: PathBuf, boot: &[u8]) -> Result<Self, HostError> {
        let mut file = File::create_new(&path).context("create", &path)?;
        let size = boot.len() as u64;
        write_sparse(&mut file, FIRST_OFFSET, boot).context("write", &path)?;
        file.set_len(FIRST_OFFSET + size).context("resize", &path)?;
        let boot = Partition { kind: PartitionType::EfiSystem, offset: FIRST_OFFSET, size };
        Ok(Self { path, partitions: vec![boot] })
    }

    /// The disk's file.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Adds a partition of `size` bytes, a multiple of 1 MiB, after the others; tells its offset.
    pub(super) fn add_partition(&mut self, kind: PartitionType, size: u64) -> Result<u64, HostError> {
        let offset = self.partitions.last().map_or(FIRST_OFFSET, |last| last.offset + last.size);
        let file = File::options().write(true).open(&self.path).context("open", &self.path)?;
        file.set_len(offset + size).context("resize", &self.path)?;
        self.partitions.push(Partition { kind, offset, size });
        Ok(offset)
    }

    /// Makes the disk bootable: syslinux in the first partition, its boot code and the partition
    /// table in the first sector.
    pub(super) fn make_bootable(&self, packages: &Unpacked, signature: u32) -> Result<(), BuildError> {
        let boot_code = packages.read("lib/syslinux/mbr/mbr.bin", "syslinux-common")?;
        let sector = master_boot_record(&boot_code, signature, &self.partitions)
            .map_err(|source| BuildError::Table { source })?;
        let mut file = File::options().write(true).open(&self.path).context("open", &self.path)?;
        file.write_all(&sector).context("write", &self.path)?;
        drop(file);
        exec::run(self.syslinux(packages)?, SYSLINUX_BOUND)?;
        Ok(())
    }

    /// The installer of syslinux, which writes to the partition by means of mtools.
    fn syslinux(&self, packages: &Unpacked) -> Result<Command, BuildError> {
        let program = packages.find("bin/syslinux", "syslinux")?;
        let mtools = packages.find("bin/mcopy", "mtools")?;
        let work = self.path.parent().unwrap_or(Path::new("."));
        let mut command = Command::new(program);
        command.arg("--offset").arg(FIRST_OFFSET.to_string()).arg("--install").arg(&self.path);
        command.env("PATH", path_with(mtools.parent())).env("TMPDIR", work).env("LC_ALL", "C");
        command.env("SOURCE_DATE_EPOCH", EPOCH).env("TZ", "UTC");
        Ok(command)
    }

    /// Packs the disk into a qcow2 image named `out`, whole or not at all.
    pub(super) fn publish(self, out: &Path) -> Result<Built, HostError> {
        let file = publish::temporary(out)?;
        let mut command = QEMU_IMG.command()?;
        // Zstandard packs a whole system in a fifth of the time deflate takes, at the same size; QEMU
        // reads it since 5.1.
        command.args(["convert", "-f", "raw", "-O", "qcow2", "-c", "-o", "compression_type=zstd"]);
        command.arg(&self.path).arg(file.path());
        exec::run(command, CONVERT_BOUND)?;
        publish::persist(file, out)?;
        let size = fs::metadata(out).context("read", out)?.len();
        Ok(Built { path: out.to_owned(), size: ByteSize::bytes(size) })
    }
}

/// `PATH` with `first` before everything else.
fn path_with(first: Option<&Path>) -> std::ffi::OsString {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let dirs = first.map(Path::to_owned).into_iter().chain(std::env::split_paths(&path));
    // A directory whose name holds a colon cannot be in a PATH; the rest then has to do.
    std::env::join_paths(dirs).unwrap_or(path)
}

/// Writes `bytes` at `offset`, leaving holes where they are zero.
fn write_sparse(file: &mut File, offset: u64, bytes: &[u8]) -> io::Result<()> {
    const CHUNK: usize = 64 << 10;
    for (index, chunk) in bytes.chunks(CHUNK).enumerate() {
        if chunk.iter().any(|byte| *byte != 0) {
            file.seek(SeekFrom::Start(offset + (index * CHUNK) as u64))?;
            file.write_all(chunk)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_is_as_long_as_its_partitions_and_empty_parts_take_no_space() {
        use std::os::unix::fs::MetadataExt;
        let dir = tempfile::tempdir().unwrap();
        let mut boot = vec![0; 8 << 20];
        boot[5 << 20] = 7;
        let mut disk = Disk::create(dir.path().join("disk.raw"), &boot).unwrap();
        assert_eq!(disk.add_partition(PartitionType::Linux, 4 << 20).unwrap(), 9 << 20);
        let meta = fs::metadata(disk.path()).unwrap();
        assert_eq!(meta.len(), 13 << 20);
        assert!(meta.blocks() * 512 < 1 << 20, "{} blocks", meta.blocks());
        let bytes = fs::read(disk.path()).unwrap();
        assert!(bytes[1 << 20..9 << 20] == boot, "the partition differs");
    }
}
