//! Plans made from dumps in a folder, with no libvirt at all.

use std::fs;
use std::path::Path;
use std::time::Instant;

use bkt::manifest::{BootChoice, GraphicsChoice, Memory, TpmChoice, VmDefinition, VmManifest};
use bkt::vm::observe::read_dumps;
use bkt::vm::plan::{Action, Options, plan};

/// A dump as libvirt writes it, with the devices that every domain has.
fn dump(number: usize) -> String {
    let controllers: String = (0..14)
        .map(|index| {
            format!(
                "    <controller type='pci' index='{}' model='pcie-root-port'>\n      <model name='pcie-root-port'/>\n      \
                 <target chassis='{index}' port='0x1{index:x}'/>\n      <address type='pci' domain='0x0000' bus='0x00' \
                 slot='0x02' function='0x{index:x}'/>\n    </controller>\n",
                index + 1
            )
        })
        .collect();
    format!(
        "<domain type='kvm'>\n  <name>vm{number:04}</name>\n  <uuid>0198c7a0-0000-7000-8000-{number:012}</uuid>\n  \
         <memory unit='KiB'>2097152</memory>\n  <currentMemory unit='KiB'>2097152</currentMemory>\n  \
         <vcpu placement='static'>2</vcpu>\n  <os>\n    <type arch='x86_64' machine='pc-q35-7.2'>hvm</type>\n  </os>\n  \
         <cpu mode='host-passthrough' check='none' migratable='on'/>\n  <devices>\n    \
         <emulator>/usr/bin/qemu-system-x86_64</emulator>\n    <disk type='file' device='disk'>\n      \
         <driver name='qemu' type='qcow2'/>\n      <source file='/images/vm{number:04}.qcow2'/>\n      \
         <target dev='vda' bus='virtio'/>\n    </disk>\n{controllers}    <interface type='network'>\n      \
         <mac address='52:54:00:00:{:02x}:{:02x}'/>\n      <source network='default'/>\n      <model type='virtio'/>\n    \
         </interface>\n    <graphics type='spice' autoport='yes'/>\n  </devices>\n</domain>\n",
        number / 256,
        number % 256
    )
}

fn wish(count: usize) -> VmManifest {
    let one = |number: usize| {
        let definition = VmDefinition {
            title: None,
            memory: Memory::Gib(2.try_into().unwrap()),
            vcpus: 2.try_into().unwrap(),
            cpu_model: None,
            disk_path: format!("/images/vm{number:04}.qcow2").into(),
            disk_size_gb: 80.try_into().unwrap(),
            disk_bus: None,
            create_if_missing: false,
            boot: BootChoice::Bios,
            secure_boot: None,
            tpm: TpmChoice::None,
            network: "default".parse().unwrap(),
            mac: None,
            graphics: GraphicsChoice::Spice,
            iso_sources: None,
            autostart: None,
            unmanaged_fields: Default::default(),
        };
        (format!("vm{number:04}").parse().unwrap(), definition)
    };
    VmManifest { uri: None, vms: (0..count).map(one).collect() }
}

fn dumps(dir: &Path, count: usize) {
    for number in 0..count {
        fs::write(dir.join(format!("vm{number:04}.xml")), dump(number)).unwrap();
    }
}

#[test]
fn a_thousand_vms_are_planned_offline_and_come_out_the_same() {
    let dir = tempfile::tempdir().unwrap();
    dumps(dir.path(), 1000);
    let wish = wish(1000);
    let options = Options { adopt: true, ..Options::default() };
    let begin = Instant::now();
    let first = plan(&wish, &read_dumps(dir.path()).unwrap(), &options);
    let taken = begin.elapsed();
    assert_eq!(first.vms.len(), 1000);
    let adopted = |entry: &bkt::vm::plan::Entry| entry.action == Action::Adopt && entry.changes.is_empty();
    assert!(first.vms.iter().all(adopted), "{:?}", first.vms[0]);
    // A second in a release build; this one is some ten times slower.
    assert!(taken.as_secs() < 20, "{taken:?}");
    let text = |plan| serde_json::to_string(&plan).unwrap();
    assert_eq!(text(first), text(plan(&wish, &read_dumps(dir.path()).unwrap(), &options)));
}

#[test]
fn a_dump_that_differs_is_planned_as_the_domain_would_be() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("a.xml"), dump(0).replace(">2</vcpu>", ">8</vcpu>")).unwrap();
    let options = Options { adopt: true, ..Options::default() };
    let plan = plan(&wish(2), &read_dumps(dir.path()).unwrap(), &options);
    assert_eq!(plan.vms[0].changes[0].to_string(), "vcpus: 8 -> 2, at its next start");
    assert!(matches!(plan.vms[1].action, Action::Create { .. }), "{:?}", plan.vms[1]);
}
