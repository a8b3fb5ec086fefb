//! Which manifest a VM belongs to: `HOST:PATH`, as the VM's mark says it.
//!
//! A manifest has no place for an id of its own, and one that was copied with its file would make two
//! manifests one. So it is where it is; one that was moved takes its VMs over with `--adopt`.
//! Tests: below; what follows from it, with the planning.

use std::fs;
use std::path::Path;

use super::Options;
use crate::vm::Applied;

/// Where the system keeps the name of this machine.
const HOST_NAME: &str = "/proc/sys/kernel/hostname";

/// What tells the manifest at this place from those of other places.
pub fn manifest_id(path: &Path) -> String {
    let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let host = fs::read_to_string(HOST_NAME).unwrap_or_default();
    format!("{}:{}", host.trim(), path.display())
}

impl Options {
    /// The manifest that has a VM in its hands, where that is another than this one: as a person reads it.
    pub fn other_manifest(&self, applied: &Applied) -> Option<String> {
        let (ours, theirs) = (self.manifest.as_deref()?, applied.manifest.as_deref()?);
        if ours == theirs {
            return None;
        }
        Some(match (ours.split_once(':'), theirs.split_once(':')) {
            (Some((here, _)), Some((there, path))) if here == there => path.to_owned(),
            _ => theirs.to_owned(),
        })
    }

    /// Whether a VM is known to be this manifest's. Without a manifest that has a place, every marked one is.
    pub(super) fn is_of_this_manifest(&self, applied: &Applied) -> bool {
        self.manifest.is_none() || self.manifest == applied.manifest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn other(ours: Option<&str>, theirs: Option<&str>) -> Option<String> {
        let options = Options { manifest: ours.map(str::to_owned), ..Options::default() };
        options.other_manifest(&Applied { manifest: theirs.map(str::to_owned), ..Applied::default() })
    }

    #[test]
    fn a_manifest_is_named_by_its_place_and_another_machines_with_the_machine() {
        let said = |text: &str| Some(text.to_owned());
        assert_eq!(other(Some("a:/m.json"), Some("a:/m.json")), None);
        assert_eq!(other(Some("a:/m.json"), Some("a:/x/m.json")), said("/x/m.json"));
        assert_eq!(other(Some("a:/m.json"), Some("b:/m.json")), said("b:/m.json"));
        assert_eq!(other(Some("a:/m.json"), None), None);
        assert_eq!(other(None, Some("b:/m.json")), None);
    }

    #[test]
    fn one_manifest_has_one_name_however_it_is_reached() {
        let dir = tempfile::tempdir().unwrap();
        let (file, link) = (dir.path().join("vms.json"), dir.path().join("link.json"));
        fs::write(&file, "{}").unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        assert_eq!(manifest_id(&file), manifest_id(&link));
        assert_ne!(manifest_id(&file), manifest_id(&dir.path().join("other.json")));
    }
}
