//! A sync is killed at every named step: the VM is the old one or the new one, whole, and the next sync
//! ends what was begun.

use std::num::NonZeroU64;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use bkt::manifest::{DomainName, Memory, VmManifest};
use bkt::vm::apply::StateDir;
use bkt::vm::plan::Options;
use bkt::vm::plan_file::{Machine, PlanFile};
use bkt::vm::sync::execute_file;
use castra_testkit::libvirt::SYSTEM;
use plasmavmc_host::failpoint;
use plasmavmc_libvirt::virsh::Connection;

use crate::lab::{Lab, manifest, names};

/// The variable that makes this test program the victim: the plan it applies.
const PLAN: &str = "BKT_TEST_PLAN";

fn only(wish: &VmManifest) -> Options {
    Options { only: Some(names(wish)), ..Options::default() }
}

/// Applies the plan in a process that dies at `step`. Tells whether it died there.
fn dies_at(step: &str, plan: &Path) -> bool {
    let mut victim = Command::new(std::env::current_exe().unwrap());
    victim.args(["--exact", "sync_crash::what_the_plan_says_is_done"]);
    let output = victim.env(PLAN, plan).env(failpoint::VARIABLE, step).output().unwrap();
    match output.status.signal() {
        Some(9) => true,
        _ => {
            assert!(output.status.success(), "{step}: {}", String::from_utf8_lossy(&output.stdout));
            false
        }
    }
}

/// The victim of the others, who name a plan; by itself it has one of its own.
#[test]
fn what_the_plan_says_is_done() {
    // A victim never comes to its end, so it must make no place that only its end would remove.
    let (lab, path) = match std::env::var_os(PLAN) {
        Some(path) => (None, PathBuf::from(path)),
        None => {
            let lab = Lab::new();
            let wish = manifest(&[(&lab.libvirt.name("whole"), lab.small("whole.qcow2"))]);
            let path = lab.path("plan.json");
            PlanFile::new(lab.plan(&wish, &only(&wish)), Machine::of(&lab.connection).unwrap())
                .write(&path)
                .unwrap();
            (Some(lab), path)
        }
    };
    let path = path.as_path();
    let connection = Connection::new(Some(SYSTEM.to_owned())).unwrap();
    let state = StateDir::below(path.parent().unwrap());
    let file = PlanFile::read(path).unwrap();
    let report = execute_file(&file, &connection, &state, &mut |_, _| {}).unwrap();
    assert!(report.failed.is_empty(), "{:?}", report.failed);
    drop(lab);
}

#[test]
fn an_update_that_is_killed_leaves_the_old_vm_or_the_new_one() {
    let steps: Vec<&str> = failpoint::ALL.iter().copied().filter(|step| step.starts_with("sync.")).collect();
    assert!(steps.len() >= 4, "{steps:?}");
    for step in steps {
        let lab = Lab::new();
        let name = lab.libvirt.name("killed");
        let mut definition = lab.small("killed.qcow2");
        lab.sync(&manifest(&[(&name, definition.clone())]));
        let before = lab.inactive(&name);
        definition.memory = Memory::Mib(NonZeroU64::new(80).unwrap());
        let wish = manifest(&[(&name, definition)]);
        let path = lab.path("plan.json");
        PlanFile::new(lab.plan(&wish, &only(&wish)), Machine::of(&lab.connection).unwrap())
            .write(&path)
            .unwrap();
        assert!(dies_at(step, &path), "{step} was not reached");
        let after = lab.inactive(&name);
        assert!(after == before || after.contains(">81920</memory>"), "{step} left\n{after}");
        lab.sync(&wish);
        assert!(lab.inactive(&name).contains(">81920</memory>"), "{step}");
        assert!(lab.plan(&wish, &only(&wish)).is_empty(), "{step}");
    }
}

#[test]
fn a_new_vm_whose_making_is_killed_is_made_by_the_next_sync() {
    for step in ["sync.disk-made", "sync.defined"] {
        let lab = Lab::new();
        let name = lab.libvirt.name("begun");
        let wish = manifest(&[(&name, lab.small("begun.qcow2"))]);
        assert!(wish.vms.contains_key(&name.parse::<DomainName>().unwrap()));
        let path = lab.path("plan.json");
        PlanFile::new(lab.plan(&wish, &only(&wish)), Machine::of(&lab.connection).unwrap())
            .write(&path)
            .unwrap();
        assert!(dies_at(step, &path), "{step} was not reached");
        lab.sync(&wish);
        assert!(lab.plan(&wish, &only(&wish)).is_empty(), "{step}");
    }
}
