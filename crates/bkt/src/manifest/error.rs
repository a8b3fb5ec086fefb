//! Why there is no manifest, or why it was not changed.
//!
//! Tests: with the file, and below.

use std::io;
use std::path::PathBuf;

use plasmavmc_host::HostError;
use plasmavmc_source::{FileError, FileProblem, count_faults};
use plasmavmc_types::{ErrorKind, Explain};

use super::Fault;
use super::file::DEFAULT_PATH;

/// Why there is no manifest, or why it was not changed. Its `Display` never repeats its source.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ManifestError {
    /// The search found none.
    #[error("no `{DEFAULT_PATH}` in `{}` or a directory above it", searched_from.display())]
    NotFound {
        /// Where the search began.
        searched_from: PathBuf,
    },
    /// What is there cannot be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// The manifest has faults.
    #[error("`{}` has {}", path.display(), count_faults(faults.len()))]
    Faulty {
        /// The manifest.
        path: PathBuf,
        /// Its text, to show the faults in; what was not UTF-8 in it is replaced.
        text: String,
        /// The faults, in the order of the text.
        faults: Vec<Fault>,
    },
    /// Somebody changed the manifest since it was read.
    #[error("`{}` was changed while this command ran, so it was left as it is", path.display())]
    Changed {
        /// The manifest.
        path: PathBuf,
    },
    /// What was to be written is no manifest.
    #[error("a manifest cannot say that: {} `{}`: {}", fault.code, fault.key, fault.message)]
    Unsayable {
        /// The first fault of what would have been written.
        fault: Box<Fault>,
    },
    /// The manifest cannot be written.
    #[error("the manifest could not be written")]
    Write(#[source] HostError),
}

impl Explain for ManifestError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Changed { .. } => ErrorKind::Conflict,
            Self::Unsayable { .. } => ErrorKind::Usage,
            Self::Write(error) => error.kind(),
            _ => ErrorKind::Config,
        }
    }

    fn hints(&self) -> Vec<String> {
        let hint = match self {
            Self::NotFound { .. } | Self::File(FileError { problem: FileProblem::Missing, .. }) => {
                "write one from the VMs there are with `bkt vm capture`, or name one with `--manifest PATH`"
                    .to_owned()
            }
            Self::File(error) => return error.hints(),
            Self::Faulty { .. } => {
                "`bkt schema` prints the format, for editors that complete and check it".to_owned()
            }
            Self::Changed { .. } => "look at what changed, and run the command again".to_owned(),
            Self::Unsayable { .. } => {
                "change the manifest by hand; `bkt schema` prints the format".to_owned()
            }
            Self::Write(error) => return write_hints(error),
        };
        vec![hint]
    }
}

/// What to do where the manifest, or a directory for it, cannot be written.
fn write_hints(error: &HostError) -> Vec<String> {
    let HostError::Io { path, source, .. } = error else { return error.hints() };
    let folder = match path.is_dir() {
        true => path,
        false => path.parent().unwrap_or(path),
    };
    match source.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            vec![format!("free some space: `df -h {}`", folder.display())]
        }
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => vec![format!(
            "make `{}` writable for you, or name another place: `--manifest PATH`",
            folder.display()
        )],
        _ => error.hints(),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn a_place_that_cannot_be_written_is_told_in_the_words_of_a_manifest() {
        let hint = |path: &Path, kind: io::ErrorKind| {
            let source = io::Error::from(kind);
            let error = HostError::Io { action: "create a file in", path: path.to_owned(), source };
            ManifestError::Write(error).hints().join("\n")
        };
        let dir = tempfile::tempdir().unwrap();
        let expected = format!(
            "make `{}` writable for you, or name another place: `--manifest PATH`",
            dir.path().display()
        );
        let denied = io::ErrorKind::PermissionDenied;
        assert_eq!(hint(dir.path(), denied), expected);
        assert_eq!(hint(&dir.path().join("manifests"), denied), expected);
        let full = hint(&dir.path().join("vms.json"), io::ErrorKind::StorageFull);
        assert_eq!(full, format!("free some space: `df -h {}`", dir.path().display()));
    }
}
