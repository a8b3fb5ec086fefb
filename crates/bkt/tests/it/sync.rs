//! What a sync does to a VM, and what it leaves alone.

use std::fs;
use std::num::NonZeroU64;
use std::thread;

use bkt::manifest::{BootChoice, GraphicsChoice, IsoSource, Memory, TpmChoice, VmDefinition};
use bkt::vm::plan::{Action, Decision, Kept, Options, Refusal};
use bkt::vm::{Danger, Field, Forecast, fetched_path};
use plasmavmc_engine::Drift;

use crate::lab::{Lab, has, iso, manifest, names};

/// The RFC's example, with files of the test's own.
fn windows_11(lab: &Lab) -> VmDefinition {
    let installer = lab.path("Win11_25H2_English_x64.iso");
    iso(&installer);
    let url = "https://fedorapeople.org/groups/virt/virtio-win/direct-downloads/stable-virtio/virtio-win.iso";
    let disk_path = lab.path("win11.qcow2");
    iso(&fetched_path(&disk_path, url));
    VmDefinition {
        memory: Memory::Gib(NonZeroU64::new(8).unwrap()),
        vcpus: 4.try_into().unwrap(),
        disk_size_gb: 80.try_into().unwrap(),
        disk_path,
        boot: BootChoice::Uefi,
        tpm: TpmChoice::V2_0,
        network: "default".parse().unwrap(),
        graphics: GraphicsChoice::Spice,
        iso_sources: Some(vec![
            IsoSource::Path { written: installer.display().to_string(), path: installer },
            IsoSource::Url { url: url.to_owned(), checksum: None },
        ]),
        ..lab.small("win11.qcow2")
    }
}

#[test]
fn the_rfcs_example_is_defined_and_a_second_sync_is_empty() {
    let lab = Lab::new();
    let name = lab.libvirt.name("win11");
    let wish = manifest(&[(&name, windows_11(&lab))]);
    let made = lab.sync(&wish);
    assert!(matches!(made.action, Action::Create { .. }), "{made:?}");
    let xml = lab.inactive(&name);
    for part in ["firmware='efi'", "<tpm model=", "version='2.0'", "type='spice'", "virtio-win-"] {
        assert!(xml.contains(part), "{part} is not in\n{xml}");
    }
    let second = lab.plan(&wish, &Options { only: Some(names(&wish)), ..Options::default() });
    assert!(second.is_empty() && !second.leaves_something(), "{second:?}");
    assert_eq!(second.vms[0].changes, []);
}

#[test]
fn a_device_that_someone_added_survives_an_update_and_nothing_else_moves() {
    let lab = Lab::new();
    let name = lab.libvirt.name("win11");
    let mut definition = windows_11(&lab);
    lab.sync(&manifest(&[(&name, definition.clone())]));
    let device = lab.path("device.xml");
    fs::write(&device, "<watchdog model='i6300esb' action='poweroff'/>").unwrap();
    lab.libvirt.virsh(&["attach-device", &name, device.to_str().unwrap(), "--config"]);
    let before = lab.inactive(&name);
    definition.memory = Memory::Mib(NonZeroU64::new(6000).unwrap());
    let changed = lab.sync(&manifest(&[(&name, definition)]));
    assert_eq!(changed.changes.len(), 1, "{:?}", changed.changes);
    let after = lab.inactive(&name);
    assert!(after.contains("i6300esb") && after.contains("<memory unit='KiB'>6144000</memory>"), "{after}");
    let rest = |xml: &str| {
        let keep = |line: &&str| !line.contains("emory unit=") && !line.contains("bkt:vm");
        // libvirt lists controllers anew; each keeps its index and its address.
        let mut lines: Vec<String> = xml.lines().filter(keep).map(str::to_owned).collect();
        lines.sort();
        lines
    };
    assert_eq!(rest(&before), rest(&after));
}

#[test]
fn an_edit_by_hand_is_kept_until_a_person_decides() {
    let lab = Lab::new();
    let name = lab.libvirt.name("edited");
    let wish = manifest(&[(&name, lab.small("edited.qcow2"))]);
    lab.sync(&wish);
    lab.libvirt.virsh(&["setmaxmem", &name, "128M", "--config"]);
    let told = lab.sync(&wish);
    assert_eq!((told.changes[0].drift, told.changes[0].decision), (Drift::EditedByHand, Decision::Leave));
    assert!(lab.inactive(&name).contains("<memory unit='KiB'>131072</memory>"));
    let options = Options { only: Some(names(&wish)), keep_mine: true, ..Options::default() };
    lab.sync_with(&wish, &options);
    assert!(lab.inactive(&name).contains("<memory unit='KiB'>65536</memory>"));
}

#[test]
fn a_running_vm_takes_memory_at_its_next_cold_boot_and_a_medium_at_once() {
    let lab = Lab::new();
    let name = lab.libvirt.name("runs");
    let (one, two) = (lab.path("one.iso"), lab.path("two.iso"));
    iso(&one);
    iso(&two);
    let source = |path: &std::path::PathBuf| {
        Some(vec![IsoSource::Path { written: path.display().to_string(), path: path.clone() }])
    };
    let mut definition = VmDefinition { iso_sources: source(&one), ..lab.small("runs.qcow2") };
    lab.sync(&manifest(&[(&name, definition.clone())]));
    lab.libvirt.virsh(&["start", &name]);
    definition.memory = Memory::Mib(NonZeroU64::new(128).unwrap());
    definition.iso_sources = source(&two);
    let wish = manifest(&[(&name, definition)]);
    let entry = lab.sync(&wish);
    let forecast = |field| entry.changes.iter().find(|one| one.field == field).unwrap().forecast.clone();
    assert_eq!(forecast(Field::Memory), Forecast::NextColdBoot);
    assert_eq!(forecast(Field::IsoSources), Forecast::Live);
    let live = lab.libvirt.virsh(&["dumpxml", &name]);
    assert!(live.contains("two.iso") && live.contains("<memory unit='KiB'>65536</memory>"), "{live}");
    let after = lab.plan(&wish, &Options { only: Some(names(&wish)), ..Options::default() });
    assert!(after.is_empty(), "{after:?}");
    assert_eq!(after.vms[0].pending, [Field::Memory]);
}

#[test]
fn a_definition_that_libvirt_refuses_leaves_the_old_vm_whole() {
    let lab = Lab::new();
    let name = lab.libvirt.name("refused");
    let mut definition = lab.small("refused.qcow2");
    lab.sync(&manifest(&[(&name, definition.clone())]));
    let before = lab.inactive(&name);
    let refused = |definition: &VmDefinition, fails: usize| {
        let wish = manifest(&[(&name, definition.clone())]);
        let options =
            Options { only: Some(names(&wish)), allowed: [Danger::DiskChange].into(), ..Options::default() };
        let plan = lab.plan(&wish, &options);
        let report = lab.execute(&plan, &wish, &options).unwrap();
        assert_eq!((report.failed.len(), report.done.len()), (fails, 0), "{:?}", report.failed);
        assert_eq!(lab.inactive(&name), before);
        plan
    };
    // q35 has no IDE, which the plan foresees.
    definition.disk_bus = Some(bkt::manifest::DiskBus::Ide);
    assert_eq!(refused(&definition, 0).vms[0].changes[0].decision, Decision::Blocked);
    // How many processors a machine may have, libvirt alone knows.
    definition.disk_bus = None;
    definition.vcpus = 60_000.try_into().unwrap();
    refused(&definition, 1);
}

#[test]
fn a_vm_that_someone_made_is_adopted_with_everything_it_has() {
    let lab = Lab::new();
    let name = lab.libvirt.name("theirs");
    let disk = lab.path("theirs.qcow2");
    let xml = lab.libvirt.small_domain("theirs").replace(
        "<devices>",
        &format!(
            "<devices><disk type='file' device='disk'><driver name='qemu' type='qcow2'/>\
             <source file='{}'/><target dev='vda' bus='virtio'/></disk><sound model='ich9'/>\
             <interface type='user'><mac address='52:54:00:aa:bb:cc'/></interface>",
            disk.display()
        ),
    );
    let id = lab.libvirt.define(&xml);
    let definition = VmDefinition { network: "user".parse().unwrap(), ..lab.small("theirs.qcow2") };
    let wish = manifest(&[(&name, definition)]);
    let only = Options { only: Some(names(&wish)), ..Options::default() };
    let refused = lab.plan(&wish, &only);
    assert!(refused.is_empty() && refused.leaves_something(), "{refused:?}");
    lab.sync_with(&wish, &Options { adopt: true, ..only.clone() });
    let after = lab.inactive(&name);
    for part in [&id, "52:54:00:aa:bb:cc", "<sound model='ich9'", "bkt:vm"] {
        assert!(after.contains(part), "{part} is not in\n{after}");
    }
    assert!(lab.plan(&wish, &only).is_empty());
}

#[test]
fn nvram_is_the_same_to_the_byte_after_ten_syncs() {
    let lab = Lab::new();
    let name = lab.libvirt.name("nvram");
    let tpm = if has("swtpm") { TpmChoice::V2_0 } else { TpmChoice::None };
    let mut definition = VmDefinition {
        memory: Memory::Mib(NonZeroU64::new(256).unwrap()),
        boot: BootChoice::Uefi,
        secure_boot: Some(false),
        tpm,
        ..lab.small("nvram.qcow2")
    };
    lab.sync(&manifest(&[(&name, definition.clone())]));
    lab.libvirt.virsh(&["start", &name]);
    // libvirt makes it at the first start, and says where only then.
    let live = lab.libvirt.virsh(&["dumpxml", &name]);
    lab.libvirt.virsh(&["destroy", &name]);
    let (_, rest) = live.split_once("<nvram").unwrap();
    let nvram = rest.split_once('>').unwrap().1.split_once('<').unwrap().0;
    let before = fs::read(nvram).unwrap();
    for round in 1..=10_u64 {
        definition.memory = Memory::Mib(NonZeroU64::new(256 + round).unwrap());
        definition.title = Some(Some(format!("round {round}")));
        let changed = lab.sync(&manifest(&[(&name, definition.clone())]));
        assert_eq!(changed.changes.iter().filter(|one| one.decision == Decision::Make).count(), 2);
    }
    assert!(fs::read(nvram).unwrap() == before, "NVRAM changed");
    lab.libvirt.virsh(&["start", &name]);
    assert!(lab.libvirt.virsh(&["dumpxml", &name]).contains(nvram), "it has another NVRAM");
}

#[test]
fn two_syncs_at_once_make_one_vm_and_both_end_well() {
    let lab = Lab::new();
    let name = lab.libvirt.name("twice");
    let wish = manifest(&[(&name, lab.small("twice.qcow2"))]);
    let options = Options { only: Some(names(&wish)), ..Options::default() };
    let plans = [lab.plan(&wish, &options), lab.plan(&wish, &options)];
    let done: usize = thread::scope(|scope| {
        let (lab, wish, options) = (&lab, &wish, &options);
        let runs =
            plans.each_ref().map(|plan| scope.spawn(move || lab.execute(plan, wish, options).unwrap()));
        runs.into_iter()
            .map(|run| {
                let report = run.join().unwrap();
                assert!(report.failed.is_empty(), "{:?}", report.failed);
                report.done.len()
            })
            .sum()
    });
    assert_eq!(done, 1);
    assert!(lab.plan(&wish, &options).is_empty());
}

#[test]
fn what_left_the_manifest_is_undefined_only_when_asked_and_its_disk_stays() {
    let lab = Lab::new();
    let name = lab.libvirt.name("pruned");
    let wish = manifest(&[(&name, lab.small("pruned.qcow2"))]);
    lab.sync(&wish);
    let (none, only) = (manifest(&[]), Some(names(&wish)));
    let unasked = Options { only: only.clone(), ..Options::default() };
    assert!(lab.plan(&none, &unasked).is_empty());
    lab.sync_with(&none, &Options { prune: true, only, ..Options::default() });
    assert!(!lab.libvirt.virsh(&["list", "--all", "--name"]).contains(&name));
    assert!(lab.path("pruned.qcow2").exists());
}

#[test]
fn a_vm_that_was_adopted_is_let_go_of_and_stays_as_it_was() {
    let lab = Lab::new();
    let name = lab.libvirt.name("adopted");
    let disk = lab.path("adopted.qcow2");
    let xml = lab.libvirt.small_domain("adopted").replace(
        "<devices>",
        &format!(
            "<devices><disk type='file' device='disk'><driver name='qemu' type='qcow2'/>\
             <source file='{}'/><target dev='vda' bus='virtio'/></disk>",
            disk.display()
        ),
    );
    lab.libvirt.define(&xml);
    let before = lab.inactive(&name);
    let wish = manifest(&[(&name, lab.small("adopted.qcow2"))]);
    let ours = Options {
        only: Some(names(&wish)),
        manifest: Some("host:/ours.json".to_owned()),
        adopt: true,
        ..Options::default()
    };
    lab.sync_with(&wish, &ours);
    assert!(lab.inactive(&name).contains("bkt:vm"));
    let prune = Options { prune: true, ..ours };
    let released = lab.sync_with(&manifest(&[]), &prune);
    assert_eq!(released.action, Action::Release);
    let after = lab.inactive(&name);
    assert!(!after.contains("bkt:vm"), "{after}");
    let rest = |xml: &str| {
        xml.lines().filter(|line| !line.contains("metadata")).map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(rest(&after), rest(&before));
}

#[test]
fn a_vm_with_a_snapshot_is_not_undefined_and_the_plan_says_so() {
    let lab = Lab::new();
    let name = lab.libvirt.name("snapshots");
    let wish = manifest(&[(&name, lab.small("snapshots.qcow2"))]);
    lab.sync(&wish);
    lab.libvirt.virsh(&["snapshot-create-as", &name, "one"]);
    let prune = Options { prune: true, only: Some(names(&wish)), ..Options::default() };
    let refused = lab.plan(&manifest(&[]), &prune);
    let refusal = Refusal::Keeps { kept: Kept::Snapshots };
    assert_eq!(refused.vms[0].action, Action::Refuse { refusal });
    lab.libvirt.virsh(&["snapshot-delete", &name, "one"]);
    assert_eq!(lab.sync_with(&manifest(&[]), &prune).action, Action::Prune);
}
