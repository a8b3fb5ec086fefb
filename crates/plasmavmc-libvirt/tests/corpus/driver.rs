//! libvirt's test driver rewrites what it is given as libvirt does; what it adds is not told as unplanned.

use std::fs;
use std::process::{Command, Stdio};

use plasmavmc_libvirt::domain::{
    Boot, CpuModel, DomainXml, Edit, GraphicsKind, Mark, Network, NewDisk, NewVm, TpmVersion, render,
    unplanned,
};
use plasmavmc_types::{DiskFormat, VmId};

use crate::skipped;

/// What the test driver makes of domains that are defined one after the other; its state ends with virsh.
fn defined(id: VmId, domains: &[&DomainXml]) -> Option<DomainXml> {
    let folder = tempfile::tempdir().unwrap();
    let mut script = String::new();
    for (i, xml) in domains.iter().enumerate() {
        let file = folder.path().join(format!("{i}.xml"));
        fs::write(&file, xml.as_str()).unwrap();
        script.push_str(&format!("define --validate {}; ", file.display()));
    }
    script.push_str(&format!("dumpxml --inactive --security-info {id}"));
    let virsh = Command::new("virsh")
        .args(["-q", "-c", "test:///default", &script])
        .env("LC_ALL", "C")
        .stdin(Stdio::null())
        .output();
    let Ok(output) = virsh else {
        skipped("`virsh` is not installed: `sudo apt-get install libvirt-clients`");
        return None;
    };
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{}{text}", String::from_utf8_lossy(&output.stderr));
    let start = text.find("<domain").unwrap_or_else(|| panic!("{text}"));
    Some(DomainXml::parse(&text[start..]).unwrap())
}

fn new_vm() -> NewVm {
    NewVm {
        name: "h1-proof".to_owned(),
        id: VmId::generate(),
        kind: "test".to_owned(),
        emulator: None,
        arch: "x86_64".to_owned(),
        machine: None,
        cpu: CpuModel::HostPassthrough,
        memory_kib: 8 << 20,
        vcpus: 4,
        boot: Boot::Uefi,
        secure_boot: true,
        tpm: Some(TpmVersion::V2_0),
        disks: vec![NewDisk {
            path: "/images/a b.qcow2".into(),
            format: DiskFormat::Qcow2,
            bus: "virtio".to_owned(),
        }],
        cdroms: vec!["/isos/win11.iso".into(), "/isos/virtio.iso".into()],
        network: Some(Network::Named("default".to_owned())),
        mac: None,
        graphics: Some(GraphicsKind::Spice),
        title: Some("Windows & more".to_owned()),
        mark: Some(Mark { key: "win11".to_owned(), applied: "{\"memory\":8192}".to_owned() }),
    }
}

#[test]
fn a_new_vm_and_every_edit_of_it_are_defined_and_nothing_else_happens() {
    let vm = new_vm();
    let planned = render(&vm).unwrap();
    let Some(current) = defined(vm.id, &[&planned]) else { return };
    let nothing = DomainXml::parse("<domain/>").unwrap();
    assert_eq!(unplanned(&nothing, &planned, &current), []);
    for edit in [
        Edit::Title(Some("other".to_owned())),
        Edit::MemoryKib(4 << 20),
        Edit::Vcpus(2),
        Edit::Cpu(CpuModel::HostModel),
        Edit::Firmware { boot: Boot::Uefi, secure_boot: false },
        Edit::Tpm(None),
        Edit::DiskSource { target: "vda".to_owned(), path: "/images/b".into(), format: DiskFormat::Raw },
        Edit::DiskBus { target: "vda".to_owned(), bus: "scsi".to_owned() },
        Edit::AddDisk { bus: "virtio".to_owned(), path: "/images/c".into(), format: DiskFormat::Qcow2 },
        Edit::AddCdrom { path: "/isos/c.iso".into() },
        Edit::CdromMedium { target: "sda".to_owned(), path: None },
        Edit::RemoveCdrom { target: "sdb".to_owned() },
        Edit::NicNetwork { index: 0, network: Network::User },
        Edit::NicMac { index: 0, mac: "52:54:00:11:22:33".parse().unwrap() },
        Edit::AddNic { network: Network::Bridge("br0".to_owned()), mac: None },
        Edit::RemoveNic { index: 0 },
        Edit::Graphics(Some(GraphicsKind::Vnc)),
        Edit::Graphics(None),
        Edit::Mark(None),
    ] {
        let edited = current.edit(std::slice::from_ref(&edit)).unwrap();
        let after = defined(vm.id, &[&current, &edited]).unwrap();
        assert_eq!(unplanned(&current, &edited, &after), [], "{edit:?}");
        assert_eq!(after.fields().unwrap().disks, edited.fields().unwrap().disks, "{edit:?}");
    }
}
