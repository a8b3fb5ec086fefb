//! The answer of `bkt vm status`.

use plasmavmc_term::{Column, Table, Width};

use super::style::{BAD, BUSY, DIM, GOOD, header, listed, value};
use crate::cli::outcomes::VmStatusOutcome;
use crate::vm::PowerState;
use crate::vm::status::{Belonging, VmStatus};

/// What the words mean.
const LEGEND: &str = "\
missing = in the manifest, not in libvirt; not ours = in both, not made here; unmanaged = in libvirt alone
left it = made or adopted from the manifest, and no longer in it; another's = in the hands of another manifest
saved = its next start goes on from a saved state; PENDING = changes at its next cold boot
";

pub(crate) fn vm_status(outcome: &VmStatusOutcome, width: Width) -> String {
    let mut text = header(&outcome.status.uri, outcome.manifest.as_deref());
    if outcome.status.vms.is_empty() {
        return text + "No VMs: neither the manifest nor libvirt has one\n";
    }
    let mut table =
        Table::new(["VM", "STATE", "MANIFEST", "AUTOSTART", "PENDING", "DIFFERS"].map(Column::text));
    for vm in &outcome.status.vms {
        table.styled_row(cells(vm), 1, style(vm));
    }
    text.push_str(&table.render(width));
    let remarks: String = outcome.status.vms.iter().map(remarks).collect();
    text.push_str(&remarks);
    text.push('\n');
    text.push_str(LEGEND);
    text
}

fn style(vm: &VmStatus) -> anstyle::Style {
    match (vm.state, vm.standing) {
        (Some(PowerState::Running), _) => GOOD,
        (Some(PowerState::Crashed), _) | (None, _) => BAD,
        (Some(PowerState::Stopped), _) => DIM,
        _ => BUSY,
    }
}

fn cells(vm: &VmStatus) -> [String; 6] {
    let state = match vm.transient {
        true => format!("{} (transient)", vm.word()),
        false => vm.word().to_owned(),
    };
    let autostart = match vm.autostart {
        Some(true) => "yes",
        Some(false) => "no",
        None => "",
    };
    [
        vm.name.clone(),
        state,
        belonging(vm.standing).to_owned(),
        autostart.to_owned(),
        listed(&vm.pending),
        listed(vm.changes.iter().map(|change| change.field)),
    ]
}

const fn belonging(standing: Belonging) -> &'static str {
    match standing {
        Belonging::Managed => "managed",
        Belonging::Missing => "missing",
        Belonging::NotOurs => "not ours",
        Belonging::NotListed => "left it",
        Belonging::OtherManifest => "another's",
        Belonging::Unmanaged => "unmanaged",
        Belonging::Unreadable => "unreadable",
    }
}

/// What a table has no column for.
fn remarks(vm: &VmStatus) -> String {
    let mut text = String::new();
    for change in &vm.changes {
        let (now, wanted) =
            (value(change.field, change.from.as_ref()), value(change.field, Some(&change.to)));
        let mut line = format!("{}: {} is {now}, the manifest has {wanted}", vm.name, change.field);
        // Of what was never applied, or by another manifest, nobody knows who changed it.
        if change.applied.is_some() && vm.standing != Belonging::OtherManifest {
            line.push_str(&format!(": {}", change.drift));
        }
        text.push_str(&plasmavmc_term::text::printable(&line));
        text.push('\n');
    }
    if let Some(refusal) = &vm.refusal {
        let line = format!("{}: {refusal}; {}", vm.name, refusal.hint(&vm.name));
        text.push_str(&plasmavmc_term::text::printable(&line));
        text.push('\n');
    }
    for note in &vm.notes {
        let line = format!("{}: {}", vm.name, note.line(&vm.name));
        text.push_str(&plasmavmc_term::text::printable(&line));
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use plasmavmc_engine::Drift;
    use serde_json::json;

    use super::super::samples::{change, plain};
    use super::*;
    use crate::vm::plan::{Change, Decision};
    use crate::vm::status::Status;
    use crate::vm::{Field, Forecast};

    fn vm(name: &str, state: Option<PowerState>, standing: Belonging) -> VmStatus {
        VmStatus {
            name: name.to_owned(),
            id: None,
            state,
            standing,
            transient: false,
            autostart: state.map(|_| false),
            pending: Vec::new(),
            changes: Vec::new(),
            notes: Vec::new(),
            refusal: None,
        }
    }

    #[test]
    fn every_state_and_every_difference_has_its_place() {
        let edited = change(Field::Memory, json!(4096), json!(8192), Decision::Leave, Forecast::NextColdBoot);
        assert_eq!(edited.drift, Drift::EditedByHand);
        let never = Change { drift: Drift::ManifestChanged, ..edited.clone() };
        let edited = Change { applied: Some(json!(8192)), ..edited };
        let another = Change { drift: Drift::ManifestChanged, ..edited.clone() };
        let vms = vec![
            VmStatus { transient: true, ..vm("a", Some(PowerState::Running), Belonging::Unmanaged) },
            VmStatus {
                changes: vec![edited],
                pending: vec![Field::Vcpus, Field::Memory],
                autostart: Some(true),
                ..vm("b", Some(PowerState::Paused), Belonging::Managed)
            },
            vm("c", None, Belonging::Missing),
            VmStatus { changes: vec![never], ..vm("d", Some(PowerState::Saved), Belonging::NotOurs) },
            vm("e", Some(PowerState::Crashed), Belonging::NotListed),
            vm("f", None, Belonging::Unreadable),
            vm("g", Some(PowerState::Stopped), Belonging::Managed),
            VmStatus {
                changes: vec![another],
                ..vm("h", Some(PowerState::Stopped), Belonging::OtherManifest)
            },
        ];
        let status = Status { uri: "qemu:///system".to_owned(), vms };
        let outcome = VmStatusOutcome {
            manifest: Some("/src/manifests/vms.json".into()),
            clean: status.is_clean(),
            status,
        };
        assert!(!outcome.clean);
        insta::assert_snapshot!(plain(&vm_status(&outcome, Width::Unlimited)));
    }

    #[test]
    fn no_vms_at_all_is_said_so() {
        let status = Status { uri: "test:///default".to_owned(), vms: Vec::new() };
        let outcome = VmStatusOutcome { manifest: None, clean: true, status };
        insta::assert_snapshot!(plain(&vm_status(&outcome, Width::Unlimited)), @r"
        test:///default
        No VMs: neither the manifest nor libvirt has one
        ");
    }
}
