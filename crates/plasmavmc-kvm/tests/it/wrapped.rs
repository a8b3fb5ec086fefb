//! A QEMU that a script started and stayed with: the script's end is not the VM's.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use plasmavmc_host::FileLock;
use plasmavmc_host::process::{Process, find_by_prefix};
use plasmavmc_hypervisor::{Error, HypervisorBackend, StopMethod, block_on};
use plasmavmc_types::{StopReason, VmState};
use rustix::process::Signal;

use crate::bench::{Bench, PATIENCE, chain, qemu};
use castra_testkit::{eventually, throughout};

/// Long enough for a process to end, and for a look at a lock.
const MOMENT: Duration = Duration::from_secs(2);

/// A bench whose QEMU is a script of these lines, with `QEMU` for the real one. Ends with nothing
/// left of it, whatever a test found.
struct Wrapped(Bench);

impl Wrapped {
    fn new(script: &str) -> Self {
        let bench = Bench::with(|config| config.qemu = config.layout.root().join("qemu"));
        let path = bench.layout().root().join("qemu");
        let script = script.replace("QEMU", qemu().to_str().unwrap());
        // Asked for its version it is QEMU itself.
        let version = format!("case \"$1\" in -name) ;; *) exec {} \"$@\";; esac", qemu().display());
        fs::write(&path, format!("#!/bin/sh\n{version}\n{script}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).unwrap();
        Self(bench)
    }

    /// Every process of this bench's VMs, the oldest first.
    fn processes(&self) -> Vec<Process> {
        let root = self.0.layout().root().canonicalize().unwrap();
        let found = find_by_prefix("guest=castra/").unwrap().into_iter().map(|(process, _)| process);
        found.filter(|process| process.working_dir().as_ref() == Some(&root)).collect()
    }
}

impl Drop for Wrapped {
    fn drop(&mut self) {
        for process in self.processes() {
            let _ = process.signal(Signal::KILL);
            let _ = process.exits_within(PATIENCE);
        }
    }
}

#[test]
fn a_vm_is_not_stopped_while_its_qemu_outlives_the_script_that_started_it() {
    let wrapped = Wrapped::new("QEMU \"$@\"\nexit $?");
    let bench = &wrapped.0;
    let (vm, started) = bench.start("web");
    eventually("the script and QEMU", || wrapped.processes().len() == 2);
    block_on(bench.backend.stop_vm(&vm, StopMethod::Terminate)).unwrap();
    eventually("the end of the script", || wrapped.processes().len() == 1);
    let stopped = block_on(bench.backend.wait_stopped(&vm, MOMENT)).unwrap();
    assert_eq!(stopped, None, "QEMU goes on writing to its disk");
    let status = bench.status(&vm);
    assert_eq!((status.state, status.pid), (VmState::Running, Some(wrapped.processes()[0].pid())));
    assert_ne!(status.pid, started.pid);
    block_on(bench.backend.stop_vm(&vm, StopMethod::Terminate)).unwrap();
    assert_eq!(bench.wait_stopped(&vm), StopReason::Terminated);
    assert_eq!(wrapped.processes().len(), 0);
}

#[test]
fn a_vm_is_not_stopped_while_somebody_holds_its_live_lock() {
    let bench = Bench::new();
    let (vm, started) = bench.start("web");
    let process = Process::of_pid(started.pid.unwrap()).unwrap().unwrap();
    process.signal(Signal::KILL).unwrap();
    assert!(process.exits_within(PATIENCE).unwrap());
    // As a QEMU would that shows no command line any more, while the kernel takes its memory back.
    let lock = FileLock::acquire(&bench.layout().live_lock(&vm.name), PATIENCE).unwrap();
    assert_eq!(block_on(bench.backend.wait_stopped(&vm, Duration::from_millis(100))).unwrap(), None);
    let reason = std::thread::scope(|scope| {
        let waiting = scope.spawn(|| block_on(bench.backend.wait_stopped(&vm, PATIENCE)).unwrap());
        throughout(Duration::from_millis(100), "it waits", || !waiting.is_finished());
        drop(lock);
        waiting.join().unwrap()
    });
    assert_eq!(reason, Some(StopReason::Vanished));
}

#[test]
fn a_start_that_failed_leaves_no_qemu_behind_that_a_script_had_started() {
    // The script goes; what it leaves behind listens to nobody.
    let wrapped = Wrapped::new("(while :; do sleep 0.1; done) 3<&- &\nexit 1");
    let bench = &wrapped.0;
    let vm = bench.create(&bench.spec("web"));
    let error = block_on(bench.backend.start_vm(&vm)).unwrap_err();
    assert!(matches!(error, Error::Launch { .. }), "{}", chain(&error));
    assert_eq!(wrapped.processes().len(), 0);
    assert_eq!(bench.status(&vm).state, VmState::Stopped);
}
