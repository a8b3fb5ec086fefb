//! QEMU's control protocol (QMP): JSON objects, one a line, over a unix socket.
//!
//! Owns: the codec (bytes to messages, no I/O), the commands used, and a blocking client whose
//! every call has a deadline. Reference: "QEMU Machine Protocol Specification", docs/interop of
//! QEMU. Never does: connect by itself, or trust what arrives. Tests: in each file, and against the
//! installed QEMU in `tests/it/qmp.rs`.

mod client;
mod codec;
mod command;
mod message;

pub use client::{Client, QmpError};
pub use codec::{Codec, CodecError, LINE_MAX};
pub use command::{
    Capabilities, Command, Continue, MachineInfo, NAMES, Powerdown, QueryMachines, QueryStatus, Quit, Reset,
    RunState, RunStatus, Stop,
};
pub use message::{Event, Message, QemuVersion};
