//! [`Fields`] of a domain. Tests: in `tests.rs`.

use roxmltree::Node;

use crate::domain::{Boot, CpuModel, Fields};
use crate::xml::{XmlError, at, attr, child, children, text};

use super::{devices as device, memory_kib, number};

/// The fields of a domain.
pub(super) fn fields(root: Node<'_, '_>) -> Result<Fields, XmlError> {
    let boot = boot_of(root);
    Ok(Fields {
        title: child(root, "title").map(text).filter(|title| !title.is_empty()),
        memory_kib: memory_of(root)?,
        vcpus: vcpus_of(root)?,
        cpu: cpu_model_of(root),
        boot,
        secure_boot: if boot == Boot::Uefi { secure_boot_of(root) } else { None },
        tpm: device::tpm(root),
        disks: device::disks(root),
        cdroms: device::cdroms(root),
        nics: device::nics(root),
        graphics: device::graphics(root),
    })
}

/// The memory in KiB. NUMA cells, where they say sizes, are what libvirt goes by when it defines.
pub(crate) fn memory_of(root: Node<'_, '_>) -> Result<u64, XmlError> {
    let sizes = numa_cells(root).filter(|cell| attr(*cell, "memory").is_some());
    let mut cells = Vec::new();
    for cell in sizes {
        let size = attr(cell, "memory").unwrap_or_default();
        cells.push(super::units::scaled(size, attr(cell, "unit"), "cpu/numa/cell/@memory")?);
    }
    let mut total: u64 = cells.iter().fold(0, |sum, cell| sum.saturating_add(*cell));
    if total == 0 {
        let memory = child(root, "memory").ok_or(XmlError::Missing { path: "memory" })?;
        return memory_kib(memory, "memory");
    }
    for module in device::devices(root, "memory") {
        if let Some(size) = at(module, &["target", "size"]) {
            total = total.saturating_add(memory_kib(size, "devices/memory/target/size")?);
        }
    }
    Ok(total)
}

/// The cells of `<cpu><numa>`.
pub(super) fn numa_cells<'a, 'i>(root: Node<'a, 'i>) -> impl Iterator<Item = Node<'a, 'i>> {
    at(root, &["cpu", "numa"]).into_iter().flat_map(|numa| children(numa, "cell"))
}

/// The number of processors; one where none is named.
pub(crate) fn vcpus_of(root: Node<'_, '_>) -> Result<u32, XmlError> {
    child(root, "vcpu").map(text).filter(|text| !text.is_empty()).map_or(Ok(1), |text| number(&text, "vcpu"))
}

/// What `<cpu>` says of the model.
pub(crate) fn cpu_model_of(root: Node<'_, '_>) -> CpuModel {
    let Some(cpu) = child(root, "cpu") else { return CpuModel::Unspecified };
    match attr(cpu, "mode") {
        Some("host-passthrough") => CpuModel::HostPassthrough,
        Some("host-model") => CpuModel::HostModel,
        Some("maximum") => CpuModel::Maximum,
        _ => match child(cpu, "model").map(text) {
            Some(name) if !name.is_empty() => CpuModel::Named(name),
            _ => CpuModel::Unspecified,
        },
    }
}

/// The firmware's kind: what libvirt is asked to choose, or the kind of image that is named.
pub(crate) fn boot_of(root: Node<'_, '_>) -> Boot {
    let Some(os) = child(root, "os") else { return Boot::Bios };
    let pflash = child(os, "loader").and_then(|loader| attr(loader, "type")) == Some("pflash");
    if attr(os, "firmware") == Some("efi") || pflash { Boot::Uefi } else { Boot::Bios }
}

/// On with the makers' keys enrolled; off without either of the two; else the XML does not say.
pub(crate) fn secure_boot_of(root: Node<'_, '_>) -> Option<bool> {
    let feature = |name| {
        let listed = at(root, &["os", "firmware"])?;
        let found = children(listed, "feature").find(|feature| attr(*feature, "name") == Some(name))?;
        attr(found, "enabled").map(|enabled| enabled == "yes")
    };
    match (feature("secure-boot"), feature("enrolled-keys")) {
        (Some(false), _) | (_, Some(false)) => Some(false),
        (_, Some(true)) => Some(true),
        _ => match at(root, &["os", "loader"]).and_then(|loader| attr(loader, "secure")) {
            Some("no") => Some(false),
            _ => None,
        },
    }
}

/// Whether the guest is a PC; libvirt takes the host's architecture where none is named, and ours is one.
pub(crate) fn is_x86(root: Node<'_, '_>) -> bool {
    let arch = at(root, &["os", "type"]).and_then(|kind| attr(kind, "arch"));
    matches!(arch, None | Some("x86_64" | "i686"))
}
