//! Base images: proof that a file, and all that lies under it, can carry an overlay.
//!
//! Owns: telling formats apart by content, cheap checks for damage and truncation, the backing
//! chain. Never does: change an image, or read more of it than its metadata: a digest over the
//! bytes is the image cache's work. Called before every launch, so it is a handful of reads.
//! Tests: `tests/qcow2_oracle.rs`.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use plasmavmc_types::{BackingSpec, ByteSize, DiskFormat, ErrorKind, Explain};

use crate::image::Sha512;
use crate::qcow2::{Header, HeaderError, MAGIC, cluster_size_hint, parse_header};
use crate::{HostError, IoContext};

mod extent;
mod identity;

pub use identity::BaseIdentity;
pub(crate) use identity::{MadeOn, mtime_ns};

/// Most images that may lie on top of each other, the base itself among them.
pub const MAX_CHAIN: usize = 8;

/// How much of a file is read to see what it is: a qcow2 header with all it names, at the usual
/// cluster size of 64 KiB.
const PREFIX: usize = 64 << 10;

/// An image that exists, is whole as far as its metadata tells, and can carry an overlay.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BaseImage {
    file: BackingSpec,
    virtual_size: ByteSize,
    identity: BaseIdentity,
}

/// Why an image cannot carry an overlay.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BaseImageError {
    /// There is no such file.
    #[error("there is no image `{}`", path.display())]
    Missing {
        /// The image.
        path: PathBuf,
    },
    /// The file under an image is gone.
    #[error("`{}` needs `{}`, which does not exist", image.display(), backing.display())]
    BackingMissing {
        /// The image.
        image: PathBuf,
        /// The file it lies on.
        backing: PathBuf,
    },
    /// A directory, socket or device.
    #[error("`{}` is not a file", path.display())]
    NotAFile {
        /// The path.
        path: PathBuf,
    },
    /// The content is no disk image of a known format.
    #[error("`{}` is not a qcow2 or raw disk image: it looks like {looks_like}", path.display())]
    NotAnImage {
        /// The file.
        path: PathBuf,
        /// What it looks like, with its article.
        looks_like: &'static str,
    },
    /// The header is damaged.
    #[error("`{}` is damaged", path.display())]
    Damaged {
        /// The image.
        path: PathBuf,
        /// What is wrong with the header.
        #[source]
        source: HeaderError,
    },
    /// The file ends before what its metadata points at.
    #[error("`{}` is cut off: it has {found} bytes and needs at least {needed}", path.display())]
    Truncated {
        /// The image.
        path: PathBuf,
        /// Its length in bytes.
        found: u64,
        /// The least length its metadata asks for, in bytes.
        needed: u64,
    },
    /// The format stated for it is not the one it has.
    #[error("`{}` is said to be {stated}, but holds a {found} image", path.display())]
    WrongFormat {
        /// The image.
        path: PathBuf,
        /// The format stated.
        stated: DiskFormat,
        /// The format found.
        found: DiskFormat,
    },
    /// The image uses something that Castra, or the QEMU it knows, does not.
    #[error("`{}` cannot be used as a base: it {what}", path.display())]
    Unsupported {
        /// The image.
        path: PathBuf,
        /// What it does: "is encrypted".
        what: &'static str,
    },
    /// QEMU would have to guess the format of the file under an image, and a guest could make it
    /// guess wrong.
    #[error("`{}` does not state the format of the file under it, `{}`", image.display(), backing.display())]
    BackingFormat {
        /// The image.
        image: PathBuf,
        /// The file it lies on.
        backing: PathBuf,
    },
    /// The file under an image is named by a protocol.
    #[error("`{}` lies on `{}`, which is not a plain file name", image.display(), backing.display())]
    BackingProtocol {
        /// The image.
        image: PathBuf,
        /// What it names.
        backing: PathBuf,
    },
    /// Too many images on top of each other, or a circle.
    #[error("`{}` lies on more than {MAX_CHAIN} images", path.display())]
    ChainTooDeep {
        /// The image at the top.
        path: PathBuf,
    },
    /// The file cannot be read.
    #[error("the image cannot be read")]
    Host {
        /// What went wrong with the file.
        #[source]
        source: HostError,
    },
}

impl BaseImage {
    /// Checks the image at `path` and every file under it. The format is the one `stated`, or told
    /// from its content.
    ///
    /// # Errors
    /// [`BaseImageError`].
    pub fn inspect(path: &Path, stated: Option<DiskFormat>) -> Result<Self, BaseImageError> {
        let path = absolute(path)?;
        let top = Look::at(&path)?;
        let format = top.format(stated)?;
        let (virtual_size, identity) = (top.virtual_size(), top.identity);
        let mut next = top.backing()?;
        let mut upper = path.clone();
        for _ in 1..MAX_CHAIN {
            let Some(backing) = next else {
                return Ok(Self { file: BackingSpec { path, format }, virtual_size, identity });
            };
            let look = Look::at(&backing.path).map_err(|error| match error {
                BaseImageError::Missing { path } => {
                    BaseImageError::BackingMissing { image: upper.clone(), backing: path }
                }
                other => other,
            })?;
            look.format(Some(backing.format))?;
            next = look.backing()?;
            upper = backing.path;
        }
        Err(BaseImageError::ChainTooDeep { path })
    }

    /// The file, absolute, and its format.
    pub fn file(&self) -> &BackingSpec {
        &self.file
    }

    /// The size of the disk a guest sees.
    pub fn virtual_size(&self) -> ByteSize {
        self.virtual_size
    }

    /// Which bytes it has: by the size and time of its file, and by their digest where it was told.
    pub fn identity(&self) -> BaseIdentity {
        self.identity
    }

    /// The same image, whose bytes are known to have that digest: it is then known again by it,
    /// whatever becomes of the time of its file.
    #[must_use]
    pub fn with_digest(mut self, sha512: Sha512) -> Self {
        self.identity.sha512 = Some(sha512);
        self
    }

    /// The same image, with the digest that the `.sha512` file beside it gives, if there is one. For
    /// images that were just put into a workspace: nobody else keeps that file true.
    #[must_use]
    pub fn with_digest_beside(self) -> Self {
        let mut beside = self.file.path.clone().into_os_string();
        beside.push(".sha512");
        let text = std::fs::read_to_string(beside).unwrap_or_default();
        match text.split_once(' ').and_then(|(digits, _)| digits.parse().ok()) {
            Some(sha512) => self.with_digest(sha512),
            None => self,
        }
    }
}

/// Reads the header of the qcow2 image in `file`.
///
/// # Errors
/// The inner error where the bytes are no qcow2 header.
pub(crate) fn read_header(file: &File) -> io::Result<Result<Header, HeaderError>> {
    let mut bytes = read_prefix(file, PREFIX)?;
    if let Some(cluster) = cluster_size_hint(&bytes).and_then(|size| usize::try_from(size).ok())
        && cluster > PREFIX
        && bytes.len() == PREFIX
    {
        bytes = read_prefix(file, cluster)?;
    }
    Ok(parse_header(&bytes))
}

/// The first `len` bytes of `file`, or all of it where it is shorter.
fn read_prefix(file: &File, len: usize) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; len];
    let mut filled = 0;
    while filled < len {
        match file.read_at(&mut bytes[filled..], filled as u64) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    bytes.truncate(filled);
    Ok(bytes)
}

/// One file, looked at. None of the header means raw.
struct Look {
    path: PathBuf,
    len: u64,
    identity: BaseIdentity,
    header: Option<Header>,
    raw: Result<(), &'static str>,
}

impl Look {
    fn at(path: &Path) -> Result<Self, BaseImageError> {
        let file = open(path)?;
        let host = |source| BaseImageError::Host { source };
        let meta = file.metadata().context("inspect", path).map_err(host)?;
        if !meta.is_file() {
            return Err(BaseImageError::NotAFile { path: path.to_owned() });
        }
        let (len, identity) = (meta.len(), BaseIdentity::of(&meta));
        let sector = read_prefix(&file, 512).context("read", path).map_err(host)?;
        if !sector.starts_with(&MAGIC) {
            let raw = is_raw(&sector, len);
            return Ok(Self { path: path.to_owned(), len, identity, header: None, raw });
        }
        let header = read_header(&file).context("read", path).map_err(host)?;
        let header = header
            .map_err(|source| BaseImageError::Damaged { path: path.to_owned(), source })
            .and_then(|header| check(path, header))?;
        let needed = extent::least_len(&file, &header, len).context("read", path).map_err(host)?;
        if len < needed {
            return Err(BaseImageError::Truncated { path: path.to_owned(), found: len, needed });
        }
        Ok(Self { path: path.to_owned(), len, identity, header: Some(header), raw: Ok(()) })
    }

    /// Its format, where that agrees with the one stated. A raw image whose format is stated may
    /// hold any bytes; one whose format is not must look like a disk.
    fn format(&self, stated: Option<DiskFormat>) -> Result<DiskFormat, BaseImageError> {
        let path = || self.path.clone();
        let found = if self.header.is_some() { DiskFormat::Qcow2 } else { DiskFormat::Raw };
        match (stated, found) {
            (Some(DiskFormat::Raw), DiskFormat::Raw) if self.len == 0 => {
                Err(BaseImageError::NotAnImage { path: path(), looks_like: "an empty file" })
            }
            (Some(DiskFormat::Raw), DiskFormat::Raw) => Ok(found),
            (Some(stated), DiskFormat::Qcow2) if stated != found => {
                Err(BaseImageError::WrongFormat { path: path(), stated, found })
            }
            (_, DiskFormat::Qcow2) => Ok(found),
            (_, DiskFormat::Raw) => match self.raw {
                Err(looks_like) => Err(BaseImageError::NotAnImage { path: path(), looks_like }),
                Ok(()) if stated == Some(DiskFormat::Qcow2) => {
                    Err(BaseImageError::WrongFormat { path: path(), stated: DiskFormat::Qcow2, found })
                }
                Ok(()) => Ok(found),
            },
        }
    }

    fn virtual_size(&self) -> ByteSize {
        match &self.header {
            Some(header) => header.virtual_size,
            None => ByteSize::bytes(self.len),
        }
    }

    /// The file under it, absolute.
    fn backing(&self) -> Result<Option<BackingSpec>, BaseImageError> {
        use std::os::unix::ffi::OsStrExt;
        let Some(backing) = self.header.as_ref().and_then(|header| header.backing.as_ref()) else {
            return Ok(None);
        };
        let image = || self.path.clone();
        if crate::qcow2::is_protocol_name(backing.name.as_os_str().as_bytes()) {
            return Err(BaseImageError::BackingProtocol { image: image(), backing: backing.name.clone() });
        }
        let path = self.path.parent().unwrap_or(Path::new("/")).join(&backing.name);
        let format = match backing.format.as_deref() {
            Some("qcow2") => DiskFormat::Qcow2,
            Some("raw") => DiskFormat::Raw,
            Some(_) => {
                let what = "lies on an image that is neither qcow2 nor raw";
                return Err(BaseImageError::Unsupported { path: image(), what });
            }
            None => return Err(BaseImageError::BackingFormat { image: image(), backing: path }),
        };
        Ok(Some(BackingSpec { path, format }))
    }
}

/// Refuses what cannot be read, or not without help.
fn check(path: &Path, header: Header) -> Result<Header, BaseImageError> {
    match unusable(&header) {
        Some(what) => Err(BaseImageError::Unsupported { path: path.to_owned(), what }),
        None => Ok(header),
    }
}

/// What an image does for which no guest may have it, base or overlay; none where it may.
pub(crate) fn unusable(header: &Header) -> Option<&'static str> {
    if header.unknown_features() != 0 {
        Some("uses features of a later QEMU")
    } else if header.is_marked_corrupt() {
        Some("is marked as damaged by QEMU")
    } else if header.has_external_data() {
        Some("keeps its data in another file")
    } else if header.encrypted {
        Some("is encrypted")
    } else {
        None
    }
}

/// Whether a file that is not qcow2 looks like the bytes of a disk; else what it looks like.
fn is_raw(sector: &[u8], len: u64) -> Result<(), &'static str> {
    const KNOWN: [(&[u8], &str); 11] = [
        (b"KDMV", "a VMDK image"),
        (b"# Disk DescriptorFile", "a VMDK image"),
        (b"vhdxfile", "a VHDX image"),
        (b"conectix", "a VHD image"),
        (b"<<< ", "a VDI image"),
        (b"\x1f\x8b", "a gzip-compressed file"),
        (b"\xfd7zXZ\0", "an xz-compressed file"),
        (b"\x28\xb5\x2f\xfd", "a zstd-compressed file"),
        (b"BZh", "a bzip2-compressed file"),
        (b"PK\x03\x04", "a zip archive"),
        (b"<", "a web page"),
    ];
    if let Some((_, looks_like)) = KNOWN.iter().find(|(magic, _)| sector.starts_with(magic)) {
        return Err(looks_like);
    }
    if len == 0 {
        return Err("an empty file");
    }
    // Every disk that boots by BIOS or UEFI ends its first sector so: a boot sector or an MBR.
    if len.is_multiple_of(512) && sector.get(510..512) == Some(&[0x55, 0xaa]) {
        Ok(())
    } else {
        Err("something else")
    }
}

fn absolute(path: &Path) -> Result<PathBuf, BaseImageError> {
    std::path::absolute(path)
        .context("find the directory of", path)
        .map_err(|source| BaseImageError::Host { source })
}

/// Opens a file for reading. A FIFO would block for ever without this flag; for a file it means
/// nothing.
pub(crate) fn open_without_waiting(path: &Path) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt;
    let flags = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
    File::options().read(true).custom_flags(flags).open(path)
}

fn open(path: &Path) -> Result<File, BaseImageError> {
    match open_without_waiting(path) {
        Ok(file) => Ok(file),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Err(BaseImageError::Missing { path: path.to_owned() })
        }
        Err(error) => Err(error).context("open", path).map_err(|source| BaseImageError::Host { source }),
    }
}

impl Explain for BaseImageError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Host { source } => source.kind(),
            _ => ErrorKind::Image,
        }
    }

    fn hints(&self) -> Vec<String> {
        let hint = match self {
            Self::Missing { .. } => "check the path, or `castra image list` for images by name".to_owned(),
            Self::BackingMissing { image, .. } => format!(
                "put it back, or make the image stand alone: `qemu-img rebase -b '' {}` where the file still exists",
                image.display()
            ),
            Self::Truncated { path, .. } | Self::Damaged { path, .. } => format!(
                "fetch it again (`castra image verify` tells which images are bad); `qemu-img check {}` tells more",
                path.display()
            ),
            Self::NotAnImage { .. } => "use a disk image as published for clouds, unpacked; `qemu-img convert -O qcow2` turns other formats into one".to_owned(),
            Self::WrongFormat { found, .. } => format!("state its format as `{found}`"),
            Self::BackingFormat { image, backing } => format!(
                "state it: `qemu-img rebase -u -b {} -F <qcow2 or raw> {}`",
                backing.display(),
                image.display()
            ),
            Self::Unsupported { path, .. } | Self::BackingProtocol { image: path, .. } | Self::ChainTooDeep { path } => {
                format!("make a plain copy: `qemu-img convert -O qcow2 {} plain.qcow2`", path.display())
            }
            Self::NotAFile { .. } => return Vec::new(),
            Self::Host { source } => return source.hints(),
        };
        vec![hint]
    }
}
