//! What a bootstrap is made of on the host: a script and what it works with, looked at before any of
//! it is needed.
//!
//! Owns: which files belong to a payload, in an order that does not depend on the file system, and the
//! limits. Never does: copy, or talk to a guest. Tests: below.

use std::fs::{self, File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use plasmavmc_host::{HostError, IoContext};
use plasmavmc_types::{ByteSize, ErrorKind, Explain};

use crate::config::Bootstrap;

/// The most bytes of a script: a text a person writes. What is larger belongs into the payload.
const MAX_SCRIPT: ByteSize = ByteSize::mib(1);
/// The most files, directories and links of a payload: each is a request to the guest.
const MAX_ENTRIES: usize = 20_000;
/// The most bytes of a payload. What is larger is better mounted or downloaded by the script.
const MAX_PAYLOAD: ByteSize = ByteSize::gib(4);
/// The bits of a file's mode that are carried over: none that lend rights to whoever runs it.
const MODE_BITS: u32 = 0o777;

/// What a bootstrap is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Inputs {
    /// The script.
    pub(super) script: PathBuf,
    /// What it works with.
    pub(super) payload: Option<Payload>,
}

/// What a script works with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Payload {
    /// The directory its entries are in.
    pub(super) base: PathBuf,
    pub(super) shape: Shape,
    /// Sorted by path; a directory comes before what is in it.
    pub(super) entries: Vec<Entry>,
}

/// Whether a payload is one file or a directory of some.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    File,
    Directory,
}

/// One thing of a payload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    /// Its path below the payload's base, without a `/` at either end.
    pub(super) path: String,
    pub(super) kind: EntryKind,
    pub(super) mode: u32,
    /// Seconds since 1970 of its last change.
    pub(super) modified_s: i64,
}

/// What an entry is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum EntryKind {
    Directory,
    File,
    /// A symbolic link and what it points to; nobody follows it here.
    Link(String),
}

/// Why a script or payload cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InputError {
    /// There is nothing.
    #[error("there is no {what} `{}`", path.display())]
    Missing {
        /// "bootstrap script" or "payload".
        what: &'static str,
        /// Where it should be.
        path: PathBuf,
    },
    /// The script is a directory, a device or something else.
    #[error("the bootstrap script `{}` is not a file", path.display())]
    NotAFile {
        /// The path.
        path: PathBuf,
    },
    /// The script is larger than a text a person writes.
    #[error("the bootstrap script `{}` has {size}, more than {MAX_SCRIPT}", path.display())]
    LargeScript {
        /// The script.
        path: PathBuf,
        /// Its size.
        size: ByteSize,
    },
    /// A payload holds something that is no file, directory or link.
    #[error("`{}` is a socket, pipe or device, which a payload cannot hold", path.display())]
    Special {
        /// The path.
        path: PathBuf,
    },
    /// A name that is not UTF-8.
    #[error("the name of `{}` is not UTF-8, which a payload's have to be", path.display())]
    Name {
        /// The path.
        path: PathBuf,
    },
    /// More entries than a payload may have.
    #[error("the payload `{}` has more than {MAX_ENTRIES} files and directories", path.display())]
    TooMany {
        /// The payload.
        path: PathBuf,
    },
    /// More bytes than a payload may have.
    #[error("the payload `{}` has more than {MAX_PAYLOAD}", path.display())]
    TooLarge {
        /// The payload.
        path: PathBuf,
    },
    /// A file cannot be read or copied.
    #[error(transparent)]
    Host(#[from] HostError),
}

impl Inputs {
    /// Looks at the script and the payload of a bootstrap. Reads names and sizes, no content.
    ///
    /// # Errors
    /// [`InputError`].
    pub(crate) fn look(bootstrap: &Bootstrap) -> Result<Self, InputError> {
        let script = bootstrap.script.clone();
        let meta = metadata(&script, "bootstrap script")?;
        if !meta.is_file() {
            return Err(InputError::NotAFile { path: script });
        }
        let size = ByteSize::bytes(meta.len());
        if size > MAX_SCRIPT {
            return Err(InputError::LargeScript { path: script, size });
        }
        let payload = bootstrap.payload.as_deref().map(Payload::look).transpose()?;
        Ok(Self { script, payload })
    }
}

impl Payload {
    fn look(path: &Path) -> Result<Self, InputError> {
        let meta = metadata(path, "payload")?;
        if meta.is_dir() {
            return Ok(Self { base: path.to_owned(), shape: Shape::Directory, entries: walk(path)? });
        }
        let (Some(base), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(InputError::Special { path: path.to_owned() });
        };
        let name = name.to_str().ok_or_else(|| InputError::Name { path: path.to_owned() })?;
        let entry = entry(path, name.to_owned(), &meta)?;
        if meta.len() > MAX_PAYLOAD.as_bytes() {
            return Err(InputError::TooLarge { path: path.to_owned() });
        }
        Ok(Self { base: base.to_owned(), shape: Shape::File, entries: vec![entry] })
    }

    /// Where an entry lies on the host.
    pub(super) fn source(&self, entry: &Entry) -> PathBuf {
        self.base.join(&entry.path)
    }
}

/// Everything below a directory. Links are not followed.
fn walk(root: &Path) -> Result<Vec<Entry>, InputError> {
    let (mut entries, mut bytes) = (Vec::new(), 0_u64);
    let mut open = vec![(root.to_owned(), String::new())];
    while let Some((dir, prefix)) = open.pop() {
        for found in fs::read_dir(&dir).context("list", &dir)? {
            let path = found.context("list", &dir)?.path();
            let name = path.file_name().and_then(|name| name.to_str());
            let Some(name) = name else { return Err(InputError::Name { path }) };
            let inside = if prefix.is_empty() { name.to_owned() } else { format!("{prefix}/{name}") };
            let entry =
                entry(&path, inside.clone(), &fs::symlink_metadata(&path).context("look at", &path)?)?;
            match entry.kind {
                EntryKind::Directory => open.push((path, inside)),
                EntryKind::File => {
                    bytes += fs::symlink_metadata(&path).context("look at", &path)?.len();
                }
                EntryKind::Link(_) => {}
            }
            entries.push(entry);
            if entries.len() > MAX_ENTRIES {
                return Err(InputError::TooMany { path: root.to_owned() });
            }
            if bytes > MAX_PAYLOAD.as_bytes() {
                return Err(InputError::TooLarge { path: root.to_owned() });
            }
        }
    }
    entries.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(entries)
}

fn entry(path: &Path, inside: String, meta: &Metadata) -> Result<Entry, InputError> {
    let kind = if meta.is_dir() {
        EntryKind::Directory
    } else if meta.is_file() {
        EntryKind::File
    } else if meta.is_symlink() {
        let target = fs::read_link(path).context("read", path)?;
        let target = target.into_os_string().into_string();
        EntryKind::Link(target.map_err(|_| InputError::Name { path: path.to_owned() })?)
    } else {
        return Err(InputError::Special { path: path.to_owned() });
    };
    Ok(Entry { path: inside, kind, mode: meta.mode() & MODE_BITS, modified_s: meta.mtime() })
}

/// What is at a path, a link at its end followed.
fn metadata(path: &Path, what: &'static str) -> Result<Metadata, InputError> {
    match fs::metadata(path) {
        Ok(meta) => Ok(meta),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            Err(InputError::Missing { what, path: path.to_owned() })
        }
        Err(error) => Err(HostError::Io { action: "look at", path: path.to_owned(), source: error }.into()),
    }
}

/// Opens a file of a payload, and nothing that took its place meanwhile: a pipe would be waited for.
pub(super) fn open(path: &Path) -> Result<File, InputError> {
    let nonblock = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
    let file = File::options().read(true).custom_flags(nonblock).open(path).context("open", path)?;
    if !file.metadata().context("look at", path)?.is_file() {
        return Err(InputError::Special { path: path.to_owned() });
    }
    Ok(file)
}

/// Whether a script names its own interpreter.
pub(super) fn names_interpreter(script: &Path) -> Result<bool, InputError> {
    let mut start = Vec::with_capacity(2);
    open(script)?.take(2).read_to_end(&mut start).context("read", script)?;
    Ok(start == b"#!")
}

impl Explain for InputError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Host(error) => error.kind(),
            _ => ErrorKind::Config,
        }
    }

    fn hints(&self) -> Vec<String> {
        match self {
            Self::Host(error) => error.hints(),
            Self::Missing { .. } | Self::NotAFile { .. } => {
                vec!["paths are relative to castra.toml: `script = \"bootstrap.sh\"` is beside it".to_owned()]
            }
            Self::LargeScript { .. } => vec![
                "put what it carries into a directory, and name that: `payload = \"payload\"`".to_owned(),
            ],
            Self::Special { .. } | Self::Name { .. } => {
                vec!["move it out of the payload, or name another directory: `payload = \"dist\"`".to_owned()]
            }
            Self::TooMany { .. } | Self::TooLarge { .. } => {
                vec![
                    "pack it into one file and unpack that in the script, or let the script fetch it"
                        .to_owned(),
                ]
            }
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    pub(in crate::core::bootstrap) fn bootstrap(dir: &Path, payload: Option<&str>) -> Bootstrap {
        Bootstrap {
            mode: plasmavmc_types::BootstrapMode::Auto,
            script: dir.join("bootstrap.sh"),
            payload: payload.map(|name| dir.join(name)),
            env: [("PORT".to_owned(), "80".to_owned())].into(),
            timeout: std::time::Duration::from_secs(5),
            verify: None,
        }
    }

    /// A directory with a script and a payload of every kind.
    pub(in crate::core::bootstrap) fn project() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("bootstrap.sh"), "echo hi\n").unwrap();
        fs::create_dir_all(dir.path().join("dist/bin")).unwrap();
        fs::create_dir(dir.path().join("dist/empty")).unwrap();
        fs::write(dir.path().join("dist/bin/web"), "program").unwrap();
        fs::set_permissions(dir.path().join("dist/bin/web"), fs::Permissions::from_mode(0o4755)).unwrap();
        fs::write(dir.path().join("dist/bin.conf"), "conf").unwrap();
        symlink("bin/web", dir.path().join("dist/link")).unwrap();
        dir
    }

    #[test]
    fn a_payload_is_listed_in_one_order_with_links_unfollowed() {
        let dir = project();
        let inputs = Inputs::look(&bootstrap(dir.path(), Some("dist"))).unwrap();
        let payload = inputs.payload.unwrap();
        let listed: Vec<_> = payload.entries.iter().map(|it| (it.path.as_str(), it.kind.clone())).collect();
        assert_eq!(
            listed,
            [
                ("bin", EntryKind::Directory),
                ("bin.conf", EntryKind::File),
                ("bin/web", EntryKind::File),
                ("empty", EntryKind::Directory),
                ("link", EntryKind::Link("bin/web".into())),
            ]
        );
        assert_eq!(payload.entries[2].mode, 0o755, "a bit that lends rights was carried over");
        assert_eq!(payload.source(&payload.entries[2]), dir.path().join("dist/bin/web"));
    }

    #[test]
    fn a_payload_of_one_file_keeps_its_name() {
        let dir = project();
        let inputs = Inputs::look(&bootstrap(dir.path(), Some("dist/bin.conf"))).unwrap();
        let payload = inputs.payload.unwrap();
        assert_eq!((payload.shape, payload.entries[0].path.as_str()), (Shape::File, "bin.conf"));
        assert_eq!(payload.source(&payload.entries[0]), dir.path().join("dist/bin.conf"));
    }

    #[test]
    fn what_cannot_be_moved_is_told_before_anything_is() {
        let dir = project();
        let at = |name: &str| dir.path().join(name);
        let look = |payload: Option<&str>| Inputs::look(&bootstrap(dir.path(), payload));
        assert!(matches!(look(Some("none")), Err(InputError::Missing { what: "payload", .. })));
        rustix::fs::mkfifoat(rustix::fs::CWD, at("dist/fifo"), 0o600.into()).unwrap();
        assert!(matches!(look(Some("dist")), Err(InputError::Special { .. })));
        assert!(matches!(look(Some("dist/fifo")), Err(InputError::Special { .. })));
        File::create(at("bootstrap.sh")).unwrap().set_len(MAX_SCRIPT.as_bytes() + 1).unwrap();
        assert!(matches!(look(None), Err(InputError::LargeScript { .. })));
        File::create(at("large")).unwrap().set_len(MAX_PAYLOAD.as_bytes() + 1).unwrap();
        fs::write(at("bootstrap.sh"), "").unwrap();
        assert!(matches!(look(Some("large")), Err(InputError::TooLarge { .. })));
        fs::remove_file(at("bootstrap.sh")).unwrap();
        assert!(matches!(look(None), Err(InputError::Missing { what: "bootstrap script", .. })));
        fs::create_dir(at("bootstrap.sh")).unwrap();
        assert!(matches!(look(None), Err(InputError::NotAFile { .. })));
    }

    #[test]
    fn only_a_script_that_names_an_interpreter_is_run_by_itself() {
        let dir = tempfile::tempdir().unwrap();
        let script = dir.path().join("s");
        for (text, names) in
            [("#!/bin/sh\n", true), ("# !x", false), ("#", false), ("", false), ("echo", false)]
        {
            fs::write(&script, text).unwrap();
            assert_eq!(names_interpreter(&script).unwrap(), names, "{text:?}");
        }
    }
}
