//! What QEMU sends: a greeting, replies, events.
//!
//! Anything may be newer than this program: unknown events pass through by name, unknown members
//! are ignored, and an object of no known kind is told apart, not refused. Tests: in
//! [`super::codec`].

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// One message from QEMU.
#[derive(Debug, Clone, PartialEq)]
pub enum Message {
    /// The first message of a connection.
    Greeting(QemuVersion),
    /// A command succeeded.
    Return {
        /// The command's id; none where it had none.
        id: Option<u64>,
        /// What it returned.
        value: Value,
    },
    /// A command failed.
    Error {
        /// The command's id; none where QEMU could not read it.
        id: Option<u64>,
        /// What QEMU says.
        description: String,
    },
    /// Something happened.
    Event(Event),
    /// An object of a kind this program does not know.
    Unknown,
}

/// Something that happened in QEMU.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// Its name, such as `SHUTDOWN`.
    pub name: String,
    /// What belongs to it; null where nothing does.
    pub data: Value,
}

/// A version of QEMU.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct QemuVersion {
    /// The major version.
    pub major: u32,
    /// The minor version.
    pub minor: u32,
    /// The micro version.
    pub micro: u32,
}

impl fmt::Display for QemuVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.micro)
    }
}

/// Every member a message may have; which ones it has tells its kind.
#[derive(Deserialize)]
struct Raw {
    #[serde(rename = "QMP")]
    greeting: Option<RawGreeting>,
    #[serde(rename = "return")]
    value: Option<Value>,
    error: Option<RawError>,
    event: Option<String>,
    #[serde(default)]
    data: Value,
    #[serde(default)]
    id: Value,
}

#[derive(Deserialize)]
struct RawGreeting {
    version: RawVersion,
}

#[derive(Deserialize)]
struct RawVersion {
    qemu: QemuVersion,
}

#[derive(Deserialize)]
struct RawError {
    desc: String,
}

impl Message {
    /// Reads one line.
    ///
    /// # Errors
    /// Where it is not a JSON object, or a known member has the wrong type.
    pub fn parse(line: &[u8]) -> Result<Self, serde_json::Error> {
        let raw: Raw = serde_json::from_slice(line)?;
        let id = raw.id.as_u64();
        Ok(match raw {
            Raw { greeting: Some(greeting), .. } => Self::Greeting(greeting.version.qemu),
            Raw { event: Some(name), data, .. } => Self::Event(Event { name, data }),
            Raw { error: Some(error), .. } => Self::Error { id, description: error.desc },
            Raw { value: Some(value), .. } => Self::Return { id, value },
            _ => Self::Unknown,
        })
    }
}
