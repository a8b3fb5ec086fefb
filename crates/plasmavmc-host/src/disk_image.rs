//! Disks that a person names: made where nothing is, measured, grown. Never overwritten, never shrunk.
//!
//! Owns: which places are refused (a link, a directory in which anyone could swap the file for another), an
//! empty qcow2 that has its name only once it is whole, and `qemu-img` with the format always stated: a guest
//! that writes a qcow2 header into a raw disk must never have it believed. Tests: `tests/disk_image.rs`.

use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use plasmavmc_types::{ByteSize, DiskFormat, ErrorKind, Explain};
use serde::Deserialize;

use crate::exec::{self, QEMU_IMG};
use crate::{HostError, IoContext, disk, publish};

/// How long `qemu-img` has: it writes some 200 KiB, or reads a header.
const BOUND: Duration = Duration::from_secs(30);

/// The room an empty qcow2 must find beside what it takes: without it the guest cannot even be installed.
const LEAST_ROOM: ByteSize = ByteSize::mib(64);

/// The smallest disk there is.
const SECTOR: u64 = 512;

/// Why a disk cannot be made, measured or grown.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DiskImageError {
    /// The path depends on where somebody stands.
    #[error("`{}` is not an absolute path without `..`", path.display())]
    NotAbsolute {
        /// The path.
        path: PathBuf,
    },
    /// Its directory is not there.
    #[error("there is no directory `{}`", dir.display())]
    NoDirectory {
        /// The directory.
        dir: PathBuf,
    },
    /// Something has that name.
    #[error("`{}` exists: it is {what}", path.display())]
    Exists {
        /// The path.
        path: PathBuf,
        /// What it is: "a file".
        what: &'static str,
    },
    /// Somebody else could put another file in its place.
    #[error("`{}` is not safe to make a disk in: {why}", at.display())]
    Unsafe {
        /// Which part of the path.
        at: PathBuf,
        /// Why.
        why: &'static str,
    },
    /// There is nearly no room.
    #[error("the file system of `{}` has {free} left; a disk is not begun with less than {LEAST_ROOM}", path.display())]
    NoRoom {
        /// The path.
        path: PathBuf,
        /// What is left.
        free: ByteSize,
    },
    /// No disk has this size.
    #[error("{size} is not the size of a disk: a multiple of {SECTOR} bytes, and not 0")]
    BadSize {
        /// The size.
        size: ByteSize,
    },
    /// It is a device, a pipe or a directory.
    #[error("`{}` is not a file", path.display())]
    NotAFile {
        /// The path.
        path: PathBuf,
    },
    /// The end of the disk would be cut off.
    #[error("`{}` has {now}, which is more than {wanted}: a disk is never made smaller", path.display())]
    WouldShrink {
        /// The disk.
        path: PathBuf,
        /// Its size.
        now: ByteSize,
        /// The size asked for.
        wanted: ByteSize,
    },
    /// `qemu-img` or a file operation failed.
    #[error("the disk `{}` cannot be used", path.display())]
    Host {
        /// The disk.
        path: PathBuf,
        /// What went wrong.
        #[source]
        source: HostError,
    },
}

/// What `qemu-img` tells of a disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DiskInfo {
    /// The size the guest sees.
    pub virtual_size: ByteSize,
    /// What it takes on the host.
    pub allocated: ByteSize,
}

/// Checks that a disk can be made at `path`: nothing is there, and only this user and root decide what will be.
/// Returns the room that is left, which may be less than the disk can grow to.
///
/// # Errors
/// [`DiskImageError`]; nothing was changed.
pub fn check(path: &Path) -> Result<ByteSize, DiskImageError> {
    let plain = path.components().all(|part| matches!(part, Component::RootDir | Component::Normal(_)));
    let (true, Some(dir), Some(_)) = (path.is_absolute() && plain, path.parent(), path.file_name()) else {
        return Err(DiskImageError::NotAbsolute { path: path.to_owned() });
    };
    let host = |source| DiskImageError::Host { path: path.to_owned(), source };
    let real = match dir.canonicalize() {
        Ok(real) if real.is_dir() => real,
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(error).context("follow", dir).map_err(host);
        }
        _ => return Err(DiskImageError::NoDirectory { dir: dir.to_owned() }),
    };
    for way in [dir, &real] {
        safe_way(way).map_err(|error| error.unwrap_or_else(host))?;
    }
    match fs::symlink_metadata(path) {
        Ok(meta) => return Err(DiskImageError::Exists { path: path.to_owned(), what: kind_of(&meta) }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error).context("inspect", path).map_err(host),
    }
    let free = disk::free(&real).map_err(host)?;
    if free < LEAST_ROOM {
        return Err(DiskImageError::NoRoom { path: path.to_owned(), free });
    }
    Ok(free)
}

/// Makes an empty qcow2 of `size` at `path`, readable by this user only. It has its name only once it is
/// whole and on disk, and takes no other file's.
///
/// # Errors
/// [`DiskImageError`]; nothing is left behind.
pub fn create(path: &Path, size: ByteSize) -> Result<(), DiskImageError> {
    if size.as_bytes() == 0 || !size.as_bytes().is_multiple_of(SECTOR) {
        return Err(DiskImageError::BadSize { size });
    }
    check(path)?;
    let host = |source| DiskImageError::Host { path: path.to_owned(), source };
    let temporary = publish::temporary(path).map_err(host)?;
    let mut command = QEMU_IMG.command().map_err(host)?;
    command.args(["create", "-q", "-f", DiskFormat::Qcow2.as_str()]);
    command.arg(temporary.path()).arg(size.as_bytes().to_string());
    exec::run(command, BOUND).map_err(host)?;
    if publish::persist_new(temporary, path).map_err(host)? {
        return Ok(());
    }
    Err(DiskImageError::Exists { path: path.to_owned(), what: "a file" })
}

/// What `qemu-img` tells of the disk at `path`, read as `format`, also while a VM uses it.
///
/// # Errors
/// [`DiskImageError`]; also where the file is not of that format.
pub fn info(path: &Path, format: DiskFormat) -> Result<DiskInfo, DiskImageError> {
    /// What is read of its answer.
    #[derive(Deserialize)]
    #[serde(rename_all = "kebab-case")]
    struct Answer {
        virtual_size: u64,
        #[serde(default)]
        actual_size: u64,
    }
    let host = |source| DiskImageError::Host { path: path.to_owned(), source };
    regular(path)?;
    let mut command = QEMU_IMG.command().map_err(host)?;
    command.args(["info", "-U", "--output=json", "-f", format.as_str()]).arg(path);
    let output = exec::run(command, BOUND).map_err(host)?;
    let answer: Answer = serde_json::from_slice(&output.stdout).map_err(|error| {
        host(HostError::Malformed {
            path: path.to_owned(),
            expected: "a disk that `qemu-img info` can describe",
            reason: error.to_string(),
        })
    })?;
    Ok(DiskInfo {
        virtual_size: ByteSize::bytes(answer.virtual_size),
        allocated: ByteSize::bytes(answer.actual_size),
    })
}

/// Makes the disk at `path` larger, and tells the size it had. One of that size stays as it is.
///
/// # Errors
/// [`DiskImageError::WouldShrink`]; [`HostError::InUse`] as the source where a VM uses it.
pub fn grow(path: &Path, format: DiskFormat, size: ByteSize) -> Result<ByteSize, DiskImageError> {
    if !size.as_bytes().is_multiple_of(SECTOR) {
        return Err(DiskImageError::BadSize { size });
    }
    let now = info(path, format)?.virtual_size;
    if now > size {
        return Err(DiskImageError::WouldShrink { path: path.to_owned(), now, wanted: size });
    }
    if now == size {
        return Ok(now);
    }
    let host = |source| DiskImageError::Host { path: path.to_owned(), source };
    let mut command = QEMU_IMG.command().map_err(host)?;
    // Without `--shrink` it refuses to shrink, whatever happened since.
    command.args(["resize", "-q", "-f", format.as_str()]).arg(path).arg(size.as_bytes().to_string());
    match exec::run(command, BOUND) {
        Ok(_) => Ok(now),
        Err(HostError::CommandFailed { stderr, .. }) if stderr.contains("Failed to get") => {
            Err(host(HostError::InUse { path: path.to_owned() }))
        }
        Err(source) => Err(host(source)),
    }
}

/// A device would be written to, and a pipe would never answer.
fn regular(path: &Path) -> Result<(), DiskImageError> {
    let host = |source| DiskImageError::Host { path: path.to_owned(), source };
    if !path.is_absolute() {
        return Err(DiskImageError::NotAbsolute { path: path.to_owned() });
    }
    let meta = fs::metadata(path).context("inspect", path).map_err(host)?;
    if meta.is_file() { Ok(()) } else { Err(DiskImageError::NotAFile { path: path.to_owned() }) }
}

/// Checks that nobody but root and this user can lead the way to `dir` elsewhere.
fn safe_way(dir: &Path) -> Result<(), Result<DiskImageError, HostError>> {
    let me = rustix::process::geteuid().as_raw();
    let mut above: Vec<&Path> = dir.ancestors().collect();
    above.reverse();
    let mut open_to_all = false;
    for part in above {
        let meta = fs::symlink_metadata(part).context("inspect", part).map_err(Err)?;
        let refuse = |why| Err(Ok(DiskImageError::Unsafe { at: part.to_owned(), why }));
        let others = meta.uid() != 0 && meta.uid() != me;
        if open_to_all && others {
            return refuse("somebody else put it where everyone may");
        }
        if meta.is_symlink() {
            continue;
        }
        let (world, sticky) = (meta.mode() & 0o002 != 0, meta.mode() & 0o1000 != 0);
        if world && !sticky {
            return refuse("everyone may replace what is in it");
        }
        if world && others {
            return refuse("everyone may write to it, and its owner may replace what is in it");
        }
        open_to_all = world;
    }
    Ok(())
}

fn kind_of(meta: &Metadata) -> &'static str {
    let kind = meta.file_type();
    if kind.is_symlink() {
        "a symbolic link"
    } else if kind.is_dir() {
        "a directory"
    } else if kind.is_file() {
        "a file"
    } else {
        "a device, a pipe or a socket"
    }
}

impl Explain for DiskImageError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::NotAbsolute { .. } | Self::BadSize { .. } | Self::WouldShrink { .. } => ErrorKind::Config,
            Self::Exists { .. } => ErrorKind::Conflict,
            Self::NoDirectory { .. } | Self::Unsafe { .. } | Self::NoRoom { .. } => ErrorKind::Preflight,
            Self::NotAFile { .. } => ErrorKind::Image,
            Self::Host { source, .. } => source.kind(),
        }
    }

    fn hints(&self) -> Vec<String> {
        match self {
            Self::NoDirectory { dir } => vec![format!("make it: `mkdir -p {}`", dir.display())],
            Self::Unsafe { at, .. } => vec![
                format!("see who may do what: `namei -l {}`", at.display()),
                "or put the disk elsewhere, such as in `/var/lib/libvirt/images`".to_owned(),
            ],
            Self::NoRoom { path, .. } => {
                let dir = path.parent().unwrap_or(path).display();
                vec![format!("free some space: `df -h {dir}`")]
            }
            Self::Host { source, .. } => source.hints(),
            Self::NotAbsolute { .. }
            | Self::BadSize { .. }
            | Self::WouldShrink { .. }
            | Self::Exists { .. }
            | Self::NotAFile { .. } => Vec::new(),
        }
    }
}
