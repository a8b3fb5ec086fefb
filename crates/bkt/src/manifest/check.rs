//! Compares the VMs of a manifest: what must be used once is used once.
//!
//! Pure, and linear in the number of VMs. Tests: in `tests/manifest`.

use std::collections::HashMap;
use std::hash::Hash;
use std::path::PathBuf;

use plasmavmc_source::At;
use plasmavmc_types::MacAddr;

use super::Faults;
use super::definition::{IsoSource, VmDefinition};
use super::name::DomainName;
use super::rule::Rule;

/// A VM as far as it could be read.
#[derive(Debug, Default)]
pub(super) struct Draft {
    pub(super) name: Option<DomainName>,
    pub(super) definition: Option<VmDefinition>,
    pub(super) disk: Option<(PathBuf, At)>,
    pub(super) mac: Option<(MacAddr, At)>,
    pub(super) isos: Vec<(IsoSource, At)>,
}

impl Draft {
    /// What messages call it.
    fn shown(&self) -> String {
        self.name.as_ref().map_or_else(|| "another VM".to_owned(), |name| format!("`{name}`"))
    }
}

/// Notes every disk and address that is used twice, and media that are disks.
pub(super) fn check(drafts: &[Draft], faults: &mut Faults<'_>) {
    let disks = once(
        drafts,
        |draft| draft.disk.as_ref(),
        faults,
        |path| Rule::SharedDisk { path: path.display().to_string() },
    );
    once(drafts, |draft| draft.mac.as_ref(), faults, |mac| Rule::SharedMac { mac: mac.to_string() });
    for draft in drafts {
        for (source, at) in &draft.isos {
            let IsoSource::Path { written, path } = source else { continue };
            if let Some((owner, disk_at)) = disks.get(path) {
                let label = format!("the disk of {} is here", owner.shown());
                let rule = Rule::DiskAsMedium { path: written.clone() };
                faults.push_related(at, &rule, Some((disk_at, &label)));
            }
        }
    }
}

/// Notes what two drafts share; gives every value with its first owner.
fn once<'d, T: Eq + Hash>(
    drafts: &'d [Draft],
    value: impl Fn(&'d Draft) -> Option<&'d (T, At)>,
    faults: &mut Faults<'_>,
    rule: impl Fn(&T) -> Rule,
) -> HashMap<&'d T, (&'d Draft, &'d At)> {
    let mut seen: HashMap<&T, (&Draft, &At)> = HashMap::new();
    for draft in drafts {
        let Some((value, at)) = value(draft) else { continue };
        match seen.get(value) {
            Some((owner, first)) => {
                let label = format!("{} has it", owner.shown());
                faults.push_related(at, &rule(value), Some((first, &label)));
            }
            None => drop(seen.insert(value, (draft, at))),
        }
    }
    seen
}
