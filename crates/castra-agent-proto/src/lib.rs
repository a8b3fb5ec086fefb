//! What Castra and the agent in a guest say to each other, as bytes and as values.
//!
//! ```text
//!  message ─► body (JSON, or bytes) ─► frame ─► bytes on the virtio-serial port, and back
//! ```
//!
//! Owns: the frames and their decoder, the messages, every limit. Never does: read, write, look at
//! a clock. Used by the agent, by the host's end of the channel and by the commands that speak to
//! the broker, which pass the same frames. `docs/guest-channel.md` describes it for people.
//! Tests: in each module; `fuzz/` feeds the decoder.

pub mod frame;
pub mod limits;
pub mod message;
pub mod request;
pub mod window;

pub use frame::{Decoder, Frame, Kind};
pub use limits::PROTOCOL;
