//! Disks, drives, cards and displays. Tests: in `tests.rs`.

use std::path::PathBuf;

use plasmavmc_types::DiskFormat;
use roxmltree::Node;

use crate::domain::{Cdrom, Disk, Graphics, GraphicsKind, Network, Nic, Source, Tpm, TpmVersion};
use crate::xml::{attr, child, children};

use super::is_x86;

/// The devices of one name.
pub(crate) fn devices<'a, 'i>(root: Node<'a, 'i>, name: &str) -> impl Iterator<Item = Node<'a, 'i>> {
    child(root, "devices").into_iter().flat_map(move |devices| children(devices, name))
}

/// Disks in the order of their targets.
pub(super) fn disks(root: Node<'_, '_>) -> Vec<Disk> {
    let mut disks: Vec<Disk> = devices(root, "disk")
        .filter(|disk| attr(*disk, "device").unwrap_or("disk") == "disk")
        .map(|disk| Disk {
            target: target_of(disk),
            bus: Some(disk_bus(disk)),
            source: source_of(disk),
            format: format(disk),
        })
        .collect();
    disks.sort_by(|a, b| order(&a.target).cmp(&order(&b.target)));
    disks
}

/// CD-ROM drives in the order of their targets.
pub(super) fn cdroms(root: Node<'_, '_>) -> Vec<Cdrom> {
    let mut cdroms: Vec<Cdrom> = devices(root, "disk")
        .filter(|disk| attr(*disk, "device") == Some("cdrom"))
        .map(|disk| Cdrom { target: target_of(disk), bus: Some(disk_bus(disk)), source: source_of(disk) })
        .collect();
    cdroms.sort_by(|a, b| order(&a.target).cmp(&order(&b.target)));
    cdroms
}

/// `vdb` before `vdaa`, as a kernel would name them.
fn order(target: &str) -> (usize, &str) {
    (target.len(), target)
}

/// The name of a disk's target.
pub(crate) fn target_of(disk: Node<'_, '_>) -> String {
    let name = child(disk, "target").and_then(|target| attr(target, "dev")).unwrap_or_default();
    name.strip_prefix("ioemu:").unwrap_or(name).to_owned()
}

/// The bus of a disk; where none is named libvirt goes by the name of the target.
pub(crate) fn disk_bus(disk: Node<'_, '_>) -> String {
    if let Some(bus) = child(disk, "target").and_then(|target| attr(target, "bus")) {
        return bus.to_owned();
    }
    let target = target_of(disk);
    let prefixes = [("sd", "scsi"), ("vd", "virtio"), ("xvd", "xen"), ("ubd", "uml")];
    let found = prefixes.iter().find(|(prefix, _)| target.starts_with(prefix));
    found.map_or("ide", |(_, bus)| bus).to_owned()
}

/// Where a disk's or a drive's bytes are.
pub(crate) fn source_of(disk: Node<'_, '_>) -> Source {
    let kind = attr(disk, "type").unwrap_or("file");
    let source = child(disk, "source");
    let says = |name| source.and_then(|source| attr(source, name)).filter(|value| !value.is_empty());
    match kind {
        "file" => says("file").map_or(Source::Empty, |file| Source::File(PathBuf::from(file))),
        "block" if says("dev").is_none() => Source::Empty,
        "volume" if says("volume").is_none() => Source::Empty,
        kind => Source::Other(kind.to_owned()),
    }
}

/// The format libvirt hands to QEMU: `raw` where nothing is pinned, except for a volume, which it asks.
fn format(disk: Node<'_, '_>) -> Option<DiskFormat> {
    let pinned = child(disk, "driver").and_then(|driver| attr(driver, "type"));
    match pinned {
        None if attr(disk, "type") == Some("volume") => None,
        None | Some("raw" | "aio") => Some(DiskFormat::Raw),
        Some("qcow2") => Some(DiskFormat::Qcow2),
        Some(_) => None,
    }
}

/// Cards in the order of the XML.
pub(super) fn nics(root: Node<'_, '_>) -> Vec<Nic> {
    devices(root, "interface")
        .map(|nic| Nic {
            network: network_of(nic),
            mac: child(nic, "mac").and_then(|mac| attr(mac, "address")).and_then(|mac| mac.parse().ok()),
            model: child(nic, "model").and_then(|node| attr(node, "type")).map(model),
        })
        .collect()
}

/// A card's model; libvirt knows its own in any spelling.
fn model(name: &str) -> String {
    if name.eq_ignore_ascii_case("virtio") { "virtio".to_owned() } else { name.to_owned() }
}

/// What a card is connected to.
pub(crate) fn network_of(nic: Node<'_, '_>) -> Network {
    let kind = attr(nic, "type").unwrap_or_default();
    let source = |name| child(nic, "source").and_then(|source| attr(source, name)).map(str::to_owned);
    match kind {
        "network" => source("network").map(Network::Named),
        "bridge" => source("bridge").map(Network::Bridge),
        "user" => Some(Network::User),
        _ => None,
    }
    .unwrap_or_else(|| Network::Other(kind.to_owned()))
}

/// Displays in the order of the XML.
pub(super) fn graphics(root: Node<'_, '_>) -> Vec<Graphics> {
    devices(root, "graphics")
        .map(|graphics| Graphics {
            kind: match attr(graphics, "type").unwrap_or_default() {
                "spice" => GraphicsKind::Spice,
                "vnc" => GraphicsKind::Vnc,
                other => GraphicsKind::Other(other.to_owned()),
            },
        })
        .collect()
}

/// The first TPM. Without a version libvirt emulates 1.2 behind the TIS of a PC, and 2.0 elsewhere.
pub(super) fn tpm(root: Node<'_, '_>) -> Option<Tpm> {
    let tpm = devices(root, "tpm").next()?;
    let backend = child(tpm, "backend");
    let emulated = backend.and_then(|backend| attr(backend, "type")) == Some("emulator");
    let version = match backend.and_then(|backend| attr(backend, "version")) {
        _ if !emulated => None,
        Some("1.2") => Some(TpmVersion::V1_2),
        Some("2.0") => Some(TpmVersion::V2_0),
        Some(_) => None,
        None if is_x86(root) && matches!(attr(tpm, "model"), None | Some("tpm-tis")) => {
            Some(TpmVersion::V1_2)
        }
        None => Some(TpmVersion::V2_0),
    };
    Some(Tpm { version, emulated })
}
