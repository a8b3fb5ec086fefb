//! The agent in a guest: what the host asks over one port, it does.
//!
//! ```text
//!  port ─► decoder ─► session ─► inbox of a stream ─► its thread: exec, write, read, ...
//!    ▲                                                  │
//!    └──────────── outbox ◄─────────────────────────────┘ ◄── bus (local socket), stages
//! ```
//!
//! Owns: everything that runs inside the guest. Trusts the host as root of this guest, and still
//! holds bounded memory whatever arrives: each stream has a window, the outbox a size, and there are
//! at most [`castra_agent_proto::limits::MAX_STREAMS`] streams. Never does: open a network port, use
//! the name services of the guest's C library, or leave half a file under its final name.
//! `docs/guest-channel.md` describes the channel. Tests: in each module, and `tests/it` over socket
//! pairs.

mod bus;
mod child;
mod facts;
mod failure;
mod inbox;
mod outbox;
mod port;
mod session;
mod stages;
mod stream;
mod users;

pub use bus::client::{ClientError, publish, tail};
pub use child::exec_child;
pub use port::{Config, Hangup, open_port, serve};
