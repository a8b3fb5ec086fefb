//! Images end to end: real stores in real directories, downloads from an HTTP server of our own
//! that can be told to misbehave. One file per family of claims.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up shall fail where it stands")]
#![expect(clippy::print_stderr, reason = "a test that cannot run here says so")]

mod crash;
mod disk;
mod faults;
mod file;
mod lab;
mod local;
mod pins;
mod resume;
mod server;
mod waiters;
mod workspace;
