//! One QEMU with one accelerator, from the intent on disk to a guest that runs.
//!
//! Where it fails, the process it started is gone and the record says that nothing runs. A QEMU that
//! does not even end keeps its record and its pidfile, so that the next command finds it.
//! Tests: below, `tests/it/launch.rs`, `tests/it/wrapped.rs`.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use plasmavmc_host::process::{BootId, Detached, Launched, PidFile, Process, find_by_argument};
use plasmavmc_host::socket::{self, Connected};
use plasmavmc_host::{FileLock, HostError, IoContext, Layout, exec, failpoint};
use plasmavmc_hypervisor::Error;
use plasmavmc_types::{Accelerator, EventKind, RunToken, VmName};
use rustix::process::Signal;

use super::files;
use crate::argv::{self, Machine};
use crate::backend::KvmBackend;
use crate::diagnose::{self, Fault, LaunchFault};
use crate::qmp::{Client, QmpError, QueryStatus, RunState};
use crate::record::{Record, Run};
use crate::{fault, log};

/// How long QEMU may take until the guest's processors run: 0.1 s on an idle host.
const ANSWER_BOUND: Duration = Duration::from_secs(30);

/// How long a QEMU with hardware acceleration is watched after the guest's processors were let run:
/// a processor that the kernel cannot run fails at its first instruction.
const PROBATION: Duration = Duration::from_millis(20);

/// How long a QEMU whose socket closed may take to end.
const END_BOUND: Duration = Duration::from_secs(5);

/// Why an attempt failed.
#[derive(Debug)]
pub(super) enum Failure {
    /// QEMU ended before the guest ran.
    Ended { fault: Fault, source: LaunchFault },
    /// Anything else.
    Error(Error),
    /// QEMU did not come so far, and would not end either.
    Lives(Error),
}

/// How far QEMU came.
#[derive(Debug)]
enum Outcome {
    Running,
    Ended,
    Silent,
}

impl KvmBackend<'_> {
    /// Launches QEMU with that accelerator and waits until the guest runs.
    pub(super) fn attempt(
        &self,
        record: &mut Record,
        accelerator: Accelerator,
        lock: &FileLock,
    ) -> Result<(), Failure> {
        let token = RunToken::generate();
        let vm = record.spec.name.clone();
        let command = self.prepare(record, accelerator, token, lock).map_err(Failure::Error)?;
        failpoint::hit("launch.intent-written");
        let result = match command.launch() {
            Ok(launched) => self.watch(record, accelerator, launched),
            Err(error) => Err(Failure::Error(spawn_error(&vm, error))),
        };
        if let Err(failure) = &result {
            self.forget(record, failure);
        }
        result
    }

    /// Forgets a run that failed, unless its process lives on: nothing else would tell of it.
    fn forget(&self, record: &mut Record, failure: &Failure) {
        if matches!(failure, Failure::Lives(_)) {
            return;
        }
        // Best effort: what is left here is read as "stopped" by everyone.
        record.run = None;
        let _ = record.save(self.layout());
        let _ = self.remove_leftovers(&record.spec.name);
    }

    /// Makes the files, writes down the intent, and returns the process to be launched.
    fn prepare(
        &self,
        record: &mut Record,
        accelerator: Accelerator,
        token: RunToken,
        lock: &FileLock,
    ) -> Result<Detached, Error> {
        let (layout, vm) = (self.layout(), record.spec.name.clone());
        files::check_disks(&record.spec)?;
        let prepare = fault::during(&vm, "prepare its files");
        let uefi = files::uefi(layout, &record.spec).map_err(&prepare)?;
        let log = files::prepare(layout, &vm).map_err(&prepare)?;
        let inherits = files::inherits(layout, &vm, lock).map_err(&prepare)?;
        let (serial_log, journal) = (layout.serial_log(&vm), layout.journal(&vm));
        let arguments = argv::build(&Machine {
            spec: &record.spec,
            machine: &record.machine,
            accelerator,
            token,
            uefi,
            serial_log: relative(layout, &serial_log),
            journal: relative(layout, &journal),
        });
        let launched_at = SystemTime::now().into();
        let shown = exec::shown(Command::new(&self.config.qemu).args(&arguments));
        let vm_log = layout.vm_log(&vm);
        log::begin(&log, token, launched_at, &shown).context("write", &vm_log).map_err(&prepare)?;
        let boot_id = BootId::current().map_err(&prepare)?;
        let console_start = fs::metadata(&serial_log).ok().map(|meta| meta.len());
        record.run = Some(Run { token, boot_id, accelerator, launched_at, killed: false, console_start });
        record.save(layout).map_err(fault::during(&vm, "write its record"))?;
        Ok(Detached {
            program: self.config.qemu.clone(),
            arguments: arguments.into_iter().map(Into::into).collect(),
            directory: layout.root().to_owned(),
            log,
            inherits,
        })
    }

    /// Writes the pidfile of a QEMU that was launched, and waits until the guest runs. A QEMU that
    /// does not come so far is ended.
    fn watch(
        &self,
        record: &Record,
        accelerator: Accelerator,
        mut launched: Launched,
    ) -> Result<(), Failure> {
        failpoint::hit("launch.spawned");
        let (layout, vm) = (self.layout(), &record.spec.name);
        let Some(run) = &record.run else { return Ok(()) };
        let pidfile = PidFile { identity: launched.process.identity(), token: run.token };
        let written = pidfile.write(&layout.pid_file(vm)).map_err(fault::during(vm, "write its pidfile"));
        failpoint::hit("launch.pidfile-written");
        let outcome = written.and_then(|()| answer(layout.root(), vm, accelerator, &launched));
        if matches!(outcome, Ok(Outcome::Running)) {
            failpoint::hit("launch.running");
            let (pid, log) = (launched.process.pid(), layout.vm_log(vm));
            self.sink.emit(Some(vm), EventKind::VmLaunched { pid, accelerator, log });
            self.keep(launched);
            return Ok(());
        }
        if !end(&launched.process, &argv::marker(vm, run.token)) {
            self.keep(launched);
            let what = "end after its start had failed";
            return Err(Failure::Lives(Error::Unresponsive { vm: vm.clone(), what, bound: END_BOUND }));
        }
        match outcome {
            Ok(Outcome::Running | Outcome::Ended) => {
                let status = launched.child.try_wait().ok().flatten();
                let said = log::since_launch(&layout.vm_log(vm), run.token);
                let fault = diagnose::diagnose(&record.spec, &said);
                let said = diagnose::last_words(&said);
                Err(Failure::Ended { fault, source: LaunchFault { accelerator, status, said } })
            }
            Ok(Outcome::Silent) => {
                let what = "start the guest";
                Err(Failure::Error(Error::Unresponsive { vm: vm.clone(), what, bound: ANSWER_BOUND }))
            }
            Err(error) => Err(Failure::Error(error)),
        }
    }

    /// Remembers a child, so that it is reaped.
    fn keep(&self, launched: Launched) {
        self.children.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(launched.child);
    }
}

/// A path under the workspace, relative to it: QEMU's options take no path with a `,`.
fn relative<'a>(layout: &Layout, path: &'a Path) -> &'a Path {
    path.strip_prefix(layout.root()).unwrap_or(path)
}

/// Waits until QEMU says that the guest runs, or ends.
fn answer(root: &Path, vm: &VmName, accelerator: Accelerator, launched: &Launched) -> Result<Outcome, Error> {
    let connected = socket::connect(root, &Layout::qmp_socket_name(vm));
    let stream = match connected.map_err(fault::during(vm, "connect to its control socket"))? {
        Connected::Stream(stream) => stream,
        // It listens from before its start, so a refusal is its end.
        Connected::Refused | Connected::Busy => return Ok(Outcome::Ended),
    };
    match converse(stream, accelerator) {
        Ok(outcome) => Ok(outcome),
        Err(QmpError::Closed { .. }) => Ok(Outcome::Ended),
        Err(QmpError::Timeout { .. }) => Ok(Outcome::Silent),
        Err(_) if launched.process.exits_within(END_BOUND).unwrap_or(false) => Ok(Outcome::Ended),
        Err(error) => Err(fault::during(vm, "talk to QEMU")(error)),
    }
}

fn converse(stream: std::os::unix::net::UnixStream, accelerator: Accelerator) -> Result<Outcome, QmpError> {
    let end = Instant::now() + ANSWER_BOUND;
    let left = || end.saturating_duration_since(Instant::now());
    let mut client = Client::start(stream, left())?;
    loop {
        match client.execute(&QueryStatus {}, left())?.status {
            RunState::Preconfig | RunState::Prelaunch => thread::sleep(Duration::from_millis(2)),
            RunState::InternalError => return Ok(Outcome::Ended),
            _ => break,
        }
    }
    if accelerator == Accelerator::Tcg {
        return Ok(Outcome::Running);
    }
    if client.closes_within(PROBATION)? {
        return Ok(Outcome::Ended);
    }
    match client.execute(&QueryStatus {}, left())?.status {
        RunState::InternalError => Ok(Outcome::Ended),
        _ => Ok(Outcome::Running),
    }
}

/// Ends a QEMU that was launched, and whatever else carries its marker: a script that stays may have
/// started it. Tells whether all of them are gone.
fn end(launched: &Process, marker: &str) -> bool {
    let gone = end_process(launched);
    let others = find_by_argument(marker).unwrap_or_default();
    others.iter().map(end_process).fold(gone, |all, gone| all && gone)
}

fn end_process(process: &Process) -> bool {
    let gone_within = |bound| process.exits_within(bound).unwrap_or(false);
    if gone_within(Duration::from_millis(200)) {
        return true;
    }
    [Signal::TERM, Signal::KILL].into_iter().any(|signal| {
        let _ = process.signal(signal);
        gone_within(END_BOUND)
    })
}

/// QEMU could not be run at all.
fn spawn_error(vm: &VmName, error: HostError) -> Error {
    match error {
        HostError::Spawn { program, source } if source.kind() == std::io::ErrorKind::NotFound => {
            let missing = HostError::MissingProgram { program, package: "qemu-system-x86" };
            fault::host("start a VM")(missing)
        }
        error => fault::during(vm, "run QEMU")(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use plasmavmc_hypervisor::conformance::small_spec;

    use super::super::tests::{backend, running};

    #[test]
    fn a_failed_start_forgets_its_run_unless_its_process_lives_on() {
        let dir = tempfile::tempdir().unwrap();
        let backend = backend(dir.path());
        let vm = small_spec("web").name;
        let refused = || Error::UnknownVm { vm: vm.clone() };
        for (failure, kept) in [(Failure::Lives(refused()), true), (Failure::Error(refused()), false)] {
            let mut record =
                running(&backend, Process::of_this_process().unwrap().identity(), RunToken::generate());
            let before = record.clone();
            backend.forget(&mut record, &failure);
            assert_eq!(record.run, before.run.filter(|_| kept));
            assert_eq!(Record::load(backend.layout(), &vm).unwrap().as_ref(), Some(&record));
            assert_eq!(backend.layout().pid_file(&vm).exists(), kept);
        }
    }

    #[test]
    fn a_process_that_ignores_sigterm_ends_all_the_same() {
        let script = "trap '' TERM; while :; do read x; done";
        let mut command = Command::new("sh");
        let mut child =
            command.args(["-c", script]).stdin(std::process::Stdio::piped()).spawn().expect("a shell");
        let process = Process::of_pid(child.id()).unwrap().unwrap();
        assert!(end(&process, "no such marker"));
        child.wait().unwrap();
    }
}
