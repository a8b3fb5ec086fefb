//! What goes from VMs into the manifest: a capture, and fields in which somebody's edit is to stay.
//!
//! Pure; how the text takes it is `manifest/edit.rs`. Tests: below.

use super::plan::VmPlan;
use super::{Capture, Outcome};
use crate::manifest::{DomainName, Edits};

/// What a capture writes.
pub fn captured(capture: &Capture) -> Edits {
    let mut edits = Edits::default();
    for one in &capture.vms {
        // A name that a manifest cannot hold was found unsayable.
        let Ok(name) = one.name.parse::<DomainName>() else { continue };
        match one.outcome {
            Outcome::Add => edits.add(&name, one.values.clone()),
            Outcome::Change => {
                one.values.iter().for_each(|(field, value)| edits.set(&name, *field, value.clone()));
            }
            Outcome::Unchanged | Outcome::Lossy | Outcome::Unsayable | Outcome::Missing => {}
        }
    }
    edits
}

/// What a sync writes: the fields in which the VM wins.
pub fn taken(plan: &VmPlan) -> Edits {
    let mut edits = Edits::default();
    for (name, change) in plan.taken() {
        let value = change.takes.as_ref().or(change.from.as_ref());
        if let (Ok(name), Some(value)) = (name.parse::<DomainName>(), value) {
            edits.set(&name, change.field, value.clone());
        }
    }
    edits
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::vm::{Captured, Field, Values};

    #[test]
    fn only_what_is_new_or_changed_is_written() {
        let vm = |name: &str, outcome| Captured {
            name: name.to_owned(),
            outcome,
            values: Values::from([(Field::Vcpus, json!(2))]),
            losses: Vec::new(),
        };
        let all = [Outcome::Unchanged, Outcome::Lossy, Outcome::Unsayable, Outcome::Missing];
        let mut vms: Vec<_> = all.into_iter().map(|outcome| vm("a", outcome)).collect();
        let nothing = Capture { uri: String::new(), vms: vms.clone() };
        assert!(captured(&nothing).is_empty());
        vms.push(vm("b", Outcome::Change));
        vms.push(vm("c/d", Outcome::Change));
        let mut expected = Edits::default();
        expected.set(&"b".parse().unwrap(), Field::Vcpus, json!(2));
        assert_eq!(captured(&Capture { uri: String::new(), vms }), expected);
    }
}
