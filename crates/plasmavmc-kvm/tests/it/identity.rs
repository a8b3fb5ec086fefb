//! A VM is found again by what it is, and a stranger is never taken for it.

use std::fs;

use plasmavmc_host::process::{BootId, PidFile, Process};
use plasmavmc_hypervisor::{HypervisorBackend, Observe, StopMethod, block_on};
use plasmavmc_types::{EventKind, Explain, StopReason, VmId, VmState};
use rustix::process::Signal;

use crate::bench::{Bench, PATIENCE};
use castra_testkit::{Innocent, eventually};

#[test]
fn a_reused_pid_is_stopped_and_never_signalled() {
    let bench = Bench::new();
    let (vm, _) = bench.start("web");
    let pidfile = bench.layout().pid_file(&vm.name);
    let whole = PidFile::read(&pidfile).expect("a whole pidfile");
    block_on(bench.backend.stop_vm(&vm, StopMethod::Kill)).unwrap();
    let process = Process::open(whole.identity).unwrap();
    eventually("the end of QEMU", || {
        process.as_ref().is_none_or(|process| process.exits_within(std::time::Duration::ZERO).unwrap())
    });
    let mut innocent = Innocent::start();
    let stranger = Process::of_pid(innocent.pid()).unwrap().unwrap().identity();
    // Every degree of likeness: the pid alone, the pid of another boot, and an identity that is right
    // in all but the command line.
    let mut other_boot = stranger;
    other_boot.boot_id = BootId::from_uuid(uuid::Uuid::nil());
    let mut pid_only = whole.identity;
    pid_only.pid = stranger.pid;
    for identity in [pid_only, other_boot, stranger] {
        PidFile { identity, token: whole.token }.write(&pidfile).unwrap();
        assert_eq!(bench.status(&vm).state, VmState::Stopped);
        for method in [StopMethod::Powerdown, StopMethod::Terminate, StopMethod::Kill] {
            block_on(bench.backend.stop_vm(&vm, method)).unwrap();
        }
        assert!(innocent.lives(), "a stranger was signalled");
        assert!(!pidfile.exists(), "a writing command clears it away");
    }
}

#[test]
fn an_unreadable_record_hides_no_other_vm_and_keeps_its_own_from_no_end() {
    let bench = Bench::new();
    let (vm, started) = bench.start("web");
    let (other, _) = bench.start("other");
    fs::write(bench.layout().vm_record(&vm.name), "{").unwrap();
    let listed = block_on(bench.backend.list_vms()).unwrap();
    let names: Vec<_> = listed.iter().map(|vm| vm.name.as_str()).collect();
    assert_eq!(names, ["other", "web"]);
    assert_eq!((listed[0].id, listed[1].id), (other.id, VmId::UNREADABLE));
    assert_eq!((bench.status(&vm).state, bench.status(&vm).pid), (VmState::Running, started.pid));
    block_on(bench.backend.stop_vm(&vm, StopMethod::Terminate)).unwrap();
    let reason = block_on(bench.backend.wait_stopped(&vm, PATIENCE)).unwrap();
    assert_eq!(reason, Some(StopReason::Terminated));
    let error = block_on(bench.backend.get_spec(&vm)).unwrap_err();
    assert_eq!(error.to_string(), "VM `web`: could not read its record");
    assert!(error.hints().iter().any(|hint| hint.contains("mv ")), "{:?}", error.hints());
    assert_eq!(bench.status(&other).state, VmState::Running);
}

#[test]
fn a_damaged_pidfile_hides_no_live_vm() {
    let bench = Bench::new();
    let (vm, started) = bench.start("web");
    let pidfile = bench.layout().pid_file(&vm.name);
    let good = fs::read(&pidfile).unwrap();
    for damage in [&b""[..], b"garbage", b"1\n", &good[..good.len() / 2]] {
        fs::write(&pidfile, damage).unwrap();
        let status = bench.status(&vm);
        assert_eq!((status.state, status.pid), (VmState::Running, started.pid), "{damage:?}");
        assert_eq!(fs::read(&pidfile).unwrap(), damage, "reading does not write");
    }
    fs::remove_file(&pidfile).unwrap();
    fs::create_dir(&pidfile).unwrap();
    assert_eq!(bench.status(&vm).pid, started.pid, "an unreadable pidfile");
    fs::remove_dir(&pidfile).unwrap();
    // A start takes the VM over and mends the pidfile.
    bench.events.taken();
    let status = block_on(bench.another().start_vm(&vm)).unwrap();
    assert_eq!(status.pid, started.pid);
    let pid = started.pid.unwrap();
    assert_eq!(bench.events.taken(), [EventKind::VmAdopted { pid }]);
    assert_eq!(fs::read(&pidfile).unwrap(), good);
}

#[test]
fn a_pidfile_of_a_live_vm_is_enough_when_its_record_is_lost() {
    let bench = Bench::new();
    let (vm, started) = bench.start("web");
    let record = bench.layout().vm_record(&vm.name);
    let good = fs::read(&record).unwrap();
    for damage in [&b""[..], b"{}"] {
        fs::write(&record, damage).unwrap();
        let status = bench.status(&vm);
        assert_eq!((status.state, status.pid), (VmState::Running, started.pid));
    }
    fs::remove_file(&record).unwrap();
    assert_eq!(bench.status(&vm).pid, started.pid);
    block_on(bench.backend.create_vm(&bench.spec("web"))).expect("a lost record can be written again");
    assert_eq!(bench.status(&vm).pid, started.pid);
    fs::write(&record, good).unwrap();
}

#[test]
fn a_qemu_that_was_killed_is_stopped_and_vanished() {
    let bench = Bench::new();
    let (vm, started) = bench.start("web");
    let process = Process::of_pid(started.pid.unwrap()).unwrap().unwrap();
    process.signal(Signal::KILL).unwrap();
    eventually("the end of QEMU", || bench.status(&vm).state == VmState::Stopped);
    let status = bench.status(&vm);
    assert_eq!(status.stop_reason, Some(StopReason::Vanished));
    assert!(bench.layout().pid_file(&vm.name).exists(), "reading cleared the pidfile away");
    // The end is written down by the next command that writes.
    assert_eq!(bench.wait_stopped(&vm), StopReason::Vanished);
    assert!(!bench.layout().pid_file(&vm.name).exists());
    assert!(!bench.layout().qmp_socket(&vm.name).exists());
    assert_eq!(bench.status(&vm).stop_reason, Some(StopReason::Vanished));
}

#[test]
fn a_status_leaves_no_trace() {
    let bench = Bench::new();
    let (vm, _) = bench.start("web");
    let before = tree(bench.layout().root());
    for _ in 0..3 {
        bench.status(&vm);
        block_on(bench.backend.list_vms()).unwrap();
        block_on(bench.backend.capabilities()).unwrap();
    }
    assert_eq!(tree(bench.layout().root()), before);
}

/// Every file of a workspace with its size and time of change.
fn tree(dir: &std::path::Path) -> Vec<(std::path::PathBuf, u64, std::time::SystemTime)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let (path, meta) = entry.map(|e| (e.path(), e.metadata().unwrap())).unwrap();
        if meta.is_dir() {
            found.extend(tree(&path));
        }
        found.push((path, meta.len(), meta.modified().unwrap()));
    }
    found.sort();
    found
}
