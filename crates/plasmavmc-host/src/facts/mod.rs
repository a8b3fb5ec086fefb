//! What the host has: processors, memory, disk space, and which host it is.
//!
//! Owns: reading it, each part on its own, so that `castra status` pays for none of it. Never does:
//! judge it (that is [`crate::preflight`]) or change anything. Tests: below and in `memory.rs`.

use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::thread;

use plasmavmc_types::ByteSize;
use rustix::fs::Access;

use crate::process::BootId;
use crate::{HostError, disk};

mod memory;

pub use memory::Memory;

/// What the host has for all VMs together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostFacts {
    /// Processors this process may use: those of the host, less what affinity or a container takes.
    pub cpus: NonZeroU32,
    /// Its memory.
    pub memory: Memory,
    /// The kernel's release, such as `6.12.0-amd64`.
    pub kernel: String,
    /// This boot of it.
    pub boot_id: BootId,
}

impl HostFacts {
    /// Reads them now.
    ///
    /// # Errors
    /// [`HostError`] where the kernel does not tell.
    pub fn read() -> Result<Self, HostError> {
        let cpus = thread::available_parallelism().ok().and_then(|cpus| u32::try_from(cpus.get()).ok());
        Ok(Self {
            cpus: cpus.and_then(NonZeroU32::new).unwrap_or(NonZeroU32::MIN),
            memory: Memory::read()?,
            kernel: kernel_release(),
            boot_id: BootId::current()?,
        })
    }
}

/// The kernel's release, as `uname -r` tells it.
pub fn kernel_release() -> String {
    rustix::system::uname().release().to_string_lossy().into_owned()
}

/// What a directory has, or would have once it is made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirectoryFacts {
    /// The directory.
    pub path: PathBuf,
    /// Room left on its file system, for this user.
    pub free: ByteSize,
    /// Whether this user can make files in it, or make it.
    pub writable: bool,
}

impl DirectoryFacts {
    /// Reads them now, without making anything.
    ///
    /// # Errors
    /// [`HostError::Io`] where its file system cannot be asked.
    pub fn read(path: &Path) -> Result<Self, HostError> {
        let existing = disk::nearest_existing(path);
        let writable =
            existing.is_dir() && rustix::fs::access(&existing, Access::WRITE_OK | Access::EXEC_OK).is_ok();
        Ok(Self { path: path.to_owned(), free: disk::free(path)?, writable })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_tells_what_it_has() {
        let facts = HostFacts::read().unwrap();
        assert!(facts.memory.available <= facts.memory.total);
        assert!(facts.memory.available > ByteSize::mib(16));
        assert!(facts.kernel.contains('.'), "{}", facts.kernel);
    }

    #[test]
    fn a_directory_to_be_made_is_as_writable_as_its_parent() {
        let dir = tempfile::tempdir().unwrap();
        let facts = DirectoryFacts::read(&dir.path().join("a/b")).unwrap();
        assert!(facts.writable && facts.free > ByteSize::bytes(0));
        assert!(!dir.path().join("a").exists(), "asking made it");
    }

    #[test]
    fn a_path_below_a_file_is_not_writable() {
        let file = tempfile::NamedTempFile::new().unwrap();
        assert!(!DirectoryFacts::read(&file.path().join("sub")).unwrap().writable);
    }
}
