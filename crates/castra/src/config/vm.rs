//! Reads the keys of a VM, as `[[vms]]` and the overrides of a replica share them.
//!
//! Owns: the meaning of each key alone. Never does: compare VMs ([`super::check`]) or count
//! replicas ([`super::replica`]). Tests: in `tests/config/faults.rs`.

use std::num::NonZeroU32;
use std::path::PathBuf;

use plasmavmc_source::shown;
use plasmavmc_types::{AcceleratorChoice, ByteSize, Firmware, Persistence};

use super::forward::{self, Forward};
use super::limits::{MAX_CPUS, MIN_MEMORY};
use super::mount;
use super::path::{Base, resolve_file};
use super::project::{BaseImage, Bootstrap, CloudInit, Mount, Source};
use super::rule::Rule;
use super::walk::{Located, Node, TableReader};
use super::{Faults, bootstrap};
use crate::env::CASTRA_DIR;

/// How the name of a file ends that holds a disk: such a text is a path, not an image's name.
const DISK_SUFFIXES: [&str; 3] = [".qcow2", ".img", ".raw"];

/// The keys of a VM that are given; what is missing has its default later.
#[derive(Clone, Default)]
pub(super) struct VmKeys {
    pub(super) base_image: Option<Located<BaseImage>>,
    pub(super) overlay: Option<Located<PathBuf>>,
    pub(super) cpus: Option<NonZeroU32>,
    pub(super) memory: Option<ByteSize>,
    pub(super) port_forwards: Option<Vec<Located<Forward>>>,
    pub(super) mounts: Option<Vec<Mount>>,
    pub(super) accelerator: Option<AcceleratorChoice>,
    pub(super) firmware: Option<Firmware>,
    pub(super) persistence: Option<Persistence>,
    pub(super) cloud_init: Option<Located<CloudInit>>,
    pub(super) bootstrap: Option<Located<Bootstrap>>,
}

impl VmKeys {
    /// Reads the keys out of a table; faulty ones are noted and count as missing.
    pub(super) fn read(table: &mut TableReader<'_>, base: &Base<'_>, faults: &mut Faults<'_>) -> Self {
        Self {
            base_image: table.take("base_image").and_then(|node| read_base_image(&node, base, faults)),
            overlay: table.take("overlay").and_then(|node| {
                let path = read_path(&node, "overlay", "overlay = \"disks/web.qcow2\"", base, faults)?;
                Some(Located::new(path, &node.at))
            }),
            cpus: table.take("cpus").and_then(|node| read_cpus(&node, faults)),
            memory: table.take("memory").and_then(|node| read_memory(&node, faults)),
            port_forwards: table.take("port_forwards").and_then(|node| forward::read_list(&node, faults)),
            mounts: table.take("mounts").and_then(|node| mount::read_list(&node, base, faults)),
            accelerator: table.take("accelerator").and_then(|node| {
                use AcceleratorChoice as A;
                let words = [("auto", A::Auto), ("kvm", A::Kvm), ("hvf", A::Hvf), ("tcg", A::Tcg)];
                node.choice(&words, "accelerator = \"auto\"", faults)
            }),
            firmware: table.take("firmware").and_then(|node| {
                let words = [("bios", Firmware::Bios), ("uefi", Firmware::Uefi)];
                node.choice(&words, "firmware = \"bios\"", faults)
            }),
            persistence: table.take("persistent").and_then(|node| {
                let persistent = node.boolean("persistent = true", faults)?;
                Some(if persistent { Persistence::Persistent } else { Persistence::Disposable })
            }),
            cloud_init: table.take("cloud_init").and_then(|node| {
                let cloud_init = read_cloud_init(&node, base, faults)?;
                Some(Located::new(cloud_init, &node.at))
            }),
            bootstrap: table.take("bootstrap").and_then(|node| {
                let bootstrap = bootstrap::read(&node, base, faults)?;
                Some(Located::new(bootstrap, &node.at))
            }),
        }
    }

    /// These keys where they are given, else those of `other`; a key is taken whole.
    pub(super) fn over(self, other: &Self) -> Self {
        Self {
            base_image: self.base_image.or_else(|| other.base_image.clone()),
            overlay: self.overlay.or_else(|| other.overlay.clone()),
            cpus: self.cpus.or(other.cpus),
            memory: self.memory.or(other.memory),
            port_forwards: self.port_forwards.or_else(|| other.port_forwards.clone()),
            mounts: self.mounts.or_else(|| other.mounts.clone()),
            accelerator: self.accelerator.or(other.accelerator),
            firmware: self.firmware.or(other.firmware),
            persistence: self.persistence.or(other.persistence),
            cloud_init: self.cloud_init.or_else(|| other.cloud_init.clone()),
            bootstrap: self.bootstrap.or_else(|| other.bootstrap.clone()),
        }
    }
}

fn read_base_image(node: &Node<'_>, base: &Base<'_>, faults: &mut Faults<'_>) -> Option<Located<BaseImage>> {
    const EXAMPLE: &str = "base_image = \"alpine\"";
    let text = node.text(EXAMPLE, faults)?;
    let image = if is_path(text) {
        BaseImage::Path(read_path(node, "base_image", EXAMPLE, base, faults)?)
    } else {
        match text.parse() {
            Ok(name) => BaseImage::Catalogue(name),
            Err(error) => {
                faults.push(&node.at, &Rule::ImageName(error));
                return None;
            }
        }
    };
    Some(Located::new(image, &node.at))
}

/// Whether a text that names an image is the path of a file.
fn is_path(text: &str) -> bool {
    let lower = text.to_ascii_lowercase();
    text.contains('/')
        || matches!(text, "~" | "." | ".." | CASTRA_DIR)
        || DISK_SUFFIXES.iter().any(|suffix| lower.ends_with(suffix))
}

fn read_path(
    node: &Node<'_>,
    key: &'static str,
    example: &'static str,
    base: &Base<'_>,
    faults: &mut Faults<'_>,
) -> Option<PathBuf> {
    let text = node.text(example, faults)?;
    resolve_file(text, key, base).map_err(|rule| faults.push(&node.at, &rule)).ok()
}

fn read_cpus(node: &Node<'_>, faults: &mut Faults<'_>) -> Option<NonZeroU32> {
    node.integer(&(1..=MAX_CPUS), "cpus = 2", faults).and_then(NonZeroU32::new)
}

fn read_memory(node: &Node<'_>, faults: &mut Faults<'_>) -> Option<ByteSize> {
    if let Some(found) = node.written_integer() {
        faults.push(&node.at, &Rule::MemoryNumber { found });
        return None;
    }
    let text = node.text("memory = \"2 GiB\"", faults)?;
    let rule = match text.parse::<ByteSize>() {
        Ok(size) if size < MIN_MEMORY => Rule::LittleMemory { found: text.to_owned() },
        Ok(size) if size != ByteSize::mib(size.as_mib()) => Rule::OddMemory { found: text.to_owned() },
        Ok(size) => return Some(size),
        // The error repeats the text, which may be long and hold anything.
        Err(error) => Rule::Size(shown(text).parse::<ByteSize>().err().unwrap_or(error)),
    };
    faults.push(&node.at, &rule);
    None
}

fn read_cloud_init(node: &Node<'_>, base: &Base<'_>, faults: &mut Faults<'_>) -> Option<CloudInit> {
    const EXAMPLE: &str = "cloud_init = { user_data = \"user-data.yaml\" }";
    let mut table = node.table("`cloud_init`", EXAMPLE, faults)?;
    let cloud_init = CloudInit {
        user_data: table.take("user_data").and_then(|node| read_source(&node, "user_data", base, faults)),
        network_config: table
            .take("network_config")
            .and_then(|node| read_source(&node, "network_config", base, faults)),
    };
    table.finish(faults);
    Some(cloud_init)
}

/// A text: a path where it is a text itself, and in the config where it is a table.
fn read_source(
    node: &Node<'_>,
    key: &'static str,
    base: &Base<'_>,
    faults: &mut Faults<'_>,
) -> Option<Source> {
    const EXAMPLE: &str = "user_data = \"user-data.yaml\"";
    if node.is_table() {
        let title = if key == "user_data" { "`user_data`" } else { "`network_config`" };
        let mut table = node.table(title, EXAMPLE, faults)?;
        table.missing("inline", "inline = \"#cloud-config\\n\"", faults);
        let inline = table.take("inline");
        table.finish(faults);
        let text = inline?.text("inline = \"#cloud-config\\n\"", faults)?;
        return Some(Source::Inline(text.to_owned()));
    }
    let text = node.text(EXAMPLE, faults)?;
    if text.starts_with('#') || text.contains('\n') {
        faults.push(&node.at, &Rule::InlineAsPath { key });
        return None;
    }
    read_path(node, key, EXAMPLE, base, faults).map(Source::Path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_with_a_slash_or_a_disk_suffix_is_a_path() {
        for text in ["a/b", "./alpine", "base.qcow2", "BASE.IMG", "~/x", "/x", ".castra/images/x"] {
            assert!(is_path(text), "{text}");
        }
        for text in ["alpine", "ubuntu-24.04", "debian-13", "raw"] {
            assert!(!is_path(text), "{text}");
        }
    }
}
