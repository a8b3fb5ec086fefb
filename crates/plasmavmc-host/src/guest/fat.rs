//! Makes a FAT volume in memory: the boot partition. Needs no root and no loop device.
//!
//! The same files give the same bytes: the volume's id is fixed and its times are those of 1980,
//! the beginning of FAT's calendar. Tests: below.

use std::io::{self, Cursor, Write};

use fatfs::{FileSystem, FormatVolumeOptions, FsOptions, format_volume};

use super::boot::BootFile;

/// The volume's label, padded with blanks as FAT wants it.
const LABEL: [u8; 11] = *b"CASTRABOOT ";

/// The volume's id; any number does.
const VOLUME_ID: u32 = 0xca57_7a00;

/// Free space left in the volume for the boot loader and for whoever mounts it, in bytes.
const SLACK: u64 = 32 << 20;

/// Sizes are multiples of this many bytes.
const GRAIN: u64 = 1 << 20;

/// A FAT volume that holds `files` and has room for some more.
///
/// # Errors
/// Where a path is not a name FAT can hold.
pub(super) fn volume(files: &[BootFile]) -> io::Result<Vec<u8>> {
    let content: u64 = files.iter().map(|(_, bytes)| bytes.len() as u64).sum();
    let size = (content + SLACK).next_multiple_of(GRAIN);
    let size = usize::try_from(size).map_err(io::Error::other)?;
    let mut disk = Cursor::new(vec![0; size]);
    format_volume(&mut disk, FormatVolumeOptions::new().volume_id(VOLUME_ID).volume_label(LABEL))?;
    {
        let volume = FileSystem::new(&mut disk, FsOptions::new())?;
        let root = volume.root_dir();
        for (path, bytes) in files {
            for (slash, _) in path.match_indices('/') {
                root.create_dir(&path[..slash])?;
            }
            let mut file = root.create_file(path)?;
            file.write_all(bytes)?;
            file.flush()?;
        }
        drop(root);
        volume.unmount()?;
    }
    Ok(disk.into_inner())
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    #[test]
    fn the_files_are_in_it_and_the_same_files_give_the_same_volume() {
        let kernel: Vec<u8> = (0..3_000_000_u32).map(|number| (number % 251) as u8).collect();
        let files: Vec<BootFile> =
            vec![("vmlinuz", kernel), ("EFI/BOOT/BOOTX64.EFI", b"MZ".to_vec()), ("EFI/x", Vec::new())];
        let bytes = volume(&files).unwrap();
        assert_eq!(bytes, volume(&files).unwrap());
        assert_eq!(bytes.len() as u64 % GRAIN, 0);
        let volume = FileSystem::new(Cursor::new(bytes), FsOptions::new()).unwrap();
        assert_eq!(volume.volume_label(), "CASTRABOOT");
        assert!(volume.stats().unwrap().free_clusters() > 0);
        for (path, expected) in files {
            let mut found = Vec::new();
            volume.root_dir().open_file(path).unwrap().read_to_end(&mut found).unwrap();
            assert!(found == expected, "{path}");
        }
    }
}
