//! Overlays: the files guests write to, so that a base image stays as it is.
//!
//! Owns: making an empty overlay whole or not at all, recognising one that was kept and that its
//! base is still the one it was made on, discarding one and telling what that freed. Never does:
//! look into an overlay a live VM holds, or decide whether one may go (the engine does). Made
//! without `qemu-img`, which takes a hundred times as long. Tests: `tests/overlay_base.rs` and
//! `tests/qcow2_oracle.rs`.

use std::fs::File;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use plasmavmc_types::{ByteSize, ErrorKind, Explain};
use rustix::fs::FlockOperation;
use rustix::io::Errno;

use crate::base::{BaseIdentity, BaseImage, MadeOn, open_without_waiting, read_header, unusable};
use crate::image::Difference;
use crate::qcow2::{EmptyOverlay, EmptyOverlayError, HeaderError};
use crate::{HostError, IoContext, disk, publish};

/// What to do where the overlay's path is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Existing {
    /// Leave the file and fail: it may be somebody's work.
    Refuse,
    /// Put the empty overlay in its place. The caller knows that no VM holds it.
    Replace,
}

/// Why an overlay cannot be made or used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OverlayError {
    /// There is a file already.
    #[error("`{}` exists", path.display())]
    Exists {
        /// The overlay's path.
        path: PathBuf,
    },
    /// There is no overlay.
    #[error("there is no overlay `{}`", path.display())]
    Missing {
        /// The overlay's path.
        path: PathBuf,
    },
    /// The guest would lose the end of its disk.
    #[error("a disk of {asked} is smaller than its base image, which has {base}")]
    TooSmall {
        /// The size asked for.
        asked: ByteSize,
        /// The size of the base image's disk.
        base: ByteSize,
    },
    /// The overlay cannot be described in the format.
    #[error("no overlay can be laid over `{}`", base.display())]
    Format {
        /// The base image.
        base: PathBuf,
        /// Why not.
        #[source]
        source: EmptyOverlayError,
    },
    /// The file is no overlay.
    #[error("`{}` is not an overlay", path.display())]
    NotAnOverlay {
        /// The file.
        path: PathBuf,
        /// What is wrong with its header.
        #[source]
        source: HeaderError,
    },
    /// The overlay lies on another image than it should.
    #[error("`{}` lies on {}, not on `{}`", path.display(), shown(found.as_deref()), expected.display())]
    OtherBase {
        /// The overlay.
        path: PathBuf,
        /// What it lies on; none where it stands alone.
        found: Option<PathBuf>,
        /// What it should lie on.
        expected: PathBuf,
    },
    /// The base image is not the one the overlay was made on: under other bytes, the guest's file
    /// system is destroyed.
    #[error("`{}` was not made on what `{}` is now: {bytes}", path.display(), base.display())]
    OtherBytes {
        /// The overlay.
        path: PathBuf,
        /// Its base image.
        base: PathBuf,
        /// The bytes it was made on, and those of the base now.
        bytes: Box<Difference<BaseIdentity>>,
    },
    /// The overlay uses something a guest must not have, or needs help to be read.
    #[error("`{}` cannot be used: it {what}", path.display())]
    Unsupported {
        /// The overlay.
        path: PathBuf,
        /// What it does: "is encrypted".
        what: &'static str,
    },
    /// A file operation failed.
    #[error("the overlay cannot be written")]
    Host {
        /// What went wrong.
        #[source]
        source: HostError,
    },
}

/// Makes an empty overlay over `base`, readable by this user only, and returns the size of the
/// disk its guest sees: `virtual_size`, or that of the base.
///
/// The overlay has its name only once it is whole and on disk; its directory is made where it is
/// missing.
///
/// # Errors
/// [`OverlayError`]; `path` is then as it was before.
pub fn prepare(
    path: &Path,
    base: &BaseImage,
    virtual_size: Option<ByteSize>,
    existing: Existing,
) -> Result<ByteSize, OverlayError> {
    let size = virtual_size.unwrap_or(base.virtual_size());
    if size < base.virtual_size() {
        return Err(OverlayError::TooSmall { asked: size, base: base.virtual_size() });
    }
    let file = base.file();
    let made_on = MadeOn { identity: base.identity(), name: file.path.clone() }.to_bytes();
    let overlay = EmptyOverlay::over(file.path.as_os_str().as_bytes(), file.format, size, &made_on)
        .map_err(|source| OverlayError::Format { base: file.path.clone(), source })?;
    let host = |source| OverlayError::Host { source };
    if existing == Existing::Refuse && path.symlink_metadata().is_ok() {
        return Err(OverlayError::Exists { path: path.to_owned() });
    }
    if let Some(dir) = path.parent() {
        publish::private_dir(dir).map_err(host)?;
    }
    let temporary = publish::temporary(path).map_err(host)?;
    write(temporary.as_file(), &overlay).context("write", path).map_err(host)?;
    match existing {
        Existing::Replace => publish::persist(temporary, path).map_err(host)?,
        Existing::Refuse => {
            if !publish::persist_new(temporary, path).map_err(host)? {
                return Err(OverlayError::Exists { path: path.to_owned() });
            }
        }
    }
    Ok(ByteSize::bytes(size.as_bytes().next_multiple_of(512)))
}

fn write(file: &File, overlay: &EmptyOverlay) -> io::Result<()> {
    file.set_len(overlay.file_len())?;
    overlay.pieces().iter().try_for_each(|piece| file.write_all_at(&piece.bytes, piece.offset))
}

/// Checks that the overlay at `path`, kept from an earlier run, lies on `base`, and that `base` still
/// has the bytes it was made on. Returns the size of the disk its guest sees.
///
/// A base that was moved is known again by its bytes. An overlay that was laid on another image with
/// `qemu-img rebase`, or that `qemu-img` made, is believed as to where it lies.
///
/// # Errors
/// [`OverlayError::Missing`], [`OverlayError::NotAnOverlay`], [`OverlayError::OtherBase`],
/// [`OverlayError::OtherBytes`], [`OverlayError::Unsupported`], [`OverlayError::Host`].
pub fn verify(path: &Path, base: &BaseImage) -> Result<ByteSize, OverlayError> {
    let host = |source| OverlayError::Host { source };
    let file = match open_without_waiting(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(OverlayError::Missing { path: path.to_owned() });
        }
        other => other.context("open", path).map_err(host)?,
    };
    let header = read_header(&file)
        .context("read", path)
        .map_err(host)?
        .map_err(|source| OverlayError::NotAnOverlay { path: path.to_owned(), source })?;
    if let Some(what) = unusable(&header) {
        return Err(OverlayError::Unsupported { path: path.to_owned(), what });
    }
    let name = header.backing.map(|backing| backing.name);
    let note = header.made_on.as_deref().and_then(MadeOn::parse);
    // Where it lies on another file than when it was made, somebody decided so since.
    let made_on = note.filter(|note| Some(&note.name) == name.as_ref()).map(|note| note.identity);
    if made_on.is_some_and(|made_on| made_on.is(&base.identity())) {
        return Ok(header.virtual_size);
    }
    let found = name.map(|name| found_at(path, &name));
    let expected = base.file().path.clone();
    if !found.as_deref().is_some_and(|found| same_file(found, &expected)) {
        return Err(OverlayError::OtherBase { path: path.to_owned(), found, expected });
    }
    match made_on {
        None => Ok(header.virtual_size),
        Some(made_on) => {
            let bytes = Box::new(Difference { expected: made_on, actual: base.identity() });
            Err(OverlayError::OtherBytes { path: path.to_owned(), base: expected, bytes })
        }
    }
}

/// What a file is that lies where an overlay could.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// An overlay on that file, by its own word.
    Over(PathBuf),
    /// A disk that needs no other file.
    Alone,
    /// Nothing a guest ever wrote to.
    NoDisk,
}

/// Reads the header of the file at `path`, whoever uses it.
///
/// # Errors
/// [`HostError::Io`] where it cannot be read.
pub fn content(path: &Path) -> Result<Content, HostError> {
    let file = File::open(path).context("open", path)?;
    Ok(match read_header(&file).context("read", path)? {
        Ok(header) => {
            header.backing.map_or(Content::Alone, |backing| Content::Over(found_at(path, &backing.name)))
        }
        Err(_) => Content::NoDisk,
    })
}

/// What the name of a backing file in the header of the overlay at `path` means.
fn found_at(path: &Path, backing: &Path) -> PathBuf {
    path.parent().unwrap_or(Path::new(".")).join(backing)
}

/// Whether two paths lead to one file.
pub fn same_file(a: &Path, b: &Path) -> bool {
    a == b || matches!((a.canonicalize(), b.canonicalize()), (Ok(a), Ok(b)) if a == b)
}

fn shown(path: Option<&Path>) -> String {
    path.map_or_else(|| "no other image".to_owned(), |path| format!("`{}`", path.display()))
}

/// Whether Castra made the file at `path`: its header holds the note of the base it was made on.
///
/// # Errors
/// [`HostError::Io`] where it is there and cannot be read.
pub fn is_own(path: &Path) -> Result<bool, HostError> {
    let file = match open_without_waiting(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        other => other.context("open", path)?,
    };
    let header = read_header(&file).context("read", path)?.ok();
    Ok(header.is_some_and(|header| header.made_on.is_some()))
}

/// Deletes an overlay and returns the disk space that freed: none where there was no file.
///
/// Two projects may name one file, so that it is not enough to know that the caller's own VM has
/// stopped: a file that any QEMU uses stays.
///
/// # Errors
/// [`HostError::InUse`]; [`HostError::Io`].
pub fn discard(path: &Path) -> Result<ByteSize, HostError> {
    let reclaimed = disk::usage(path)?;
    // Held until the file has lost its name, so that no QEMU takes it meanwhile.
    let _claim = claim(path)?;
    Ok(if publish::remove(path)? { reclaimed } else { ByteSize::bytes(0) })
}

/// Locks a file as QEMU locks the disks it uses (`block/file-posix.c`). None where there is nothing
/// to lock, or a file system without locks.
fn claim(path: &Path) -> Result<Option<File>, HostError> {
    let nonblocking = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
    let opened = File::options().read(true).write(true).custom_flags(nonblocking).open(path);
    let Ok(file) = opened else { return Ok(None) };
    match rustix::fs::fcntl_lock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(Some(file)),
        Err(Errno::AGAIN | Errno::ACCESS) => Err(HostError::InUse { path: path.to_owned() }),
        Err(_) => Ok(None),
    }
}

impl Explain for OverlayError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Exists { .. } => ErrorKind::Conflict,
            Self::TooSmall { .. } => ErrorKind::Config,
            Self::Host { source } => source.kind(),
            Self::Missing { .. }
            | Self::Format { .. }
            | Self::NotAnOverlay { .. }
            | Self::OtherBase { .. }
            | Self::OtherBytes { .. }
            | Self::Unsupported { .. } => ErrorKind::Image,
        }
    }

    fn hints(&self) -> Vec<String> {
        match self {
            Self::Host { source } => source.hints(),
            Self::OtherBase { path, .. }
            | Self::NotAnOverlay { path, .. }
            | Self::Unsupported { path, .. } => {
                vec![set_aside(path)]
            }
            Self::OtherBytes { path, base, bytes } => other_bytes(path, base, bytes),
            Self::TooSmall { base, .. } => vec![format!("ask for at least {base}")],
            Self::Exists { .. } | Self::Missing { .. } | Self::Format { .. } => Vec::new(),
        }
    }
}

/// What to do with an overlay that fits nothing.
fn set_aside(path: &Path) -> String {
    format!(
        "keep what the guest wrote: `mv {0} {0}.old`; the next `castra up` makes a new overlay",
        path.display()
    )
}

fn other_bytes(path: &Path, base: &Path, bytes: &Difference<BaseIdentity>) -> Vec<String> {
    let Difference { expected, actual } = bytes;
    let put_back = format!("put the image back that was at `{}`: the guest's disk needs it", base.display());
    let only_touched = (expected.size_bytes == actual.size_bytes).then(|| {
        let (time, base) = (expected.seconds(), base.display());
        format!("if only its time changed and not its bytes, set the time back: `touch -d @{time} {base}`")
    });
    [put_back].into_iter().chain(only_touched).chain([set_aside(path)]).collect()
}
