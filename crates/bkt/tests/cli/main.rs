//! The `bkt` command, run as a person runs it, where no libvirt daemon is needed. Real libvirt: `tests/it`.

#![expect(clippy::unwrap_used, reason = "a set-up that fails is a test that fails")]

mod completions;
mod docs;
mod env;
mod fetch;
mod help;
mod hostile;
mod json;
mod offline;
mod simulated;
