//! Whatever is rendered is valid by libvirt's own schema, and says what was asked for.

use std::path::Path;
use std::process::Command;

use plasmavmc_libvirt::domain::{
    Boot, CpuModel, GraphicsKind, Mark, Network, NewDisk, NewVm, Source, TpmVersion, render,
};
use plasmavmc_types::{DiskFormat, VmId};
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;

use crate::skipped;

const SCHEMA: &str = "/usr/share/libvirt/schemas/domain.rng";

fn disks() -> impl Strategy<Value = Vec<NewDisk>> {
    let bus = prop_oneof![Just("virtio"), Just("sata"), Just("scsi"), Just("usb")];
    let format = prop_oneof![Just(DiskFormat::Qcow2), Just(DiskFormat::Raw)];
    let disk = ("[ -~é]{1,12}", format, bus).prop_map(|(name, format, bus)| NewDisk {
        path: format!("/{name}").into(),
        format,
        bus: bus.to_owned(),
    });
    prop::collection::vec(disk, 0..4)
}

fn vms() -> impl Strategy<Value = NewVm> {
    let machine = (
        prop_oneof![Just("kvm"), Just("qemu")],
        prop_oneof![
            Just(CpuModel::Unspecified),
            Just(CpuModel::HostPassthrough),
            Just(CpuModel::HostModel),
            Just(CpuModel::Maximum),
            Just(CpuModel::Named("EPYC".to_owned()))
        ],
        1024_u64..1 << 40,
        1_u32..256,
        prop_oneof![Just(Boot::Uefi), Just(Boot::Bios)],
        any::<bool>(),
        prop::option::of(prop_oneof![Just(TpmVersion::V2_0), Just(TpmVersion::V1_2)]),
    );
    let network = prop::option::of(prop_oneof![
        "[a-z0-9 &<'\"]{1,10}".prop_map(Network::Named),
        "[a-z0-9.-]{1,10}".prop_map(Network::Bridge),
        Just(Network::User)
    ]);
    let graphics = prop::option::of(prop_oneof![Just(GraphicsKind::Spice), Just(GraphicsKind::Vnc)]);
    let texts =
        ("[!-.0-~é][ -.0-~é]{0,20}[!-.0-~]", prop::option::of("[!-~][ -~]{0,10}[!-~]"), any::<bool>());
    (machine, disks(), prop::collection::vec("[ -~]{1,9}", 0..3), network, graphics, texts).prop_map(
        |(
            (kind, cpu, memory_kib, vcpus, boot, secure_boot, tpm),
            disks,
            cdroms,
            network,
            graphics,
            texts,
        )| NewVm {
            name: texts.0,
            id: VmId::generate(),
            kind: kind.to_owned(),
            emulator: texts.2.then(|| "/usr/bin/qemu-system-x86_64".into()),
            arch: "x86_64".to_owned(),
            machine: texts.2.then(|| "pc-q35-8.2".to_owned()),
            cpu,
            memory_kib,
            vcpus,
            boot,
            secure_boot,
            tpm,
            disks,
            cdroms: cdroms.iter().map(|name| format!("/{name}").into()).collect(),
            network,
            mac: texts.2.then(|| "52:54:00:01:02:03".parse().unwrap()),
            graphics,
            mark: texts.1.clone().map(|key| Mark { key, applied: "{\"memory\":1}".to_owned() }),
            title: texts.1,
        },
    )
}

#[test]
fn every_new_vm_is_valid_and_says_what_was_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let mut runner = TestRunner::deterministic();
    let strategy = vms();
    for i in 0..160 {
        let vm = strategy.new_tree(&mut runner).unwrap().current();
        let xml = render(&vm).unwrap_or_else(|error| panic!("{error}: {vm:?}"));
        says_what_was_asked_for(&vm, &xml.domain().unwrap());
        std::fs::write(folder.path().join(format!("{i:03}.xml")), xml.as_str()).unwrap();
    }
    if !Path::new(SCHEMA).exists() {
        return skipped("libvirt's schema is not installed: `sudo apt-get install libvirt-daemon`");
    }
    let mut files: Vec<_> =
        std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let Ok(output) = Command::new("xmllint").args(["--noout", "--relaxng", SCHEMA]).args(&files).output()
    else {
        return skipped("`xmllint` is not installed: `sudo apt-get install libxml2-utils`");
    };
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(said.matches(" validates\n").count(), files.len(), "{said}");
    assert!(output.status.success());
}

fn says_what_was_asked_for(vm: &NewVm, domain: &plasmavmc_libvirt::domain::Domain) {
    let fields = &domain.fields;
    assert_eq!((&domain.name, domain.id, &domain.mark), (&vm.name, vm.id, &vm.mark));
    assert_eq!((&fields.title, fields.memory_kib, fields.vcpus), (&vm.title, vm.memory_kib, vm.vcpus));
    assert_eq!((&fields.cpu, fields.boot), (&vm.cpu, vm.boot));
    assert_eq!(fields.secure_boot, (vm.boot == Boot::Uefi).then_some(vm.secure_boot));
    assert_eq!(
        fields.tpm.as_ref().map(|tpm| (tpm.version, tpm.emulated)),
        vm.tpm.map(|tpm| (Some(tpm), true))
    );
    let sources = |found: &Source| match found {
        Source::File(path) => path.clone(),
        other => panic!("{other:?}"),
    };
    let mut wanted: Vec<_> =
        vm.disks.iter().map(|disk| (disk.path.clone(), Some(disk.bus.clone()), Some(disk.format))).collect();
    let mut found: Vec<_> =
        fields.disks.iter().map(|disk| (sources(&disk.source), disk.bus.clone(), disk.format)).collect();
    let key = |disk: &(std::path::PathBuf, Option<String>, Option<DiskFormat>)| {
        (disk.0.clone(), disk.1.clone(), disk.2.map(DiskFormat::as_str))
    };
    wanted.sort_by_key(key);
    found.sort_by_key(key);
    assert_eq!(found, wanted);
    assert_eq!(fields.cdroms.iter().map(|drive| sources(&drive.source)).collect::<Vec<_>>(), vm.cdroms);
    assert_eq!(fields.nics.first().map(|nic| &nic.network), vm.network.as_ref());
    assert_eq!(fields.nics.first().and_then(|nic| nic.mac), vm.network.as_ref().and(vm.mac));
    assert_eq!(fields.graphics.first().map(|graphics| &graphics.kind), vm.graphics.as_ref());
    assert_eq!(domain.facts.others, []);
    assert_eq!((domain.facts.topology_vcpus, domain.facts.numa), (None, false));
}
