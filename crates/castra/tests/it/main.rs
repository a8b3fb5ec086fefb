//! The `castra` command, run as a person runs it: one module per family of claims.

#![expect(clippy::unwrap_used, reason = "a set-up that fails is a test that fails")]

mod agent_lab;
mod bases;
mod bootstrap;
mod bootstrap_ssh;
mod broker;
mod bus;
mod channel;
mod clean;
mod clean_vms;
mod completions;
mod console;
mod cp;
#[cfg(feature = "failpoints")]
mod crash;
mod docs;
mod doctor;
mod down;
mod env;
mod exec;
mod faults;
mod faulty;
mod getting_in;
mod guests;
mod help;
mod host_faults;
mod hostile;
mod hostile_guest;
mod images;
mod init;
mod json;
mod kept;
mod logs;
mod mounts;
mod moved;
mod overlays;
mod persist;
mod places;
mod planted;
mod ports;
mod preflight;
mod process_faults;
mod race;
mod records;
mod sectors;
mod seed;
mod selection;
mod server;
mod shop;
mod ssh;
mod status;
mod talk;
mod troubled;
mod up;
mod watch;
