//! Where the VMs are declared, and which libvirt has them.
//!
//! ```text
//! the connection:  --connect ─► LIBVIRT_DEFAULT_URI ─► `uri` of the manifest ─► libvirt's own choice
//! ```
//!
//! Tests: below; the manifest's own in `manifest/file.rs`.

use std::path::PathBuf;

use plasmavmc_libvirt::virsh::{Connection, VirshError};

use super::apply::StateDir;
use crate::env::UserDirs;
use crate::manifest::{DEFAULT_PATH, FileError, FileProblem, ManifestError, ManifestFile, VmManifest, find};

/// Where the VMs are declared, and which libvirt has them.
#[derive(Debug, Clone)]
pub struct Place {
    /// The current directory, absolute.
    pub current_dir: PathBuf,
    /// What the user has set.
    pub dirs: UserDirs,
    /// The manifest that was named.
    pub manifest: Option<PathBuf>,
    /// The connection that was named.
    pub connect: Option<String>,
}

impl Place {
    /// The manifest.
    ///
    /// # Errors
    /// [`ManifestError`] where there is none, or it has faults.
    pub fn manifest(&self) -> Result<ManifestFile, ManifestError> {
        let path = find(&self.current_dir, self.manifest.as_deref())?;
        ManifestFile::load(&path, self.dirs.home())
    }

    /// The manifest, or an empty one where it would be.
    ///
    /// # Errors
    /// [`ManifestError`] where it cannot be read, or has faults.
    pub fn manifest_or_begin(&self) -> Result<ManifestFile, ManifestError> {
        let path = match find(&self.current_dir, self.manifest.as_deref()) {
            Ok(path) => path,
            Err(ManifestError::File(FileError { path, problem: FileProblem::Missing, .. })) => {
                self.current_dir.join(path)
            }
            Err(ManifestError::NotFound { .. }) => self.current_dir.join(DEFAULT_PATH),
            Err(error) => return Err(error),
        };
        ManifestFile::load_or_begin(&path, self.dirs.home())
    }

    /// The connection to ask for; none is libvirt's own choice.
    pub fn uri<'a>(&'a self, manifest: &'a VmManifest) -> Option<&'a str> {
        self.connect.as_deref().or(self.dirs.uri()).or(manifest.uri.as_deref())
    }

    /// The libvirt that has the VMs.
    ///
    /// # Errors
    /// [`VirshError`] where virsh is not there, or the connection cannot be one.
    pub fn connection(&self, manifest: &VmManifest) -> Result<Connection, VirshError> {
        Connection::new(self.uri(manifest).map(str::to_owned))
    }

    /// Where our own state is.
    pub fn state(&self) -> StateDir {
        StateDir::below(self.dirs.state_home())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(connect: Option<&str>, environment: Option<&str>) -> Place {
        let dirs = UserDirs::from_values(Some("/home/me".into()), None, environment.map(Into::into)).unwrap();
        Place { current_dir: "/src".into(), dirs, manifest: None, connect: connect.map(str::to_owned) }
    }

    #[test]
    fn who_is_nearest_to_the_command_chooses_the_connection() {
        let manifest = VmManifest { uri: Some("qemu:///manifest".to_owned()), ..VmManifest::default() };
        let none = VmManifest::default();
        for (connect, environment, manifest, uri) in [
            (Some("qemu:///flag"), Some("qemu:///env"), &manifest, Some("qemu:///flag")),
            (None, Some("qemu:///env"), &manifest, Some("qemu:///env")),
            (None, Some(""), &manifest, Some("qemu:///manifest")),
            (None, None, &none, None),
        ] {
            assert_eq!(place(connect, environment).uri(manifest), uri);
        }
    }
}
