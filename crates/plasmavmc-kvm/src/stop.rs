//! Ending a VM, and writing down that it has ended.
//!
//! `stop` asks and returns; `wait` sees the end. Whoever of the writing half comes next settles a
//! run that is over: its reason goes into the record, then its pidfile and sockets go. A crash in
//! between leaves a pidfile of a dead process, which everyone reads as "stopped".
//! Tests: `tests/it/stop.rs`, the conformance suite.

use std::time::{Duration, Instant};

use plasmavmc_host::process::{PidFile, ProcessState};
use plasmavmc_host::{FileLock, LockError, failpoint, publish};
use plasmavmc_hypervisor::{Error, StopMethod};
use plasmavmc_types::{StopReason, VmName};
use rustix::process::Signal;

use crate::backend::KvmBackend;
use crate::fault;
use crate::locate::Live;
use crate::record::Record;

/// How long a look at the lock of a run that seems over waits for it: another command holds it for
/// a write or two.
const LOCK_BOUND: Duration = Duration::from_millis(500);

impl KvmBackend<'_> {
    /// Asks a VM to end in that way.
    pub(crate) fn stop(&self, vm: &VmName, method: StopMethod) -> Result<(), Error> {
        let (record, Some(live)) = self.find(vm)? else { return self.settle(vm).map(drop) };
        match method {
            StopMethod::Powerdown => self.powerdown(vm, &live),
            StopMethod::Terminate => self.terminate(vm, &live),
            StopMethod::Kill => self.kill(vm, record, &live),
        }
    }

    fn terminate(&self, vm: &VmName, live: &Live) -> Result<(), Error> {
        let signalled = fault::during(vm, "end its process");
        live.process.signal(Signal::TERM).map_err(&signalled)?;
        // A process that was stopped would keep the signal pending for ever.
        if live.process.state().is_ok_and(|state| state == ProcessState::Stopped) {
            live.process.signal(Signal::CONT).map_err(&signalled)?;
        }
        Ok(())
    }

    fn kill(&self, vm: &VmName, record: Option<Record>, live: &Live) -> Result<(), Error> {
        // Written first: nothing else would tell our SIGKILL from anyone's. A full disk must not
        // keep a VM alive, though.
        if let Some(mut record) = record
            && let Some(run) = record.run.as_mut().filter(|run| run.token == live.token && !run.killed)
        {
            run.killed = true;
            let _ = record.save(self.layout());
            failpoint::hit("stop.kill-recorded");
        }
        live.process.signal(Signal::KILL).map_err(fault::during(vm, "end its process"))
    }

    /// Waits until a VM has ended, at most `timeout`, and settles its run.
    pub(crate) fn wait(&self, vm: &VmName, timeout: Duration) -> Result<Option<StopReason>, Error> {
        let end = Instant::now().checked_add(timeout);
        loop {
            let left = end.map_or(timeout, |end| end.saturating_duration_since(Instant::now()));
            let live = match self.find(vm) {
                Ok((_, Some(live))) => live,
                Ok((_, None)) => match self.settle(vm)? {
                    None if !left.is_zero() => continue,
                    reason => return Ok(reason),
                },
                // A pidfile whose process is gone tells the end, whatever became of the record.
                Err(_) if PidFile::read(&self.layout().pid_file(vm)).is_some() => {
                    return self.stop_reason(vm, None).map(|it| Some(it.unwrap_or(StopReason::Requested)));
                }
                Err(error) => return Err(error),
            };
            let ended = live.process.exits_within(left).map_err(fault::during(vm, "wait for its process"))?;
            if !ended {
                return Ok(None);
            }
        }
    }

    /// Writes down the end of a run whose process is gone, and returns its reason. None where
    /// somebody holds the live lock: it is not over, or the VM is being started anew.
    ///
    /// Where the disk is full, the VM has stopped all the same: the evidence stays and is read again.
    pub(crate) fn settle(&self, vm: &VmName) -> Result<Option<StopReason>, Error> {
        let mut record = self.record(vm)?;
        if record.run.is_some() || self.has_leftovers(vm) {
            match FileLock::acquire(&self.layout().live_lock(vm), LOCK_BOUND) {
                Ok(lock) => {
                    record = self.record(vm)?;
                    if self.locate(vm, Some(&record))?.is_some() {
                        return Ok(None);
                    }
                    let mut settled = record.clone();
                    if self.settle_locked(&mut settled, &lock).is_ok() {
                        record = settled;
                    }
                }
                Err(LockError::Busy { .. }) => return Ok(None),
                Err(LockError::Host { .. }) => {}
            }
        }
        let reason = self.stop_reason(vm, Some(&record))?;
        // A VM that never ran is as stopped as one that was asked to be.
        Ok(Some(reason.unwrap_or(StopReason::Requested)))
    }

    /// Writes down the end of a run, under the VM's lock.
    pub(crate) fn settle_locked(&self, record: &mut Record, _lock: &FileLock) -> Result<(), Error> {
        let vm = record.spec.name.clone();
        if record.run.is_some() {
            record.last_stop = self.stop_reason(&vm, Some(record))?;
            record.run = None;
            record.save(self.layout()).map_err(fault::during(&vm, "write its record"))?;
            failpoint::hit("stop.end-recorded");
        }
        self.remove_leftovers(&vm)
    }

    /// Removes the pidfile and the sockets of a run that is over.
    pub(crate) fn remove_leftovers(&self, vm: &VmName) -> Result<(), Error> {
        for file in self.layout().run_files(vm) {
            publish::remove(&file).map_err(fault::during(vm, "remove its pidfile and sockets"))?;
        }
        Ok(())
    }

    fn has_leftovers(&self, vm: &VmName) -> bool {
        self.layout().run_files(vm).iter().any(|file| file.symlink_metadata().is_ok())
    }
}
