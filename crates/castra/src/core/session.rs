//! What the operations know of the user: read once by the face, handed to every operation.

use std::path::PathBuf;

use super::broker::BrokerProgram;
use crate::env::UserDirs;

/// The user and the place a command runs in. Operations read neither the environment nor the
/// current directory themselves.
#[derive(Debug, Clone)]
pub struct Session {
    /// The user's directories.
    pub dirs: UserDirs,
    /// The directory the command runs in, absolute.
    pub cwd: PathBuf,
    /// The QEMU binary to use instead of the one found in `PATH`.
    pub qemu: Option<PathBuf>,
    /// The program that serves guest channels; none for no broker.
    pub broker: Option<BrokerProgram>,
    /// Where images are fetched from instead of their publishers.
    pub mirror: Option<String>,
}

impl Session {
    /// A user in a directory, with the QEMU of `PATH`, images from their publishers, and no broker.
    /// `cwd` is absolute.
    pub fn new(dirs: UserDirs, cwd: impl Into<PathBuf>) -> Self {
        Self { dirs, cwd: cwd.into(), qemu: None, broker: None, mirror: None }
    }

    /// The directory of what may be thrown away and made again.
    pub fn cache_dir(&self) -> PathBuf {
        self.dirs.castra_home().join("cache")
    }

    /// The directory of the images all workspaces share.
    pub fn image_store(&self) -> PathBuf {
        self.dirs.castra_home().join("images")
    }
}
