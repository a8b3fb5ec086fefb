//! The bus: numbers messages, tells who listens to them, and drops what comes too fast. Without I/O.
//!
//! Order is kept per VM: a message has the next number of its VM when the broker sees it, and goes to
//! every listener in that order. What is dropped has a number too, so that a gap tells, and is
//! counted. Tests: below.

use std::collections::{BTreeMap, VecDeque};
use std::fmt::Write;

use castra_agent_proto::limits::MAX_PAYLOAD;
use castra_agent_proto::message::{BusMessage, BusSide, Publication, session_frame};
use castra_agent_proto::{Frame, Kind};
use plasmavmc_types::{Timestamp, VmName};

use crate::meter::Bucket;

/// Messages a guest may publish in a second.
const MESSAGES: u32 = 500;
/// Bytes it may publish in a second.
const BYTES: u32 = 1 << 20;

/// Messages of a VM that are kept for listeners who come later.
const KEPT: usize = 256;
/// What the messages kept of a VM may weigh in memory; the last one is always kept. With fifty VMs
/// this is a quarter of what the broker may have.
const KEPT_WEIGHT: usize = 40 * 1024;
/// What a message weighs beside its text.
const WEIGHT: usize = size_of::<Kept>() + 64;

/// The bus of a workspace.
#[derive(Debug, Default)]
pub struct Bus {
    vms: BTreeMap<VmName, Channel>,
    /// Messages so far, of all VMs.
    arrived: u64,
}

/// A message that is kept, and when it came among those of all VMs.
type Kept = (u64, BusMessage);

#[derive(Debug)]
struct Channel {
    seq: u64,
    dropped: u64,
    messages: Bucket,
    bytes: Bucket,
    kept: VecDeque<Kept>,
    weight: usize,
}

/// Which messages a listener wants.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Filter {
    /// Only of this VM.
    pub vm: Option<String>,
    /// Only on this topic.
    pub topic: Option<String>,
}

impl Filter {
    /// Whether a message is wanted.
    pub fn wants(&self, message: &BusMessage) -> bool {
        self.vm.as_ref().is_none_or(|vm| *vm == message.vm)
            && self.topic.as_ref().is_none_or(|topic| *topic == message.topic)
    }
}

impl Bus {
    /// Numbers a message; none where its guest publishes more than it may.
    pub fn publish(
        &mut self,
        vm: &VmName,
        from: BusSide,
        publication: Publication,
        at: Timestamp,
        now_ms: u64,
    ) -> Option<BusMessage> {
        let channel = self.channel(vm, now_ms);
        channel.seq += 1;
        let size = (publication.topic.len() + publication.message.len()) as u64;
        // The host's side waits for its turn at the channel instead.
        let fits =
            from == BusSide::Host || (channel.messages.take(1, now_ms) && channel.bytes.take(size, now_ms));
        if !fits {
            channel.dropped += 1;
            return None;
        }
        let (text, hex) = match String::from_utf8(publication.message) {
            Ok(text) => (Some(text), None),
            Err(error) => (None, Some(hexadecimal(error.as_bytes()))),
        };
        let message = BusMessage {
            seq: channel.seq,
            at: at.to_string(),
            vm: vm.to_string(),
            from,
            topic: publication.topic,
            text,
            hex,
            dropped: channel.dropped,
        };
        self.arrived += 1;
        let arrived = self.arrived;
        self.channel(vm, now_ms).keep(arrived, message.clone());
        Some(message)
    }

    /// The last messages that `filter` wants, at most `last` of them, in the order they came.
    pub fn history(&self, filter: &Filter, last: usize) -> Vec<&BusMessage> {
        let all = self.vms.values().flat_map(|channel| &channel.kept);
        let mut wanted: Vec<&Kept> = all.filter(|(_, message)| filter.wants(message)).collect();
        wanted.sort_by_key(|(arrived, _)| *arrived);
        let first = wanted.len().saturating_sub(last);
        wanted.split_off(first).into_iter().map(|(_, message)| message).collect()
    }

    /// Notes that a message of a VM was dropped.
    pub fn dropped(&mut self, vm: &VmName, now_ms: u64) {
        self.channel(vm, now_ms).dropped += 1;
    }

    /// Messages of a VM that were dropped.
    pub fn drops(&self, vm: &VmName) -> u64 {
        self.vms.get(vm).map_or(0, |channel| channel.dropped)
    }

    fn channel(&mut self, vm: &VmName, now_ms: u64) -> &mut Channel {
        self.vms.entry(vm.clone()).or_insert_with(|| Channel {
            seq: 0,
            dropped: 0,
            messages: Bucket::new(2 * MESSAGES, MESSAGES, now_ms),
            bytes: Bucket::new(2 * BYTES, BYTES, now_ms),
            kept: VecDeque::new(),
            weight: 0,
        })
    }
}

impl Channel {
    fn keep(&mut self, arrived: u64, message: BusMessage) {
        self.weight += weight(&message);
        self.kept.push_back((arrived, message));
        while self.kept.len() > KEPT || (self.weight > KEPT_WEIGHT && self.kept.len() > 1) {
            let Some((_, oldest)) = self.kept.pop_front() else { break };
            self.weight -= weight(&oldest);
        }
    }
}

fn weight(message: &BusMessage) -> usize {
    let said = [&message.text, &message.hex].into_iter().flatten().map(String::len).sum::<usize>();
    WEIGHT + message.topic.len() + said
}

/// A message as listeners get it. Text that would not fit a frame, being mostly control characters,
/// goes in hexadecimal, which always does.
pub fn frame(message: &BusMessage) -> Frame {
    let frame = session_frame(Kind::Publish, message);
    match &message.text {
        Some(text) if frame.payload.len() > MAX_PAYLOAD => {
            let hex = Some(hexadecimal(text.as_bytes()));
            session_frame(Kind::Publish, &BusMessage { text: None, hex, ..message.clone() })
        }
        _ => frame,
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use castra_agent_proto::limits::{MAX_MESSAGE, MAX_TOPIC};
    use castra_agent_proto::message::body;

    use super::*;

    fn vm(name: &str) -> VmName {
        name.parse().unwrap()
    }

    fn at() -> Timestamp {
        Timestamp::from_unix_millis(0)
    }

    fn publication(message: &[u8]) -> Publication {
        Publication::new("a", message.to_vec()).unwrap()
    }

    #[test]
    fn each_vm_counts_its_own_messages_whoever_says_them() {
        let mut bus = Bus::default();
        let mut seq =
            |name: &str, side| bus.publish(&vm(name), side, publication(b"x"), at(), 0).unwrap().seq;
        assert_eq!(
            [seq("web", BusSide::Guest), seq("web", BusSide::Host), seq("db", BusSide::Guest)],
            [1, 2, 1]
        );
    }

    #[test]
    fn a_guest_that_says_too_much_is_cut_and_the_gap_can_be_seen() {
        let mut bus = Bus::default();
        let mut publish = |now| bus.publish(&vm("web"), BusSide::Guest, publication(b"x"), at(), now);
        let heard = (0..3 * MESSAGES).filter(|_| publish(0).is_some()).count();
        assert_eq!(heard, 2 * MESSAGES as usize);
        let later = publish(1_000).expect("there is room again");
        assert_eq!((later.seq, later.dropped), (u64::from(3 * MESSAGES) + 1, u64::from(MESSAGES)));
        assert_eq!(bus.drops(&vm("web")), u64::from(MESSAGES));
    }

    #[test]
    fn the_largest_message_of_any_bytes_fits_a_frame() {
        let topic = "t".repeat(MAX_TOPIC);
        let name = vm(&"v".repeat(32));
        for byte in [0_u8, b'a', b'"', 0xff] {
            let mut bus = Bus::default();
            let publication = Publication::new(&topic, vec![byte; MAX_MESSAGE]).unwrap();
            let message = bus.publish(&name, BusSide::Guest, publication, at(), 0).unwrap();
            let frame = frame(&message);
            assert!(frame.payload.len() <= MAX_PAYLOAD, "{byte}: {}", frame.payload.len());
            let read: BusMessage = body(&frame).unwrap();
            let hex = read.hex.map(|hex| hex == hexadecimal(&[byte]).repeat(MAX_MESSAGE));
            assert!(hex.unwrap_or_else(|| read.text == message.text), "{byte}");
        }
    }

    #[test]
    fn the_last_messages_of_each_vm_are_kept_in_the_order_they_came() {
        let mut bus = Bus::default();
        for n in 0..300_u64 {
            let said = publication(n.to_string().as_bytes());
            bus.publish(&vm(if n % 3 == 0 { "db" } else { "web" }), BusSide::Host, said, at(), 0);
        }
        let texts = |vm: Option<&str>, last| -> Vec<String> {
            let filter = Filter { vm: vm.map(Into::into), topic: None };
            bus.history(&filter, last).into_iter().filter_map(|message| message.text.clone()).collect()
        };
        assert_eq!(texts(None, 4), ["296", "297", "298", "299"]);
        assert_eq!(texts(Some("db"), 2), ["294", "297"]);
        assert_eq!(texts(Some("db"), usize::MAX).len(), 100);
        assert!(texts(None, 0).is_empty());
    }

    #[test]
    fn what_is_kept_of_a_vm_that_says_much_is_bounded() {
        let mut bus = Bus::default();
        for n in 0..1000 {
            let long = vec![b'x'; if n % 10 == 9 { MAX_MESSAGE } else { 100 }];
            bus.publish(&vm("web"), BusSide::Host, publication(&long), at(), 0);
        }
        let channel = &bus.vms[&vm("web")];
        let weight: usize = channel.kept.iter().map(|(_, message)| weight(message)).sum();
        assert!(!channel.kept.is_empty() && channel.kept.len() <= KEPT);
        assert!(weight == channel.weight && weight <= KEPT_WEIGHT, "{weight}");
        bus.publish(&vm("web"), BusSide::Host, publication(&[0xff; MAX_MESSAGE]), at(), 0);
        assert_eq!(bus.history(&Filter::default(), 9).len(), 1, "the last one is kept however long");
    }

    #[test]
    fn a_listener_hears_what_it_asked_for() {
        let message = Bus::default().publish(&vm("web"), BusSide::Guest, publication(b"x"), at(), 0).unwrap();
        let filter = |vm: Option<&str>, topic: Option<&str>| {
            Filter { vm: vm.map(Into::into), topic: topic.map(Into::into) }.wants(&message)
        };
        assert!(filter(None, None) && filter(Some("web"), None) && filter(Some("web"), Some("a")));
        assert!(!filter(Some("db"), None) && !filter(None, Some("b")));
    }
}
