//! The XML of a domain as it was before a change, kept for when a person wants it back.
//!
//! ```text
//! $XDG_STATE_HOME/bkt/              0700
//!   locks/<digest of the URI>.lock  one writer for each libvirt
//!   backups/<uuid>/<time>.xml       0600: it may hold the password of a display
//! ```
//!
//! The last [`KEPT`] of a domain stay. Never does: put one back by itself; `virsh define FILE` does.
//! Tests: below.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use plasmavmc_host::{HostError, IoContext, publish};
use plasmavmc_libvirt::domain::DomainXml;
use plasmavmc_types::{Timestamp, VmId};
use sha2::{Digest, Sha256};

/// How many backups of a domain are kept.
const KEPT: usize = 20;

/// Where `bkt` keeps state of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateDir {
    root: PathBuf,
}

impl StateDir {
    /// The state below `state_home`, which is `$XDG_STATE_HOME` or what stands for it.
    pub fn below(state_home: &Path) -> Self {
        Self { root: state_home.join("bkt") }
    }

    /// The lock of the one who may change what this libvirt has.
    pub fn lock(&self, uri: &str) -> PathBuf {
        let digest: String = Sha256::digest(uri).iter().take(16).map(|byte| format!("{byte:02x}")).collect();
        self.root.join("locks").join(format!("{digest}.lock"))
    }

    fn backups(&self, id: VmId) -> PathBuf {
        self.root.join("backups").join(id.to_string())
    }

    /// Keeps the XML of a domain, and lets the oldest go. Tells where it is.
    ///
    /// # Errors
    /// [`HostError`]; nothing must be changed then.
    pub fn back_up(&self, id: VmId, xml: &DomainXml, now: SystemTime) -> Result<PathBuf, HostError> {
        let dir = self.backups(id);
        publish::private_dir(&dir)?;
        let path = dir.join(format!("{}.xml", Timestamp::from(now)));
        publish::write(&path, xml.as_str().as_bytes())?;
        // Names are times, so they sort by age.
        let mut kept: Vec<PathBuf> = Vec::new();
        for entry in fs::read_dir(&dir).context("read directory", &dir)? {
            kept.push(entry.context("read directory", &dir)?.path());
        }
        kept.retain(|path| path.extension().is_some_and(|extension| extension == "xml"));
        kept.sort();
        for old in kept.iter().rev().skip(KEPT) {
            publish::remove(old)?;
        }
        Ok(path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;
    use std::time::Duration;

    #[test]
    fn the_last_backups_are_kept_and_only_their_owner_reads_them() {
        let dir = tempfile::tempdir().unwrap();
        let state = StateDir::below(dir.path());
        let id = VmId::generate();
        let xml = DomainXml::parse("<domain><name>web</name></domain>").unwrap();
        let begin = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
        let paths: Vec<PathBuf> = (0..KEPT as u64 + 3)
            .map(|second| state.back_up(id, &xml, begin + Duration::from_secs(second)).unwrap())
            .collect();
        let there: Vec<bool> = paths.iter().map(|path| path.exists()).collect();
        assert_eq!(there.iter().filter(|there| **there).count(), KEPT);
        assert!(!there[2] && there[3], "the oldest went");
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&paths[5]), 0o600);
        assert_eq!(mode(paths[5].parent().unwrap()), 0o700);
        assert_eq!(fs::read_to_string(&paths[5]).unwrap(), xml.as_str());
    }

    #[test]
    fn each_libvirt_has_a_lock_of_its_own() {
        let state = StateDir::below(Path::new("/state"));
        let lock = state.lock("qemu:///system");
        assert_ne!(lock, state.lock("qemu:///session"));
        assert!(lock.starts_with("/state/bkt/locks"), "{lock:?}");
        assert!(state.lock("qemu+ssh://a/../../b").starts_with("/state/bkt/locks"));
    }
}
