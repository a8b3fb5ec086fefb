//! A spec as the XML of a domain. Pure; what libvirt makes of it: `tests/it/backend.rs`.
//!
//! Formats are stated down to the last backing file, whose owner libvirt must not change: it is shared.
//! Where the domain exists, its `<os>` stays byte for byte: another machine version or another choice of
//! firmware files would be other hardware to the guest, and would leave its UEFI variables behind.

use plasmavmc_types::{DiskSpec, Firmware, NetworkSpec, ShareSpec, VmSpec};

use super::record::SPEC;
use crate::domain::DomainXml;
use crate::facts::Kind;
use crate::xml::{self, Element, XmlError};

/// The XML of a VM. `known` is what libvirt has of it.
pub(super) fn domain(spec: &VmSpec, kind: &Kind, known: Option<&DomainXml>) -> Result<DomainXml, XmlError> {
    // A spec has no part that JSON cannot say.
    let json = serde_json::to_string(spec).unwrap_or_default();
    let record = Element::new("castra:vm").attr("xmlns:castra", SPEC).text(json);
    let cpu = if kind.host_passthrough { "host-passthrough" } else { "maximum" };
    let root = Element::new("domain")
        .attr("type", &kind.name)
        .child(Element::new("name").text(&spec.name))
        .child(Element::new("uuid").text(spec.id))
        .child(Element::new("metadata").child(record))
        .child(Element::new("memory").attr("unit", "b").text(spec.resources.memory.as_bytes()))
        .child(Element::new("vcpu").text(spec.resources.cpus))
        .child(os(spec, kind))
        .child(Element::new("features").children(["acpi", "apic"].map(Element::new)))
        .child(Element::new("cpu").attr("mode", cpu))
        .child(Element::new("clock").attr("offset", "utc"))
        .child(Element::new("on_poweroff").text("destroy"))
        .child(Element::new("on_reboot").text("restart"))
        .child(Element::new("on_crash").text("destroy"))
        .child(devices(spec));
    let text = root.to_xml(Some(""));
    match known.and_then(|known| kept_os(spec, known)) {
        Some(kept) => {
            let fresh = DomainXml::parse(text)?;
            let place = os_range(fresh.as_str()).unwrap_or(0..0);
            let mut text = fresh.as_str().to_owned();
            text.replace_range(place, &kept);
            DomainXml::parse(text)
        }
        None => DomainXml::parse(text),
    }
}

fn os(spec: &VmSpec, kind: &Kind) -> Element {
    let arch = kind.arch.as_deref().unwrap_or(std::env::consts::ARCH);
    let machine = Element::new("type").attr("arch", arch).attr("machine", "q35").text("hvm");
    let boot = Element::new("boot").attr("dev", "hd");
    match spec.firmware {
        Firmware::Bios => Element::new("os").child(machine).child(boot),
        Firmware::Uefi => {
            let off = |name| Element::new("feature").attr("enabled", "no").attr("name", name);
            // libvirt's own choice might insist on signed boot loaders.
            let firmware = Element::new("firmware").children(["enrolled-keys", "secure-boot"].map(off));
            Element::new("os").attr("firmware", "efi").children([machine, firmware, boot])
        }
    }
}

/// The `<os>` of the domain that is there, where it is of the same kind.
fn kept_os(spec: &VmSpec, known: &DomainXml) -> Option<String> {
    let text = known.as_str();
    let document = xml::read(text).ok()?;
    let os = xml::child(document.root_element(), "os")?;
    let uefi = os.attribute("firmware") == Some("efi") || xml::child(os, "loader").is_some();
    (uefi == (spec.firmware == Firmware::Uefi)).then(|| text[os.range()].to_owned())
}

fn os_range(text: &str) -> Option<std::ops::Range<usize>> {
    let document = xml::read(text).ok()?;
    xml::child(document.root_element(), "os").map(|os| os.range())
}

fn devices(spec: &VmSpec) -> Element {
    let random = Element::new("backend").attr("model", "random").text("/dev/urandom");
    let agent = Element::new("target").attr("type", "virtio").attr("name", "org.qemu.guest_agent.0");
    Element::new("devices")
        .children(spec.disks.iter().enumerate().map(|(index, it)| disk(it, index)))
        .children(spec.networks.iter().map(network))
        .children(spec.shares.iter().map(share))
        .child(Element::new("controller").attr("type", "usb").attr("model", "none"))
        .child(Element::new("serial").attr("type", "pty"))
        .child(Element::new("console").attr("type", "pty"))
        .child(Element::new("channel").attr("type", "unix").child(agent))
        .child(Element::new("rng").attr("model", "virtio").child(random))
        .child(Element::new("memballoon").attr("model", "virtio"))
}

fn disk(disk: &DiskSpec, index: usize) -> Element {
    let driver =
        Element::new("driver").attr("name", "qemu").attr("type", disk.format).attr("discard", "unmap");
    let end = Element::new("backingStore");
    let backing = match &disk.backing {
        None => end,
        Some(backing) => {
            let keep = Element::new("seclabel").attr("model", "dac").attr("relabel", "no");
            Element::new("backingStore")
                .attr("type", "file")
                .child(Element::new("format").attr("type", backing.format))
                .child(Element::new("source").attr("file", backing.path.display()).child(keep))
                .child(end)
        }
    };
    // At most 26: `offer::check` sees to it.
    let letter = char::from(b'a' + u8::try_from(index).unwrap_or(0) % 26);
    Element::new("disk")
        .attr("type", "file")
        .attr("device", "disk")
        .child(driver)
        .child(Element::new("source").attr("file", disk.path.display()))
        .child(backing)
        .child(Element::new("target").attr("dev", format!("vd{letter}")).attr("bus", "virtio"))
        .children(disk.read_only.then(|| Element::new("readonly")))
}

/// `offer::check` refuses every other kind, and forwards.
fn network(network: &NetworkSpec) -> Element {
    Element::new("interface")
        .attr("type", "user")
        .child(Element::new("mac").attr("address", network.mac))
        .child(Element::new("model").attr("type", "virtio"))
}

/// As the `kvm` backend has it: owners and modes that a guest sets are kept beside the file, and a folder
/// that is only read is served as it is.
fn share(share: &ShareSpec) -> Element {
    let access = if share.read_only { "squash" } else { "mapped" };
    Element::new("filesystem")
        .attr("type", "mount")
        .attr("accessmode", access)
        .attr("multidevs", "remap")
        .child(Element::new("source").attr("dir", share.path.display()))
        .child(Element::new("target").attr("dir", share.id.as_str()))
        .children(share.read_only.then(|| Element::new("readonly")))
}
