//! The host's end of the guest channel ([ADR 0008](../../../docs/adr/0008-guest-channel.md)).
//!
//! ```text
//!  agent in the guest ◄─ port ─► broker ◄─ broker.sock ─► client, in a command
//!                                  │ metadata/sessions/<vm>.json
//!                                  ▼
//!                               status reads, works out freshness
//! ```
//!
//! Owns: sessions with guests, the broker between guests and commands, what commands use to speak to
//! it. Never does: decide what a VM is, start or stop one, print.

pub mod broker;
pub mod bus;
pub mod client;
pub mod clock;
pub mod freshness;
pub mod meter;
mod outgoing;
pub mod presence;
pub mod qga;
pub mod record;
pub mod session;
pub mod switch;
#[cfg(test)]
mod testing;
