//! [`Facts`] of a domain. Tests: in `tests.rs`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use roxmltree::Node;

use crate::domain::{Facts, Loader, NAMESPACE};
use crate::xml::{at, attr, child, text};

use super::fields::numa_cells;
use super::{devices, memory_kib};

/// The facts of a domain. What cannot be read counts as not there.
pub(super) fn facts(root: Node<'_, '_>) -> Facts {
    let os = child(root, "os");
    let kind = os.and_then(|os| child(os, "type"));
    let says = |node: Option<Node<'_, '_>>, name| node.and_then(|node| attr(node, name)).map(str::to_owned);
    let kib = |name| child(root, name).and_then(|node| memory_kib(node, "memory").ok());
    let vcpu = child(root, "vcpu");
    Facts {
        kind: attr(root, "type").unwrap_or_default().to_owned(),
        arch: says(kind, "arch"),
        machine: says(kind, "machine"),
        loader: os.and_then(loader),
        firmware_auto: os.is_some_and(|os| attr(os, "firmware").is_some()),
        numa: numa_cells(root).next().is_some(),
        topology_vcpus: topology(root),
        vcpus_current: says(vcpu, "current").and_then(|current| current.parse().ok()).filter(|current| {
            vcpu.map(text).and_then(|all| all.parse().ok()).is_some_and(|all: u32| *current < all)
        }),
        vcpus_listed: child(root, "vcpus").is_some() || at(root, &["cputune", "vcpupin"]).is_some(),
        memory_current_kib: kib("currentMemory")
            .filter(|current| kib("memory").is_some_and(|all| *current < all)),
        memory_slots: child(root, "maxMemory").is_some(),
        others: others(root),
        foreign: foreign(root),
        has_secrets: devices(root, "graphics")
            .any(|graphics| attr(graphics, "passwd").is_some() || attr(graphics, "passwdValidTo").is_some()),
    }
}

fn loader(os: Node<'_, '_>) -> Option<Loader> {
    let path = child(os, "loader").map(text).filter(|path| !path.is_empty())?;
    let nvram = child(os, "nvram").map(|nvram| {
        let source = child(nvram, "source").and_then(|source| attr(source, "file"));
        source.map_or_else(|| text(nvram), str::to_owned)
    });
    Some(Loader { path: path.into(), nvram: nvram.filter(|path| !path.is_empty()).map(PathBuf::from) })
}

/// How many processors the topology multiplies to; none for one socket of cores, whose number follows.
pub(crate) fn topology(root: Node<'_, '_>) -> Option<u32> {
    let topology = at(root, &["cpu", "topology"])?;
    let parts = ["sockets", "dies", "clusters", "threads"];
    if parts.iter().all(|name| matches!(attr(topology, name), None | Some("1"))) {
        return None;
    }
    parts
        .iter()
        .chain(&["cores"])
        .map(|name| attr(topology, name).map_or(Some(1), |count| count.parse::<u32>().ok()))
        .try_fold(1_u32, |product, count| product.checked_mul(count?))
}

/// The devices a manifest has no word for, in the order of their kinds.
fn others(root: Node<'_, '_>) -> Vec<(String, u32)> {
    let mut counts = BTreeMap::new();
    let listed = child(root, "devices");
    for device in listed.into_iter().flat_map(|devices| devices.children().filter(Node::is_element)) {
        if let Some(kind) = other(device) {
            *counts.entry(kind).or_insert(0) += 1;
        }
    }
    counts.into_iter().collect()
}

/// The kind of a device that a manifest cannot say and that neither libvirt nor a new VM of ours brings.
fn other(device: Node<'_, '_>) -> Option<String> {
    let name = device.tag_name().name();
    let kind = attr(device, "type").unwrap_or_default();
    let ordinary = match name {
        "emulator" | "interface" | "graphics" | "tpm" | "controller" | "input" | "memballoon" | "video" => {
            true
        }
        "disk" => match attr(device, "device").unwrap_or("disk") {
            "disk" | "cdrom" => true,
            other => return Some(other.to_owned()),
        },
        "audio" => matches!(kind, "none" | "spice"),
        "serial" | "console" => matches!(kind, "pty" | ""),
        "rng" => attr(device, "model").is_none_or(|model| model.starts_with("virtio")),
        "sound" => attr(device, "model") == Some("ich9"),
        "watchdog" => attr(device, "model") == Some("itco"),
        "channel" => {
            let target = child(device, "target").and_then(|target| attr(target, "name"));
            kind == "spicevmc" || (kind == "unix" && target == Some("org.qemu.guest_agent.0"))
        }
        _ => false,
    };
    (!ordinary || device.tag_name().namespace().is_some()).then(|| name.to_owned())
}

/// The namespaces of elements that are neither libvirt's own nor ours.
fn foreign(root: Node<'_, '_>) -> Vec<String> {
    let found: BTreeSet<&str> = root
        .descendants()
        .filter_map(|node| node.tag_name().namespace())
        .filter(|namespace| *namespace != NAMESPACE)
        .collect();
    found.into_iter().map(str::to_owned).collect()
}
