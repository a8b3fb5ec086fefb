//! One turn of the broker: what is ready is read once, what came of it is dealt with, what is to be
//! written is.

use std::collections::{BTreeMap, BTreeSet};

use castra_agent_proto::message::{BusMessage, BusSide, Outcome, Publication};
use plasmavmc_types::{EventKind, HandshakeOutcome, VmName};
use rustix::event::PollFlags;

use super::ledger;
use super::link::{Aged, Link, Who};
use super::peer::{Heard, Peer};
use super::{Broker, CLIENTS_MAX, Token, Vms, is_ours, is_passing};
use crate::bus;
use crate::clock::boot_ms;
use crate::qga::QgaEvent;
use crate::record::AgentKind;
use crate::session::{Loss, SessionEvent};
use crate::switch::{ClientId, FromGuest, Paid};

impl<V: Vms> Broker<V> {
    /// Deals with what is ready.
    pub(super) fn turn(&mut self, ready: &[(Token, PollFlags)]) {
        let now = boot_ms();
        for (token, flags) in ready {
            match token {
                Token::Listener => self.accept(now),
                Token::Watch => {
                    for (vm, news) in self.vms.news() {
                        if let Some(link) = self.links.get_mut(&vm) {
                            link.port(news, now);
                        }
                    }
                }
                Token::Ended(vm) => self.ended(vm, now),
                Token::Guest(vm) => {
                    let readable = flags.intersects(PollFlags::IN | PollFlags::HUP | PollFlags::ERR);
                    if let Some(link) = self.links.get_mut(vm).filter(|_| readable) {
                        link.read(&mut self.buffer, now);
                    }
                }
                Token::Lesser(vm) => {
                    let readable = flags.intersects(PollFlags::IN | PollFlags::HUP | PollFlags::ERR);
                    if let Some(link) = self.links.get_mut(vm).filter(|_| readable) {
                        link.read_lesser(&mut self.buffer, now);
                    }
                }
                Token::Client(client) => {
                    let readable = flags.intersects(PollFlags::IN | PollFlags::HUP | PollFlags::ERR);
                    if readable && self.hear(*client, now) == Heard::Gone {
                        self.close(*client);
                    }
                }
            }
        }
    }

    /// Does what is due, deals with all that came, and writes.
    pub(super) fn tick(&mut self, now: u64) {
        for link in self.links.values_mut() {
            link.tick(&self.ledger, now);
        }
        let vms: Vec<VmName> = self.links.keys().cloned().collect();
        for vm in &vms {
            self.deal(vm, now);
        }
        for link in self.links.values_mut() {
            link.pump();
            link.save(&self.ledger, self.bus.drops(&link.vm), now);
        }
        let mut over: BTreeSet<ClientId> = BTreeSet::new();
        for (client, peer) in &mut self.peers {
            if peer.flush().is_err() || peer.is_over(now) {
                over.insert(*client);
            }
        }
        for client in over {
            self.close(client);
        }
        for vm in &vms {
            if let Some(link) = self.links.get_mut(vm) {
                link.pump();
            }
        }
    }

    fn accept(&mut self, now: u64) {
        loop {
            match self.listener.accept() {
                Ok((stream, _)) => {
                    if !is_ours(&stream) || stream.set_nonblocking(true).is_err() {
                        continue;
                    }
                    let mut peer = Peer::new(stream, now);
                    if self.peers.len() >= CLIENTS_MAX {
                        use castra_agent_proto::message::RefusedCode::Busy;
                        peer.refuse(Busy, format!("{CLIENTS_MAX} commands speak to the broker already"), now);
                        let _ = peer.flush();
                        continue;
                    }
                    self.last_client += 1;
                    self.peers.insert(ClientId(self.last_client), peer);
                }
                Err(error) if is_passing(&error) => {}
                Err(_) => return,
            }
        }
    }

    /// Forgets a client, and cancels what it had begun.
    pub(super) fn close(&mut self, client: ClientId) {
        self.peers.remove(&client);
        for link in self.links.values_mut() {
            for cancel in link.switch.client_gone(client) {
                link.send(&cancel);
            }
        }
    }

    /// Looks which VMs there are.
    pub(super) fn rescan(&mut self, now: u64) {
        self.scanned_at = now;
        for live in self.vms.live() {
            let known = self.links.get(&live.vm).map(|link| link.run);
            if known == Some(live.run) {
                continue;
            }
            let vm = live.vm.clone();
            if known.is_some() {
                self.ended(&vm, now);
            }
            self.links.insert(vm, Link::new(live, &self.ledger, self.config.window_ms, now));
        }
        let is_over = |link: &Link| link.process.exits_within(std::time::Duration::ZERO).unwrap_or(false);
        let over: Vec<VmName> =
            self.links.iter().filter(|(_, link)| is_over(link)).map(|(vm, _)| vm.clone()).collect();
        for vm in over {
            self.ended(&vm, now);
        }
    }

    /// A VM's process has ended.
    pub(super) fn ended(&mut self, vm: &VmName, now: u64) {
        let Some(mut link) = self.links.remove(vm) else { return };
        for (client, frame) in link.switch.guest_gone("the VM stopped") {
            self.answer(client, &frame);
        }
        self.lesser_gone(vm);
        self.ledger.log.line(ledger::now(), format_args!("gone vm={vm}"));
        self.vms.stopped(vm);
        self.alone_since = now;
    }

    /// Deals with what a guest said.
    fn deal(&mut self, vm: &VmName, now: u64) {
        while let Some(event) = self.links.get_mut(vm).and_then(|link| link.session.next_event()) {
            match event {
                SessionEvent::Published(publication) => self.publish(vm, BusSide::Guest, publication, now),
                event => self.deal_with(vm, event, now),
            }
        }
        let lesser = |links: &mut BTreeMap<VmName, Link>| {
            links.get_mut(vm).and_then(|link| link.lesser.as_mut()?.qga.next_event())
        };
        while let Some(event) = lesser(&mut self.links) {
            self.deal_with_lesser(vm, event, now);
        }
        // Wherever it went: with its socket, or because Castra's agent is there.
        if self.links.get(vm).is_some_and(|link| link.lesser.is_none()) {
            self.lesser_gone(vm);
        }
        let Some(link) = self.links.get_mut(vm) else { return };
        match link.aged(self.config.window_ms, now) {
            Aged::Same => {}
            Aged::Lost { age_ms, reason } => {
                let line = format_args!("lost vm={vm} age_ms={age_ms} reason=\"{reason}\"");
                self.ledger.log.line(ledger::now(), line);
                self.vms.tell(Some(vm), EventKind::GuestLost { age_ms, reason: reason.to_owned() });
            }
            Aged::Back => {
                self.ledger.log.line(ledger::now(), format_args!("back vm={vm}"));
                self.vms.tell(Some(vm), EventKind::GuestReturned);
            }
        }
    }

    fn deal_with(&mut self, vm: &VmName, event: SessionEvent, now: u64) {
        let Some(link) = self.links.get_mut(vm) else { return };
        match event {
            SessionEvent::Accepted(reply) => {
                let who = Who {
                    agent: AgentKind::Castra,
                    version: &reply.agent,
                    boot_id: &reply.boot_id,
                    capabilities: &reply.capabilities,
                    uptime_ms: reply.uptime_ms,
                    agent_started_ms: reply.agent_started_ms,
                };
                self.accepted(vm, who, now);
            }
            SessionEvent::Declined { reason } => {
                link.declined(&reason, &self.ledger, now);
                let outcome = Outcome::Declined { reason: reason.clone() };
                self.ledger.log.handshake(ledger::now(), vm, &[], &outcome);
                let outcome = HandshakeOutcome::Declined;
                let kind =
                    EventKind::GuestHandshake { capabilities: Vec::new(), outcome, reason: Some(reason) };
                self.vms.tell(Some(vm), kind);
            }
            SessionEvent::Alive { at_ms } => {
                link.note(|record| record.last_seen_ms = record.last_seen_ms.max(at_ms));
            }
            SessionEvent::Lost(loss) => {
                link.note(|record| record.lost = true);
                link.loss = Some(loss);
                for (client, frame) in link.switch.guest_gone(loss.as_str()) {
                    self.answer(client, &frame);
                }
            }
            // Only the first word counts: a guest cannot make the record be written again and again.
            SessionEvent::Stage { stage, uptime_ms } => {
                if link.record().is_some_and(|record| !record.stages.contains_key(&stage)) {
                    link.note(|record| {
                        record.stages.insert(stage, uptime_ms);
                    });
                }
            }
            // Written with the next keepalive.
            SessionEvent::Dropped { messages } => link.dropped_by_guest = messages,
            SessionEvent::Stream(frame) => self.pass_to_client(vm, frame, now),
            SessionEvent::Published(_) => {}
        }
    }

    /// Notes, logs and tells that a guest was accepted.
    fn accepted(&mut self, vm: &VmName, who: Who<'_>, now: u64) {
        let Some(link) = self.links.get_mut(vm) else { return };
        let at = ledger::now();
        let is_first = link.accepted(who, &self.ledger, now);
        self.ledger.log.handshake(at, vm, who.capabilities, &Outcome::Ok);
        if is_first {
            self.ledger.log.line(at, format_args!("hello from vm:{vm}"));
        }
        let (capabilities, outcome) = (who.capabilities.to_vec(), HandshakeOutcome::Ok);
        self.vms.tell(Some(vm), EventKind::GuestHandshake { capabilities, outcome, reason: None });
    }

    /// Deals with what a guest's `qemu-guest-agent` said.
    fn deal_with_lesser(&mut self, vm: &VmName, event: QgaEvent, now: u64) {
        let Some(link) = self.links.get_mut(vm) else { return };
        match event {
            QgaEvent::Accepted { version, capabilities } => {
                let (agent, version, boot_id) = (AgentKind::Qga, &*version, "");
                self.accepted(
                    vm,
                    Who {
                        agent,
                        version,
                        boot_id,
                        capabilities: &capabilities,
                        uptime_ms: 0,
                        agent_started_ms: 0,
                    },
                    now,
                );
            }
            QgaEvent::Alive { at_ms } => {
                link.note(|record| record.last_seen_ms = record.last_seen_ms.max(at_ms));
            }
            QgaEvent::Lost => {
                link.loss = Some(Loss::Silence);
                link.note(|record| record.lost = true);
                self.lesser_gone(vm);
            }
            QgaEvent::Answered { ticket, refusal } => self.lesser_done(ticket, refusal),
        }
    }

    /// Hands a frame of a stream to its client.
    fn pass_to_client(&mut self, vm: &VmName, frame: castra_agent_proto::Frame, now: u64) {
        let Some(link) = self.links.get_mut(vm) else { return };
        let size = frame.payload.len() as u64;
        match link.switch.from_guest(frame) {
            FromGuest::ToClient { client, frame, paid } => {
                if paid == Paid::No {
                    link.said(1, size, now);
                }
                self.answer(client, &frame);
            }
            FromGuest::Overrun { client, outcome, cancel } => {
                link.said(1, size, now);
                link.send(&cancel);
                self.ledger.log.line(ledger::now(), format_args!("overrun vm={vm}"));
                self.answer(client, &outcome);
            }
            FromGuest::Stray => link.said(1, size, now),
        }
    }

    /// Puts a message on the bus.
    pub(super) fn publish(&mut self, vm: &VmName, from: BusSide, publication: Publication, now: u64) {
        if let Some(message) = self.bus.publish(vm, from, publication, ledger::now(), now) {
            self.spread(vm, &message, now);
        }
    }

    fn spread(&mut self, vm: &VmName, message: &BusMessage, now: u64) {
        let mut frame = None;
        for peer in self.peers.values_mut() {
            if !matches!(&peer.role, super::peer::Role::Tail(filter) if filter.wants(message)) {
                continue;
            }
            let frame = frame.get_or_insert_with(|| bus::frame(message));
            if peer.tell(frame).is_err() {
                self.bus.dropped(vm, now);
            }
        }
    }
}
