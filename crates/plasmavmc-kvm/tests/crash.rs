//! The command dies at every named step of a launch and of an end, or finds the disk full: nothing
//! runs out of sight, and the next command succeeds.
//!
//! This program is its own victim: with [`WORKSPACE`] set it works there, and a failpoint in the
//! environment ends it half-way, or a limit on the size of files keeps it from writing. So it has a
//! `main` of its own.

use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, ExitCode};
use std::sync::Arc;
use std::time::Duration;

use plasmavmc_host::exec::Program;
use plasmavmc_host::process::{Process, find_by_argument};
use plasmavmc_host::{Layout, failpoint};
use plasmavmc_hypervisor::conformance::small_spec;
use plasmavmc_hypervisor::{Error, EventSink, HypervisorBackend, Observe, StopMethod, block_on};
use plasmavmc_kvm::{KvmBackend, KvmConfig};
use plasmavmc_types::{EventKind, StopReason, VmHandle, VmName, VmState};
use rustix::process::Signal;

/// Where the victim works.
const WORKSPACE: &str = "KVM_CRASH_WORKSPACE";

/// What the victim does there.
const TASK: &str = "KVM_CRASH_TASK";

/// How long an end may take.
const PATIENCE: Duration = Duration::from_secs(60);

struct Ignored;

impl EventSink for Ignored {
    fn emit(&self, _vm: Option<&VmName>, _kind: EventKind) {}
}

fn backend(root: &Path) -> KvmBackend<'static> {
    let qemu = Program::new("qemu-system-x86_64", "qemu-system-x86").find().expect("QEMU is installed");
    let config = KvmConfig { layout: Layout::new(root), qemu, accelerators: Vec::new() };
    KvmBackend::new(config, Arc::new(Ignored))
}

/// Does its task in that workspace; tells whether it succeeded.
fn victim(root: &Path, task: &str) -> ExitCode {
    let backend = backend(root);
    let vm = || block_on(backend.list_vms()).expect("list_vms").pop().expect("the VM is known");
    let done = match task {
        // Every step of a run.
        "run" => {
            let vm = block_on(backend.create_vm(&small_spec("web"))).expect("create_vm");
            block_on(backend.start_vm(&vm)).and_then(|_| kill(&backend, &vm))
        }
        "start" => block_on(backend.start_vm(&vm())).map(drop),
        _ => kill(&backend, &vm()),
    };
    if done.is_ok() { ExitCode::SUCCESS } else { ExitCode::from(FAILED) }
}

/// The status of a victim whose task failed; a panic's is 101.
const FAILED: u8 = 3;

fn kill(backend: &KvmBackend<'_>, vm: &VmHandle) -> Result<(), Error> {
    block_on(backend.stop_vm(vm, StopMethod::Kill))?;
    let reason = block_on(backend.wait_stopped(vm, PATIENCE))?;
    assert!(reason.is_some(), "it did not stop");
    Ok(())
}

fn main() -> ExitCode {
    if let Some(root) = std::env::var_os(WORKSPACE) {
        return victim(Path::new(&root), &std::env::var(TASK).unwrap_or_default());
    }
    let ours = |name: &&&str| name.starts_with("launch.") || name.starts_with("stop.");
    let failpoints: Vec<&&str> = failpoint::ALL.iter().filter(ours).collect();
    assert!(failpoints.len() >= 6, "{failpoints:?}");
    for name in failpoints {
        a_crash_loses_nothing(name);
    }
    a_full_disk_starts_nothing_and_keeps_nothing_alive();
    ExitCode::SUCCESS
}

/// A disk that is full, as far as the victim can tell: no file may have a byte more.
fn a_full_disk_starts_nothing_and_keeps_nothing_alive() {
    let dir = Workspace::new();
    let backend = backend(dir.path());
    let vm = block_on(backend.create_vm(&small_spec("web"))).expect("create_vm");
    let on_full_disk = |task: &str| {
        let script = "trap '' XFSZ; ulimit -f 0; exec \"$0\"";
        let program = std::env::current_exe().expect("this program");
        let mut command = Command::new("sh");
        command.args(["-c", script]).arg(program).env(WORKSPACE, dir.path()).env(TASK, task);
        command.status().expect("the victim runs").code()
    };
    assert_eq!(on_full_disk("start"), Some(FAILED.into()), "it started without a record of it");
    assert_eq!(dir.processes().len(), 0);
    block_on(backend.start_vm(&vm)).expect("the disk has room again");
    assert_eq!(on_full_disk("kill"), Some(0), "a full disk kept a VM alive");
    assert_eq!(dir.processes().len(), 0);
    // Nobody could write down that it was killed, so all that is known is that it is gone.
    let reason = block_on(backend.wait_stopped(&vm, PATIENCE)).expect("wait_stopped");
    assert_eq!(reason, Some(StopReason::Vanished));
}

fn a_crash_loses_nothing(name: &str) {
    let dir = Workspace::new();
    let program = std::env::current_exe().expect("this program");
    let mut victim = Command::new(program);
    victim.env(WORKSPACE, dir.path()).env(TASK, "run").env(failpoint::VARIABLE, name);
    let status = victim.status().expect("the victim runs");
    assert_eq!(status.signal(), Some(9), "{name} was not reached: {status}");
    let backend = backend(dir.path());
    let vm = block_on(backend.list_vms()).expect("list_vms").pop().expect("the VM is known");

    let seen = block_on(backend.get_status(&vm)).expect("get_status");
    let orphans = dir.processes().len();
    match name {
        "launch.intent-written" => {
            assert_eq!((seen.state, seen.stop_reason), (VmState::Stopped, None), "{name}");
            assert_eq!(orphans, 0, "{name}");
        }
        "stop.kill-recorded" | "launch.spawned" | "launch.pidfile-written" | "launch.running" => {
            assert!(seen.state.is_live() && seen.pid.is_some(), "{name}: {seen:?}");
            assert_eq!(orphans, 1, "{name}");
        }
        _ => {
            let expected = (VmState::Stopped, Some(StopReason::Killed));
            assert_eq!((seen.state, seen.stop_reason), expected, "{name}");
        }
    }

    let started = block_on(backend.start_vm(&vm)).expect("the next start succeeds");
    assert_eq!(started.state, VmState::Running, "{name}");
    assert!(seen.pid.is_none() || seen.pid == started.pid, "{name}: a second QEMU was started");
    assert_eq!(dir.processes().len(), 1, "{name}");
    end(&backend, &vm, &Layout::new(dir.path()));
    assert_eq!(dir.processes().len(), 0, "{name}");
}

fn end(backend: &KvmBackend<'_>, vm: &VmHandle, layout: &Layout) {
    block_on(backend.stop_vm(vm, StopMethod::Kill)).expect("stop_vm");
    let reason = block_on(backend.wait_stopped(vm, PATIENCE)).expect("wait_stopped");
    assert_eq!(reason, Some(StopReason::Killed));
    for file in layout.run_files(&vm.name) {
        assert!(!file.exists(), "{} was left behind", file.display());
    }
}

/// A workspace whose QEMUs end with it, also where a test fails.
struct Workspace(tempfile::TempDir);

impl Workspace {
    fn new() -> Self {
        Self(tempfile::Builder::new().prefix("kvm-crash-").tempdir().expect("a directory"))
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    /// The QEMUs that work in it.
    fn processes(&self) -> Vec<Process> {
        let directory = |process: &Process| std::fs::read_link(format!("/proc/{}/cwd", process.pid()));
        let ours = |process: &Process| directory(process).is_ok_and(|directory| directory == self.path());
        let all = find_by_argument("-nodefaults").expect("a list of processes");
        all.into_iter().filter(ours).collect()
    }
}

impl Drop for Workspace {
    fn drop(&mut self) {
        for process in self.processes() {
            let _ = process.signal(Signal::KILL);
        }
    }
}
