//! Which disks a sync takes, and which it leaves to those who have them.

use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use bkt::manifest::VmDefinition;
use bkt::vm::Danger;
use bkt::vm::plan::{Action, Entry, Note, Options, Refusal};
use bkt::vm::sync::with_backups;

use crate::lab::{Lab, manifest, names};

/// Makes a qcow2 of a mebibyte, on another where one is named.
fn qcow2(path: &Path, over: Option<&Path>) {
    let mut command = Command::new("qemu-img");
    command.args(["create", "-q", "-f", "qcow2"]);
    if let Some(over) = over {
        command.args(["-F", "qcow2", "-b"]).arg(over);
    }
    assert!(command.arg(path).arg("1M").status().unwrap().success());
}

/// Defines a VM with that disk, by hand.
fn by_hand(lab: &Lab, name: &str, disk: &Path) -> String {
    let disk = format!(
        "<devices><disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='{}'/>\
         <target dev='vda' bus='virtio'/></disk>",
        disk.display()
    );
    lab.libvirt.define(&lab.libvirt.small_domain(name).replace("<devices>", &disk));
    lab.libvirt.name(name)
}

/// The plan for a new VM on a disk.
fn new_on(lab: &Lab, disk: &str) -> Entry {
    let name = lab.libvirt.name("new");
    let wish = manifest(&[(&name, lab.small(disk))]);
    let options = Options { only: Some(names(&wish)), ..Options::default() };
    lab.plan(&wish, &options).vms.into_iter().next().unwrap()
}

fn refusal(entry: Entry) -> Refusal {
    match entry.action {
        Action::Refuse { refusal } => refusal,
        other => panic!("it was not refused: {other:?}"),
    }
}

#[test]
fn what_lies_under_another_vms_disk_is_not_taken_however_deep() {
    let lab = Lab::new();
    let [base, mid, top] = ["base.qcow2", "mid.qcow2", "top.qcow2"].map(|name| lab.path(name));
    qcow2(&base, None);
    qcow2(&mid, Some(Path::new("base.qcow2")));
    qcow2(&top, Some(&mid));
    symlink(&base, lab.path("link.qcow2")).unwrap();
    let by = by_hand(&lab, "has", &top);
    for disk in ["base.qcow2", "mid.qcow2", "link.qcow2"] {
        let under = Refusal::DiskUnder { path: lab.path(disk), by: by.clone() };
        assert_eq!(refusal(new_on(&lab, disk)), under);
    }
    qcow2(&lab.path("twin.qcow2"), Some(&base));
    let twin = new_on(&lab, "twin.qcow2");
    assert!(matches!(twin.action, Action::Create { .. }), "overlays share a base: {twin:?}");
}

#[test]
fn a_disk_is_one_disk_by_each_of_its_names() {
    let lab = Lab::new();
    for dir in ["real", "direct"] {
        std::fs::create_dir(lab.path(dir)).unwrap();
    }
    symlink("real", lab.path("linked")).unwrap();
    for disk in ["direct/own.qcow2", "real/linked.qcow2"] {
        qcow2(&lab.path(disk), None);
    }
    symlink("direct/own.qcow2", lab.path("name.qcow2")).unwrap();
    std::fs::hard_link(lab.path("direct/own.qcow2"), lab.path("hard.qcow2")).unwrap();
    let own = by_hand(&lab, "own", &lab.path("direct/own.qcow2"));
    let linked = by_hand(&lab, "linked", &lab.path("linked/linked.qcow2"));
    for (disk, by) in [("name.qcow2", &own), ("hard.qcow2", &own), ("real/linked.qcow2", &linked)] {
        let taken = Refusal::DiskTaken { path: lab.path(disk), by: by.clone() };
        assert_eq!(refusal(new_on(&lab, disk)), taken);
    }
    let twins = ["a", "b"].map(|name| lab.libvirt.name(name));
    let definitions: [VmDefinition; 2] = ["real/two.qcow2", "linked/two.qcow2"].map(|disk| lab.small(disk));
    let wish = manifest(&[(&twins[0], definitions[0].clone()), (&twins[1], definitions[1].clone())]);
    let plan = lab.plan(&wish, &Options { only: Some(names(&wish)), ..Options::default() });
    assert!(plan.is_empty() && plan.leaves_something(), "{plan:?}");
}

#[test]
fn a_disk_that_was_there_is_taken_as_it_is_and_is_offered_to_grow() {
    let lab = Lab::new();
    let name = lab.libvirt.name("took");
    let disk = lab.path("took.qcow2");
    let mut command = Command::new("qemu-img");
    assert!(command.args(["create", "-q", "-f", "qcow2"]).arg(&disk).arg("3G").status().unwrap().success());
    let wish =
        manifest(&[(&name, VmDefinition { disk_size_gb: 4.try_into().unwrap(), ..lab.small("took.qcow2") })]);
    let made = lab.sync(&wish);
    let step = made.disk.unwrap().to_string();
    assert_eq!(step, format!("takes the existing `{}` (qcow2, 3 GiB)", disk.display()));
    let grown =
        Options { only: Some(names(&wish)), allowed: [Danger::GrowDisks].into(), ..Options::default() };
    let entry = lab.sync_with(&wish, &grown);
    assert!(entry.changes.iter().all(|change| !change.drift.is_drift()), "{:?}", entry.changes);
    let after = lab.plan(&wish, &grown);
    assert!(after.is_empty() && !after.leaves_something(), "{after:?}");
}

#[test]
fn a_disk_that_is_gone_is_told_and_an_undefined_vm_names_its_backup() {
    let lab = Lab::new();
    let name = lab.libvirt.name("gone");
    let mut definition = lab.small("gone.qcow2");
    lab.sync(&manifest(&[(&name, definition.clone())]));
    definition.vcpus = 2.try_into().unwrap();
    let wish = manifest(&[(&name, definition)]);
    lab.sync(&wish);
    let only = Options { only: Some(names(&wish)), ..Options::default() };
    std::fs::rename(lab.path("gone.qcow2"), lab.path("elsewhere")).unwrap();
    let gone = lab.plan(&wish, &only);
    assert!(gone.is_empty() && gone.leaves_something(), "{gone:?}");
    std::fs::rename(lab.path("elsewhere"), lab.path("gone.qcow2")).unwrap();
    lab.libvirt.virsh(&["undefine", &name]);
    let again = with_backups(lab.plan(&wish, &only), &lab.state());
    let [Note::Kept { path }] = &again.vms[0].notes[..] else { panic!("{again:?}") };
    lab.libvirt.virsh(&["define", path.to_str().unwrap()]);
    assert!(!matches!(lab.plan(&wish, &only).vms[0].action, Action::Create { .. }));
}
