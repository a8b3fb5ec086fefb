//! What the manifest wants of a VM, as values to compare.
//!
//! What a definition does not say, or lists as unmanaged, is not among them. A medium that is not on the
//! host is wanted only where it is in a drive already: an ISO that was deleted after the installation must
//! not keep a VM from being managed. Pure. Tests: below.

use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::current::paths_value;
use super::{Field, Values};
use crate::manifest::{IsoSource, VmDefinition};

/// A medium that the manifest lists and that is not at hand.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "medium", rename_all = "snake_case")]
pub enum Absent {
    /// A file that is not there (any more).
    Gone {
        /// Where it was to be.
        path: PathBuf,
    },
    /// A URL that nobody has fetched yet.
    NotFetched {
        /// The URL.
        url: String,
        /// Where it will be.
        path: PathBuf,
    },
}

/// What is wanted of a VM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// The fields that are managed, with their values.
    pub values: Values,
    /// Media that are listed and not at hand.
    pub absent: Vec<Absent>,
}

/// Where the medium behind a URL is kept once it was fetched: beside the VM's disk, where QEMU may read.
pub fn fetched_path(disk_path: &Path, url: &str) -> PathBuf {
    let name = url.split(['?', '#']).next().and_then(|url| url.rsplit('/').next()).unwrap_or_default();
    let plain: String = name.chars().filter(|c| c.is_ascii_alphanumeric() || "-_.".contains(*c)).collect();
    let stem = plain.strip_suffix(".iso").unwrap_or(&plain).trim_start_matches('.');
    // The digest tells two URLs with one name apart; a name of 255 bytes has room for it.
    let stem: String = stem.chars().take(180).collect();
    let digest: String = Sha256::digest(url).iter().take(4).map(|byte| format!("{byte:02x}")).collect();
    let stem = if stem.is_empty() { "medium" } else { &stem };
    disk_path.with_file_name(format!("{stem}-{digest}.iso"))
}

/// The file of a medium.
pub fn medium_path(definition: &VmDefinition, source: &IsoSource) -> PathBuf {
    match source {
        IsoSource::Path { path, .. } => path.clone(),
        IsoSource::Url { url, .. } => fetched_path(&definition.disk_path, url),
    }
}

/// What a definition says of every field, whether it is managed or not. `is_usable` tells of a medium's
/// file whether it is on the host or in a drive already.
pub fn said(definition: &VmDefinition, is_usable: &dyn Fn(&Path) -> bool) -> Wanted {
    let mut values = Values::from([
        (Field::Memory, json!(definition.memory.mib())),
        (Field::Vcpus, json!(definition.vcpus)),
        (Field::DiskPath, json!(definition.disk_path)),
        (Field::DiskSizeGb, json!(definition.disk_size_gb)),
        (Field::Boot, json!(definition.boot)),
        (Field::Tpm, json!(definition.tpm)),
        (Field::Network, json!(definition.network)),
        (Field::Graphics, json!(definition.graphics)),
    ]);
    let optional = [
        (Field::Title, definition.title.as_ref().map(|title| json!(title))),
        (Field::CpuModel, definition.cpu_model.as_ref().map(|cpu| json!(cpu))),
        (Field::DiskBus, definition.disk_bus.map(|bus| json!(bus))),
        (Field::SecureBoot, definition.secure_boot.map(Value::Bool)),
        (Field::Mac, definition.mac.map(|mac| json!(mac))),
        (Field::Autostart, definition.autostart.map(Value::Bool)),
    ];
    values.extend(optional.into_iter().filter_map(|(field, value)| Some((field, value?))));
    let mut absent = Vec::new();
    if let Some(sources) = &definition.iso_sources {
        let mut usable = Vec::new();
        for source in sources {
            let path = medium_path(definition, source);
            match source {
                _ if is_usable(&path) => usable.push(path),
                IsoSource::Path { .. } => absent.push(Absent::Gone { path }),
                IsoSource::Url { url, .. } => absent.push(Absent::NotFetched { url: url.clone(), path }),
            }
        }
        values.insert(Field::IsoSources, paths_value(&usable));
    }
    Wanted { values, absent }
}

/// What a definition wants of a VM that exists.
pub fn wanted(definition: &VmDefinition, is_usable: &dyn Fn(&Path) -> bool) -> Wanted {
    let mut wanted = said(definition, is_usable);
    wanted.values.retain(|field, _| !definition.unmanaged_fields.contains(field));
    if !wanted.values.contains_key(&Field::IsoSources) {
        wanted.absent.clear();
    }
    wanted
}

#[cfg(test)]
mod tests {
    use super::super::sample::definition;
    use super::*;

    #[test]
    fn what_is_not_said_is_not_managed() {
        let wanted = wanted(&definition(), &|_| true);
        let expected = json!({
            "memory": 2048, "vcpus": 2, "disk_path": "/images/web.qcow2", "disk_size_gb": 80,
            "boot": "uefi", "tpm": "2.0", "network": "default", "graphics": "spice",
        });
        assert_eq!(serde_json::to_value(&wanted.values).unwrap(), expected);
    }

    #[test]
    fn a_field_that_is_unmanaged_is_still_said_for_a_new_vm() {
        let mut definition = definition();
        definition.unmanaged_fields.insert(Field::Memory);
        assert_eq!(wanted(&definition, &|_| true).values.get(&Field::Memory), None);
        assert_eq!(said(&definition, &|_| true).values[&Field::Memory], json!(2048));
    }

    #[test]
    fn a_medium_that_is_gone_or_not_fetched_is_told_and_not_wanted() {
        let mut definition = definition();
        let url = "https://example.org/x/virtio-win.iso?v=1".to_owned();
        let path = |name: &str| IsoSource::Path { written: name.to_owned(), path: name.into() };
        definition.iso_sources =
            Some(vec![path("/a.iso"), path("/b.iso"), IsoSource::Url { url: url.clone(), checksum: None }]);
        let wanted = wanted(&definition, &|path| path == Path::new("/a.iso"));
        assert_eq!(wanted.values[&Field::IsoSources], json!(["/a.iso"]));
        let fetched = fetched_path(Path::new("/images/web.qcow2"), &url);
        let expected = [Absent::Gone { path: "/b.iso".into() }, Absent::NotFetched { url, path: fetched }];
        assert_eq!(wanted.absent, expected);
    }

    #[test]
    fn a_fetched_medium_lies_beside_the_disk_under_a_plain_name_of_its_own() {
        let at = |url: &str| fetched_path(Path::new("/images/web.qcow2"), url);
        let name = |url: &str| at(url).file_name().unwrap().to_str().unwrap().to_owned();
        assert!(name("https://example.org/a/win.iso").starts_with("win-"));
        assert_ne!(at("https://example.org/a/win.iso"), at("https://example.org/b/win.iso"));
        for hostile in
            ["https://h/", "https://h/..", "https://h/%2e%2e%2f", "https://h/a;b|c", "https://h/.iso"]
        {
            let path = at(hostile);
            assert_eq!(path.parent(), Some(Path::new("/images")), "{hostile}");
            assert!(!name(hostile).starts_with('.') && name(hostile).ends_with(".iso"), "{path:?}");
        }
        assert!(name(&format!("https://h/{}", "x".repeat(2000))).len() < 255);
    }
}
