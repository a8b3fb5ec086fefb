//! One live VM: its socket, its session, its streams, and what is written down of it.
//!
//! ```text
//!  socket ─read─► meter ─► session ─► events ─► record, streams, bus      (by the broker)
//!         ◄─write── outgoing ◄─ session ◄─ frames of clients
//! ```
//!
//! A guest that says too much is not read for a while; nothing of another VM waits for it. Tests:
//! `broker/tests`.

use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;

use castra_agent_proto::message::Outcome;
use castra_agent_proto::{Frame, frame};
use plasmavmc_host::Layout;
use plasmavmc_host::process::Process;
use plasmavmc_host::socket::{self, Connected};
use plasmavmc_types::{RunToken, VmName};

use super::ledger::Ledger;
use super::lesser::Lesser;
use super::{LiveVm, PortNews};
use crate::meter::Meter;
use crate::outgoing::Outgoing;
use crate::record::{AgentKind, SessionRecord};
use crate::session::{Load, Loss, Session};
use crate::switch::Switch;

/// Bytes that wait for a guest above which its clients are not read.
pub(super) const HIGH_WATER: usize = 256 * 1024;
/// Time without Castra's agent after which another is looked for.
const LESSER_AFTER_MS: u64 = 10_000;
/// Time between two attempts to connect to a VM's socket.
const RECONNECT_MS: u64 = 2_000;

/// Why a guest is shown as declined that floods before any handshake.
const STRANGER: &str = "it floods the port, and no agent has answered on it";
/// Why a guest whose session goes on counts as lost.
const SILENT: &str = "the guest's agent has not answered within the freshness window";

/// A live VM.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) vm: VmName,
    pub(super) run: RunToken,
    pub(super) process: Process,
    pub(super) session: Session,
    pub(super) switch: Switch,
    meter: Meter,
    stream: Option<UnixStream>,
    connect_at: u64,
    out: Outgoing,
    record: Option<SessionRecord>,
    /// Messages the agent itself dropped.
    pub(super) dropped_by_guest: u64,
    is_dirty: bool,
    pub(super) lesser: Option<Lesser>,
    /// When a guest without Castra's agent is looked at for another.
    lesser_at: u64,
    /// Why the last session ended.
    pub(super) loss: Option<Loss>,
    /// Whether it was told that the guest is lost.
    is_told_lost: bool,
}

/// Who was accepted.
#[derive(Debug, Clone, Copy)]
pub(super) struct Who<'a> {
    pub(super) agent: AgentKind,
    pub(super) version: &'a str,
    /// Empty where it is not told.
    pub(super) boot_id: &'a str,
    pub(super) capabilities: &'a [String],
    /// Milliseconds from its kernel's start to now and to its agent's start, by its own clock; 0 where it
    /// does not tell.
    pub(super) uptime_ms: u64,
    pub(super) agent_started_ms: u64,
}

/// What the age of a guest's last answer means for those who watch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Aged {
    /// Nothing new.
    Same,
    /// It is too old since just now.
    Lost {
        /// The age of its last answer.
        age_ms: u64,
        /// Why.
        reason: &'static str,
    },
    /// It is young again, without a new handshake.
    Back,
}

impl Link {
    /// A VM that was just found.
    pub(super) fn new(live: LiveVm, ledger: &Ledger, window_ms: u64, now: u64) -> Self {
        let LiveVm { vm, run, process } = live;
        let record = SessionRecord::read(ledger.layout(), &vm).filter(|record| record.run == run);
        let session = Session::new(vm.clone(), draw, now);
        let mut link = Self {
            vm,
            run,
            process,
            session,
            switch: Switch::default(),
            meter: Meter::new(now),
            stream: None,
            connect_at: now,
            out: Outgoing::default(),
            record,
            dropped_by_guest: 0,
            is_dirty: false,
            lesser: None,
            lesser_at: now + LESSER_AFTER_MS,
            loss: None,
            is_told_lost: true,
        };
        // What the broker before left is no news.
        link.aged(window_ms, now);
        link.connect(ledger.layout(), now);
        link
    }

    fn connect(&mut self, layout: &Layout, now: u64) {
        self.connect_at = now + RECONNECT_MS;
        let connected = socket::connect(layout.root(), &Layout::agent_socket_name(&self.vm));
        // A VM of an older version has no such socket, and goes on without.
        if let Ok(Connected::Stream(stream)) = connected
            && stream.set_nonblocking(true).is_ok()
        {
            self.stream = Some(stream);
            self.pump();
        }
    }

    /// The socket, while it is connected.
    pub(super) fn stream(&self) -> Option<&UnixStream> {
        self.stream.as_ref()
    }

    /// Whether the guest may be read now.
    pub(super) fn is_readable(&self, now: u64) -> bool {
        self.meter.held_until(now).is_none()
    }

    /// Bytes that wait for the guest.
    pub(super) fn backlog(&self) -> usize {
        self.out.len()
    }

    /// When [`Self::tick`] wants to be called.
    pub(super) fn deadline(&self, now: u64) -> u64 {
        let due = self.session.deadline();
        let due = self.meter.held_until(now).map_or(due, |until| due.min(until));
        let due = match &self.lesser {
            Some(lesser) => due.min(lesser.qga.deadline()),
            None if self.session.is_on() => due,
            None => due.min(self.lesser_at.max(now)),
        };
        if self.stream.is_none() { due.min(self.connect_at) } else { due }
    }

    /// Reads once.
    pub(super) fn read(&mut self, buffer: &mut [u8], now: u64) {
        let Some(stream) = &mut self.stream else { return };
        match stream.read(buffer) {
            Ok(count) if count > 0 => {
                self.session.receive(&buffer[..count], now);
                self.count(now);
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
            // QEMU closed it: it ends, mostly, and its pidfd tells.
            _ => {
                self.stream = None;
                self.out = Outgoing::default();
                self.connect_at = now + RECONNECT_MS;
                self.session.port_closed(now);
            }
        }
    }

    /// Reads once from `qemu-guest-agent`.
    pub(super) fn read_lesser(&mut self, buffer: &mut [u8], now: u64) {
        let Some(lesser) = &mut self.lesser else { return };
        match lesser.read(buffer, now) {
            Some(bytes) => self.said(0, bytes, now),
            None => self.drop_lesser(now),
        }
    }

    fn drop_lesser(&mut self, now: u64) {
        self.lesser_at = now + LESSER_AFTER_MS;
        if self.lesser.take().is_some_and(|lesser| lesser.qga.is_on()) {
            self.note(|record| record.lost = true);
        }
    }

    fn tick_lesser(&mut self, layout: &Layout, now: u64) {
        let is_declined = self.record.as_ref().is_some_and(|record| record.outcome != Outcome::Ok);
        if self.session.is_on() || is_declined {
            self.lesser = None;
            self.lesser_at = now + LESSER_AFTER_MS;
        } else if let Some(lesser) = &mut self.lesser {
            lesser.tick(now);
        } else if self.lesser_at <= now {
            self.lesser_at = now + LESSER_AFTER_MS;
            self.lesser = Lesser::connect(layout, &self.vm, now);
        }
    }

    fn count(&mut self, now: u64) {
        let said = self.session.take_said();
        self.said(said.frames, said.bytes, now);
    }

    /// Counts what the guest said beside what it was granted.
    pub(super) fn said(&mut self, frames: u64, bytes: u64, now: u64) {
        self.meter.count(frames, bytes, now);
    }

    /// Sends a frame to the guest.
    pub(super) fn send(&mut self, frame: &Frame) {
        self.session.send(frame);
    }

    /// Takes news of the guest's end of the port.
    pub(super) fn port(&mut self, news: PortNews, now: u64) {
        match news {
            PortNews::Opened => self.session.port_opened(now),
            PortNews::Closed => self.session.port_closed(now),
        }
    }

    /// Does what is due.
    pub(super) fn tick(&mut self, ledger: &Ledger, now: u64) {
        let layout = ledger.layout();
        if self.stream.is_none() && self.connect_at <= now {
            self.connect(layout, now);
        }
        self.session.tick(now, Load { unsent: self.out.len(), streams: self.switch.len() });
        self.tick_lesser(layout, now);
        if self.record.is_none() && self.meter.is_flooded(now) {
            self.declined(STRANGER, ledger, now);
        }
        if let Some(record) = &self.record
            && record.flooded != self.meter.is_flooded(now)
        {
            self.is_dirty = true;
        }
    }

    /// Hands the session's output to the socket, as much as goes.
    pub(super) fn pump(&mut self) {
        if let Some(lesser) = &mut self.lesser {
            lesser.pump();
        }
        let (fills, output) = (self.session.take_filler(), self.session.take_output());
        let Some(stream) = &mut self.stream else { return };
        if fills && self.out.len() == 0 {
            // What does not go at once is dropped.
            let _ = stream.write(&frame::filler());
        }
        if !output.is_empty() {
            self.out.push(&output);
        }
        // An end that is gone is met when it is read.
        let _ = self.out.flush(stream);
    }

    /// What is written down; none before the first handshake of this run.
    pub(super) fn record(&self) -> Option<&SessionRecord> {
        self.record.as_ref()
    }

    /// Notes a handshake; tells whether it is the first good one of this run.
    pub(super) fn accepted(&mut self, who: Who<'_>, ledger: &Ledger, now: u64) -> bool {
        let record = self.fresh(ledger, Outcome::Ok, now);
        record.agent = who.agent;
        who.version.clone_into(&mut record.agent_version);
        who.boot_id.clone_into(&mut record.guest_boot_id);
        record.capabilities = who.capabilities.to_vec();
        record.guest_uptime_ms = who.uptime_ms;
        record.agent_started_ms = who.agent_started_ms;
        record.handshakes += 1;
        let is_first = record.handshakes == 1;
        self.is_told_lost = false;
        is_first
    }

    /// Notes a handshake that was declined.
    pub(super) fn declined(&mut self, reason: &str, ledger: &Ledger, now: u64) {
        self.fresh(ledger, Outcome::Declined { reason: reason.to_owned() }, now);
    }

    /// The record of a session that begins now.
    fn fresh(&mut self, ledger: &Ledger, outcome: Outcome, now: u64) -> &mut SessionRecord {
        let earlier = self.record.take();
        self.is_dirty = true;
        self.dropped_by_guest = 0;
        self.record.insert(SessionRecord {
            run: self.run,
            host_boot_id: ledger.boot_id(),
            broker: ledger.broker(),
            agent: AgentKind::Castra,
            agent_version: String::new(),
            guest_boot_id: String::new(),
            capabilities: Vec::new(),
            outcome,
            handshake_at_ms: now,
            guest_uptime_ms: 0,
            agent_started_ms: 0,
            last_seen_ms: earlier.as_ref().map_or(0, |earlier| earlier.last_seen_ms),
            lost: false,
            handshakes: earlier.as_ref().map_or(0, |earlier| earlier.handshakes),
            dropped: earlier.as_ref().map_or(0, |earlier| earlier.dropped),
            flooded: false,
            stages: std::collections::BTreeMap::new(),
        })
    }

    /// Changes the record, where there is one.
    pub(super) fn note(&mut self, change: impl FnOnce(&mut SessionRecord)) {
        if let Some(record) = &mut self.record {
            change(record);
            self.is_dirty = true;
        }
    }

    /// Whether the guest has become too old or young again since this was asked last.
    pub(super) fn aged(&mut self, window_ms: u64, now: u64) -> Aged {
        let Some(record) = self.record.as_ref().filter(|record| record.outcome == Outcome::Ok) else {
            return Aged::Same;
        };
        let age_ms = now.saturating_sub(record.last_seen_ms);
        let is_lost = record.lost || age_ms > window_ms;
        match (std::mem::replace(&mut self.is_told_lost, is_lost), is_lost) {
            (false, true) => {
                let reason = self.loss.take().filter(|_| record.lost).map_or(SILENT, Loss::as_str);
                Aged::Lost { age_ms, reason }
            }
            (true, false) => Aged::Back,
            _ => Aged::Same,
        }
    }

    /// Writes the record down where it changed.
    pub(super) fn save(&mut self, ledger: &Ledger, dropped: u64, now: u64) {
        if !std::mem::take(&mut self.is_dirty) {
            return;
        }
        let by_guest = self.dropped_by_guest;
        let flooded = self.meter.is_flooded(now);
        if let Some(record) = &mut self.record {
            record.dropped = dropped.saturating_add(by_guest);
            record.flooded = flooded;
            ledger.keep(&self.vm, record);
        }
    }
}

/// A text that no session had before.
fn draw() -> String {
    uuid::Uuid::new_v4().simple().to_string()
}
