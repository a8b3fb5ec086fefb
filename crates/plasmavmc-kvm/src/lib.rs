//! The QEMU backend: [`KvmBackend`] implements the port on `qemu-system-x86_64`.
//!
//! Owns: QEMU's command line (pure), its control protocol, firmware, launching with fallback, and
//! the evidence by which a VM is found again and its end explained. KVM, HVF and TCG are its
//! accelerators. Never does: make or delete disks, choose an accelerator for `auto` (it is given
//! the proven ones), print. Tests: in each file, and on real QEMUs in `tests/it/`.

mod argv;
mod backend;
mod control;
mod define;
mod diagnose;
mod events;
mod fault;
mod firmware;
mod journal;
mod launch;
mod locate;
mod log;
mod marked;
mod offer;
pub mod qmp;
mod reason;
mod record;
mod status;
mod stop;
mod watch;

pub use backend::{KvmBackend, KvmConfig};
pub use diagnose::LaunchFault;
pub use firmware::{UefiFiles, installed as installed_firmware};
pub use marked::{MarkedProcess, marked_processes};
pub use offer::OfferError;
pub use watch::{JournalNews, JournalWatch, LiveProcess, PortChange, live_processes};
