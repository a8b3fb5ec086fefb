//! The bus: numbers messages, tells who listens to them, and drops what comes too fast. Without I/O.
//!
//! Order is kept per VM: a message has the next number of its VM when the broker sees it, and goes to
//! every listener in that order. What is dropped has a number too, so that a gap tells, and is
//! counted. Tests: below.

use std::collections::BTreeMap;
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

/// The bus of a workspace.
#[derive(Debug, Default)]
pub struct Bus {
    vms: BTreeMap<VmName, Channel>,
}

#[derive(Debug)]
struct Channel {
    seq: u64,
    dropped: u64,
    messages: Bucket,
    bytes: Bucket,
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
        Some(BusMessage {
            seq: channel.seq,
            at: at.to_string(),
            vm: vm.to_string(),
            from,
            topic: publication.topic,
            text,
            hex,
            dropped: channel.dropped,
        })
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
        })
    }
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
    fn a_listener_hears_what_it_asked_for() {
        let message = Bus::default().publish(&vm("web"), BusSide::Guest, publication(b"x"), at(), 0).unwrap();
        let filter = |vm: Option<&str>, topic: Option<&str>| {
            Filter { vm: vm.map(Into::into), topic: topic.map(Into::into) }.wants(&message)
        };
        assert!(filter(None, None) && filter(Some("web"), None) && filter(Some("web"), Some("a")));
        assert!(!filter(Some("db"), None) && !filter(None, Some("b")));
    }
}
