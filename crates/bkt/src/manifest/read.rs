//! The text of a manifest to a [`VmManifest`], or every fault in it. Pure.
//!
//! Tests: `tests/manifest`.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};

use plasmavmc_source::{At, SourceMap, text_of};

use super::check::{Draft, check};
use super::definition::{VmDefinition, VmManifest};
use super::limits::{DISK_SIZE_GB, MAX_TITLE_BYTES, MEMORY_GB, MEMORY_MB, VCPUS};
use super::name::DomainName;
use super::rule::Rule;
use super::walk::{Node, ObjectReader};
use super::words::{BootChoice, DiskBus, GraphicsChoice, Memory, NetworkChoice, TpmChoice};
use super::{Fault, Faults, iso, path, syntax};
use crate::vm::Field;

/// What a manifest means beside its text.
#[derive(Debug, Clone, Copy)]
pub struct Environment<'a> {
    /// The file, as faults name it.
    pub file: &'a Path,
    /// What `~` means.
    pub home: Option<&'a Path>,
}

/// Reads the bytes of a manifest.
///
/// # Errors
/// Every fault of the text, in its order; at least one.
pub fn parse_bytes(bytes: &[u8], env: Environment<'_>) -> Result<VmManifest, Vec<Fault>> {
    parse(text_of::<Rule>(bytes, env.file)?, env)
}

/// Reads the text of a manifest.
///
/// # Errors
/// Every fault of the text, in its order; at least one.
pub fn parse(text: &str, env: Environment<'_>) -> Result<VmManifest, Vec<Fault>> {
    let map = SourceMap::new(text);
    let mut faults = Faults::new(env.file, &map);
    let tree = syntax::parse(&map, &mut faults);
    let manifest = tree.map(|tree| read(&Node::root(&tree), env, &mut faults)).unwrap_or_default();
    if faults.is_empty() { Ok(manifest) } else { Err(faults.into_sorted()) }
}

/// Reads a tree; what is faulty is noted and left out of the manifest, which then counts for nothing.
fn read(root: &Node<'_>, env: Environment<'_>, faults: &mut Faults<'_>) -> VmManifest {
    let Some(mut root) = root.object("a manifest", None, "{ \"vms\": {} }", faults) else {
        return VmManifest::default();
    };
    if let Some(schema) = root.take("$schema") {
        schema.text_or_null("\"$schema\": \"vms.schema.json\"", faults);
    }
    let uri = root.take("uri").and_then(|node| read_uri(&node, faults));
    let drafts =
        root.need("vms", "`vms`", "\"vms\": {}").map_or_else(Vec::new, |node| read_vms(&node, env, faults));
    root.finish(faults);
    check(&drafts, faults);
    let vms = drafts.into_iter().filter_map(|draft| Some((draft.name?, draft.definition?)));
    VmManifest { uri, vms: vms.collect::<BTreeMap<_, _>>() }
}

fn read_uri(node: &Node<'_>, faults: &mut Faults<'_>) -> Option<String> {
    let text = node.text("\"uri\": \"qemu:///system\"", faults)?;
    let scheme = text.split_once("://").map(|(scheme, _)| scheme).unwrap_or_default();
    let is_scheme = scheme.starts_with(|c: char| c.is_ascii_lowercase())
        && scheme.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "+.-".contains(c));
    if is_scheme && text.chars().all(|c| c.is_ascii_graphic()) {
        return Some(text.to_owned());
    }
    faults.push(&node.at, &Rule::Uri { found: text.to_owned() });
    None
}

fn read_vms(node: &Node<'_>, env: Environment<'_>, faults: &mut Faults<'_>) -> Vec<Draft> {
    let Some(vms) = node.object("`vms`", None, "\"vms\": {}", faults) else { return Vec::new() };
    let mut drafts = Vec::new();
    for (name, name_at, node) in vms.entries() {
        let name: Option<DomainName> =
            name.parse().map_err(|error| faults.push(&name_at, &Rule::Name(error))).ok();
        let example = "\"vms\": { \"win11\": { … } }";
        let draft = match node.object("a VM", Some(&name_at), example, faults) {
            Some(object) => read_vm(object, env, faults),
            None => Draft::default(),
        };
        drafts.push(Draft { name, ..draft });
    }
    drafts
}

/// Reads the body of a VM, in the order of the reference.
fn read_vm(mut vm: ObjectReader<'_>, env: Environment<'_>, faults: &mut Faults<'_>) -> Draft {
    let title = vm.take("title").and_then(|node| read_title(&node, faults));
    let memory = read_memory(&mut vm, faults);
    let vcpus = vm.need("vcpus", "`vcpus`", "\"vcpus\": 4").and_then(|node| node.integer(&VCPUS, 4, faults));
    let cpu_model = vm.take("cpu_model").and_then(|node| {
        let text = node.text("\"cpu_model\": \"host-passthrough\"", faults)?;
        text.parse().map_err(|error| faults.push(&node.at, &Rule::CpuModel(error))).ok()
    });
    let disk = read_disk(&mut vm, faults);
    let disk_size_gb = vm
        .need("disk_size_gb", "`disk_size_gb`", "\"disk_size_gb\": 80")
        .and_then(|node| node.integer(&DISK_SIZE_GB, 80, faults));
    let disk_bus = vm.take("disk_bus").and_then(|node| node.choice(DiskBus::ALL, faults));
    let create_if_missing = vm.take("create_if_missing").and_then(|node| node.boolean(faults));
    let (boot, secure_boot) = read_boot(&mut vm, faults);
    let tpm = vm.take("tpm").and_then(|node| node.choice(TpmChoice::ALL, faults));
    let (network, mac) = read_network(&mut vm, faults);
    let graphics = vm
        .need("graphics", "`graphics`", "\"graphics\": \"spice\"")
        .and_then(|node| node.choice(GraphicsChoice::ALL, faults));
    let iso_sources = vm.take("iso_sources").and_then(|node| iso::read_sources(&node, env, faults));
    let autostart = vm.take("autostart").and_then(|node| node.boolean(faults));
    let unmanaged_fields =
        vm.take("unmanaged_fields").map(|node| read_fields(&node, faults)).unwrap_or_default();
    vm.finish(faults);
    let isos = iso_sources.clone().unwrap_or_default();
    let definition = (|| {
        Some(VmDefinition {
            title,
            memory: memory?,
            // The range ends far below.
            vcpus: NonZeroU32::try_from(vcpus?).ok()?,
            cpu_model,
            disk_path: disk.as_ref()?.0.clone(),
            disk_size_gb: disk_size_gb?,
            disk_bus,
            create_if_missing: create_if_missing.unwrap_or_default(),
            boot: boot?,
            secure_boot,
            tpm: tpm.unwrap_or(TpmChoice::None),
            network: network?,
            mac: mac.as_ref().map(|(mac, _)| *mac),
            graphics: graphics?,
            iso_sources: iso_sources.map(|sources| sources.into_iter().map(|(source, _)| source).collect()),
            autostart,
            unmanaged_fields,
        })
    })();
    Draft { definition, disk, mac, isos, ..Draft::default() }
}

fn read_title(node: &Node<'_>, faults: &mut Faults<'_>) -> Option<Option<String>> {
    let Some(text) = node.text_or_null("\"title\": \"Windows 11\"", faults)? else { return Some(None) };
    // The last two are no characters of XML.
    let is_odd = |c: char| c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}');
    if text.trim().is_empty() || text.len() > MAX_TITLE_BYTES || text.contains(is_odd) {
        faults.push(&node.at, &Rule::Title { found: text.to_owned() });
        return None;
    }
    Some(Some(text.to_owned()))
}

fn read_memory(vm: &mut ObjectReader<'_>, faults: &mut Faults<'_>) -> Option<Memory> {
    let (gib, mib) = (vm.take("memory_gb"), vm.take("memory_mb"));
    match (gib, mib) {
        (Some(node), None) => node.integer(&MEMORY_GB, 8, faults).map(Memory::Gib),
        (None, Some(node)) => node.integer(&MEMORY_MB, 8192, faults).map(Memory::Mib),
        (Some(gib), Some(mib)) => {
            faults.push_related(&mib.at, &Rule::MemoryTwice, Some((&gib.at, "`memory_gb` is here")));
            gib.integer(&MEMORY_GB, 8, faults);
            mib.integer(&MEMORY_MB, 8192, faults);
            None
        }
        (None, None) => {
            vm.misses("`memory_gb` or `memory_mb`", "\"memory_gb\": 8");
            None
        }
    }
}

fn read_disk(vm: &mut ObjectReader<'_>, faults: &mut Faults<'_>) -> Option<(PathBuf, At)> {
    let example = "\"disk_path\": \"/var/lib/libvirt/images/win11.qcow2\"";
    let node = vm.need("disk_path", "`disk_path`", example)?;
    let text = node.text(example, faults)?;
    match path::disk(text) {
        Ok(path) => Some((path, node.at)),
        Err(rule) => {
            faults.push(&node.at, &rule);
            None
        }
    }
}

fn read_boot(vm: &mut ObjectReader<'_>, faults: &mut Faults<'_>) -> (Option<BootChoice>, Option<bool>) {
    let boot =
        vm.need("boot", "`boot`", "\"boot\": \"uefi\"").and_then(|node| node.choice(BootChoice::ALL, faults));
    let secure_boot = vm.take("secure_boot").and_then(|node| {
        let secure = node.boolean(faults)?;
        if secure && boot == Some(BootChoice::Bios) {
            faults.push(&node.at, &Rule::SecureBootWithBios);
        }
        Some(secure)
    });
    (boot, secure_boot)
}

type Card = (Option<NetworkChoice>, Option<(plasmavmc_types::MacAddr, At)>);

fn read_network(vm: &mut ObjectReader<'_>, faults: &mut Faults<'_>) -> Card {
    let example = "\"network\": \"default\"";
    let network: Option<NetworkChoice> = vm.need("network", "`network`", example).and_then(|node| {
        let text = node.text(example, faults)?;
        text.parse().map_err(|error| faults.push(&node.at, &Rule::Network(error))).ok()
    });
    let mac = vm.take("mac").and_then(|node| {
        let text = node.text("\"mac\": \"52:54:00:12:34:56\"", faults)?;
        let mac = text.parse().map_err(|error| faults.push(&node.at, &Rule::from(error))).ok()?;
        if network == Some(NetworkChoice::None) {
            faults.push(&node.at, &Rule::MacWithoutCard);
        }
        Some((mac, node.at))
    });
    (network, mac)
}

/// The names of fields; memory may be called as its keys are.
pub(super) const FIELD_WORDS: &[(&str, Field)] = &[
    ("title", Field::Title),
    ("memory_gb", Field::Memory),
    ("memory_mb", Field::Memory),
    ("memory", Field::Memory),
    ("vcpus", Field::Vcpus),
    ("cpu_model", Field::CpuModel),
    ("disk_path", Field::DiskPath),
    ("disk_size_gb", Field::DiskSizeGb),
    ("disk_bus", Field::DiskBus),
    ("boot", Field::Boot),
    ("secure_boot", Field::SecureBoot),
    ("tpm", Field::Tpm),
    ("network", Field::Network),
    ("mac", Field::Mac),
    ("graphics", Field::Graphics),
    ("iso_sources", Field::IsoSources),
    ("autostart", Field::Autostart),
];

fn read_fields(node: &Node<'_>, faults: &mut Faults<'_>) -> BTreeSet<Field> {
    let elements = node.list("\"unmanaged_fields\": [\"graphics\"]", faults).unwrap_or_default();
    elements.iter().filter_map(|element| element.choice(FIELD_WORDS, faults)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_has_a_word() {
        for field in Field::ALL {
            let word = FIELD_WORDS.iter().find(|(word, _)| *word == field.as_str());
            assert_eq!(word.map(|(_, named)| *named), Some(field));
        }
    }
}
