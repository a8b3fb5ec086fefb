//! Title, memory and processors. Tests: in `tests.rs`.

use roxmltree::Node;

use super::{EditError, add_to_domain, writable};
use crate::domain::project::{memory_kib, memory_of, topology, vcpus_of};
use crate::xml::{Element, Splices, at, attr, child, text};

/// Sets or removes `<title>`.
pub(super) fn title(
    root: Node<'_, '_>,
    title: Option<&str>,
    splices: &mut Splices<'_>,
) -> Result<(), EditError> {
    match (child(root, "title"), title.filter(|title| !title.is_empty())) {
        (None, None) => {}
        (Some(node), None) => splices.remove(node),
        (Some(node), Some(title)) => {
            writable(title)?;
            if text(node) != title.trim() {
                splices.set_text(node, title);
            }
        }
        (None, Some(title)) => {
            writable(title)?;
            add_to_domain(root, Element::new("title").text(title), splices);
        }
    }
    Ok(())
}

/// Sets `<memory>`, and `<currentMemory>` where it was equal to it or would now be more.
pub(super) fn memory(root: Node<'_, '_>, kib: u64, splices: &mut Splices<'_>) -> Result<(), EditError> {
    if memory_of(root)? == kib {
        return Ok(());
    }
    if at(root, &["cpu", "numa", "cell"]).is_some() {
        return Err(EditError::NumaMemory);
    }
    if let Some(max) = child(root, "maxMemory") {
        let max_kib = memory_kib(max, "maxMemory")?;
        if kib > max_kib {
            return Err(EditError::MaxMemory { kib, max_kib });
        }
    }
    let node = child(root, "memory").ok_or(crate::xml::XmlError::Missing { path: "memory" })?;
    let old = memory_kib(node, "memory")?;
    set_kib(node, old, kib, splices);
    if let Some(current) = child(root, "currentMemory") {
        let balloon = memory_kib(current, "currentMemory")?;
        if balloon == old || balloon > kib {
            set_kib(current, balloon, kib, splices);
        }
    }
    Ok(())
}

/// Writes a size in KiB, where it is another.
fn set_kib(node: Node<'_, '_>, old: u64, kib: u64, splices: &mut Splices<'_>) {
    if old != kib {
        splices.set_text(node, &kib.to_string());
        if attr(node, "unit").is_some_and(|unit| unit != "KiB") {
            splices.set_attribute(node, "unit", "KiB");
        }
    }
}

/// Sets `<vcpu>`; a `current=` that would not be less any more goes.
pub(super) fn vcpus(root: Node<'_, '_>, count: u32, splices: &mut Splices<'_>) -> Result<(), EditError> {
    let node = child(root, "vcpu");
    if vcpus_of(root)? == count {
        return Ok(());
    }
    if let Some(topology) = topology(root)
        && topology != count
    {
        return Err(EditError::Topology { vcpus: count, topology });
    }
    for (element, found) in [
        ("vcpus", child(root, "vcpus")),
        ("vcpupin", at(root, &["cputune", "vcpupin"])),
        ("vcpusched", at(root, &["cputune", "vcpusched"])),
        ("numa", at(root, &["cpu", "numa", "cell"])),
    ] {
        if found.is_some() {
            return Err(EditError::VcpusListed { element });
        }
    }
    if let Some(topology) = at(root, &["cpu", "topology"]) {
        // One socket of cores.
        splices.set_attribute(topology, "cores", &count.to_string());
    }
    match node {
        None => add_to_domain(root, Element::new("vcpu").text(count), splices),
        Some(node) => {
            splices.set_text(node, &count.to_string());
            let current = attr(node, "current").and_then(|current| current.trim().parse::<u32>().ok());
            if current.is_some_and(|current| current >= count) {
                splices.remove_attribute(node, "current");
            }
        }
    }
    Ok(())
}
