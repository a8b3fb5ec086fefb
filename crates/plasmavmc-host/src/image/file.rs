//! One file from the web, put where a person wants it: an installer's ISO.
//!
//! The downloader of images with its resume, retries and hashing; no store, no name, no publisher whose
//! checksums could be asked for. What the file must be is said by whoever asks, with a digest, or by the
//! file beside it (`<file>.sha512`), which is written with the first fetch; a file that is there is held
//! against both. It has its name once it is whole. Tests: `tests/image/file.rs`.

use std::fmt;
use std::fs;
use std::io;
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::{Path, PathBuf};

use plasmavmc_types::{ErrorKind, Explain};

use super::digest::{Algorithm, Digest, Sha512};
use super::download::{
    Cache, Digests, DownloadError, DownloadPolicy, FetchError, Hashed, Job, Part, download, hash_file,
};
use super::mirror::shown;
use super::progress::ImageProgress;
use crate::{FileLock, HostError, IoContext, LockError, publish};

/// A file that was fetched, or was there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FetchedFile {
    /// Its digest; none of one that was put there by hand, and of which nobody says what it must be.
    pub sha512: Option<Sha512>,
    /// Its size in bytes; none of one that was there already.
    pub size_bytes: Option<u64>,
}

/// Who says what a file must be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Authority {
    /// Whoever asks for it.
    Asker,
    /// The file beside it.
    Beside(PathBuf),
}

impl fmt::Display for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Asker => f.write_str("its checksum"),
            Self::Beside(path) => write!(f, "`{}`", path.display()),
        }
    }
}

/// A file that is not what it must be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mismatch {
    /// Who says what it must be.
    pub authority: Authority,
    /// What it is, in the same kind of digest.
    pub actual: Digest,
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
    /// What came is not what it must be.
    #[error("what {url} sent is not what {} says: it is {}", mismatch.authority, mismatch.actual)]
    OtherDigest {
        /// The URL, without a password.
        url: String,
        /// What it is, and what it is not.
        mismatch: Box<Mismatch>,
    },
    /// What is there is not what it must be.
    #[error("`{}` is there and is not what {} says: it is {}", path.display(), mismatch.authority, mismatch.actual)]
    Changed {
        /// The file.
        path: PathBuf,
        /// What it is, and what it is not.
        mismatch: Box<Mismatch>,
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
/// Both what comes and what is there must have the digest `checksum`, where there is one.
///
/// # Errors
/// [`FileError`]; `path` is then as it was before.
pub fn fetch_iso(
    url: &str,
    path: &Path,
    checksum: Option<Digest>,
    policy: &DownloadPolicy,
    report: &mut dyn FnMut(ImageProgress),
) -> Result<FetchedFile, FileError> {
    let host = |source| FileError::Host { path: path.to_owned(), source };
    let dir = path.parent().unwrap_or(Path::new("/"));
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    // Its name is there only once it is whole; one that somebody else put there is theirs.
    if path.exists() {
        return there(path, checksum);
    }
    let lock = dir.join(format!("{}{name}.lock", publish::TEMPORARY_PREFIX));
    let _lock = FileLock::acquire(&lock, policy.patience).map_err(|source| FileError::Lock { source })?;
    if path.exists() {
        return there(path, checksum);
    }
    let wanted = wanted(path, checksum)?;
    let job = Job {
        image: &name,
        url,
        shown_url: &shown(url),
        size_bytes: None,
        magic: &[],
        digests: digests(checksum),
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
    let fault = if let Some(mismatch) = mismatch(wanted, fetched.hashed) {
        Some(FileError::OtherDigest { url: shown(url), mismatch: Box::new(mismatch) })
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
    // Whoever waits for it, or for one made anew, finds the file there.
    publish::remove(&lock).map_err(host)?;
    let size_bytes = Some(fetched.size_bytes);
    report(ImageProgress::Verified { image: name, sha512, size_bytes: fetched.size_bytes });
    Ok(FetchedFile { sha512: Some(sha512), size_bytes })
}

/// A file that is there, held against what it must be.
fn there(path: &Path, checksum: Option<Digest>) -> Result<FetchedFile, FileError> {
    let wanted = wanted(path, checksum)?;
    if wanted.is_empty() {
        return Ok(FetchedFile { sha512: None, size_bytes: None });
    }
    let host = |source| FileError::Host { path: path.to_owned(), source };
    let (hashed, _) = hash_file(path, digests(checksum)).map_err(host)?;
    match mismatch(wanted, hashed) {
        Some(mismatch) => Err(FileError::Changed { path: path.to_owned(), mismatch: Box::new(mismatch) }),
        None => Ok(FetchedFile { sha512: Some(hashed.sha512), size_bytes: None }),
    }
}

/// SHA-512 is written beside the file; SHA-256 is for an asker who has only that.
fn digests(checksum: Option<Digest>) -> Digests {
    match checksum {
        Some(Digest::Sha256(_)) => Digests::Both,
        _ => Digests::Sha512,
    }
}

/// What the file must be, and who says so.
fn wanted(path: &Path, checksum: Option<Digest>) -> Result<Vec<(Authority, Digest)>, FileError> {
    let beside = digest_beside(path);
    let mut wanted: Vec<_> = checksum.map(|digest| (Authority::Asker, digest)).into_iter().collect();
    match fs::read_to_string(&beside) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(source) => {
            let read: Result<(), _> = Err(source).context("read", &beside);
            read.map_err(|source| FileError::Host { path: beside.clone(), source })?;
        }
        Ok(text) => {
            let digits = text.split_whitespace().next().unwrap_or_default();
            let Ok(digest) = digits.parse() else { return Err(FileError::NoDigest { beside }) };
            wanted.push((Authority::Beside(beside), Digest::Sha512(digest)));
        }
    }
    Ok(wanted)
}

/// The first that says something else than the bytes do.
fn mismatch(wanted: Vec<(Authority, Digest)>, hashed: Hashed) -> Option<Mismatch> {
    wanted.into_iter().find_map(|(authority, digest)| {
        let actual = match digest.algorithm() {
            Algorithm::Sha256 => Digest::Sha256(hashed.sha256?),
            Algorithm::Sha512 => Digest::Sha512(hashed.sha512),
        };
        (actual != digest).then_some(Mismatch { authority, actual })
    })
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
            Self::Fetch { .. }
            | Self::OtherDigest { .. }
            | Self::Changed { .. }
            | Self::NoDigest { .. }
            | Self::NotAnIso { .. } => ErrorKind::Image,
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
            Self::OtherDigest { mismatch, .. } => match &mismatch.authority {
                Authority::Asker => vec!["compare with what its publisher says now".to_owned()],
                Authority::Beside(beside) => vec![format!(
                    "compare with what its publisher says, and where that changed, `rm {}`",
                    beside.display()
                )],
            },
            Self::Changed { path, .. } => {
                let (path, beside) = (path.display(), digest_beside(path));
                vec![format!("`rm {path} {}` and fetch it again, if you did not change it", beside.display())]
            }
            Self::NoDigest { beside } => vec![format!("write it there, or `rm {}`", beside.display())],
            Self::NotAnIso { url } => vec![format!("open {url} in a browser: it may want a log-in")],
            Self::Lock { source } => source.hints(),
            Self::Host { source, .. } => source.hints(),
        }
    }
}
