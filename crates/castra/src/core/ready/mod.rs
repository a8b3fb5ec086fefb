//! Waits until a guest is up, and says how far it got.
//!
//! Never does: log in, write to the guest, outlive its bound. Tests: `ssh`.

mod guest;
mod phases;
mod ssh;
mod stall;
mod timings;

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;

use plasmavmc_types::{PortForward, Protocol};

pub use guest::{guest_stages, is_reachable};
pub use phases::{Phase, PhaseName, phases};
pub use ssh::{SshWait, Waited};
pub use stall::{Stall, stall};
pub use timings::{Estimate, RunTiming, Timings, note, timings};

/// The forward that leads to the guest's SSH server, if one does.
pub fn ssh_forward<'a>(mut forwards: impl Iterator<Item = &'a PortForward>) -> Option<&'a PortForward> {
    forwards.find(|forward| forward.guest.get() == 22 && forward.protocol == Protocol::Tcp)
}

/// The address at which this host reaches a forward.
pub fn reachable_address(forward: &PortForward) -> SocketAddr {
    let address = match forward.address {
        IpAddr::V4(address) if address.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(address) if address.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        address => address,
    };
    SocketAddr::new(address, forward.host.get())
}

/// Whether the guest has written to its serial console since the log had `before` bytes.
pub fn console_has_spoken(serial_log: &Path, before: u64) -> bool {
    fs::metadata(serial_log).is_ok_and(|meta| meta.len() > before)
}
