//! Starting a VM: one QEMU, whoever else tries at the same time, and nothing lost at a crash.
//!
//! ```text
//! live lock ─► record with a new token ─► QEMU runs ─► pidfile ─► it answers ─► running
//!              found by: nothing ran      its command   pidfile, identity and command line
//!                                         line's token
//! ```
//!
//! The lock is inherited by QEMU and so held until it ends. Whoever finds it taken and no process
//! waits: someone is between the two. Where QEMU ends at launch with an accelerator that the spec
//! does not insist on, the next one is tried in the same call. Tests: `tests/it/launch.rs`.

mod attempt;
mod files;

use std::thread;
use std::time::{Duration, Instant};

use plasmavmc_host::process::PidFile;
use plasmavmc_host::{FileLock, LockError};
use plasmavmc_hypervisor::Error;
use plasmavmc_types::{Accelerator, EventKind, VmName, VmSpec, VmState, VmStatus};

use crate::backend::KvmBackend;
use crate::diagnose::Fault;
use crate::locate::{Found, Live};
use crate::record::Record;
use crate::{diagnose, fault};
use attempt::Failure;

/// How long a start waits for another start of the same VM, fallbacks included.
const OTHER_START_BOUND: Duration = Duration::from_secs(90);

/// Time between two looks at a start that someone else is in the middle of.
const POLL: Duration = Duration::from_millis(20);

impl KvmBackend<'_> {
    /// Starts a VM; one that lives is left alone.
    pub(crate) fn start(&self, vm: &VmName) -> Result<VmStatus, Error> {
        let deadline = Instant::now() + OTHER_START_BOUND;
        loop {
            let (record, live) = self.find(vm)?;
            if let Some(live) = live {
                if let Some(status) = self.join(vm, &live, deadline)? {
                    return Ok(status);
                }
            } else if let (Some(_), Some(lock)) = (record, self.try_lock(vm)?) {
                // Looked at again under the lock: someone may have started it and ended it.
                let mut record = self.record(vm)?;
                if self.locate(vm, Some(&record))?.is_none() {
                    self.settle_locked(&mut record, &lock)?;
                    return self.launch(record, &lock);
                }
            }
            if Instant::now() >= deadline {
                let path = self.layout().live_lock(vm);
                let waited_secs = OTHER_START_BOUND.as_secs();
                return Err(fault::lock(vm)(LockError::Busy { path, waited_secs }));
            }
            thread::sleep(POLL);
        }
    }

    fn try_lock(&self, vm: &VmName) -> Result<Option<FileLock>, Error> {
        FileLock::try_acquire(&self.layout().live_lock(vm)).map_err(fault::lock(vm))
    }

    /// Takes part in a start that someone else made: writes the pidfile its launcher did not live
    /// to write, and waits until the guest runs. None where it ended meanwhile.
    fn join(&self, vm: &VmName, live: &Live, deadline: Instant) -> Result<Option<VmStatus>, Error> {
        if live.found == Found::CommandLine {
            let pidfile = PidFile { identity: live.process.identity(), token: live.token };
            let path = self.layout().pid_file(vm);
            pidfile.write(&path).map_err(fault::during(vm, "write its pidfile"))?;
            self.sink.emit(Some(vm), EventKind::VmAdopted { pid: live.process.pid() });
        }
        loop {
            let status = self.status(vm)?;
            match status.state {
                VmState::Stopped => return Ok(None),
                VmState::Starting if Instant::now() < deadline => thread::sleep(POLL),
                VmState::Starting => {
                    let (what, bound) = ("start the guest", OTHER_START_BOUND);
                    return Err(Error::Unresponsive { vm: vm.clone(), what, bound });
                }
                _ => return Ok(Some(status)),
            }
        }
    }

    /// Tries one accelerator after the other.
    fn launch(&self, mut record: Record, lock: &FileLock) -> Result<VmStatus, Error> {
        let vm = record.spec.name.clone();
        let (mut accelerator, rest) = candidates(&record.spec, &self.config.accelerators);
        let mut rest = rest.into_iter();
        loop {
            let (fault, source) = match self.attempt(&mut record, accelerator, lock) {
                Ok(()) => return self.status(&vm),
                Err(Failure::Error(error) | Failure::Lives(error)) => return Err(error),
                Err(Failure::Ended { fault, source }) => (fault, source),
            };
            let Some(to) = rest.next().filter(|_| fault == Fault::Other) else {
                return Err(diagnose::error(&vm, fault, &self.layout().vm_log(&vm), source));
            };
            let reason = source.to_string();
            self.sink.emit(Some(&vm), EventKind::AcceleratorFellBack { from: accelerator, to, reason });
            accelerator = to;
        }
    }
}

/// The accelerator to try first, and those to fall back to: the one the spec insists on and none, or
/// those that work here in their order, TCG among them in any case.
fn candidates(spec: &VmSpec, proven: &[Accelerator]) -> (Accelerator, Vec<Accelerator>) {
    if let Some(required) = spec.accelerator.required() {
        return (required, Vec::new());
    }
    let missing = (!proven.contains(&Accelerator::Tcg)).then_some(Accelerator::Tcg);
    let mut all = proven.iter().copied().chain(missing);
    (all.next().unwrap_or(Accelerator::Tcg), all.collect())
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::process::{Command, Stdio};
    use std::sync::Arc;

    use super::*;
    use crate::argv;
    use crate::backend::KvmConfig;
    use crate::record::Run;
    use plasmavmc_host::Layout;
    use plasmavmc_host::process::{BootId, Process, ProcessIdentity};
    use plasmavmc_hypervisor::EventSink;
    use plasmavmc_hypervisor::conformance::small_spec;
    use plasmavmc_types::{AcceleratorChoice, RunToken, Timestamp};

    struct Ignored;

    impl EventSink for Ignored {
        fn emit(&self, _vm: Option<&VmName>, _kind: EventKind) {}
    }

    /// A backend on a workspace, without QEMU.
    pub(super) fn backend(root: &Path) -> KvmBackend<'static> {
        let config = KvmConfig {
            layout: Layout::new(root),
            qemu: "/nonexistent/qemu".into(),
            accelerators: Vec::new(),
        };
        KvmBackend::new(config, Arc::new(Ignored))
    }

    /// The record of a VM `web` that runs as that process, written with its pidfile.
    pub(super) fn running(backend: &KvmBackend<'_>, identity: ProcessIdentity, token: RunToken) -> Record {
        let mut record = Record::new(small_spec("web"), "pc-q35-10.0".to_owned());
        record.run = Some(Run {
            token,
            boot_id: BootId::current().unwrap(),
            accelerator: Accelerator::Tcg,
            launched_at: Timestamp::from_unix_millis(0),
            killed: false,
            console_start: None,
        });
        record.save(backend.layout()).unwrap();
        PidFile { identity, token }.write(&backend.layout().pid_file(&record.spec.name)).unwrap();
        record
    }

    #[test]
    fn a_vm_that_somebody_started_and_that_never_runs_is_no_success() {
        let dir = tempfile::tempdir().unwrap();
        let backend = backend(dir.path());
        let vm = small_spec("web").name;
        let token = RunToken::generate();
        let mut command = Command::new("sh");
        command.args(["-c", "read x", "sh", &argv::marker(&vm, token)]).stdin(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let process = Process::of_pid(child.id()).unwrap().unwrap();
        let live = Live { process, token, found: Found::Pidfile };
        running(&backend, live.process.identity(), token);
        let joined = backend.join(&vm, &live, Instant::now());
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(matches!(joined, Err(Error::Unresponsive { .. })), "{joined:?}");
        // Where it ended meanwhile, the caller starts it.
        assert_eq!(backend.join(&vm, &live, Instant::now()).unwrap(), None);
    }

    #[test]
    fn auto_keeps_the_proven_order_and_insistence_has_no_alternative() {
        use Accelerator as A;
        let candidates =
            |choice, proven: &[A]| candidates(&VmSpec { accelerator: choice, ..small_spec("web") }, proven);
        assert_eq!(candidates(AcceleratorChoice::Auto, &[]), (A::Tcg, vec![]));
        assert_eq!(candidates(AcceleratorChoice::Auto, &[A::Kvm]), (A::Kvm, vec![A::Tcg]));
        assert_eq!(candidates(AcceleratorChoice::Auto, &[A::Tcg, A::Kvm]), (A::Tcg, vec![A::Kvm]));
        assert_eq!(candidates(AcceleratorChoice::Kvm, &[A::Tcg]), (A::Kvm, vec![]));
        assert_eq!(candidates(AcceleratorChoice::Tcg, &[A::Kvm]), (A::Tcg, vec![]));
    }
}
