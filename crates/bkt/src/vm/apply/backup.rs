//! The XML of a domain as it was before a change, kept for when a person wants it back.
//!
//! ```text
//! $XDG_STATE_HOME/bkt/              0700
//!   locks/<digest of the URI>.lock  one writer for each libvirt
//!   backups/<name>-<uuid>-<time>.xml
//!                                   0600: it may hold the password of a display
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

/// The length of a UUID as text.
const UUID_CHARS: usize = 36;

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

    /// Keeps the XML of a domain, and lets the oldest go. Tells where it is.
    ///
    /// # Errors
    /// [`HostError`]; nothing must be changed then.
    pub fn back_up(
        &self,
        name: &str,
        id: VmId,
        xml: &DomainXml,
        now: SystemTime,
    ) -> Result<PathBuf, HostError> {
        let dir = self.root.join("backups");
        publish::private_dir(&dir)?;
        let path = dir.join(format!("{}-{id}-{}.xml", plain(name), Timestamp::from(now)));
        publish::write(&path, xml.as_str().as_bytes())?;
        let (mut kept, of_it) = (Vec::new(), format!("-{id}-"));
        for entry in fs::read_dir(&dir).context("read directory", &dir)? {
            let file = entry.context("read directory", &dir)?.file_name();
            let Some(file) = file.to_str().filter(|file| file.ends_with(".xml")) else { continue };
            // Behind the UUID are times, which sort by age whatever the VM was called then.
            if let Some((_, time)) = file.split_once(&of_it) {
                kept.push((time.to_owned(), dir.join(file)));
            }
        }
        kept.sort();
        for (_, old) in kept.iter().rev().skip(KEPT) {
            publish::remove(old)?;
        }
        Ok(path)
    }
}

impl StateDir {
    /// The newest XML that was kept of a VM of that name. What cannot be read is passed over.
    pub fn last_backup(&self, name: &str) -> Option<PathBuf> {
        let (dir, begin) = (self.root.join("backups"), format!("{}-", plain(name)));
        let files = fs::read_dir(&dir).ok()?.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        let mut kept: Vec<(String, String)> = files
            .filter_map(|file| {
                // Behind the name are the UUID and the time, which sorts by age.
                let time = file.strip_prefix(&begin)?.strip_suffix(".xml")?.get(UUID_CHARS..)?.to_owned();
                Some((time, file))
            })
            .collect();
        kept.sort();
        let is_of_it = |path: &PathBuf| {
            let xml = fs::read_to_string(path).ok().and_then(|text| DomainXml::parse(text).ok());
            xml.and_then(|xml| xml.domain().ok()).is_some_and(|domain| domain.name == name)
        };
        kept.into_iter().rev().map(|(_, file)| dir.join(file)).find(is_of_it)
    }
}

/// A VM's name as a part of a file's name: a person finds it, and a shell takes it as it is.
fn plain(name: &str) -> String {
    let is_plain = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
    let text: String = name.chars().map(|c| if is_plain(&c) { c } else { '_' }).take(64).collect();
    // It is neither hidden nor taken for an option.
    let text = text.trim_start_matches(['.', '-']);
    if text.is_empty() { "_".to_owned() } else { text.to_owned() }
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
            .map(|second| state.back_up("web", id, &xml, begin + Duration::from_secs(second)).unwrap())
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
    fn a_person_finds_a_vm_by_its_name_and_a_rename_loses_no_backup() {
        let dir = tempfile::tempdir().unwrap();
        let state = StateDir::below(dir.path());
        let id: VmId = "0198c7a0-0000-7000-8000-000000000001".parse().unwrap();
        let xml = DomainXml::parse("<domain><name>web</name></domain>").unwrap();
        let at = |second| SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000 + second);
        for (name, begins) in [("web", "web-"), ("a b/../c", "a_b_.._c-"), ("--all", "all-"), ("é", "_-")] {
            let path = state.back_up(name, id, &xml, at(0)).unwrap();
            let file = path.file_name().unwrap().to_str().unwrap();
            assert!(file.starts_with(&format!("{begins}{id}-2027-")), "{file}");
            assert_eq!(path.parent().unwrap(), dir.path().join("bkt/backups"));
        }
        let other = state.back_up("other", VmId::generate(), &xml, at(0)).unwrap();
        let newest: Vec<PathBuf> =
            (1..=KEPT as u64).map(|second| state.back_up("aaa", id, &xml, at(second)).unwrap()).collect();
        assert!(newest.iter().all(|path| path.exists()) && other.exists());
        assert_eq!(fs::read_dir(dir.path().join("bkt/backups")).unwrap().count(), KEPT + 1);
    }

    #[test]
    fn the_last_backup_is_the_newest_of_the_very_name() {
        let dir = tempfile::tempdir().unwrap();
        let state = StateDir::below(dir.path());
        assert_eq!(state.last_backup("web"), None);
        let keep = |name: &str, id: VmId, second: u64| {
            let xml = format!(
                "<domain type='kvm'><name>{name}</name><uuid>{id}</uuid><memory unit='GiB'>2</memory>\
                 <vcpu>2</vcpu><os><type arch='x86_64'>hvm</type></os></domain>"
            );
            let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000 + second);
            state.back_up(name, id, &DomainXml::parse(xml).unwrap(), now).unwrap()
        };
        let [high, low] = ["ffffffff-0000-7000-8000-000000000001", "00000000-0000-7000-8000-000000000001"];
        keep("web", high.parse().unwrap(), 0);
        let newest = keep("web", low.parse().unwrap(), 1);
        for other in ["web-2", "we?b", "we_b"] {
            keep(other, VmId::generate(), 2);
        }
        assert_eq!(state.last_backup("web"), Some(newest));
        assert!(state.last_backup("we?b").is_some_and(|path| path != state.last_backup("we_b").unwrap()));
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
