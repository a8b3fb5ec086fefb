//! virsh and the backend on real libvirt, and on programs that play a broken one.
//!
//! The shared daemon is started where it does not run, and never stopped. Every domain made here has a name
//! that its test drew, and is removed with it.

#![expect(clippy::unwrap_used, reason = "a set-up that fails is a test that fails")]

mod backend;
mod facts;
mod fake;
mod faults;
mod lifecycle;
mod observe;
mod speed;
