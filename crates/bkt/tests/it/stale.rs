//! A plan is applied to the VM it was made from and to no other.

use std::num::NonZeroU64;

use bkt::manifest::Memory;
use bkt::vm::plan::Options;
use bkt::vm::plan_file::{Machine, PlanFile, PlanFileError};
use bkt::vm::sync::{SyncError, execute_file};
use plasmavmc_types::Explain;

use crate::lab::{Lab, manifest, names};

/// A VM, and a plan to give it more memory.
fn planned(lab: &Lab, name: &str) -> PlanFile {
    let mut definition = lab.small(&format!("{name}.qcow2"));
    lab.sync(&manifest(&[(name, definition.clone())]));
    definition.memory = Memory::Mib(NonZeroU64::new(80).unwrap());
    let wish = manifest(&[(name, definition)]);
    let plan = lab.plan(&wish, &Options { only: Some(names(&wish)), ..Options::default() });
    assert!(!plan.is_empty());
    let path = lab.path("plan.json");
    PlanFile::new(plan, Machine::of(&lab.connection).unwrap()).write(&path).unwrap();
    PlanFile::read(&path).unwrap()
}

fn what(lab: &Lab, file: &PlanFile) -> String {
    match execute_file(file, &lab.connection, &lab.state(), &mut |_, _| {}) {
        Err(SyncError::Plan { source: PlanFileError::OutOfDate { stale } }) => stale[0].what.clone(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_reviewed_plan_is_applied_once_and_then_out_of_date() {
    let lab = Lab::new();
    let name = lab.libvirt.name("reviewed");
    let file = planned(&lab, &name);
    let report = execute_file(&file, &lab.connection, &lab.state(), &mut |_, _| {}).unwrap();
    assert!(report.failed.is_empty(), "{:?}", report.failed);
    assert!(lab.inactive(&name).contains(">81920</memory>"));
    assert_eq!(what(&lab, &file), "was edited");
}

#[test]
fn a_vm_that_was_edited_between_plan_and_apply_is_left_as_it_is() {
    let lab = Lab::new();
    let name = lab.libvirt.name("edited");
    let file = planned(&lab, &name);
    lab.libvirt.virsh(&["desc", &name, "--config", "edited by hand"]);
    let before = lab.inactive(&name);
    assert_eq!(what(&lab, &file), "was edited");
    assert_eq!(lab.inactive(&name), before);
}

#[test]
fn a_vm_that_was_renamed_between_plan_and_apply_is_left_as_it_is() {
    let lab = Lab::new();
    let (name, new) = (lab.libvirt.name("old"), lab.libvirt.name("new"));
    let file = planned(&lab, &name);
    lab.libvirt.virsh(&["domrename", &name, &new]);
    assert_eq!(what(&lab, &file), format!("was renamed to `{new}`"));
    // And a sync does not make a second VM on its disk.
    let wish = manifest(&[(&name, lab.small(&format!("{name}.qcow2")))]);
    let plan = lab.plan(&wish, &Options { only: Some(names(&wish)), ..Options::default() });
    assert!(plan.is_empty() && plan.leaves_something(), "{plan:?}");
}

#[test]
fn a_sync_that_was_disturbed_says_to_run_it_again() {
    let lab = Lab::new();
    let name = lab.libvirt.name("disturbed");
    let mut definition = lab.small("disturbed.qcow2");
    lab.sync(&manifest(&[(&name, definition.clone())]));
    definition.memory = Memory::Mib(NonZeroU64::new(80).unwrap());
    let wish = manifest(&[(&name, definition)]);
    let options = Options { only: Some(names(&wish)), ..Options::default() };
    let plan = lab.plan(&wish, &options);
    lab.libvirt.virsh(&["desc", &name, "--config", "edited by hand"]);
    let error = lab.execute(&plan, &wish, &options).unwrap_err();
    assert_eq!(error.to_string(), format!("nothing was changed: meanwhile `{name}` was edited"));
    assert_eq!(error.hints(), ["look again, and do it then: `bkt vm sync`"]);
}

#[test]
fn a_vm_that_is_gone_is_not_made_again_by_an_old_plan() {
    let lab = Lab::new();
    let name = lab.libvirt.name("gone");
    let file = planned(&lab, &name);
    lab.libvirt.virsh(&["undefine", &name]);
    assert_eq!(what(&lab, &file), "is gone");
}

#[test]
fn a_vm_that_was_saved_or_started_between_plan_and_apply_is_left_as_it_is() {
    let lab = Lab::new();
    let name = lab.libvirt.name("saved");
    planned(&lab, &name);
    // The first start writes things into the definition, which would be told as an edit.
    lab.libvirt.virsh(&["start", &name]);
    lab.libvirt.virsh(&["destroy", &name]);
    let file = planned(&lab, &name);
    let before = lab.inactive(&name);
    lab.libvirt.virsh(&["start", &name]);
    assert_eq!(what(&lab, &file), "was started");
    lab.libvirt.virsh(&["managedsave", &name]);
    assert_eq!(what(&lab, &file), "was saved");
    assert_eq!(lab.inactive(&name), before);
}

#[test]
fn a_disk_that_somebody_made_between_plan_and_apply_is_not_taken() {
    let lab = Lab::new();
    let name = lab.libvirt.name("new");
    let wish = manifest(&[(&name, lab.small("new.qcow2"))]);
    let options = Options { only: Some(names(&wish)), ..Options::default() };
    let plan = lab.plan(&wish, &options);
    let file = PlanFile::new(plan.clone(), Machine::of(&lab.connection).unwrap());
    std::fs::write(lab.path("new.qcow2"), "somebody's").unwrap();
    assert_eq!(what(&lab, &file), "has a disk now that was to be made");
    // Without a file, too.
    assert!(lab.execute(&plan, &wish, &options).is_err());
    assert_eq!(std::fs::read_to_string(lab.path("new.qcow2")).unwrap(), "somebody's");
    assert!(!lab.libvirt.virsh(&["list", "--all", "--name"]).contains(&name));
}

#[test]
fn a_plan_of_another_machine_is_refused_whatever_its_connection_is() {
    let lab = Lab::new();
    let name = lab.libvirt.name("other");
    let mut file = planned(&lab, &name);
    file.machine.uuid = Some("0198c7a0-0000-7000-8000-000000000001".to_owned());
    let refused = execute_file(&file, &lab.connection, &lab.state(), &mut |_, _| {});
    let Err(SyncError::Plan { source: PlanFileError::OtherMachine { .. } }) = refused else {
        panic!("{refused:?}")
    };
}
