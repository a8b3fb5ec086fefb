//! What keeps a VM from starting is named, and nothing is left behind.

use std::fs;
use std::net::TcpListener;

use plasmavmc_hypervisor::{Error, HypervisorBackend, block_on};
use plasmavmc_types::{
    ErrorKind, Explain, MacAddr, NetworkKind, NetworkSpec, PortForward, VmHandle, VmSpec, VmState,
};

use crate::bench::{Bench, chain, raw_disk};

fn with_forward(spec: VmSpec, forward: PortForward) -> VmSpec {
    let kind = NetworkKind::User { forwards: vec![forward] };
    let card = NetworkSpec { id: "net".parse().unwrap(), kind, mac: MacAddr::from_seed([1, 2, 3]) };
    VmSpec { networks: vec![card], ..spec }
}

/// Fails to start `vm` and checks that it is as if nobody had tried.
fn failure(bench: &Bench, vm: &VmHandle) -> Error {
    let error = block_on(bench.backend.start_vm(vm)).unwrap_err();
    let status = bench.status(vm);
    assert_eq!((status.state, status.stop_reason), (VmState::Stopped, None));
    let layout = bench.layout();
    for file in layout.run_files(&vm.name) {
        assert!(!file.exists(), "{} was left behind", file.display());
    }
    error
}

#[test]
fn a_taken_port_is_named_and_free_again_later() {
    let bench = Bench::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let forward = PortForward::tcp(taken.local_addr().unwrap().port().into(), 22).unwrap();
    let vm = bench.create(&with_forward(bench.spec("web"), forward.clone()));
    let error = failure(&bench, &vm);
    assert!(matches!(&error, Error::PortInUse { forward: named, .. } if *named == forward), "{error}");
    assert_eq!(error.kind(), ErrorKind::Conflict);
    drop(taken);
    block_on(bench.backend.start_vm(&vm)).expect("the port is free now");
}

#[test]
fn a_missing_disk_is_named() {
    let bench = Bench::new();
    let path = bench.path("missing, of course.img");
    let vm = bench.create(&VmSpec { disks: vec![raw_disk(path.clone())], ..bench.spec("web") });
    let error = failure(&bench, &vm);
    assert!(matches!(error, Error::Launch { .. }), "{error:?}");
    assert!(error.hints()[0].contains(path.to_str().unwrap()), "{:?}", error.hints());
    assert!(chain(&error).contains("No such file or directory"), "{}", chain(&error));
}

#[test]
fn a_disk_in_use_is_named_and_its_user_left_alone() {
    let bench = Bench::new();
    let (first, _) = bench.start("first");
    let disks = bench.spec("first").disks;
    let second = bench.create(&VmSpec { disks: disks.clone(), ..bench.spec("second") });
    let error = failure(&bench, &second);
    assert!(error.hints()[0].contains(disks[0].path.to_str().unwrap()), "{:?}", error.hints());
    assert!(error.hints()[0].starts_with("another process uses"), "{:?}", error.hints());
    assert_eq!(bench.status(&first).state, VmState::Running);
}

#[test]
fn a_disk_that_is_no_image_is_refused() {
    let bench = Bench::new();
    let path = bench.path("text.qcow2");
    fs::write(&path, "hello").unwrap();
    let disk = plasmavmc_types::DiskSpec { format: plasmavmc_types::DiskFormat::Qcow2, ..raw_disk(path) };
    let vm = bench.create(&VmSpec { disks: vec![disk], ..bench.spec("web") });
    assert!(chain(&failure(&bench, &vm)).contains("not in qcow2 format"));
}

#[test]
fn a_missing_qemu_names_its_package() {
    let bench = Bench::with(|config| config.qemu = "/nonexistent/qemu-system-x86_64".into());
    let error = block_on(bench.backend.create_vm(&bench.spec("web"))).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Preflight);
    assert_eq!(error.hints(), ["install it: `sudo apt-get install qemu-system-x86`"]);
}

#[test]
fn a_program_that_is_no_qemu_is_refused_in_time() {
    let bench = Bench::with(|config| config.qemu = "/bin/true".into());
    let error = block_on(bench.backend.create_vm(&bench.spec("web"))).unwrap_err();
    assert!(chain(&error).contains("`/bin/true` did not tell what it offers"), "{}", chain(&error));
}

#[test]
fn a_record_that_cannot_be_written_starts_nothing() {
    let bench = Bench::new();
    let vm = bench.create(&bench.spec("web"));
    // A directory in the place of the journal's: root would be let through any permission.
    let journals = bench.layout().journal(&vm.name).parent().unwrap().to_owned();
    fs::write(&journals, "in the way").unwrap();
    let error = failure(&bench, &vm);
    assert!(chain(&error).contains(journals.to_str().unwrap()), "{}", chain(&error));
    fs::remove_file(&journals).unwrap();
    block_on(bench.backend.start_vm(&vm)).expect("nothing is in the way now");
}
