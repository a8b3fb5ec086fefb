//! The devices of a new VM, and the elements that edits add too. Tests: in `render.rs`.

use std::collections::BTreeSet;

use plasmavmc_types::{DiskFormat, MacAddr};

use crate::domain::{GraphicsKind, Network, TpmVersion};
use crate::xml::Element;

use super::{NewVm, RenderError, line, path, unwritable};

/// `<devices>` of a new VM.
pub(super) fn devices(vm: &NewVm) -> Result<Element, RenderError> {
    let mut devices = Element::new("devices");
    if let Some(emulator) = &vm.emulator {
        devices = devices.child(Element::new("emulator").text(path("emulator", emulator)?));
    }
    let mut taken = BTreeSet::new();
    let mut order = 1..;
    let mut place = |bus: &str| {
        let target = free_target(bus, &taken).ok_or_else(|| RenderError::Bus { bus: bus.to_owned() })?;
        taken.insert(target.clone());
        Ok::<_, RenderError>((target, order.next().unwrap_or(1)))
    };
    for new in &vm.disks {
        let file = path("disk", &new.path)?;
        let (target, order) = place(&new.bus)?;
        devices = devices.child(disk(file, new.format, &target, &new.bus).child(boot(order)));
    }
    let bus = cdrom_bus(vm.is_pc());
    for medium in &vm.cdroms {
        let file = path("medium", medium)?;
        let (target, order) = place(bus)?;
        devices = devices.child(cdrom(file, &target, bus).child(boot(order)));
    }
    devices = devices.child(Element::new("controller").attr("type", "usb").attr("model", "qemu-xhci"));
    if let Some(network) = &vm.network {
        let card = nic(network, vm.mac)
            .ok_or_else(|| unwritable("network", &format!("{network:?}"), "a manifest has no word for it"))?;
        if let Network::Named(name) | Network::Bridge(name) = network {
            line("network", name)?;
        }
        devices = devices.child(card);
    }
    devices = devices
        .child(Element::new("serial").attr("type", "pty"))
        .child(channel("unix", "org.qemu.guest_agent.0"));
    if let Some(kind) = &vm.graphics {
        let display = graphics(kind)
            .ok_or_else(|| unwritable("graphics", &format!("{kind:?}"), "a manifest has no word for it"))?;
        devices = devices
            .child(Element::new("input").attr("type", "tablet").attr("bus", "usb"))
            .child(display)
            .child(Element::new("video").child(Element::new("model").attr("type", "virtio")));
        if *kind == GraphicsKind::Spice {
            devices = devices
                .child(channel("spicevmc", "com.redhat.spice.0"))
                .child(Element::new("sound").attr("model", "ich9"))
                .child(Element::new("audio").attr("id", 1).attr("type", "spice"));
        }
    }
    if let Some(version) = vm.tpm {
        devices = devices.child(tpm(version, vm.is_pc()));
    }
    let random = Element::new("backend").attr("model", "random").text("/dev/urandom");
    Ok(devices
        .child(Element::new("memballoon").attr("model", "virtio"))
        .child(Element::new("rng").attr("model", "virtio").child(random)))
}

/// A disk in a file, its format pinned: libvirt would let the guest choose it otherwise.
pub(in crate::domain) fn disk(file: &str, format: DiskFormat, target: &str, bus: &str) -> Element {
    drive("disk", file, format.as_str(), target, bus)
}

/// A drive with a medium, which may be gone when the VM starts.
pub(in crate::domain) fn cdrom(file: &str, target: &str, bus: &str) -> Element {
    drive("cdrom", file, "raw", target, bus).child(Element::new("readonly"))
}

fn drive(device: &str, file: &str, format: &str, target: &str, bus: &str) -> Element {
    let source = if device == "cdrom" { medium(file) } else { Element::new("source").attr("file", file) };
    Element::new("disk")
        .attr("type", "file")
        .attr("device", device)
        .child(Element::new("driver").attr("name", "qemu").attr("type", format))
        .child(source)
        .child(Element::new("target").attr("dev", target).attr("bus", bus))
}

/// `<source>` of a drive.
pub(in crate::domain) fn medium(file: &str) -> Element {
    Element::new("source").attr("file", file).attr("startupPolicy", "optional")
}

/// The bus of CD-ROM drives: every installer has a driver for it.
pub(in crate::domain) fn cdrom_bus(is_pc: bool) -> &'static str {
    if is_pc { "sata" } else { "scsi" }
}

/// The first name on a bus that no disk has; none where the bus is not one for disks, or full.
pub(in crate::domain) fn free_target(bus: &str, taken: &BTreeSet<String>) -> Option<String> {
    let prefix = match bus {
        "virtio" => "vd",
        "sata" | "scsi" | "usb" => "sd",
        "ide" => "hd",
        _ => return None,
    };
    // Four are all that IDE has.
    let last = if bus == "ide" { 'd' } else { 'z' };
    ('a'..=last).map(|letter| format!("{prefix}{letter}")).find(|name| !taken.contains(name))
}

fn boot(order: u32) -> Element {
    Element::new("boot").attr("order", order)
}

/// A card; none where it is connected to what a manifest has no word for.
pub(in crate::domain) fn nic(network: &Network, mac: Option<MacAddr>) -> Option<Element> {
    let (kind, source) = connection(network)?;
    let mac = mac.map(|mac| Element::new("mac").attr("address", mac));
    Some(
        Element::new("interface")
            .attr("type", kind)
            .children(mac)
            .children(source)
            .child(Element::new("model").attr("type", "virtio")),
    )
}

/// The type of an interface and its `<source>`.
pub(in crate::domain) fn connection(network: &Network) -> Option<(&'static str, Option<Element>)> {
    match network {
        Network::Named(name) => Some(("network", Some(Element::new("source").attr("network", name)))),
        Network::Bridge(name) => Some(("bridge", Some(Element::new("source").attr("bridge", name)))),
        Network::User => Some(("user", None)),
        Network::Other(_) => None,
    }
}

/// A display that this host alone reaches; none for what a manifest has no word for.
pub(in crate::domain) fn graphics(kind: &GraphicsKind) -> Option<Element> {
    let kind = match kind {
        GraphicsKind::Spice => "spice",
        GraphicsKind::Vnc => "vnc",
        GraphicsKind::Other(_) => return None,
    };
    let listen = Element::new("listen").attr("type", "address").attr("address", "127.0.0.1");
    Some(Element::new("graphics").attr("type", kind).attr("autoport", "yes").child(listen))
}

/// A port that a program in the guest opens by its name.
pub(in crate::domain) fn channel(kind: &str, name: &str) -> Element {
    let target = Element::new("target").attr("type", "virtio").attr("name", name);
    Element::new("channel").attr("type", kind).child(target)
}

/// An emulated TPM. libvirt would take version 1.2 where none is named.
pub(in crate::domain) fn tpm(version: TpmVersion, is_pc: bool) -> Element {
    let (model, version) = match version {
        TpmVersion::V2_0 if is_pc => ("tpm-crb", "2.0"),
        TpmVersion::V2_0 => ("tpm-tis", "2.0"),
        TpmVersion::V1_2 => ("tpm-tis", "1.2"),
    };
    let backend = Element::new("backend").attr("type", "emulator").attr("version", version);
    Element::new("tpm").attr("model", model).child(backend)
}
