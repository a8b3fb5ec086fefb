//! Tries the edits of a plan, so that what the XML has no place for is told before anything is done.
//!
//! Pure. Tests: below.

use std::path::Path;

use plasmavmc_libvirt::domain::{Edit, Mark};
use serde_json::Value;

use super::{Change, Decision, Files, Seen, new_disk_format};
use crate::vm::{Blocker, Field, Forecast, Meant, Values, edits};

/// Fields that one edit changes together.
const TOGETHER: [[Field; 2]; 3] =
    [[Field::Boot, Field::SecureBoot], [Field::Network, Field::Mac], [Field::DiskPath, Field::DiskBus]];

/// Blocks the changes that the XML has no place for.
pub(super) fn changes(changes: &mut [Change], seen: &Seen, meant: &Meant<'_>, files: &Files) {
    let Some(xml) = &seen.xml else { return };
    let made: Values = changes
        .iter()
        .filter(|change| change.decision == Decision::Make)
        .map(|change| (change.field, change.to.clone()))
        .collect();
    for change in changes.iter_mut().filter(|change| change.decision == Decision::Make) {
        let is_with = |field: &Field| {
            *field == change.field
                || TOGETHER.iter().any(|group| group.contains(field) && group.contains(&change.field))
        };
        let group: Values =
            made.iter().filter(|(field, _)| is_with(field)).map(|(field, to)| (*field, to.clone())).collect();
        let disk = group.get(&Field::DiskPath).and_then(Value::as_str).unwrap_or_default();
        let format = new_disk_format(files, Path::new(disk));
        if let Err(error) = xml.edit(&edits(&seen.domain, meant, &group, format)) {
            change.decision = Decision::Blocked;
            let reason = Blocker::Edit { why: error.to_string() };
            change.forecast = Forecast::Blocked { reason, danger: None };
        }
    }
}

/// Whether the XML has a place for a mark, or lets go of its own: why not, where it does not.
pub(super) fn mark(seen: &Seen, mark: Option<Mark>) -> Result<(), String> {
    let Some(xml) = &seen.xml else { return Ok(()) };
    xml.edit(&[Edit::Mark(mark)]).map(drop).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use plasmavmc_libvirt::domain::DomainXml;
    use serde_json::json;

    use super::super::tests::{entry_of, only, refusal, seen, world};
    use super::super::{Action, Kept, Options, Refusal, plan};
    use super::*;
    use crate::manifest::VmManifest;
    use crate::vm::sample::definition;

    /// A stopped domain with the mark of a plan for it, from its XML.
    fn from_xml(inside: &str) -> Seen {
        let text = format!(
            "<domain type='kvm'><name>web</name><uuid>0198c7a0-0000-7000-8000-000000000001</uuid>\
             <memory unit='GiB'>2</memory><vcpu>2</vcpu><os><type arch='x86_64' machine='q35'>hvm</type></os>\
             {inside}<devices/></domain>"
        );
        let xml = DomainXml::parse(text).unwrap();
        Seen { domain: xml.domain().unwrap(), xml: Some(xml), ..seen(crate::vm::sample::domain()) }
    }

    fn vcpus(inside: &str) -> Change {
        let mut wish = definition();
        wish.vcpus = 4.try_into().unwrap();
        let entry = entry_of(wish, from_xml(inside), &Options { adopt: true, ..Options::default() });
        entry.changes.into_iter().find(|change| change.field == Field::Vcpus).unwrap()
    }

    #[test]
    fn a_change_that_the_xml_has_no_place_for_is_blocked_with_the_reason() {
        assert_eq!(vcpus("").decision, Decision::Make);
        let cells = "<cpu><numa><cell id='0' cpus='0-1' memory='2' unit='GiB'/></numa></cpu>";
        let pins = "<cputune><vcpupin vcpu='0' cpuset='0'/></cputune>";
        for (inside, part) in [(cells, "<numa>"), (pins, "pinned")] {
            let change = vcpus(inside);
            assert_eq!((change.decision, &change.to), (Decision::Blocked, &json!(4)), "{inside}");
            assert!(change.to_string().contains(part), "{change}");
        }
    }

    #[test]
    fn what_libvirt_would_not_undefine_is_refused_by_the_plan() {
        let nothing = VmManifest::default();
        let asked = Options { prune: true, ..Options::default() };
        for kept in [Kept::Snapshots, Kept::Checkpoints] {
            let mut there = Seen { kept: Some(kept), ..from_xml("") };
            let applied = crate::vm::Applied { made: true, ..Default::default() };
            there.domain.mark = Some(applied.to_mark("web"));
            let refused = only(plan(&nothing, &world(vec![there.clone()]), &asked));
            assert_eq!(refusal(&refused), &Refusal::Keeps { kept });
            // One that is only let go of keeps them.
            there.domain.mark = Some(crate::vm::Applied::default().to_mark("web"));
            assert_eq!(only(plan(&nothing, &world(vec![there]), &asked)).action, Action::Release);
        }
    }
}
