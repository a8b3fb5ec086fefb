//! The proof that a change of a domain did what was planned, and nothing else.
//!
//! libvirt rewrites what it is given: it gives new devices addresses, adds the controllers they need,
//! fills in defaults, converts units. What it may do without having been asked is listed here, with its
//! reason; all else is told, above all what went. A list that is too short stops a good change and says
//! so; one that is too long hides a lost disk. Pure. Tests: below, against libvirt's test driver and its
//! corpus in `tests/`.

use std::collections::BTreeSet;

use roxmltree::Node;

use crate::xml::compare::{Change, ChangeKind, Difference, canonical, changes};
use crate::xml::{attr, child, children, text};

use super::DomainXml;
use super::project::{devices, memory_kib};

/// Devices that libvirt adds by itself, with what their `type`, `model` or `bus` is then.
const DEVICES: &[(&str, &[&str])] = &[
    // What a device is plugged into.
    ("controller", &[]),
    ("hub", &["usb"]),
    // The program is chosen by the type of the domain.
    ("emulator", &[]),
    // Every PC has these.
    ("input", &["ps2"]),
    ("memballoon", &["virtio"]),
    ("watchdog", &["itco"]),
    ("panic", &["hyperv", "pseries"]),
    // What a display shows, and what a sound card plays to.
    ("video", &[]),
    ("audio", &[]),
    // The first serial port is the console too, and the other way round.
    ("serial", &[]),
    ("console", &[]),
];

/// What libvirt adds to any element that does not say it, by the element: where it sits on its bus, and
/// what follows from what is there.
const ANYWHERE: &[(&str, &[&str])] = &[
    ("*", &["address", "alias"]),
    ("address", &["@*"]),
    ("hyperv", &["@mode"]),
    ("domain", &["currentMemory", "resource", "on_poweroff", "on_reboot", "on_crash", "pm"]),
    ("vcpu", &["@placement"]),
    ("memory", &["@unit"]),
    ("currentMemory", &["@unit"]),
    ("memballoon", &["@model"]),
    ("controller", &["model", "target", "@model", "@ports", "@index"]),
    ("serial", &["target"]),
    ("console", &["target"]),
    ("video", &["model"]),
    ("input", &["@bus"]),
];

/// What libvirt adds where the plan wrote something, and nowhere else: defaults that the guest sees, which
/// must not change behind the back of one that exists.
const WHERE_WRITTEN: &[(&str, &[&str])] = &[
    ("domain", &["os", "cpu", "clock", "features", "vcpu", "devices", "iothreads", "seclabel"]),
    ("os", &["loader", "nvram", "firmware", "boot", "bios", "@firmware"]),
    ("firmware", &["feature"]),
    ("loader", &["@readonly", "@secure", "@type", "@format", "@stateless"]),
    ("nvram", &["@template", "@format", "@templateFormat", "@type"]),
    ("type", &["@arch", "@machine"]),
    ("features", &["smm", "acpi", "apic", "pae", "gic"]),
    ("smm", &["@state"]),
    ("cpu", &["model", "feature", "@mode", "@match", "@check", "@migratable"]),
    ("model", &["@fallback", "@heads", "@primary", "@vram", "@ram", "@vgamem", "@vram64"]),
    ("topology", &["@dies", "@clusters"]),
    ("clock", &["timer", "@offset"]),
    ("disk", &["driver", "readonly", "source", "@type", "@device"]),
    ("driver", &["@name", "@type"]),
    ("target", &["@bus", "@dev", "@type", "@port", "model", "@chassis"]),
    ("interface", &["mac", "model", "target", "source"]),
    ("graphics", &["listen", "channel", "image", "@port", "@autoport", "@listen"]),
    ("listen", &["@type", "@address"]),
    ("channel", &["source", "target"]),
    ("source", &["@mode", "@path"]),
    ("tpm", &["backend", "@model"]),
    ("backend", &["@type", "@version", "@model"]),
    ("rng", &["backend"]),
    ("sound", &["codec", "audio"]),
    ("audio", &["@id"]),
    ("controller", &["driver"]),
    ("redirdev", &["@bus"]),
    ("panic", &["@model"]),
    ("encryption", &["@engine"]),
];

/// What of `after`, a domain as it was dumped after it was defined, is neither in `planned`, which was
/// defined, nor what libvirt fills in by itself. Nothing: the plan happened, and no more.
///
/// `before` is the domain as it was dumped before the change, and tells what the plan wrote; for a new VM
/// all of `planned` is what it wrote, and `before` may be any domain with nothing of it.
pub fn unplanned(before: &DomainXml, planned: &DomainXml, after: &DomainXml) -> Vec<Difference> {
    // All three were parsed once; what cannot be read again has no differences that could be told.
    let (Ok(a), Ok(b), Ok(c)) = (before.tree(), planned.tree(), after.tree()) else { return Vec::new() };
    let written = Written::new(a.root_element(), b.root_element());
    changes(b.root_element(), c.root_element())
        .iter()
        .filter(|change| !is_filled_in(change, &written))
        .map(Change::to_difference)
        .collect()
}

/// What the plan left as it was: the domain's own elements, and its devices.
struct Written {
    untouched: BTreeSet<String>,
}

impl Written {
    fn new(before: Node<'_, '_>, planned: Node<'_, '_>) -> Self {
        let parts = |root| units(root).map(canonical).collect::<BTreeSet<_>>();
        Self { untouched: parts(before).intersection(&parts(planned)).cloned().collect() }
    }

    /// Whether the plan wrote this element, or something around it.
    fn has(&self, planned: Node<'_, '_>) -> bool {
        let unit = planned.ancestors().find(|node| is_unit(*node));
        unit.is_none_or(|unit| !self.untouched.contains(&canonical(unit)))
    }
}

/// The parts of a domain that are written as a whole or not at all.
fn units<'a, 'i>(root: Node<'a, 'i>) -> impl Iterator<Item = Node<'a, 'i>> {
    let devices = children(root, "devices").flat_map(|devices| devices.children());
    root.children().chain(devices).filter(|node| is_unit(*node))
}

fn is_unit(node: Node<'_, '_>) -> bool {
    let parent = node.parent_element();
    let of_devices = parent.is_some_and(|parent| parent.tag_name().name() == "devices");
    let of_domain = parent.is_some_and(|parent| parent.parent_element().is_none());
    node.is_element() && (of_devices || (of_domain && node.tag_name().name() != "devices"))
}

fn is_filled_in(change: &Change<'_, '_>, written: &Written) -> bool {
    let (planned, after) = change.parents;
    let name = planned.tag_name().name();
    let listed = |list: &[(&str, &[&str])], what: &str| {
        let all = if what.starts_with('@') { "@*" } else { "*" };
        list.iter().any(|(element, added)| {
            (*element == name || *element == "*") && (added.contains(&what) || added.contains(&all))
        })
    };
    match &change.kind {
        ChangeKind::Came(node) => {
            let what = node.tag_name().name();
            if node.tag_name().namespace().is_some() {
                return false;
            }
            if name == "devices" {
                return is_added_device(*node, planned);
            }
            (listed(ANYWHERE, what) && is_consistent(*node, after))
                || (listed(WHERE_WRITTEN, what) && written.has(planned) && !is_chosen_already(what, planned))
        }
        ChangeKind::Attribute { name: attribute, before: None, after: Some(_) } => {
            let what = format!("@{attribute}");
            listed(ANYWHERE, &what) || (listed(WHERE_WRITTEN, &what) && written.has(planned))
        }
        ChangeKind::Attribute { name: attribute, before: Some(before), after: Some(after_value) } => {
            match (name, attribute.as_str()) {
                ("memory" | "currentMemory" | "maxMemory", "unit") => same_size(planned, after),
                // The name for the newest of a kind.
                ("type", "machine") => written.has(planned) && is_alias_of(before, after_value),
                _ => is_same_number(before, after_value),
            }
        }
        ChangeKind::Text { before, .. } => match name {
            "memory" | "currentMemory" | "maxMemory" => same_size(planned, after),
            // A firmware of which only properties were named.
            "loader" | "nvram" => before.is_empty() && written.has(planned),
            _ => false,
        },
        ChangeKind::Attribute { .. } | ChangeKind::Went(_) => false,
    }
}

/// Whether this is a device that libvirt adds by itself, and the plan has none like it.
fn is_added_device(node: Node<'_, '_>, planned: Node<'_, '_>) -> bool {
    let name = node.tag_name().name();
    let says = |kinds: &&[&str]| {
        let found = ["type", "model", "bus"].map(|of| attr(node, of));
        kinds.is_empty() || found.iter().flatten().any(|value| kinds.contains(value))
    };
    let root = planned.parent_element();
    let has = |kind| root.is_some_and(|root| devices(root, kind).next().is_some());
    let known = DEVICES.iter().any(|(device, kinds)| *device == name && says(kinds));
    known
        && match name {
            "video" => !has("video"),
            "emulator" | "memballoon" | "audio" => !has(name),
            "serial" => has("console") && !has("serial"),
            "console" => has("serial") && !has("console"),
            _ => true,
        }
}

/// Whether what came agrees with what is there: a balloon that leaves the guest all of its memory.
fn is_consistent(node: Node<'_, '_>, after: Node<'_, '_>) -> bool {
    if node.tag_name().name() != "currentMemory" {
        return true;
    }
    let all = child(after, "memory").and_then(|memory| memory_kib(memory, "memory").ok());
    all.is_some() && memory_kib(node, "currentMemory").ok() == all
}

/// Whether the firmware's files are chosen in the plan already, so that there is nothing to choose.
fn is_chosen_already(what: &str, os: Node<'_, '_>) -> bool {
    let has_path = |name| child(os, name).is_some_and(|node| !text(node).is_empty());
    match what {
        "loader" => has_path("loader"),
        "nvram" => has_path("nvram"),
        _ => false,
    }
}

fn same_size(planned: Node<'_, '_>, after: Node<'_, '_>) -> bool {
    match (memory_kib(planned, "memory"), memory_kib(after, "memory")) {
        (Ok(a), Ok(b)) => a == b,
        _ => false,
    }
}

/// Whether two texts are one number: libvirt writes addresses in hexadecimal digits.
fn is_same_number(a: &str, b: &str) -> bool {
    let number = |text: &str| match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    };
    number(a).is_some_and(|a| number(b) == Some(a))
}

/// Whether a machine type is what an alias stands for.
fn is_alias_of(alias: &str, machine: &str) -> bool {
    match alias {
        "pc" => machine.starts_with("pc-i440fx-"),
        "q35" => machine.starts_with("pc-q35-"),
        _ => machine.strip_prefix(alias).is_some_and(|rest| rest.starts_with('-')),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Edit;
    use crate::domain::sample::{WINDOWS, windows};

    /// What is told where this happened instead of only the change that was planned.
    fn told(from: &str, to: &str) -> Vec<String> {
        let planned = windows().edit(&[Edit::Title(Some("new".to_owned()))]).unwrap();
        let after = planned.as_str().replacen(from, to, 1);
        assert_ne!(after, planned.as_str(), "{from}");
        let after = DomainXml::parse(after).unwrap();
        unplanned(&windows(), &planned, &after).iter().map(Difference::to_string).collect()
    }

    #[test]
    fn only_the_plan_happened() {
        let planned = windows().edit(&[Edit::MemoryKib(1024)]).unwrap();
        assert_eq!(unplanned(&windows(), &planned, &planned), []);
        assert_eq!(
            unplanned(&windows(), &planned, &windows()).len(),
            2,
            "a plan that did not happen is told"
        );
        assert_eq!(told("<memory unit='KiB'>8388608<", "<memory unit='GiB'>8<"), [""; 0]);
        assert_eq!(
            told("<redirdev", "<controller type='usb' index='0' model='qemu-xhci'/><redirdev"),
            [""; 0]
        );
        assert_eq!(
            told(
                "<backend type='emulator' version='2.0'/>\n    </tpm>",
                "<backend type='emulator' version='2.0'/>\n    <alias name='tpm0'/></tpm>"
            ),
            [""; 0]
        );
    }

    #[test]
    fn what_was_lost_or_moved_is_told() {
        for (from, to) in [
            ("52:54:00:aa:bb:cc", "52:54:00:aa:bb:cd"),
            ("nvram/win11_VARS.fd", "nvram/win11_VARS.qcow2"),
            ("OVMF_CODE_4M.ms.fd", "OVMF_CODE_4M.fd"),
            ("pc-q35-8.2", "pc-q35-9.0"),
            ("0a1b2c3d-0000", "0a1b2c3d-0001"),
            ("passwd='hunter2'", ""),
            ("passwd='hunter2'", "passwd='other'"),
            ("<qemu:arg value='-smbios'/>", ""),
            ("type='kvm'", "type='qemu'"),
            (
                "<address type='pci' domain='0x0000' bus='0x04'",
                "<address type='pci' domain='0x0000' bus='0x05'",
            ),
            ("version='2.0'", "version='1.2'"),
            ("mode='host-passthrough'", "mode='host-model'"),
            ("8388608", "8388607"),
            ("<libosinfo:os id=\"urn:win11\"/>", ""),
            ("<boot order='1'/>", ""),
            // Filled in only where there is none.
            ("<redirdev", "<memballoon model='none'/><redirdev"),
            ("<redirdev", "<video><model type='vga'/></video><redirdev"),
            ("<redirdev", "<interface type='user'/><redirdev"),
            ("<acpi/>", "<acpi/><pae/>"),
        ] {
            assert_ne!(told(from, to), [""; 0], "{from} -> {to}");
        }
    }

    #[test]
    fn every_element_that_goes_is_told() {
        let xml = windows();
        let document = xml.tree().unwrap();
        for node in document.root_element().descendants().filter(Node::is_element).skip(1) {
            let mut after = WINDOWS.to_owned();
            after.replace_range(node.range(), "");
            let after = DomainXml::parse(after).unwrap();
            assert_ne!(unplanned(&xml, &xml, &after), [], "{:?}", node.tag_name());
        }
    }

    #[test]
    fn a_new_vm_may_be_filled_in_where_an_old_one_may_not() {
        let new = DomainXml::parse("<domain><os firmware='efi'><type machine='q35'>hvm</type></os></domain>")
            .unwrap();
        let chosen = "<domain><os firmware='efi'><type machine='pc-q35-9.0'>hvm</type><loader>/c</loader><nvram>/v</nvram></os></domain>";
        let chosen = DomainXml::parse(chosen).unwrap();
        let nothing = DomainXml::parse("<domain/>").unwrap();
        assert_eq!(unplanned(&nothing, &new, &chosen), []);
        assert_eq!(unplanned(&new, &new, &chosen).len(), 3);
    }
}
