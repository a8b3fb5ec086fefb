//! Which VM has a disk: by what its path really is, with all that lies under it.
//!
//! Two paths are one disk where they are the same words, lead to the same place, or are the same file. What
//! nobody looked at (another machine's files, dumps in a folder) is compared by its words alone. Pure.
//! Tests: below.

use std::collections::HashMap;
use std::path::Path;

use plasmavmc_libvirt::domain::Domain;

use super::observation::{Grounds, disk_file};
use super::{Observation, Refusal};
use crate::manifest::VmManifest;

/// What a disk is found by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Key<'o> {
    Path(&'o Path),
    File(u64, u64),
}

/// A VM that has a disk, or has it under one of its disks.
#[derive(Debug, Clone, Copy)]
struct Holder<'o> {
    vm: &'o str,
    is_under: bool,
}

/// Every disk with the VMs that have it.
pub(super) struct Holders<'o> {
    grounds: &'o Grounds,
    /// The domains.
    have: HashMap<Key<'o>, Vec<Holder<'o>>>,
    /// The VMs of the manifest, whether they are there or not.
    want: HashMap<Key<'o>, Vec<Holder<'o>>>,
}

impl<'o> Holders<'o> {
    pub(super) fn new(manifest: &'o VmManifest, observation: &'o Observation) -> Self {
        let grounds = &observation.grounds;
        let mut found = Self { grounds, have: HashMap::new(), want: HashMap::new() };
        for seen in &observation.domains {
            let vm = seen.domain.name.as_str();
            for disk in disk_files(&seen.domain) {
                note(&mut found.have, grounds, disk, Holder { vm, is_under: false });
                for under in grounds.get(disk).into_iter().flat_map(|ground| &ground.under) {
                    note(&mut found.have, grounds, under, Holder { vm, is_under: true });
                }
            }
        }
        for (name, definition) in &manifest.vms {
            let holder = Holder { vm: name.as_str(), is_under: false };
            note(&mut found.want, grounds, &definition.disk_path, holder);
        }
        found
    }

    /// Why the disk cannot be that of the VM `name`: another domain has it.
    pub(super) fn taken(&self, path: &Path, name: &str) -> Option<Refusal> {
        refused(&self.have, self.grounds, path, name)
    }

    /// As [`Self::taken`], for a VM that is to be made: no other VM of the manifest has it either.
    pub(super) fn taken_or_wanted(&self, path: &Path, name: &str) -> Option<Refusal> {
        self.taken(path, name).or_else(|| refused(&self.want, self.grounds, path, name))
    }

    /// Whether two paths are one disk.
    pub(super) fn is_one(&self, a: &Path, b: &Path) -> bool {
        keys(self.grounds, a).any(|key| keys(self.grounds, b).any(|other| key == other))
    }
}

/// The files of a domain's disks.
pub(super) fn disk_files(domain: &Domain) -> impl Iterator<Item = &Path> {
    domain.fields.disks.iter().filter_map(disk_file)
}

fn keys<'p>(grounds: &'p Grounds, path: &'p Path) -> impl Iterator<Item = Key<'p>> {
    let ground = grounds.get(path);
    let file = ground.and_then(|ground| ground.file).map(|(device, inode)| Key::File(device, inode));
    let real = ground.map(|ground| Key::Path(&ground.real));
    [Some(Key::Path(path)), real, file].into_iter().flatten()
}

fn note<'o>(
    holders: &mut HashMap<Key<'o>, Vec<Holder<'o>>>,
    grounds: &'o Grounds,
    path: &'o Path,
    holder: Holder<'o>,
) {
    for key in keys(grounds, path) {
        holders.entry(key).or_default().push(holder);
    }
}

fn refused(
    holders: &HashMap<Key<'_>, Vec<Holder<'_>>>,
    grounds: &Grounds,
    path: &Path,
    name: &str,
) -> Option<Refusal> {
    let of_others = |key| holders.get(&key).into_iter().flatten().find(|holder| holder.vm != name);
    let holder = keys(grounds, path).find_map(of_others)?;
    let (path, by) = (path.to_owned(), holder.vm.to_owned());
    Some(if holder.is_under { Refusal::DiskUnder { path, by } } else { Refusal::DiskTaken { path, by } })
}

#[cfg(test)]
mod tests {
    use super::super::tests::{manifest, only, refusal, seen, world};
    use super::super::{Entry, Ground, Options, plan};
    use super::*;
    use crate::vm::sample::{definition, domain};

    /// A ground in its own right, or the one of another path.
    fn ground(real: &str, file: Option<u64>) -> Ground {
        Ground { real: real.into(), file: file.map(|inode| (1, inode)), has_folder: true, under: [].into() }
    }

    /// The plan for a new `web` with `/images/web.qcow2`, where `other` has the disk `/other`.
    fn beside(grounds: &[(&str, Ground)]) -> Entry {
        let mut other = domain();
        other.name = "other".to_owned();
        other.fields.disks[0].source = plasmavmc_libvirt::domain::Source::File("/other".into());
        let mut observation = world(vec![seen(other)]);
        observation.grounds = grounds.iter().map(|(path, ground)| (path.into(), ground.clone())).collect();
        only(plan(&manifest(definition()), &observation, &Options::default()))
    }

    const WEB: &str = "/images/web.qcow2";

    #[test]
    fn a_file_under_another_vms_disk_is_not_given_to_a_second_one() {
        let top = Ground { under: ["/base".into()].into(), ..ground("/other", Some(1)) };
        let told =
            beside(&[("/other", top), ("/base", ground("/base", Some(2))), (WEB, ground("/base", Some(2)))]);
        let under = Refusal::DiskUnder { path: WEB.into(), by: "other".to_owned() };
        assert_eq!(refusal(&told), &under);
        assert_eq!(
            under.to_string(),
            "its disk `/images/web.qcow2` is a disk of the VM `other`, which has an overlay on it"
        );
    }

    #[test]
    fn one_disk_by_two_names_is_one_disk() {
        let taken = Refusal::DiskTaken { path: WEB.into(), by: "other".to_owned() };
        for (theirs, ours) in [
            (ground("/other", Some(1)), ground("/other", Some(1))),
            (ground(WEB, None), ground(WEB, None)),
            (ground("/other", Some(1)), ground("/hard/link", Some(1))),
        ] {
            assert_eq!(refusal(&beside(&[("/other", theirs), (WEB, ours)])), &taken);
        }
        let apart = beside(&[("/other", ground("/other", Some(1))), (WEB, ground(WEB, Some(2)))]);
        assert!(!apart.is_empty(), "{apart:?}");
    }

    #[test]
    fn two_new_vms_of_one_manifest_share_no_disk_through_a_link() {
        let mut wish = manifest(definition());
        let mut twin = definition();
        twin.disk_path = "/link/web.qcow2".into();
        wish.vms.insert("twin".parse().unwrap(), twin);
        let mut observation = world(Vec::new());
        let make = |observation: &Observation| plan(&wish, observation, &Options::default());
        assert!(make(&observation).vms.iter().all(|entry| !entry.is_empty()), "nobody looked");
        for path in [WEB, "/link/web.qcow2"] {
            observation.grounds.insert(path.into(), ground(WEB, None));
        }
        let refused: Vec<String> =
            make(&observation).vms.iter().map(|entry| refusal(entry).to_string()).collect();
        assert_eq!(
            refused,
            [
                "its disk `/link/web.qcow2` is a disk of the VM `web`",
                "its disk `/images/web.qcow2` is a disk of the VM `twin`"
            ]
        );
    }
}
