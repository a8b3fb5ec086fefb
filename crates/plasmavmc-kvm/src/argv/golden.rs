//! Whole command lines, word for word: a change here is a change of the guest's hardware.

use std::path::Path;

use plasmavmc_hypervisor::conformance::small_spec;
use plasmavmc_types::{
    Accelerator, BackingSpec, ByteSize, DiskFormat, DiskSpec, Firmware, MacAddr, MachineType, NetworkKind,
    NetworkSpec, Persistence, PortForward, ShareSpec, VmSpec,
};
use proptest::prelude::*;

use super::{Machine, build, marker};
use crate::firmware::UefiFiles;

const TOKEN: &str = "0123456789abcdef0123456789abcdef";
const ID: &str = "01890a5d-ac96-774b-bcce-b302099a8057";

fn spec() -> VmSpec {
    VmSpec { id: ID.parse().unwrap(), ..small_spec("web") }
}

fn disk(id: &str, path: &str) -> DiskSpec {
    DiskSpec {
        id: id.parse().unwrap(),
        path: path.into(),
        format: DiskFormat::Raw,
        backing: None,
        read_only: false,
        persistence: Persistence::Disposable,
    }
}

fn argv(spec: &VmSpec, machine: &str, accelerator: Accelerator, uefi: Option<UefiFiles>) -> Vec<String> {
    build(&Machine {
        spec,
        machine,
        accelerator,
        token: TOKEN.parse().unwrap(),
        uefi,
        serial_log: Path::new("logs/web-serial.log"),
        journal: Path::new("metadata/journals/web.jsonl"),
    })
}

/// The command line as lines: an option and its value on each.
fn lines(argv: &[String]) -> String {
    let mut lines = String::new();
    for word in argv {
        if word.starts_with('-') && !lines.is_empty() {
            lines.push('\n');
        } else if !lines.is_empty() {
            lines.push(' ');
        }
        lines.push_str(word);
    }
    lines
}

const SMALLEST: &str = r#"-name guest=castra/web/0123456789abcdef0123456789abcdef,debug-threads=on
-uuid 01890a5d-ac96-774b-bcce-b302099a8057
-nodefaults
-no-user-config
-sandbox on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny
-machine pc-q35-10.0
-accel tcg
-cpu max
-smp 1
-m 64M
-rtc base=utc
-display none
-action reboot=reset,shutdown=poweroff,panic=shutdown,watchdog=reset
-chardev socket,id=qmp,fd=3,server=on,wait=off
-mon chardev=qmp,mode=control
-chardev file,id=journal,path=metadata/journals/web.jsonl,append=on,input-path=/proc/self/fd/5
-mon chardev=journal,mode=control
-chardev socket,id=serial,fd=4,server=on,wait=off,logfile=logs/web-serial.log,logappend=on
-serial chardev:serial
-device virtio-serial-pci,addr=0x1c,id=channel
-chardev socket,id=agent,fd=8,server=on,wait=off
-device virtserialport,bus=channel.0,chardev=agent,name=org.castra.agent.0,id=agent-port
-chardev socket,id=qga,fd=9,server=on,wait=off
-device virtserialport,bus=channel.0,chardev=qga,name=org.qemu.guest_agent.0,id=qga-port
-object {"qom-type":"rng-builtin","id":"rng"}
-device virtio-rng-pci,addr=0x1e,id=rng-device,rng=rng
-device pvpanic-pci,id=panic,addr=0x1d"#;

#[test]
fn the_smallest_vm() {
    assert_eq!(lines(&argv(&spec(), "pc-q35-10.0", Accelerator::Tcg, None)), SMALLEST);
}

#[test]
fn an_ordinary_vm_with_an_overlay_a_seed_and_forwards() {
    let mut spec = spec();
    spec.resources.cpus = 4.try_into().unwrap();
    spec.resources.memory = ByteSize::gib(2);
    spec.firmware = Firmware::Uefi;
    let backing = BackingSpec { path: "/w/images/base.qcow2".into(), format: DiskFormat::Qcow2 };
    let root = disk("root", "/w/a, b/web.qcow2");
    let root = DiskSpec { format: DiskFormat::Qcow2, backing: Some(backing), ..root };
    spec.disks = vec![root, DiskSpec { read_only: true, ..disk("seed", "/w/web.img") }];
    let forwards = vec![PortForward::tcp(2222, 22).unwrap(), PortForward::tcp(8080, 80).unwrap()];
    let mac = MacAddr::from_seed([1, 2, 3]);
    spec.networks =
        vec![NetworkSpec { id: "net".parse().unwrap(), kind: NetworkKind::User { forwards }, mac }];
    let uefi = UefiFiles { code: "/usr/share/OVMF/CODE.fd".into(), vars: "/w/web.fd".into() };
    let lines = lines(&argv(&spec, "pc-q35-10.0", Accelerator::Kvm, Some(uefi)));
    let expected = r#"-machine pc-q35-10.0,pflash0=uefi-code,pflash1=uefi-vars
-accel kvm
-cpu host
-smp 4
-m 2048M"#;
    assert!(lines.contains(expected), "{lines}");
    let expected = r#"-serial chardev:serial
-blockdev {"driver":"file","node-name":"uefi-code-file","filename":"/usr/share/OVMF/CODE.fd","read-only":true,"discard":"unmap"}
-blockdev {"driver":"raw","node-name":"uefi-code","file":"uefi-code-file","read-only":true,"discard":"unmap"}
-blockdev {"driver":"file","node-name":"uefi-vars-file","filename":"/w/web.fd","read-only":false,"discard":"unmap"}
-blockdev {"driver":"raw","node-name":"uefi-vars","file":"uefi-vars-file","read-only":false,"discard":"unmap"}
-blockdev {"driver":"file","node-name":"root-base-file","filename":"/w/images/base.qcow2","read-only":true,"discard":"unmap"}
-blockdev {"driver":"qcow2","node-name":"root-base","file":"root-base-file","read-only":true,"discard":"unmap","backing":null}
-blockdev {"driver":"file","node-name":"root-file","filename":"/w/a, b/web.qcow2","read-only":false,"discard":"unmap"}
-blockdev {"driver":"qcow2","node-name":"root","file":"root-file","read-only":false,"discard":"unmap","backing":"root-base"}
-device virtio-blk-pci,addr=0x2,id=root-disk,drive=root,bootindex=0
-blockdev {"driver":"file","node-name":"seed-file","filename":"/w/web.img","read-only":true,"discard":"unmap"}
-blockdev {"driver":"raw","node-name":"seed","file":"seed-file","read-only":true,"discard":"unmap"}
-device virtio-blk-pci,addr=0x3,id=seed-disk,drive=seed,bootindex=1
-netdev {"type":"user","id":"net","hostfwd":[{"str":"tcp:127.0.0.1:2222-:22"},{"str":"tcp:127.0.0.1:8080-:80"}]}
-device virtio-net-pci,addr=0x10,id=net-card,netdev=net,mac=52:54:00:01:02:03
-device virtio-serial-pci,addr=0x1c,id=channel
"#;
    assert!(lines.contains(normalised(expected).trim_end()), "{lines}");
}

fn share(id: &str, path: &str, read_only: bool) -> ShareSpec {
    ShareSpec { id: id.parse().unwrap(), path: path.into(), mount_point: "/d".to_owned(), read_only }
}

#[test]
fn shared_folders_are_functions_of_one_slot() {
    let shares = vec![share("share-a", "/w/a, b=c", true), share("share-b", "/w/b", false)];
    let lines = lines(&argv(&VmSpec { shares, ..spec() }, "pc-q35-10.0", Accelerator::Tcg, None));
    let expected = "-fsdev local,id=share-a,security_model=none,readonly=on,multidevs=remap,path=/w/a,, b=c
-device virtio-9p-pci,addr=0x1.0,multifunction=on,id=share-a-share,fsdev=share-a,mount_tag=share-a
-fsdev local,id=share-b,security_model=mapped-xattr,multidevs=remap,path=/w/b
-device virtio-9p-pci,addr=0x1.1,id=share-b-share,fsdev=share-b,mount_tag=share-b
-device virtio-serial-pci,addr=0x1c,id=channel
";
    assert!(lines.contains(expected), "{lines}");
}

/// JSON members in the order in which they are written.
fn normalised(lines: &str) -> String {
    let line = |line: &str| match line.split_once(' ') {
        Some((option, json)) if json.starts_with('{') => {
            let value: serde_json::Value = serde_json::from_str(json).unwrap();
            format!("{option} {value}")
        }
        _ => line.to_owned(),
    };
    lines.lines().map(line).collect::<Vec<_>>().join("\n")
}

#[test]
fn a_microvm_has_no_pci_device() {
    let spec = VmSpec { machine: MachineType::Microvm, disks: vec![disk("root", "/w/d")], ..spec() };
    let lines = lines(&argv(&spec, "microvm", Accelerator::Tcg, None));
    assert!(lines.contains("-machine microvm,acpi=on,rtc=on\n"), "{lines}");
    assert!(lines.contains("-device virtio-blk-device,id=root-disk,drive=root,bootindex=0\n"), "{lines}");
    assert!(!lines.contains("pci") && !lines.contains("addr="), "{lines}");
}

#[test]
fn another_disk_moves_no_other_device() {
    let two = VmSpec { disks: vec![disk("root", "/w/a"), disk("data", "/w/b")], ..spec() };
    let one = VmSpec { disks: two.disks[..1].to_vec(), ..two.clone() };
    let [one, two] = [one, two].map(|spec| argv(&spec, "pc-q35-10.0", Accelerator::Tcg, None));
    assert!(one.iter().all(|word| two.contains(word)), "{one:?} is not part of {two:?}");
}

#[test]
fn another_shared_folder_moves_no_other_device() {
    let shares = ["share-a", "share-b"].map(|id| share(id, "/w", true)).to_vec();
    let of = |count: usize| {
        let spec = VmSpec { shares: shares[..count].to_vec(), disks: vec![disk("root", "/w/a")], ..spec() };
        argv(&spec, "pc-q35-10.0", Accelerator::Tcg, None)
    };
    for count in 0..2 {
        let (fewer, more) = (of(count), of(count + 1));
        assert!(fewer.iter().all(|word| more.contains(word)), "{fewer:?} is not part of {more:?}");
    }
}

proptest! {
    /// QEMU splits values at `,` and `=`: a path must never become an option.
    #[test]
    fn no_path_can_become_an_option(path in "/[ -~]{0,80}") {
        let spec = VmSpec { disks: vec![disk("root", &path)], ..spec() };
        let argv = argv(&spec, "pc-q35-10.0", Accelerator::Tcg, None);
        let plain = VmSpec { disks: vec![disk("root", "/w/d")], ..spec };
        let plain = build_like(&plain);
        prop_assert_eq!(argv.len(), plain.len());
        for (found, plain) in argv.iter().zip(&plain) {
            if found != plain {
                let found: serde_json::Value = serde_json::from_str(found).unwrap();
                let mut plain: serde_json::Value = serde_json::from_str(plain).unwrap();
                plain["filename"] = path.clone().into();
                prop_assert_eq!(found, plain);
            }
        }
    }
}

proptest! {
    /// Read back as QEMU does: a value ends at a `,` that is not doubled.
    #[test]
    fn no_shared_path_can_become_an_option(path in "/[ -~]{0,80}") {
        let spec = VmSpec { shares: vec![share("a", &path, true)], ..spec() };
        let argv = argv(&spec, "pc-q35-10.0", Accelerator::Tcg, None);
        let value = argv.iter().skip_while(|word| *word != "-fsdev").nth(1).unwrap();
        let mut values = vec![String::new()];
        let mut chars = value.chars().peekable();
        while let Some(c) = chars.next() {
            match c {
                ',' if chars.next_if_eq(&',').is_none() => values.push(String::new()),
                c => values.last_mut().unwrap().push(c),
            }
        }
        prop_assert_eq!(values.len(), 6);
        prop_assert_eq!(values[5].clone(), format!("path={path}"));
    }
}

fn build_like(spec: &VmSpec) -> Vec<String> {
    argv(spec, "pc-q35-10.0", Accelerator::Tcg, None)
}

#[test]
fn the_marker_is_a_whole_argument() {
    let argv = argv(&spec(), "pc-q35-10.0", Accelerator::Tcg, None);
    assert_eq!(argv[1], marker(&"web".parse().unwrap(), TOKEN.parse().unwrap()));
}
