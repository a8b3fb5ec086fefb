//! Network cards. Tests: [`super::golden`].

use plasmavmc_types::{NetworkKind, NetworkSpec, PortForward};
use serde_json::json;

use super::{Bus, push, slot};

/// A card and what it is connected to.
pub(super) fn card(argv: &mut Vec<String>, network: &NetworkSpec, bus: Bus, index: u8) {
    let name = network.id.as_str();
    // The enum may grow; `check` refuses what is not built here.
    if let NetworkKind::User { forwards } = &network.kind {
        let rules: Vec<_> = forwards.iter().map(|forward| json!({ "str": rule(forward) })).collect();
        push(argv, "-netdev", json!({ "type": "user", "id": name, "hostfwd": rules }).to_string());
    }
    let device = bus.virtio("net", slot::NETWORKS + index);
    push(argv, "-device", format!("{device},id={name}-card,netdev={name},mac={}", network.mac));
}

/// A forward as QEMU's `hostfwd` takes it, and as its error messages show it.
pub(crate) fn rule(forward: &PortForward) -> String {
    let PortForward { address, host, guest, protocol } = forward;
    format!("{protocol}:{address}:{host}-:{guest}")
}
