//! What a capture makes of VMs that people made by hand, from an empty folder.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use castra_testkit::libvirt::SYSTEM;
use serde_json::Value;

use crate::lab::Lab;

/// `bkt` in an empty folder of the test's own.
fn bkt(lab: &Lab, dir: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bkt"));
    command.current_dir(dir).env("HOME", dir).env("XDG_STATE_HOME", lab.path("state"));
    command.args(["--connect", SYSTEM]).args(args).output().unwrap()
}

/// Defines a VM as a person would: everything a manifest has words for, and its disk.
fn by_hand(lab: &Lab, name: &str, disk: Option<&Path>) -> String {
    let disk = disk.map_or_else(String::new, |path| {
        let made =
            Command::new("qemu-img").args(["create", "-q", "-f", "qcow2"]).arg(path).arg("3G").status();
        assert!(made.unwrap().success());
        format!(
            "<disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='{}'/>\
             <target dev='vda' bus='virtio'/></disk>",
            path.display()
        )
    });
    let xml = lab.libvirt.small_domain(name).replace("<devices>", &format!("<devices>{disk}"));
    lab.libvirt.define(&xml.replace("<vcpu>", "<cpu mode='maximum'/><vcpu>"));
    lab.libvirt.name(name)
}

#[test]
fn vms_made_by_hand_are_captured_into_an_empty_folder_and_nothing_differs_then() {
    let lab = Lab::new();
    let dir = lab.path("empty");
    fs::create_dir(&dir).unwrap();
    let names = ["one", "two"].map(|name| by_hand(&lab, name, Some(&lab.path(&format!("{name}.qcow2")))));
    let names = names.each_ref().map(String::as_str);
    let captured = bkt(&lab, &dir, &[&["vm", "capture"][..], &names].concat());
    let said = String::from_utf8_lossy(&captured.stdout);
    assert_eq!(captured.status.code(), Some(0), "{said}");
    let text = fs::read_to_string(dir.join("manifests/vms.json")).unwrap();
    let manifest: Value = serde_json::from_str(&text).unwrap();
    for name in names {
        assert_eq!(manifest["vms"][name]["disk_size_gb"], 3, "{text}");
    }
    let checked = bkt(&lab, &dir, &[&["vm", "capture", "--check"][..], &names].concat());
    assert_eq!(checked.status.code(), Some(0), "{}", String::from_utf8_lossy(&checked.stdout));
    let planned = bkt(&lab, &dir, &["vm", "sync", "--adopt", "--dry-run", "--json"]);
    let plan: Value = serde_json::from_slice(&planned.stdout).unwrap();
    let entries = plan["outcome"]["plan"]["vms"].as_array().unwrap();
    for name in names {
        let entry = entries.iter().find(|entry| entry["name"] == name).unwrap();
        assert_eq!((&entry["action"], entry["changes"].as_array().unwrap().len()), (&"adopt".into(), 0));
    }
}

#[test]
fn a_vm_without_a_disk_is_told_to_lack_it_and_that_is_all() {
    let lab = Lab::new();
    let dir = lab.path("empty");
    fs::create_dir(&dir).unwrap();
    let name = by_hand(&lab, "bare", None);
    let captured = bkt(&lab, &dir, &["vm", "capture", &name]);
    let said = String::from_utf8_lossy(&captured.stdout);
    assert_eq!(captured.status.code(), Some(2), "{said}");
    let lines: Vec<&str> = said.lines().filter(|line| line.contains("cannot say")).collect();
    assert_eq!(lines, [format!("{name}: cannot say no disk: a manifest's VM has one")]);
    assert_eq!(said.lines().last(), Some("Nothing was written; not every VM can be said"));
    assert_eq!(fs::read_dir(&dir).unwrap().count(), 0, "something was written");
}
