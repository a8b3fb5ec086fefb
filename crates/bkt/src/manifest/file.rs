//! The manifest as a file: found, read within bounds, and replaced whole.
//!
//! ```text
//! --manifest PATH     that file
//! (nothing)           manifests/vms.json here, or in a directory above
//! ```
//!
//! Whose manifest is taken, and that nothing is waited for, is [`plasmavmc_source`]'s. A manifest is replaced
//! only where it is still the one that was read. Tests: below.

use std::fs;
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use plasmavmc_host::{IoContext, publish};
use plasmavmc_source::{FileError, FileProblem, Format};
use sha2::{Digest, Sha256};

use super::definition::VmManifest;
use super::error::ManifestError;
use super::limits::MAX_FILE_BYTES;
use super::read::{Environment, parse_bytes};

/// The manifest's place in a repository.
pub const DEFAULT_PATH: &str = "manifests/vms.json";

/// What a manifest is among the files people write.
static FORMAT: Format =
    Format { noun: "manifest", place: DEFAULT_PATH, option: "--manifest", max_bytes: MAX_FILE_BYTES };

/// A manifest without VMs, to begin with.
const EMPTY: &str = "{\n  \"vms\": {}\n}\n";

/// A manifest that was read.
#[derive(Debug, Clone)]
pub struct ManifestFile {
    /// The file, absolute.
    pub path: PathBuf,
    /// Its text.
    pub text: String,
    /// What it says.
    pub manifest: VmManifest,
    state: State,
}

/// What was there when it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
enum State {
    /// Nothing.
    Absent,
    /// A file of this digest.
    Read { digest: String },
}

/// Finds the manifest: the named one, or the nearest from `current_dir` upwards.
///
/// # Errors
/// [`ManifestError`] where there is none, or what is there is not one.
pub fn find(current_dir: &Path, named: Option<&Path>) -> Result<PathBuf, ManifestError> {
    let found = match named {
        Some(named) => Some(FORMAT.named(current_dir, named)?),
        None => FORMAT.nearest(current_dir)?,
    };
    found.ok_or_else(|| ManifestError::NotFound { searched_from: current_dir.to_owned() })
}

impl ManifestFile {
    /// Reads the manifest at an absolute path.
    ///
    /// # Errors
    /// [`ManifestError`]; faults of the text all at once.
    pub fn load(path: &Path, home: Option<&Path>) -> Result<Self, ManifestError> {
        let bytes = FORMAT.read(path)?;
        let file = path.to_owned();
        let state = State::Read { digest: digest(&bytes) };
        match parse_bytes(&bytes, Environment { file: path, home }) {
            Ok(manifest) => {
                let text = String::from_utf8_lossy(&bytes).into_owned();
                Ok(Self { path: file, text, manifest, state })
            }
            Err(faults) => {
                let text = String::from_utf8_lossy(&bytes).into_owned();
                Err(ManifestError::Faulty { path: file, text, faults })
            }
        }
    }

    /// As [`ManifestFile::load`]; a manifest that is not there has no VMs.
    ///
    /// # Errors
    /// As [`ManifestFile::load`].
    pub fn load_or_begin(path: &Path, home: Option<&Path>) -> Result<Self, ManifestError> {
        match Self::load(path, home) {
            Err(ManifestError::File(FileError { problem: FileProblem::Missing, .. })) => Ok(Self {
                path: path.to_owned(),
                text: EMPTY.to_owned(),
                manifest: VmManifest::default(),
                state: State::Absent,
            }),
            other => other,
        }
    }

    /// Whether it is there, or would be new.
    pub fn is_there(&self) -> bool {
        self.state != State::Absent
    }

    /// Replaces the file by `text`, which has been read as a manifest; the mode stays, and a link still
    /// leads to the file it led to.
    ///
    /// # Errors
    /// [`ManifestError::Changed`] where it is no longer the file that was read; then, and where writing
    /// fails, it is as it was.
    pub fn replace(&self, text: &str) -> Result<(), ManifestError> {
        let changed = || ManifestError::Changed { path: self.path.clone() };
        let State::Read { digest: known } = &self.state else {
            let dir = self.path.parent().unwrap_or(&self.path);
            fs::create_dir_all(dir).context("create directory", dir).map_err(ManifestError::Write)?;
            let file = filled(&self.path, text, 0o644)?;
            return match publish::persist_new(file, &self.path).map_err(ManifestError::Write)? {
                true => Ok(()),
                false => Err(changed()),
            };
        };
        let target =
            fs::canonicalize(&self.path).map_err(|source| FORMAT.failed("resolve", &self.path, source))?;
        let metadata = FORMAT.look(&target)?.ok_or_else(changed)?;
        let file = filled(&target, text, metadata.mode() & 0o7777)?;
        // As late as can be: what is between this look and the renaming is a few system calls.
        if digest(&FORMAT.read(&target)?) != *known {
            return Err(changed());
        }
        publish::persist(file, &target).map_err(ManifestError::Write)
    }
}

/// A temporary file beside `path` with that text and mode.
fn filled(path: &Path, text: &str, mode: u32) -> Result<tempfile::NamedTempFile, ManifestError> {
    use std::os::unix::fs::PermissionsExt;
    let mut file = publish::temporary(path).map_err(ManifestError::Write)?;
    let fill = |file: &mut tempfile::NamedTempFile| {
        file.write_all(text.as_bytes())?;
        file.as_file().set_permissions(fs::Permissions::from_mode(mode))
    };
    fill(&mut file).context("write", path).map_err(ManifestError::Write)?;
    Ok(file)
}

/// The SHA-256 of bytes, in hexadecimal.
fn digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use plasmavmc_types::Explain;

    use super::*;

    const ONE: &str = "{\"vms\": {}}";

    fn dir() -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().canonicalize().unwrap();
        (dir, path)
    }

    #[test]
    fn the_nearest_manifest_upwards_is_found_and_a_named_one_is_the_one() {
        let (_dir, root) = dir();
        let below = root.join("a/b");
        fs::create_dir_all(&below).unwrap();
        fs::create_dir(root.join("manifests")).unwrap();
        let missing = find(&root.join("a"), Some("x.json".as_ref())).unwrap_err();
        assert!(missing.hints()[0].contains("`bkt vm capture`"), "{missing}");
        assert!(matches!(find(&root.join("a"), None), Err(ManifestError::NotFound { .. })));
        fs::write(root.join(DEFAULT_PATH), ONE).unwrap();
        assert_eq!(find(&below, None).unwrap(), root.join(DEFAULT_PATH));
        fs::write(below.join("x.json"), ONE).unwrap();
        assert_eq!(find(&below, Some("x.json".as_ref())).unwrap(), below.join("x.json"));
    }

    #[test]
    fn a_manifest_is_replaced_whole_and_keeps_its_mode_and_its_link() {
        let (_dir, root) = dir();
        let (real, link) = (root.join("real.json"), root.join("vms.json"));
        fs::write(&real, ONE).unwrap();
        fs::set_permissions(&real, fs::Permissions::from_mode(0o640)).unwrap();
        symlink("real.json", &link).unwrap();
        ManifestFile::load(&link, None).unwrap().replace(EMPTY).unwrap();
        assert!(link.symlink_metadata().unwrap().is_symlink());
        assert_eq!(fs::read_to_string(&real).unwrap(), EMPTY);
        assert_eq!(real.metadata().unwrap().permissions().mode() & 0o777, 0o640);
        assert_eq!(fs::read_dir(&root).unwrap().count(), 2, "litter was left");
    }

    #[test]
    fn a_manifest_that_changed_meanwhile_is_left_alone() {
        let (_dir, root) = dir();
        let path = root.join("vms.json");
        fs::write(&path, ONE).unwrap();
        let read = ManifestFile::load(&path, None).unwrap();
        fs::write(&path, "{\"vms\": {} }").unwrap();
        assert!(matches!(read.replace(EMPTY), Err(ManifestError::Changed { .. })));
        assert_eq!(fs::read_to_string(&path).unwrap(), "{\"vms\": {} }");
        assert_eq!(fs::read_dir(&root).unwrap().count(), 1, "litter was left");
        fs::remove_file(&path).unwrap();
        assert!(read.replace(EMPTY).is_err());
    }

    #[test]
    fn a_manifest_that_is_not_there_begins_empty_and_meets_no_other() {
        let (_dir, root) = dir();
        let path = root.join("manifests/vms.json");
        let (first, second) = (
            ManifestFile::load_or_begin(&path, None).unwrap(),
            ManifestFile::load_or_begin(&path, None).unwrap(),
        );
        assert!(first.manifest.vms.is_empty() && !first.is_there());
        first.replace(&first.text).unwrap();
        assert!(matches!(second.replace(EMPTY), Err(ManifestError::Changed { .. })));
        let read = ManifestFile::load_or_begin(&path, None).unwrap();
        assert!(read.is_there());
        assert_eq!(read.text, EMPTY);
    }
}
