//! One file from the web, put where a person wants it: an installer's ISO.
//!
//! The downloader of images with its resume, retries and hashing; no store, no name, no publisher whose
//! checksums could be asked for. What the file is, is kept beside it (`<file>.sha512`): a person compares it
//! with what the publisher says, or writes it there before, and then nothing else is taken. The file has its
//! name once it is whole. Tests: `tests/image/file.rs`.

use std::fs;
use std::io;
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::{Path, PathBuf};

use plasmavmc_types::{ErrorKind, Explain};

use super::digest::Sha512;
use super::download::{Cache, Digests, DownloadError, DownloadPolicy, FetchError, Job, Part, download};
use super::mirror::shown;
use super::progress::ImageProgress;
use crate::{FileLock, HostError, IoContext, LockError, publish};

/// A file that was fetched, or was there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FetchedFile {
    /// Its digest; none of one that was put there without.
    pub sha512: Option<Sha512>,
    /// Its size in bytes; none of one that was there already.
    pub size_bytes: Option<u64>,
}

/// Why a file was not fetched.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FileError {
    /// The network or the server.
    #[error("{url} could not be fetched")]
    Fetch {
        /// The URL, without a password.
        url: String,
        /// Why not.
        #[source]
        source: FetchError,
    },
    /// What came is not what the file beside it says it is.
    #[error("{url} is not what `{}` says: its SHA-512 is {actual}", beside.display())]
    OtherDigest {
        /// The URL, without a password.
        url: String,
        /// The file that says what it must be.
        beside: PathBuf,
        /// What it is.
        actual: Sha512,
    },
    /// The file that says what it must be says nothing.
    #[error("`{}` holds no SHA-512", beside.display())]
    NoDigest {
        /// The file.
        beside: PathBuf,
    },
    /// What came is no ISO image, such as the log-in page of a network.
    #[error("what {url} sent is no ISO image")]
    NotAnIso {
        /// The URL, without a password.
        url: String,
    },
    /// Another command fetches it.
    #[error("another command fetches it")]
    Lock {
        /// Who holds the lock.
        #[source]
        source: LockError,
    },
    /// A file could not be read or written.
    #[error("`{}` could not be written", path.display())]
    Host {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: HostError,
    },
}

/// Where an ISO 9660 image says that it is one, and what it says there (ECMA-119, 8.4).
const ISO_MAGIC: (u64, &[u8; 5]) = (0x8001, b"CD001");

/// Readable by everyone: the hypervisor runs as another user, and an installer is no secret.
const MODE: u32 = 0o644;

/// The file that says what `path` is.
pub fn digest_beside(path: &Path) -> PathBuf {
    let mut beside = path.to_owned().into_os_string();
    beside.push(".sha512");
    beside.into()
}

/// Fetches the ISO image at `url` to `path`, unless it is there. What an earlier try got is gone on with.
///
/// # Errors
/// [`FileError`]; `path` is then as it was before.
pub fn fetch_iso(
    url: &str,
    path: &Path,
    policy: &DownloadPolicy,
    report: &mut dyn FnMut(ImageProgress),
) -> Result<FetchedFile, FileError> {
    let host = |source| FileError::Host { path: path.to_owned(), source };
    let dir = path.parent().unwrap_or(Path::new("/"));
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let expected = expected(path)?;
    // Its name is there only once it is whole; one that somebody else put there is theirs.
    if path.exists() {
        return Ok(FetchedFile { sha512: expected, size_bytes: None });
    }
    // The lock's file stays: removed, it would let two in who wait for different ones.
    let lock = dir.join(format!("{}{name}.lock", publish::TEMPORARY_PREFIX));
    let _lock = FileLock::acquire(&lock, policy.patience).map_err(|source| FileError::Lock { source })?;
    if path.exists() {
        return Ok(FetchedFile { sha512: self::expected(path)?, size_bytes: None });
    }
    let job = Job {
        image: &name,
        url,
        shown_url: &shown(url),
        size_bytes: None,
        magic: &[],
        digests: Digests::Sha512,
        cache: Cache::Allowed,
    };
    let key = format!("{}{name}", publish::TEMPORARY_PREFIX);
    let mut part = Part::open(dir, &key).map_err(host)?;
    let fetched = download(&job, &mut part, policy, report).map_err(|error| match error {
        DownloadError::Fetch(source) => FileError::Fetch { url: shown(url), source },
        DownloadError::Host(source) => host(source),
        // Only a pin states a size.
        DownloadError::Size { .. } => FileError::NotAnIso { url: shown(url) },
    })?;
    let sha512 = fetched.hashed.sha512;
    let fault = if expected.is_some_and(|expected| expected != sha512) {
        Some(FileError::OtherDigest { url: shown(url), beside: digest_beside(path), actual: sha512 })
    } else if !is_iso(part.path()).context("read", part.path()).map_err(host)? {
        Some(FileError::NotAnIso { url: shown(url) })
    } else {
        None
    };
    if let Some(fault) = fault {
        part.discard().map_err(host)?;
        return Err(fault);
    }
    fs::set_permissions(part.path(), fs::Permissions::from_mode(MODE))
        .context("change the mode of", part.path())
        .map_err(host)?;
    publish::write(&digest_beside(path), format!("{sha512}  {name}\n").as_bytes()).map_err(host)?;
    publish::rename(part.path(), path).map_err(host)?;
    publish::remove(part.note_path()).map_err(host)?;
    let size_bytes = Some(fetched.size_bytes);
    report(ImageProgress::Verified { image: name, sha512, size_bytes: fetched.size_bytes });
    Ok(FetchedFile { sha512: Some(sha512), size_bytes })
}

/// What the file must be, where someone wrote it beside it.
fn expected(path: &Path) -> Result<Option<Sha512>, FileError> {
    let beside = digest_beside(path);
    match fs::read_to_string(&beside) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(source)
            .context("read", &beside)
            .map_err(|source| FileError::Host { path: beside.clone(), source }),
        Ok(text) => {
            let digits = text.split_whitespace().next().unwrap_or_default();
            digits.parse().map(Some).map_err(|_| FileError::NoDigest { beside })
        }
    }
}

fn is_iso(path: &Path) -> io::Result<bool> {
    let mut found = [0; 5];
    match fs::File::open(path)?.read_exact_at(&mut found, ISO_MAGIC.0) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        result => result.map(|()| &found == ISO_MAGIC.1),
    }
}

impl Explain for FileError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Fetch { .. } | Self::OtherDigest { .. } | Self::NoDigest { .. } | Self::NotAnIso { .. } => {
                ErrorKind::Image
            }
            Self::Lock { source } => source.kind(),
            Self::Host { source, .. } => source.kind(),
        }
    }

    fn hints(&self) -> Vec<String> {
        match self {
            Self::Fetch { url, .. } => vec![
                format!("see what the server says: `curl -sSfLI {url}`"),
                "or fetch it by hand, and name the file as a `path`".to_owned(),
            ],
            Self::OtherDigest { beside, .. } => vec![format!(
                "compare with what its publisher says, and where that changed, `rm {}`",
                beside.display()
            )],
            Self::NoDigest { beside } => vec![format!("write it there, or `rm {}`", beside.display())],
            Self::NotAnIso { url } => vec![format!("open {url} in a browser: it may want a log-in")],
            Self::Lock { source } => source.hints(),
            Self::Host { source, .. } => source.hints(),
        }
    }
}
