//! The firmware descriptors that libvirt chooses UEFI from.
//!
//! QEMU's interoperability format: one JSON file a firmware, of which a file of the same name in `/etc`
//! replaces the one in `/usr/share`, and an empty one hides it. libvirt takes the first, in the order of
//! their names, that has what a domain asks for. A descriptor that cannot be read is passed over, as libvirt
//! does. Tests: below.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;

/// Where descriptors are, those that win last.
pub const PLACES: [&str; 2] = ["/usr/share/qemu/firmware", "/etc/qemu/firmware"];

/// One firmware for UEFI.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Firmware {
    /// The descriptor.
    pub descriptor: PathBuf,
    /// The code.
    pub executable: PathBuf,
    /// What a new VM's variables are copied from; none where the firmware keeps none.
    pub nvram_template: Option<PathBuf>,
    /// Whether it can insist on signed boot loaders.
    pub secure_boot: bool,
    /// Whether it knows keys from the beginning, so that it does insist.
    pub enrolled_keys: bool,
    /// Whether it needs system management mode, which only `q35` has.
    pub requires_smm: bool,
    /// Architectures, such as `x86_64`.
    architectures: Vec<String>,
    /// Whether the code is still where the descriptor says.
    pub installed: bool,
}

impl Firmware {
    /// Whether it is for this architecture.
    pub fn runs_on(&self, arch: &str) -> bool {
        self.architectures.iter().any(|known| known == arch)
    }
}

/// Every installed firmware for UEFI that this host's descriptors name, in the order libvirt tries them.
pub fn installed() -> Vec<Firmware> {
    read(&PLACES.map(Path::new))
}

fn read(places: &[&Path]) -> Vec<Firmware> {
    let mut files: BTreeMap<OsString, PathBuf> = BTreeMap::new();
    for place in places {
        for entry in fs::read_dir(place).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.extension().is_some_and(|extension| extension == "json") {
                files.insert(entry.file_name(), path);
            }
        }
    }
    files.into_values().filter_map(|path| parse(&path, &fs::read(&path).ok()?)).collect()
}

fn parse(path: &Path, bytes: &[u8]) -> Option<Firmware> {
    let raw: Raw = serde_json::from_slice(bytes).ok()?;
    if !raw.interface_types.iter().any(|kind| kind == "uefi") || raw.mapping.device != "flash" {
        return None;
    }
    let executable = raw.mapping.executable?.filename;
    let has = |feature: &str| raw.features.iter().any(|known| known == feature);
    Some(Firmware {
        descriptor: path.to_owned(),
        installed: executable.is_file(),
        executable,
        nvram_template: raw.mapping.nvram_template.map(|file| file.filename),
        secure_boot: has("secure-boot"),
        enrolled_keys: has("enrolled-keys"),
        requires_smm: has("requires-smm"),
        architectures: raw.targets.into_iter().map(|target| target.architecture).collect(),
    })
}

/// What is read of a descriptor.
#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Raw {
    #[serde(default)]
    interface_types: Vec<String>,
    mapping: Mapping,
    #[serde(default)]
    targets: Vec<Target>,
    #[serde(default)]
    features: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Mapping {
    device: String,
    executable: Option<File>,
    nvram_template: Option<File>,
}

#[derive(Deserialize)]
struct File {
    filename: PathBuf,
}

#[derive(Deserialize)]
struct Target {
    architecture: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn descriptor(features: &str) -> String {
        format!(
            r#"{{"description": "x", "interface-types": ["uefi"], "mapping": {{"device": "flash",
            "executable": {{"filename": "/nowhere/CODE.fd", "format": "raw"}},
            "nvram-template": {{"filename": "/nowhere/VARS.fd", "format": "raw"}}}},
            "targets": [{{"architecture": "x86_64", "machines": ["pc-q35-*"]}}], "features": [{features}], "tags": []}}"#
        )
    }

    #[test]
    fn the_first_by_name_comes_first_and_etc_replaces_and_hides() {
        let dir = tempfile::tempdir().unwrap();
        let (share, etc) = (dir.path().join("share"), dir.path().join("etc"));
        for place in [&share, &etc] {
            fs::create_dir(place).unwrap();
        }
        fs::write(share.join("60-plain.json"), descriptor("")).unwrap();
        fs::write(
            share.join("40-keys.json"),
            descriptor(r#""secure-boot", "enrolled-keys", "requires-smm""#),
        )
        .unwrap();
        fs::write(share.join("30-hidden.json"), descriptor("")).unwrap();
        fs::write(share.join("README"), descriptor("")).unwrap();
        fs::write(share.join("10-broken.json"), "{").unwrap();
        fs::write(etc.join("30-hidden.json"), "").unwrap();
        fs::write(etc.join("60-plain.json"), descriptor(r#""secure-boot""#)).unwrap();
        let found = read(&[&share, &etc, &dir.path().join("missing")]);
        let told: Vec<_> =
            found.iter().map(|it| (it.secure_boot, it.enrolled_keys, it.requires_smm)).collect();
        assert_eq!(told, [(true, true, true), (true, false, false)]);
        assert_eq!(found[1].descriptor, etc.join("60-plain.json"));
        assert!(found[0].runs_on("x86_64") && !found[0].runs_on("aarch64") && !found[0].installed);
        assert_eq!(found[0].nvram_template.as_deref(), Some(Path::new("/nowhere/VARS.fd")));
    }

    #[test]
    fn what_is_no_uefi_in_flash_is_passed_over() {
        let path = Path::new("/x.json");
        assert!(parse(path, descriptor("").replace("uefi", "bios").as_bytes()).is_none());
        assert!(parse(path, descriptor("").replace("flash", "memory").as_bytes()).is_none());
        assert!(parse(path, descriptor("").as_bytes()).is_some());
    }
}
