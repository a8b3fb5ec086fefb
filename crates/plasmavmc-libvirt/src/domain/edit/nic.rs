//! Network cards. Tests: in `tests.rs`.

use plasmavmc_types::MacAddr;
use roxmltree::Node;

use super::{EditError, add_device, writable};
use crate::domain::Network;
use crate::domain::project::{devices, network_of};
use crate::domain::render::devices as new;
use crate::xml::{Element, Splices, attr, child, children};

/// Cards that are no QEMU network backend: they are pieces of the host's hardware or of another program.
const OF_THEIR_OWN: [&str; 4] = ["hostdev", "vdpa", "vhostuser", "vds"];

/// What a card says of the connection it has, by the types that take it.
const DETAILS: [(&str, &[&str]); 8] = [
    ("virtualport", &[]),
    ("vlan", &["network", "bridge"]),
    ("bandwidth", &["network", "bridge"]),
    ("filterref", &["network", "bridge"]),
    ("backend", &["network", "bridge"]),
    ("portForward", &["user"]),
    ("ip", &["user"]),
    ("route", &[]),
];

fn find<'a, 'i>(root: Node<'a, 'i>, index: usize) -> Result<Node<'a, 'i>, EditError> {
    devices(root, "interface")
        .nth(index)
        .ok_or_else(|| EditError::NoSuchDevice { device: "network card", which: index.to_string() })
}

/// Connects a card to something else.
pub(super) fn network(
    root: Node<'_, '_>,
    index: usize,
    network: &Network,
    splices: &mut Splices<'_>,
) -> Result<(), EditError> {
    let card = find(root, index)?;
    if network_of(card) == *network {
        return Ok(());
    }
    let (kind, source) = connection(network)?;
    let old = attr(card, "type").unwrap_or_default();
    if OF_THEIR_OWN.contains(&old) {
        return Err(EditError::NicKind { index, kind: old.to_owned() });
    }
    for (detail, fits) in DETAILS {
        if child(card, detail).is_some() && !(fits.contains(&old) && fits.contains(&kind)) {
            return Err(EditError::NicDetail { index, detail: detail.to_owned() });
        }
    }
    splices.set_attribute(card, "type", kind);
    match (child(card, "source"), source) {
        (Some(old), Some(new)) => splices.replace(old, &new),
        (Some(old), None) => splices.remove(old),
        (None, Some(new)) => match child(card, "mac") {
            Some(mac) => splices.insert_after(mac, &[new]),
            None => splices.append(card, &[new]),
        },
        (None, None) => {}
    }
    if kind == "user" {
        // The name of a tap device, which there is none of.
        children(card, "target").for_each(|target| splices.remove(target));
    }
    Ok(())
}

fn connection(network: &Network) -> Result<(&'static str, Option<Element>), EditError> {
    if let Network::Named(name) | Network::Bridge(name) = network {
        writable(name)?;
    }
    new::connection(network).ok_or_else(|| EditError::NoWord { what: format!("{network:?}") })
}

/// Gives a card another address.
pub(super) fn mac(
    root: Node<'_, '_>,
    index: usize,
    mac: MacAddr,
    splices: &mut Splices<'_>,
) -> Result<(), EditError> {
    let card = find(root, index)?;
    match child(card, "mac") {
        Some(node) if attr(node, "address").and_then(|old| old.parse().ok()) == Some(mac) => {}
        Some(node) => splices.set_attribute(node, "address", &mac.to_string()),
        None => {
            let node = Element::new("mac").attr("address", mac);
            match card.first_element_child() {
                Some(first) => splices.insert_before(first, &node),
                None => splices.append(card, &[node]),
            }
        }
    }
    Ok(())
}

/// Adds a card.
pub(super) fn add(
    root: Node<'_, '_>,
    network: &Network,
    mac: Option<MacAddr>,
    splices: &mut Splices<'_>,
) -> Result<(), EditError> {
    connection(network)?;
    let card = new::nic(network, mac).ok_or_else(|| EditError::NoWord { what: format!("{network:?}") })?;
    add_device(root, card, splices)
}

/// Removes a card.
pub(super) fn remove(root: Node<'_, '_>, index: usize, splices: &mut Splices<'_>) -> Result<(), EditError> {
    splices.remove(find(root, index)?);
    Ok(())
}
