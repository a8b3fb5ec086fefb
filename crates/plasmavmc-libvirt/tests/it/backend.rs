//! The backend on a real libvirt, with guests that need no operating system.

use std::path::PathBuf;
use std::time::Duration;

use castra_testkit::libvirt::{Libvirt, SYSTEM};
use castra_testkit::{counting_disk, fleeting_disk, obedient_disk};
use plasmavmc_hypervisor::conformance::{self, small_spec};
use plasmavmc_hypervisor::{Error, HypervisorBackend, Observe, StopMethod, block_on};
use plasmavmc_libvirt::backend::{LibvirtBackend, LibvirtConfig};
use plasmavmc_libvirt::virsh::Connection;
use plasmavmc_types::{
    DiskFormat, DiskSpec, Firmware, NetworkKind, NetworkSpec, Persistence, ShareSpec, StopReason, VmHandle,
    VmId, VmSpec, VmState,
};

const PATIENCE: Duration = Duration::from_secs(40);

fn backend() -> LibvirtBackend {
    let connection = Connection::new(Some(SYSTEM.to_owned())).unwrap();
    LibvirtBackend::new(LibvirtConfig { connection, accelerators: Vec::new() })
        .with_status_bound(Duration::from_secs(10))
}

#[test]
fn the_libvirt_backend_passes_the_conformance_suite() {
    let lab = Libvirt::system();
    let prefix = lab.prefix().to_owned();
    let spec = move |name: &str| small_spec(&format!("{prefix}{name}"));
    conformance::run(&backend(), &conformance::Bench::patient(spec, PATIENCE));
}

fn disk(path: PathBuf, format: DiskFormat) -> DiskSpec {
    let id = "root".parse().unwrap();
    DiskSpec { id, path, format, backing: None, read_only: false, persistence: Persistence::Persistent }
}

/// A VM that boots from those bytes.
fn with_disk(lab: &Libvirt, name: &str, bytes: &[u8]) -> VmSpec {
    let path = lab.dir().join(format!("{name}.img"));
    std::fs::write(&path, bytes).unwrap();
    VmSpec { disks: vec![disk(path, DiskFormat::Raw)], ..small_spec(&lab.name(name)) }
}

fn created(backend: &LibvirtBackend, spec: &VmSpec) -> VmHandle {
    let vm = block_on(backend.create_vm(spec)).unwrap();
    assert_eq!(block_on(backend.get_spec(&vm)).unwrap(), *spec);
    vm
}

#[test]
fn a_guest_that_powers_off_is_told_from_one_that_was_asked_to() {
    let lab = Libvirt::system();
    let backend = backend();
    let vm = created(&backend, &with_disk(&lab, "leaves", &fleeting_disk()));
    block_on(backend.start_vm(&vm)).unwrap();
    let reason = block_on(backend.wait_stopped(&vm, PATIENCE)).unwrap();
    assert_eq!(reason, Some(StopReason::GuestPoweroff));

    let vm = created(&backend, &with_disk(&lab, "obeys", &obedient_disk()));
    block_on(backend.start_vm(&vm)).unwrap();
    // The guest takes a moment until it listens to its power button.
    let mut reason = None;
    for _ in 0..40 {
        block_on(backend.stop_vm(&vm, StopMethod::Powerdown)).unwrap();
        reason = block_on(backend.wait_stopped(&vm, Duration::from_secs(1))).unwrap();
        if reason.is_some() {
            break;
        }
    }
    assert_eq!(reason, Some(StopReason::Requested));
}

#[test]
fn a_domain_that_castra_did_not_make_is_never_touched() {
    let lab = Libvirt::system();
    let backend = backend();
    let id: VmId = lab.define(&lab.small_domain("theirs")).parse().unwrap();
    let before = lab.virsh(&["dumpxml", &id.to_string()]);
    let name = lab.name("theirs").parse().unwrap();
    let theirs = VmHandle { id, name };
    for spec in [
        small_spec(&lab.name("theirs")),
        VmSpec { id, ..small_spec(&lab.name("theirs")) },
        VmSpec { id, ..small_spec(&lab.name("another")) },
    ] {
        let error = block_on(backend.create_vm(&spec)).unwrap_err();
        assert!(
            matches!(error, Error::Backend { kind: plasmavmc_types::ErrorKind::Conflict, .. }),
            "{error:?}"
        );
    }
    assert!(!block_on(backend.list_vms()).unwrap().contains(&theirs));
    assert!(matches!(block_on(backend.start_vm(&theirs)), Err(Error::UnknownVm { .. })));
    assert!(matches!(block_on(backend.stop_vm(&theirs, StopMethod::Kill)), Err(Error::UnknownVm { .. })));
    block_on(backend.delete_vm(&theirs)).unwrap();
    assert_eq!(lab.virsh(&["dumpxml", &id.to_string()]), before);
}

#[test]
fn a_whole_spec_is_defined_validated_and_kept() {
    let lab = Libvirt::system();
    let backend = backend();
    let mut spec = with_disk(&lab, "whole", &counting_disk());
    let odd = lab.dir().join("it's <1> & \"2\", whole.img");
    std::fs::rename(&spec.disks[0].path, &odd).unwrap();
    spec.disks[0].path = odd;
    spec.firmware = Firmware::Uefi;
    spec.networks = vec![NetworkSpec {
        id: "net0".parse().unwrap(),
        kind: NetworkKind::User { forwards: Vec::new() },
        mac: "52:54:00:12:34:56".parse().unwrap(),
    }];
    let share = |id: &str, read_only| ShareSpec {
        id: id.parse().unwrap(),
        path: lab.dir().to_owned(),
        mount_point: "/mnt".to_owned(),
        read_only,
    };
    spec.shares = vec![share("rw", false), share("ro", true)];
    let vm = created(&backend, &spec);
    let xml = || lab.virsh(&["dumpxml", &vm.id.to_string()]);
    block_on(backend.start_vm(&vm)).unwrap();
    let nvram = part(&xml(), "<nvram", "</nvram>");
    let nvram = PathBuf::from(nvram.rsplit('>').next().unwrap());
    block_on(backend.stop_vm(&vm, StopMethod::Kill)).unwrap();
    let (machine, os) = (part(&xml(), "machine='", "'"), part(&xml(), "<os ", "</os>"));
    // Another size of memory: the machine and the firmware's variables stay those it has.
    spec.resources.memory = plasmavmc_types::ByteSize::mib(96);
    created(&backend, &spec);
    assert_eq!((part(&xml(), "machine='", "'"), part(&xml(), "<os ", "</os>")), (machine, os));
    assert!(nvram.exists(), "{nvram:?}");
    block_on(backend.delete_vm(&vm)).unwrap();
    assert!(!nvram.exists() && spec.disks[0].path.exists());
}

fn part(text: &str, start: &str, end: &str) -> String {
    let rest = text.split_once(start).unwrap_or_else(|| panic!("no {start} in {text}")).1;
    rest.split_once(end).unwrap().0.to_owned()
}

#[test]
fn a_status_answers_for_a_vm_whose_libvirt_does_not() {
    let lab = Libvirt::system();
    let real = backend();
    let vm = created(&real, &small_spec(&lab.name("deaf")));
    let pid = block_on(real.start_vm(&vm)).unwrap().pid;
    // A virsh that tells its URI and nothing else.
    let fake = crate::fake::Fake::script(&format!(
        "case \"$*\" in *uri) echo {SYSTEM} ;; *) exec sleep 600 ;; esac"
    ));
    let connection = Connection::with_virsh(fake.path(), Some(SYSTEM.to_owned())).unwrap();
    let deaf = LibvirtBackend::new(LibvirtConfig { connection, accelerators: Vec::new() });
    let start = std::time::Instant::now();
    let status = block_on(deaf.get_status(&vm)).unwrap();
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    assert_eq!((status.state, status.responsive, status.pid), (VmState::Running, false, pid));
    block_on(real.stop_vm(&vm, StopMethod::Kill)).unwrap();
    assert!(matches!(block_on(deaf.get_status(&vm)), Err(Error::Unresponsive { .. })));
}
