//! What libvirt reports of one VM: `virsh event`, read as it is written.
//!
//! What is reported between the subscription and the first look at it is kept by the pipe. The end of a VM is
//! not left to its report alone: the state is asked for too, for a report may be missed while the
//! subscription is being made. Tests: below; the conformance suite.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use plasmavmc_host::HostError;
use plasmavmc_host::exec::Dialogue;
use plasmavmc_hypervisor::{Error, VmEvent, VmEvents};
use plasmavmc_types::{StopReason, VmHandle, VmState};

use super::find::Found;
use super::record;
use super::{LibvirtBackend, fault};
use crate::virsh::{Connection, DomainState};

/// How often the state is asked for while nothing is reported.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// How long one read of the reports lasts at least: shorter ones would not read at all.
const READ_AT_LEAST: Duration = Duration::from_millis(1);

/// Most bytes of reports between two looks.
const REPORTS_MAX: usize = 4 << 20;

impl LibvirtBackend {
    pub(super) fn subscribe(&self, vm: &VmHandle) -> Result<Box<dyn VmEvents>, Error> {
        let found = self.find(vm)?;
        let state = found.vm_state();
        if !state.is_live() {
            return Err(Error::WrongState { vm: found.name, state, action: "watched" });
        }
        let watch = self.connection.reader().watch(found.id);
        let watch = watch.map_err(fault::during(&vm.name, "watch it"))?;
        let connection = self.connection.clone();
        let vm = found.handle();
        Ok(Box::new(Events {
            connection,
            vm,
            watch: Some(watch),
            queue: VecDeque::new(),
            looked: Instant::now(),
        }))
    }
}

/// A subscription.
struct Events {
    connection: Connection,
    vm: VmHandle,
    /// None once the VM has stopped.
    watch: Option<Dialogue>,
    queue: VecDeque<VmEvent>,
    /// When the state was last asked for.
    looked: Instant,
}

impl Events {
    /// Reads reports for at most `bound`.
    fn read(&mut self, bound: Duration) -> Result<(), Error> {
        let Some(watch) = &mut self.watch else { return Ok(()) };
        let bound = bound.max(READ_AT_LEAST);
        match watch.ask(&[], bound, REPORTS_MAX, &mut |output| output.ends_with(b"\n")) {
            Ok(reports) => {
                let reports = String::from_utf8_lossy(&reports);
                self.queue.extend(reports.lines().filter_map(event));
                Ok(())
            }
            Err(HostError::CommandTimedOut { .. }) => Ok(()),
            Err(_) => self.lost(),
        }
    }

    /// virsh ended: the daemon went, or it was killed.
    fn lost(&mut self) -> Result<(), Error> {
        self.look()?;
        if self.watch.is_none() {
            return Ok(());
        }
        Err(Error::Unresponsive { vm: self.vm.name.clone(), what: "report events", bound: LOOK_EVERY })
    }

    /// Asks for the state, and ends the subscription where the VM has stopped.
    fn look(&mut self) -> Result<(), Error> {
        self.looked = Instant::now();
        let seen = self.connection.reader().observe_one(self.vm.id);
        let seen = seen.map_err(fault::during(&self.vm.name, "watch it"))?;
        let reason = match seen {
            Some(domain) if domain.state != DomainState::ShutOff => return Ok(()),
            Some(domain) => {
                let record = record::read(&domain.inactive);
                let note = record.as_ref().and_then(|record| record.note.as_ref());
                Found::reason_of(&domain.reason, note)
            }
            None => None,
        };
        self.watch = None;
        self.queue.retain(|event| !matches!(event, VmEvent::Stopped(_)));
        self.queue.push_back(VmEvent::Stopped(reason.unwrap_or(StopReason::Vanished)));
        Ok(())
    }
}

#[async_trait]
impl VmEvents for Events {
    async fn next(&mut self, timeout: Duration) -> Result<Option<VmEvent>, Error> {
        let end = Instant::now() + timeout.min(Duration::from_secs(u64::from(u32::MAX)));
        loop {
            match self.queue.pop_front() {
                // Its reason is libvirt's to tell.
                Some(VmEvent::Stopped(_)) if self.watch.is_some() => self.look()?,
                Some(event) => return Ok(Some(event)),
                None if self.watch.is_none() => return Ok(None),
                None => {}
            }
            let left = end.saturating_duration_since(Instant::now());
            let until_look = LOOK_EVERY.saturating_sub(self.looked.elapsed());
            self.read(left.min(until_look))?;
            if self.looked.elapsed() >= LOOK_EVERY {
                self.look()?;
            }
            if self.queue.is_empty() && Instant::now() >= end {
                return Ok(None);
            }
        }
    }
}

/// What a line of `virsh event` reports: `event 'lifecycle' for domain 'web': Suspended Paused`.
fn event(line: &str) -> Option<VmEvent> {
    let (_, rest) = line.split_once("event '")?;
    let (kind, rest) = rest.split_once("' for domain '")?;
    // A name holds no line break, and may hold a quote.
    let detail = rest.rsplit_once("': ").map_or("", |(_, detail)| detail);
    match kind {
        "lifecycle" => lifecycle(detail),
        "reboot" => Some(VmEvent::Reset),
        "io-error-reason" => Some(VmEvent::BlockError {
            device: between(detail, " (", ") ").unwrap_or(detail).to_owned(),
            reason: detail.rsplit_once(" due to ").map_or("", |(_, reason)| reason).trim().to_owned(),
        }),
        _ => None,
    }
}

fn lifecycle(detail: &str) -> Option<VmEvent> {
    match detail.split_whitespace().next()? {
        "Resumed" => Some(VmEvent::State(VmState::Running)),
        "Suspended" | "PMSuspended" => Some(VmEvent::State(VmState::Paused)),
        "Shutdown" => Some(VmEvent::State(VmState::ShuttingDown)),
        "Crashed" => Some(VmEvent::GuestPanicked),
        "Stopped" => Some(VmEvent::Stopped(StopReason::Vanished)),
        _ => None,
    }
}

fn between<'t>(text: &'t str, start: &str, end: &str) -> Option<&'t str> {
    Some(text.split_once(start)?.1.split_once(end)?.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_are_read_as_libvirt_writes_them() {
        for (line, expected) in [
            ("event 'lifecycle' for domain 'web': Suspended Paused", Some(VmEvent::State(VmState::Paused))),
            ("event 'lifecycle' for domain 'web': Resumed Unpaused", Some(VmEvent::State(VmState::Running))),
            (
                "event 'lifecycle' for domain 'web': Shutdown Finished after host request",
                Some(VmEvent::State(VmState::ShuttingDown)),
            ),
            (
                "event 'lifecycle' for domain 'web': Stopped Destroyed",
                Some(VmEvent::Stopped(StopReason::Vanished)),
            ),
            ("event 'lifecycle' for domain 'web': Crashed Panicked", Some(VmEvent::GuestPanicked)),
            ("event 'lifecycle' for domain 'web': Started Booted", None),
            ("event 'reboot' for domain 'web'", Some(VmEvent::Reset)),
            (
                "event 'io-error-reason' for domain 'it's': /x.qcow2 (virtio-disk0) pause due to enospc",
                Some(VmEvent::BlockError { device: "virtio-disk0".to_owned(), reason: "enospc".to_owned() }),
            ),
            ("event 'metadata-change' for domain 'web': type element, uri x", None),
            ("events received: 3", None),
        ] {
            assert_eq!(event(line), expected, "{line}");
        }
    }
}
