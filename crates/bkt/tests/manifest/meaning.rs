//! What a manifest without faults means.

use std::path::Path;

use bkt::manifest::{BootChoice, GraphicsChoice, IsoSource, Memory, NetworkChoice, TpmChoice};
use bkt::vm::Field;

use crate::{but, faults, read, rfc_example, with};

#[test]
fn the_example_of_the_specification_means_what_it_says() {
    let manifest = read(rfc_example());
    let vm = &manifest.vms["win11"];
    assert_eq!((vm.memory.mib(), vm.vcpus.get(), vm.disk_size_gb.get()), (8192, 4, 80));
    assert_eq!(vm.disk_path, Path::new("/var/lib/libvirt/images/win11.qcow2"));
    assert_eq!((vm.boot, vm.tpm, vm.graphics), (BootChoice::Uefi, TpmChoice::V2_0, GraphicsChoice::Spice));
    assert_eq!(vm.network, NetworkChoice::Named("default".into()));
    let sources = vm.iso_sources.as_deref().unwrap();
    let written = "~/Downloads/Win11_25H2_English_x64.iso";
    let path = Path::new("/home/me/Downloads/Win11_25H2_English_x64.iso");
    assert_eq!(sources[0], IsoSource::Path { written: written.into(), path: path.into() });
    assert!(matches!(&sources[1], IsoSource::Url { url, .. } if url.ends_with("/virtio-win.iso")));
    assert!(!vm.create_if_missing);
}

#[test]
fn what_is_not_said_is_not_managed_but_for_what_has_a_default() {
    let manifest = read(&with("\"x-owner\": \"me\""));
    let vm = &manifest.vms["a"];
    assert_eq!(
        (vm.title.clone(), vm.cpu_model.clone(), vm.disk_bus, vm.secure_boot),
        (None, None, None, None)
    );
    assert_eq!((vm.mac, vm.iso_sources.clone(), vm.autostart), (None, None, None));
    assert_eq!((vm.tpm, vm.create_if_missing), (TpmChoice::None, false));
    assert!(vm.unmanaged_fields.is_empty() && manifest.uri.is_none());
}

#[test]
fn every_field_can_be_said() {
    let manifest = read(&with(
        r#""title": null, "cpu_model": "EPYC-Rome", "disk_bus": "sata", "create_if_missing": true,
        "secure_boot": true, "tpm": "2.0", "mac": "52:54:00:AB:cd:ef", "iso_sources": [], "autostart": false,
        "unmanaged_fields": ["memory_gb", "memory", "graphics"]"#,
    ));
    let vm = &manifest.vms["a"];
    assert_eq!(vm.title, Some(None));
    assert_eq!(vm.mac.unwrap().to_string(), "52:54:00:ab:cd:ef");
    assert_eq!((vm.iso_sources.clone(), vm.autostart), (Some(Vec::new()), Some(false)));
    assert_eq!(vm.unmanaged_fields.iter().copied().collect::<Vec<_>>(), [Field::Memory, Field::Graphics]);
}

#[test]
fn memory_may_be_said_in_mib() {
    let text = but("memory_mb", "1536").replace("\"memory_gb\": 8, ", "");
    assert!(matches!(read(&text).vms["a"].memory, Memory::Mib(mib) if mib.get() == 1536));
}

#[test]
fn names_of_domains_that_exist_in_the_world_are_taken() {
    for name in ["1", "--all", "a,b", "a b", "$(reboot)", "日本", "_comment", "x-1"] {
        let text = with("\"autostart\": true").replace("\"a\":", &format!("\"{name}\":"));
        assert!(read(&text).vms.contains_key(name), "{name}");
    }
}

#[test]
fn keys_that_are_comments_are_let_through_and_others_are_not() {
    for key in ["$comment", "//", "// why", "_comment", "x-owner", "x-"] {
        for value in ["\"text\"", "1", "null", "[[{}]]"] {
            read(&with(&format!("\"{key}\": {value}")));
            read(&format!("{{ \"{key}\": {value}, \"vms\": {{}} }}"));
        }
    }
    for key in ["comment", "_note", "#", "/", "X-owner", "$id"] {
        assert_eq!(faults(&with(&format!("\"{key}\": 1")))[0].code.as_str(), "unknown-key", "{key}");
    }
}

#[test]
fn a_thousand_vms_are_read() {
    let one = with("\"autostart\": true");
    let body = one[one.find("{ \"memory_gb\"").unwrap()..one.rfind("} }").unwrap()].to_owned();
    let vms: Vec<String> = (0..1000)
        .map(|n| format!("\"vm{n}\": {}", body.replace("/d/a.qcow2", &format!("/d/{n}.qcow2"))))
        .collect();
    let manifest = read(&format!("{{\"vms\": {{ {} }} }}", vms.join(",\n")));
    assert_eq!(manifest.vms.len(), 1000);
}
