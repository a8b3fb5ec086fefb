//! The agent as its host sees it: served in this process over a pair of sockets, its programs by the
//! real binary. Every agent ends with the host of its test, and with it what it runs.

#![expect(clippy::unwrap_used, reason = "a set-up that fails is a test that fails")]

mod bus;
mod exec;
mod files;
mod host;
mod hostile;
mod session;
