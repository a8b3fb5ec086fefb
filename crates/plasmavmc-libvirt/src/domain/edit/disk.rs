//! Disks. Tests: in `tests.rs`.

use std::collections::BTreeSet;
use std::path::Path;

use plasmavmc_types::DiskFormat;
use roxmltree::Node;

use super::{EditError, absolute, add_device};
use crate::domain::project::{devices, disk_bus, is_x86, target_of};
use crate::domain::render::devices as new;
use crate::xml::{Element, Splices, attr, child, children};

/// What only a virtio disk's `<driver>` says.
const VIRTIO_ONLY: [&str; 9] =
    ["iothread", "queues", "queue_size", "ioeventfd", "event_idx", "iommu", "ats", "packed", "page_per_vq"];

/// The disk or drive on this target.
pub(super) fn find<'a, 'i>(
    root: Node<'a, 'i>,
    device: &'static str,
    target: &str,
) -> Result<Node<'a, 'i>, EditError> {
    let mut found = devices(root, "disk").filter(|disk| target_of(*disk) == target);
    match (found.next(), found.next()) {
        (Some(disk), None) if attr(disk, "device").unwrap_or("disk") == device => Ok(disk),
        (Some(_), Some(_)) => Err(EditError::Ambiguous { target: target.to_owned() }),
        _ => Err(EditError::NoSuchDevice {
            device: if device == "disk" { "disk" } else { "drive" },
            which: target.to_owned(),
        }),
    }
}

/// Points a disk at another file.
pub(super) fn source(
    root: Node<'_, '_>,
    target: &str,
    path: &Path,
    format: DiskFormat,
    splices: &mut Splices<'_>,
) -> Result<(), EditError> {
    let file = absolute(path)?;
    let disk = find(root, "disk", target)?;
    let kind = attr(disk, "type").unwrap_or("file");
    if kind != "file" {
        return Err(EditError::NotAFile { target: target.to_owned(), kind: kind.to_owned() });
    }
    let source = child(disk, "source");
    refuse_details(
        target,
        source.into_iter().flat_map(|source| source.children()),
        &["encryption", "slices", "dataStore"],
    )?;
    refuse_details(target, disk.children(), &["encryption", "mirror", "transient"])?;
    match source {
        Some(source) => splices.set_attribute(source, "file", file),
        None => splices.append(disk, &[Element::new("source").attr("file", file)]),
    }
    // The images behind the old file are not those behind the new one.
    children(disk, "backingStore").for_each(|chain| splices.remove(chain));
    match child(disk, "driver") {
        Some(driver) => splices.set_attribute(driver, "type", format.as_str()),
        None => {
            let driver = Element::new("driver").attr("name", "qemu").attr("type", format.as_str());
            match disk.first_element_child() {
                Some(first) => splices.insert_before(first, &driver),
                None => splices.append(disk, &[driver]),
            }
        }
    }
    Ok(())
}

/// Refuses what would not hold for the other file.
fn refuse_details<'a, 'i: 'a>(
    target: &str,
    nodes: impl Iterator<Item = Node<'a, 'i>>,
    names: &[&'static str],
) -> Result<(), EditError> {
    for node in nodes {
        if let Some(detail) = names.iter().find(|name| crate::xml::is(node, name)) {
            return Err(EditError::DiskDetail {
                target: target.to_owned(),
                detail: (*detail).to_owned(),
                why: "another file does not have it",
            });
        }
    }
    Ok(())
}

/// Moves a disk to another bus: it takes a free name there, and its old address goes.
pub(super) fn bus(
    root: Node<'_, '_>,
    target: &str,
    bus: &str,
    splices: &mut Splices<'_>,
) -> Result<(), EditError> {
    let disk = find(root, "disk", target)?;
    let old = disk_bus(disk);
    if old == bus {
        return Ok(());
    }
    let name = free(root, bus, Some(target))?;
    if let Some(detail) = unfit(disk, bus) {
        return Err(EditError::DiskDetail {
            target: target.to_owned(),
            detail,
            why: "the other bus does not have it",
        });
    }
    let Some(node) = child(disk, "target") else {
        return Err(EditError::NoSuchDevice { device: "disk", which: target.to_owned() });
    };
    splices.set_attribute(node, "dev", &name);
    splices.set_attribute(node, "bus", bus);
    children(disk, "address").for_each(|address| splices.remove(address));
    Ok(())
}

/// What a disk says that a bus does not have.
fn unfit(disk: Node<'_, '_>, bus: &str) -> Option<String> {
    let has = |name| child(disk, name).is_some();
    let says = |inner, name| child(disk, inner).and_then(|inner| attr(inner, name)).is_some();
    if bus != "virtio" {
        let driver = VIRTIO_ONLY.iter().find(|name| says("driver", name));
        let found = driver.map(|name| format!("driver {name}"));
        found.or_else(|| attr(disk, "model").map(|_| "model".to_owned()))
    } else {
        let elements = ["wwn", "vendor", "product"].into_iter().find(|name| has(*name));
        let target = ["rotation_rate", "removable", "tray"].into_iter().find(|name| says("target", name));
        elements.map(str::to_owned).or_else(|| target.map(|name| format!("target {name}")))
    }
}

/// Adds a disk on the first free target of its bus.
pub(super) fn add(
    root: Node<'_, '_>,
    bus: &str,
    path: &Path,
    format: DiskFormat,
    splices: &mut Splices<'_>,
) -> Result<(), EditError> {
    let target = free(root, bus, None)?;
    add_device(root, new::disk(absolute(path)?, format, &target, bus), splices)
}

/// A free name on a bus; that of the disk which moves counts as free.
pub(super) fn free(root: Node<'_, '_>, bus: &str, moving: Option<&str>) -> Result<String, EditError> {
    let machine =
        crate::xml::at(root, &["os", "type"]).and_then(|kind| attr(kind, "machine")).unwrap_or_default();
    if bus == "ide" && (!is_x86(root) || machine.contains("q35")) {
        return Err(EditError::Bus { bus: bus.to_owned() });
    }
    let names = devices(root, "disk").map(target_of);
    let taken: BTreeSet<String> = names.filter(|name| Some(name.as_str()) != moving).collect();
    new::free_target(bus, &taken).ok_or_else(|| EditError::Bus { bus: bus.to_owned() })
}
