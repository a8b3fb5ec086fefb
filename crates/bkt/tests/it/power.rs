//! Starting and stopping tiny guests.

use std::fs::{self, File};
use std::time::{Duration, Instant};

use bkt::vm::plan::Options;
use bkt::vm::power::{PowerError, PowerNotice, PowerOutcome, StopHow, Target, start, stop};
use castra_testkit::{halting_disk, obedient_disk};
use plasmavmc_types::Explain;

use crate::lab::{Lab, manifest, names};

/// A VM that boots this disk.
fn vm(lab: &Lab, name: &str, disk: &[u8]) -> Target {
    let name = lab.libvirt.name(name);
    let definition = lab.small(&format!("{name}.img"));
    fs::write(&definition.disk_path, disk).unwrap();
    File::options().write(true).open(&definition.disk_path).unwrap().set_len(1 << 30).unwrap();
    let wish = manifest(&[(&name, definition)]);
    lab.sync(&wish);
    let plan = lab.plan(&wish, &Options { only: Some(names(&wish)), ..Options::default() });
    assert!(plan.is_empty(), "{plan:?}");
    Target { id: plan.vms[0].id.unwrap(), name, saved: false, persistent: true }
}

#[test]
fn a_guest_that_listens_is_started_and_powers_off() {
    let lab = Lab::new();
    let target = vm(&lab, "obedient", &obedient_disk());
    assert_eq!(start(&lab.connection, &target).unwrap(), PowerOutcome::Started);
    assert_eq!(start(&lab.connection, &target).unwrap(), PowerOutcome::RanAlready);
    // It may not listen yet when it is asked first: a person would ask again.
    let begin = Instant::now();
    let outcome = loop {
        let how = StopHow::Ask { bound: Duration::from_secs(3) };
        match stop(&lab.connection, &target, how, false, &mut |_| {}) {
            Err(PowerError::TimedOut { .. }) if begin.elapsed() < Duration::from_secs(90) => {}
            outcome => break outcome.unwrap(),
        }
    };
    assert_eq!(outcome, PowerOutcome::Stopped);
    assert_eq!(lab.libvirt.virsh(&["domstate", &target.name]), "shut off");
}

#[test]
fn a_guest_that_ignores_its_button_is_a_failure_and_goes_only_by_force() {
    let lab = Lab::new();
    let target = vm(&lab, "halting", &halting_disk());
    start(&lab.connection, &target).unwrap();
    let how = StopHow::Ask { bound: Duration::from_secs(2) };
    let begin = Instant::now();
    let error = stop(&lab.connection, &target, how, false, &mut |_| {}).unwrap_err();
    assert!(matches!(error, PowerError::TimedOut { .. }), "{error:?}");
    assert!(begin.elapsed() < Duration::from_secs(30));
    assert_eq!(lab.libvirt.virsh(&["domstate", &target.name]), "running");
    let mut told = Vec::new();
    let outcome =
        stop(&lab.connection, &target, StopHow::Force, false, &mut |notice| told.push(notice)).unwrap();
    assert_eq!(outcome, PowerOutcome::Forced);
    assert_eq!(told[0], PowerNotice::AboutToForce, "it was not told before");
}

#[test]
fn a_paused_guest_is_not_asked_and_a_start_lets_it_go_on() {
    let lab = Lab::new();
    let target = vm(&lab, "paused", &obedient_disk());
    start(&lab.connection, &target).unwrap();
    lab.libvirt.virsh(&["suspend", &target.name]);
    let how = StopHow::Ask { bound: Duration::from_secs(60) };
    let error = stop(&lab.connection, &target, how, false, &mut |_| {}).unwrap_err();
    assert!(matches!(error, PowerError::CannotBeAsked { .. }), "{error:?}");
    assert_eq!(start(&lab.connection, &target).unwrap(), PowerOutcome::Resumed);
}

#[test]
fn a_transient_vm_is_stopped_only_with_a_word_for_what_goes_with_it() {
    let lab = Lab::new();
    let name = lab.libvirt.name("transient");
    let file = lab.path("transient.xml");
    fs::write(&file, lab.libvirt.small_domain("transient")).unwrap();
    lab.libvirt.virsh(&["create", file.to_str().unwrap()]);
    let id = lab.libvirt.virsh(&["domuuid", &name]).trim().parse().unwrap();
    let target = Target { id, name: name.clone(), saved: false, persistent: false };
    for how in [StopHow::Force, StopHow::Ask { bound: Duration::from_secs(1) }] {
        let error = stop(&lab.connection, &target, how, false, &mut |_| {}).unwrap_err();
        assert!(matches!(error, PowerError::WouldVanish { .. }), "{error}");
        assert!(
            error.hints()[0].contains(&format!("`virsh dumpxml {name} > {name}.xml`")),
            "{:?}",
            error.hints()
        );
    }
    assert!(lab.libvirt.virsh(&["domstate", &name]).contains("running"));
    let outcome = stop(&lab.connection, &target, StopHow::Force, true, &mut |_| {}).unwrap();
    assert_eq!(outcome, PowerOutcome::Forced);
    assert!(!lab.libvirt.virsh(&["list", "--all", "--name"]).contains(&name));
}
