//! What commands ask of the broker.

use castra_agent_proto::limits::capability;
use castra_agent_proto::message::{Attach, Attached, BusSide, Publication, RefusedCode, body, stream_frame};
use castra_agent_proto::request::{FailureCode, Outcome as StreamOutcome, Request};
use castra_agent_proto::{Frame, Kind};
use plasmavmc_types::VmName;

use super::link::HIGH_WATER;
use super::peer::{Heard, Role};
use super::{Broker, Lifetime, Vms};
use crate::bus::{self, Filter};
use crate::clock::boot_ms;
use crate::qga::Wish;
use crate::switch::{ClientId, FromClient, failed};

/// Time between two looks at the VMs for the sake of commands that name one that is not known.
const RESCAN_MS: u64 = 200;

impl<V: Vms> Broker<V> {
    /// Reads from a client and does what it asks.
    pub(super) fn hear(&mut self, client: ClientId, now: u64) -> Heard {
        let Some(peer) = self.peers.get_mut(&client) else { return Heard::Some };
        let heard = peer.read(&mut self.buffer);
        while let Some(peer) = self.peers.get_mut(&client) {
            let frame = match peer.next_frame() {
                Ok(Some(frame)) => frame,
                Ok(None) => return heard,
                Err(()) => return Heard::Gone,
            };
            let done = match &peer.role {
                Role::New { .. } => self.attach(client, &frame, now),
                Role::Streams(vm) => {
                    let vm = vm.clone();
                    self.pass_to_guest(client, &vm, frame)
                }
                Role::Publish(vm) => {
                    let vm = vm.clone();
                    self.publish_to(client, &vm, &frame, now);
                    Heard::Some
                }
                Role::Tail(_) | Role::Closing { .. } => Heard::Some,
            };
            if done == Heard::Gone {
                return Heard::Gone;
            }
        }
        Heard::Some
    }

    fn attach(&mut self, client: ClientId, frame: &Frame, now: u64) -> Heard {
        let Some(attach) = body::<Attach>(frame).filter(|_| frame.kind == Kind::Attach) else {
            return self.refuse(client, RefusedCode::Invalid, "this is no request", now);
        };
        match attach {
            Attach::Streams { vm } => match self.known(&vm, now) {
                Err((code, why)) => self.refuse(client, code, why, now),
                Ok(vm) => self.admit(client, Role::Streams(vm)),
            },
            Attach::Publish { vm } => match self.known(&vm, now) {
                Err((code, why)) => self.refuse(client, code, why, now),
                Ok(vm) if self.can(&vm, capability::BUS) => self.admit(client, Role::Publish(vm)),
                Ok(_) => self.refuse(client, RefusedCode::Unsupported, "the guest's agent knows no bus", now),
            },
            Attach::Tail { vm, topic, last, only_last } => {
                let filter = Filter { vm, topic };
                self.admit(client, Role::Tail(filter.clone()));
                self.tell_history(client, &filter, last, only_last.then_some(now))
            }
            Attach::Rescan { stay } => {
                self.rescan(now);
                if stay {
                    self.config.lifetime = Lifetime::UntilRetired;
                }
                // Whoever asks has VMs, or is about to.
                self.retired = false;
                self.alone_since = now;
                self.finish(client, now)
            }
            Attach::Retire => {
                self.rescan(now);
                self.retired = true;
                self.finish(client, now)
            }
        }
    }

    /// The VM of that name, where its guest can be spoken to.
    fn known(&mut self, name: &str, now: u64) -> Result<VmName, (RefusedCode, &'static str)> {
        let find = |broker: &Self| broker.links.keys().find(|vm| vm.as_str() == name).cloned();
        let found = find(self).or_else(|| {
            if now.saturating_sub(self.scanned_at) >= RESCAN_MS {
                self.rescan(now);
            }
            find(self)
        });
        let vm = found.ok_or((RefusedCode::UnknownVm, "no VM of that name runs"))?;
        let link = &self.links[&vm];
        if link.session.is_on() || link.lesser.as_ref().is_some_and(|lesser| lesser.qga.is_on()) {
            Ok(vm)
        } else {
            Err((RefusedCode::Unreachable, "the guest's agent is not there, or not yet"))
        }
    }

    fn can(&self, vm: &VmName, capability: &str) -> bool {
        let record = self.links.get(vm).and_then(|link| link.record());
        record.is_some_and(|record| record.capabilities.iter().any(|it| it == capability))
    }

    fn admit(&mut self, client: ClientId, role: Role) -> Heard {
        if let Some(peer) = self.peers.get_mut(&client) {
            peer.attach(role);
        }
        Heard::Some
    }

    /// Tells a listener what was before it came; where `only_last` says when that is all it wants, its
    /// connection ends with it.
    fn tell_history(
        &mut self,
        client: ClientId,
        filter: &Filter,
        last: usize,
        only_last: Option<u64>,
    ) -> Heard {
        let Some(peer) = self.peers.get_mut(&client) else { return Heard::Some };
        for message in self.bus.history(filter, last) {
            let _ = peer.send(&bus::frame(message));
        }
        if let Some(now) = only_last {
            peer.close(now);
        }
        Heard::Some
    }

    fn finish(&mut self, client: ClientId, now: u64) -> Heard {
        if let Some(peer) = self.peers.get_mut(&client) {
            peer.finish(&Attached::Ok, now);
        }
        Heard::Some
    }

    fn refuse(&mut self, client: ClientId, code: RefusedCode, why: &str, now: u64) -> Heard {
        if let Some(peer) = self.peers.get_mut(&client) {
            peer.refuse(code, why, now);
        }
        Heard::Some
    }

    /// Hands a frame of a stream to the guest.
    fn pass_to_guest(&mut self, client: ClientId, vm: &VmName, frame: Frame) -> Heard {
        let kind = frame.kind;
        let Some(link) = self.links.get_mut(vm).filter(|link| link.session.is_on()) else {
            if kind == Kind::Open {
                self.ask_lesser(client, vm, &frame);
            }
            return Heard::Some;
        };
        match link.switch.from_client(client, frame) {
            FromClient::ToGuest(frame) => link.send(&frame),
            FromClient::Answer(frame) => self.answer(client, &frame),
            FromClient::Nothing => {}
            FromClient::Broken => return Heard::Gone,
        }
        Heard::Some
    }

    /// Asks `qemu-guest-agent` for what was to be asked of Castra's agent, where it can that.
    fn ask_lesser(&mut self, client: ClientId, vm: &VmName, frame: &Frame) {
        if self.links.get(vm).is_none_or(|link| link.lesser.is_none()) {
            let message = "the guest's agent is not there".to_owned();
            return self.answer(client, &failed(frame.stream, FailureCode::Lost, message));
        }
        let (wish, capability) = match body::<Request>(frame) {
            Some(Request::Shutdown { mode }) => (Wish::Shutdown(mode), capability::SHUTDOWN),
            Some(Request::SetTime { unix_ns }) => (Wish::SetTime { unix_ns }, capability::TIME),
            _ => return self.answer(client, &unsupported(frame.stream)),
        };
        if !self.can(vm, capability) {
            return self.answer(client, &unsupported(frame.stream));
        }
        self.last_ticket += 1;
        let ticket = self.last_ticket;
        let lesser = self.links.get_mut(vm).and_then(|link| link.lesser.as_mut());
        match lesser.map(|lesser| lesser.qga.ask_for(ticket, wish, boot_ms())) {
            Some(true) => {
                self.wishes.insert(ticket, (vm.clone(), client, frame.stream));
            }
            Some(false) => {
                let message = "qemu-guest-agent is busy".to_owned();
                self.answer(client, &failed(frame.stream, FailureCode::Busy, message));
            }
            None => {
                let message = "the guest's agent is not there".to_owned();
                self.answer(client, &failed(frame.stream, FailureCode::Lost, message));
            }
        }
    }

    /// Answers who waits for `qemu-guest-agent`.
    pub(super) fn lesser_done(&mut self, ticket: u64, refusal: Option<String>) {
        let Some((_, client, stream)) = self.wishes.remove(&ticket) else { return };
        let frame = match refusal {
            None => stream_frame(Kind::Done, stream, &StreamOutcome::Ok),
            Some(message) => failed(stream, FailureCode::Io, message),
        };
        self.answer(client, &frame);
    }

    /// Answers all who wait for the `qemu-guest-agent` of a VM: it is gone.
    pub(super) fn lesser_gone(&mut self, vm: &VmName) {
        let gone: Vec<u64> =
            self.wishes.iter().filter(|(_, (of, ..))| of == vm).map(|(ticket, _)| *ticket).collect();
        for ticket in gone {
            let Some((_, client, stream)) = self.wishes.remove(&ticket) else { continue };
            let message = "qemu-guest-agent does not answer any more".to_owned();
            self.answer(client, &failed(stream, FailureCode::Lost, message));
        }
    }

    /// Sends a client what it waits for; one that has left too much unread goes, for it would wait for ever.
    pub(super) fn answer(&mut self, client: ClientId, frame: &Frame) {
        if self.peers.get_mut(&client).is_some_and(|peer| peer.send(frame).is_err()) {
            self.close(client);
        }
    }

    /// Publishes a command's message, and answers.
    fn publish_to(&mut self, client: ClientId, vm: &VmName, frame: &Frame, now: u64) {
        let publication = Publication::parse(&frame.payload).filter(|_| frame.kind == Kind::Publish);
        let Some(publication) = publication else {
            self.refuse(client, RefusedCode::Invalid, "this is no message for the bus", now);
            return;
        };
        let Some(link) = self.links.get_mut(vm).filter(|link| link.session.is_on()) else {
            self.refuse(client, RefusedCode::Unreachable, "the guest's agent went", now);
            return;
        };
        if link.backlog() > HIGH_WATER {
            self.refuse(client, RefusedCode::Busy, "the guest does not read what it was sent before", now);
            return;
        }
        link.send(&Frame::session(Kind::Publish, publication.to_payload()));
        self.publish(vm, BusSide::Host, publication, now);
        self.finish(client, now);
    }
}

fn unsupported(stream: u32) -> Frame {
    let message = "the guest has only qemu-guest-agent, which cannot do that".to_owned();
    failed(stream, FailureCode::Unsupported, message)
}
