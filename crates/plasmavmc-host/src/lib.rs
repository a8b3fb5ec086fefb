//! The host: the only crate that spawns processes or touches files.
//!
//! Owns: where a workspace keeps its files ([`Layout`]), writing them whole ([`publish`]), locks,
//! processes with identity, images, overlays, seeds, keys, ports, preflight and the accelerator proof.
//! Never does: decide (that is the engine's), print (that is the terminal crate's).
//! Every error names the path or the program. Tests: in each file, and `castra`'s end-to-end tests.

pub mod accelerator;
mod agent;
pub mod base;
pub mod disk;
pub mod disk_image;
mod error;
pub mod exec;
pub mod facts;
pub mod failpoint;
pub mod folder;
pub mod guest;
pub mod image;
pub mod keys;
mod layout;
mod lock;
pub mod overlay;
pub mod plain;
pub mod ports;
pub mod preflight;
pub mod process;
pub mod publish;
pub mod qcow2;
pub mod qemu;
pub mod seed;
pub mod socket;

pub use error::{HostError, IoContext};
pub use layout::Layout;
pub use lock::{FileLock, LockError};
