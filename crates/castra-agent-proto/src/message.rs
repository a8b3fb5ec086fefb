//! The messages of a session as a whole: who is there, what it can, the bus, how far the boot got.
//!
//! ```text
//!  host                                   guest
//!   │ Hello {session, vm, protocol} ──────► │   resets every stream
//!   │ ◄──── HelloReply {session, vm, ...}   │
//!   │ Outcome {ok | declined, reason} ────► │
//!   │ Ping ─────────────────────────────► │   every 2 s
//!   │ ◄──────────────────────────── Pong   │
//! ```
//!
//! Bodies are JSON; fields that are not known are left alone, so that a newer end can say more.
//! What a guest says is checked in [`HelloReply::check`] before anyone believes it. Tests: below.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::frame::{Frame, Kind};
use crate::limits::{MAX_CAPABILITIES, MAX_CAPABILITY, MAX_MESSAGE, MAX_TEXT, MAX_TOPIC, PROTOCOL};

/// Begins a session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// The protocol the host speaks.
    pub protocol: u32,
    /// Drawn anew for each session; frames before the reply that repeats it belong to another.
    pub session: String,
    /// The VM's name. The port is the VM's own, so this tells the guest, it does not ask.
    pub vm: String,
    /// Milliseconds between two pings.
    pub keepalive_ms: u64,
}

/// Who a guest is and what it can.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HelloReply {
    /// The protocol the agent speaks.
    pub protocol: u32,
    /// What the hello said.
    pub session: String,
    /// The VM the agent takes itself for: what the hello said, unless it was told otherwise.
    pub vm: String,
    /// The agent's version.
    pub agent: String,
    /// The guest kernel's boot id: another one means the guest was restarted.
    pub boot_id: String,
    /// What the agent can do; [`crate::limits::capability`] names what this version knows.
    pub capabilities: Vec<String>,
    /// Milliseconds since the guest's kernel started, when its agent started.
    #[serde(default)]
    pub agent_started_ms: u64,
    /// Milliseconds since the guest's kernel started, now.
    #[serde(default)]
    pub uptime_ms: u64,
}

/// Why a guest's hello is declined.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Declined {
    /// It speaks another protocol.
    #[error("the agent speaks protocol {found}, this version of Castra {PROTOCOL}")]
    Protocol {
        /// Which.
        found: u32,
    },
    /// It says it is another VM.
    #[error("the agent says it is VM {found:?}")]
    OtherVm {
        /// Which.
        found: String,
    },
    /// It says more of itself than is allowed, or not as text.
    #[error("the agent's {what} is not acceptable")]
    Unacceptable {
        /// What.
        what: &'static str,
    },
}

impl HelloReply {
    /// Whether it may be believed as the word of `vm`; its capabilities are then sorted and unique.
    ///
    /// # Errors
    /// [`Declined`].
    pub fn check(mut self, vm: &str) -> Result<Self, Declined> {
        if self.protocol != PROTOCOL {
            return Err(Declined::Protocol { found: self.protocol });
        }
        if self.vm != vm {
            let found = self.vm.chars().filter(|c| !c.is_control()).take(64).collect();
            return Err(Declined::OtherVm { found });
        }
        for (text, what) in [(&self.agent, "version"), (&self.boot_id, "boot id")] {
            if !is_plain(text) {
                return Err(Declined::Unacceptable { what });
            }
        }
        let fits = |name: &String| {
            (1..=MAX_CAPABILITY).contains(&name.len())
                && name.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-'))
        };
        if self.capabilities.len() > MAX_CAPABILITIES || !self.capabilities.iter().all(fits) {
            return Err(Declined::Unacceptable { what: "list of capabilities" });
        }
        self.capabilities.sort();
        self.capabilities.dedup();
        Ok(self)
    }
}

/// One short line of printable ASCII.
fn is_plain(text: &str) -> bool {
    (1..=MAX_TEXT).contains(&text.len()) && text.bytes().all(|byte| matches!(byte, b' '..=b'~'))
}

/// Whether the session is on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "lowercase")]
pub enum Outcome {
    /// It is.
    Ok,
    /// It is not.
    Declined {
        /// Why.
        reason: String,
    },
}

/// Something about the guest changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "report", rename_all = "snake_case")]
pub enum Report {
    /// The boot got further. Told again after every hello.
    Stage {
        /// How far.
        stage: GuestStage,
        /// Milliseconds since the guest's kernel started.
        uptime_ms: u64,
    },
    /// Messages of guest programs that the agent dropped because the channel was full.
    Dropped {
        /// How many since the agent's start.
        messages: u64,
    },
}

/// How far a guest's boot got, as its agent sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GuestStage {
    /// The kernel hands over to its first process.
    Init,
    /// A network card has an address.
    Network,
    /// cloud-init is done; not told where there is none.
    CloudInit,
    /// Something listens on TCP port 22.
    Sshd,
}

/// What a connection to the broker is for. The first frame on it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "attach", rename_all = "snake_case")]
pub enum Attach {
    /// Streams to a VM's agent: the frames of [`crate::request`] follow, both ways.
    Streams {
        /// The VM.
        vm: String,
    },
    /// Messages on the bus, as [`BusMessage`] in publish frames: some that were, then those that come.
    Tail {
        /// Only of this VM.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        vm: Option<String>,
        /// Only on this topic.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        topic: Option<String>,
        /// How many of those that were, at most; the broker keeps the last few of each VM.
        #[serde(default)]
        last: usize,
        /// Not those that come: after those that were, the broker ends the connection.
        #[serde(default)]
        only_last: bool,
    },
    /// One message to a VM: a publish frame follows.
    Publish {
        /// The VM.
        vm: String,
    },
    /// Look again which VMs there are, at once; the answer comes when that was done.
    Rescan {
        /// And stay until told to retire, VMs or not.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        stay: bool,
    },
    /// End, once no VM is left.
    Retire,
}

/// The broker's answer to [`Attach`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "attached", rename_all = "snake_case")]
pub enum Attached {
    /// Go on.
    Ok,
    /// No.
    Refused {
        /// What kind of no.
        code: RefusedCode,
        /// Why, for people.
        message: String,
    },
}

/// Why the broker refuses a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RefusedCode {
    /// It knows no such VM.
    UnknownVm,
    /// The VM's agent is not there, or not yet.
    Unreachable,
    /// The agent cannot do that.
    Unsupported,
    /// Too many connections or streams.
    Busy,
    /// The request is not one.
    Invalid,
}

/// A message on the bus as listeners get it: a JSON line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BusMessage {
    /// Its number among the messages from and to this VM, from 1: a gap tells that some were dropped.
    pub seq: u64,
    /// When the broker saw it, RFC 3339.
    pub at: String,
    /// The VM.
    pub vm: String,
    /// Whether the guest or the host said it.
    pub from: BusSide,
    /// The topic.
    pub topic: String,
    /// The message, where it is text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// The message in hexadecimal, where it is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hex: Option<String>,
    /// Messages of this VM dropped so far because a listener or the channel was too slow.
    pub dropped: u64,
}

/// Who said something on the bus.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BusSide {
    /// A program in the guest.
    Guest,
    /// A program on the host.
    Host,
}

/// A message on the bus as it crosses the channel: its topic's length in one byte, topic, bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Publication {
    /// The topic.
    pub topic: String,
    /// The message.
    pub message: Vec<u8>,
}

/// Why something cannot be published.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PublishError {
    /// The topic breaks the rule.
    #[error("`{topic}` is not a topic: 1 to {MAX_TOPIC} letters, digits or any of `. _ - /`")]
    Topic {
        /// The topic.
        topic: String,
    },
    /// The message is too long.
    #[error("a message has at most {MAX_MESSAGE} bytes, this one has {bytes}")]
    Message {
        /// Its length.
        bytes: usize,
    },
}

impl Publication {
    /// A message that keeps the rules.
    ///
    /// # Errors
    /// [`PublishError`].
    pub fn new(topic: &str, message: Vec<u8>) -> Result<Self, PublishError> {
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-' | b'/');
        if !(1..=MAX_TOPIC).contains(&topic.len()) || !topic.bytes().all(fits) {
            return Err(PublishError::Topic { topic: topic.chars().take(MAX_TOPIC).collect() });
        }
        if message.len() > MAX_MESSAGE {
            return Err(PublishError::Message { bytes: message.len() });
        }
        Ok(Self { topic: topic.to_owned(), message })
    }

    /// The payload of its frame.
    pub fn to_payload(&self) -> Vec<u8> {
        let length = u8::try_from(self.topic.len()).expect("a topic is at most 128 bytes");
        [&[length], self.topic.as_bytes(), &self.message].concat()
    }

    /// Reads the payload of a publish frame; none where it keeps no rule.
    pub fn parse(payload: &[u8]) -> Option<Self> {
        let (length, rest) = payload.split_first()?;
        let (topic, message) = rest.split_at_checked(usize::from(*length))?;
        Self::new(std::str::from_utf8(topic).ok()?, message.to_vec()).ok()
    }
}

/// A message with a JSON body as a frame of the session as a whole.
pub fn session_frame(kind: Kind, body: &impl Serialize) -> Frame {
    Frame::session(kind, serde_json::to_vec(body).expect("plain values serialise"))
}

/// A message with a JSON body as a frame of a stream.
pub fn stream_frame(kind: Kind, stream: u32, body: &impl Serialize) -> Frame {
    Frame::stream(kind, stream, serde_json::to_vec(body).expect("plain values serialise"))
}

/// The body of a frame; none where it is not what its kind says.
pub fn body<T: DeserializeOwned>(frame: &Frame) -> Option<T> {
    serde_json::from_slice(&frame.payload).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn reply() -> HelloReply {
        HelloReply {
            protocol: PROTOCOL,
            session: "s".into(),
            vm: "web".into(),
            agent: "0.1.0".into(),
            boot_id: "b".into(),
            capabilities: vec!["files".into(), "exec".into(), "files".into()],
            agent_started_ms: 0,
            uptime_ms: 0,
        }
    }

    #[test]
    fn capabilities_are_sorted_and_unique() {
        assert_eq!(reply().check("web").unwrap().capabilities, ["exec", "files"]);
    }

    #[test]
    fn what_a_guest_says_of_itself_is_bounded() {
        let many = vec!["a".to_owned(); MAX_CAPABILITIES + 1];
        let cases: [(&str, HelloReply); 7] = [
            ("protocol", HelloReply { protocol: 2, ..reply() }),
            ("another VM", HelloReply { vm: "db".into(), ..reply() }),
            ("a long version", HelloReply { agent: "x".repeat(MAX_TEXT + 1), ..reply() }),
            ("a line break", HelloReply { boot_id: "a\nb".into(), ..reply() }),
            ("many capabilities", HelloReply { capabilities: many, ..reply() }),
            ("an odd capability", HelloReply { capabilities: vec!["a b".into()], ..reply() }),
            ("an empty capability", HelloReply { capabilities: vec![String::new()], ..reply() }),
        ];
        for (what, reply) in cases {
            assert!(reply.check("web").is_err(), "{what} was accepted");
        }
    }

    #[test]
    fn a_field_of_the_future_is_left_alone() {
        let frame = Frame::session(Kind::Outcome, br#"{"outcome":"ok","color":"green"}"#.to_vec());
        assert_eq!(body::<Outcome>(&frame), Some(Outcome::Ok));
    }

    proptest! {
        #[test]
        fn a_publication_survives_its_frame(
            topic in "[a-z0-9./_-]{1,128}", message in prop::collection::vec(any::<u8>(), 0..100),
        ) {
            let sent = Publication::new(&topic, message).unwrap();
            prop_assert_eq!(Publication::parse(&sent.to_payload()), Some(sent));
        }

        #[test]
        fn a_payload_that_is_no_publication_is_refused_quietly(payload: Vec<u8>) {
            let _ = Publication::parse(&payload);
        }
    }

    #[test]
    fn topics_and_messages_that_break_the_rule_are_told() {
        assert!(matches!(Publication::new("", vec![]), Err(PublishError::Topic { .. })));
        assert!(matches!(Publication::new("a b", vec![]), Err(PublishError::Topic { .. })));
        let long = vec![0; MAX_MESSAGE + 1];
        assert!(matches!(Publication::new("a", long), Err(PublishError::Message { .. })));
    }
}
