//! What the host and its libvirt can do, each fact with the command or path that shows it.
//!
//! Owns: libvirt's own account of its hypervisor ([`HostFacts`]), the firmware descriptors that libvirt
//! chooses from ([`firmware`]), whether QEMU's user can reach a file ([`access`]), bridges. Never does: judge;
//! a face tells what a VM lacks. Tests: in each file, and on real libvirt in `tests/it/`.

pub mod access;
mod capabilities;
pub mod firmware;

use std::path::Path;

use plasmavmc_host::exec::Program;
use serde::Serialize;

pub use capabilities::{HostFacts, Kind, Versions};

use crate::virsh::{Reader, VirshError};

/// The emulator of TPMs.
pub const SWTPM: Program = Program::new("swtpm", "swtpm");

/// A fact, and how a person sees it for themselves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Fact<T> {
    /// What is so.
    pub value: T,
    /// The command to type, or the path to look at.
    pub shown_by: String,
}

impl Reader<'_> {
    /// What this libvirt can do on its host.
    ///
    /// The one question that `virsh -r` is not allowed to ask (`domcapabilities`) is asked with a connection
    /// that may write, by commands that are written out here. Where this user has no such connection, what
    /// it would tell is left out.
    ///
    /// # Errors
    /// [`VirshError`].
    pub fn host(&self) -> Result<HostFacts, VirshError> {
        capabilities::ask(self)
    }
}

/// Whether an emulator of TPMs is installed here.
pub fn swtpm() -> Fact<bool> {
    Fact { value: SWTPM.find().is_some(), shown_by: "swtpm --version".to_owned() }
}

/// Whether the host has a bridge of that name.
pub fn bridge(name: &str) -> Fact<bool> {
    // A name with a slash is no interface, and must not lead elsewhere.
    let plain = !name.is_empty() && !name.contains('/') && name != "." && name != "..";
    let value = plain && Path::new("/sys/class/net").join(name).join("bridge").is_dir();
    Fact { value, shown_by: format!("ip link show type bridge {name}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_name_of_an_interface_is_no_bridge() {
        for name in ["", ".", "..", "../net", "lo", "no-such-bridge"] {
            assert!(!bridge(name).value, "{name:?}");
        }
    }
}
