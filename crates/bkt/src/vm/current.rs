//! What a domain is, in the words of the manifest, and what of it has no words there.
//!
//! A manifest speaks of one disk, one card and one display; a domain may have more, which are someone
//! else's. Ours is the one the manifest names, else the one we applied last, else the first. Pure.
//! Tests: below.

use std::path::{Path, PathBuf};

use plasmavmc_libvirt::domain::{
    Boot, CpuModel, Disk, Domain, Fields, GraphicsKind, Network, Nic, Source, TpmVersion,
};
use plasmavmc_types::{ByteSize, MacAddr};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::applied::Applied;
use super::{Field, Values, media};

/// A field whose value a manifest cannot say.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Unsaid {
    /// The field.
    pub field: Field,
    /// What is there, for a person.
    pub found: String,
    /// Why a manifest has no word for it.
    pub why: String,
}

/// What is known of a domain beside its XML.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Beside {
    /// Whether it starts with the host; none where that is not known (a dump in a file).
    pub autostart: Option<bool>,
    /// The size its disk shows to the guest; none where it could not be read.
    pub disk_size: Option<ByteSize>,
}

/// Whose words decide which of several disks, cards and displays is meant.
#[derive(Debug, Clone, Copy, Default)]
pub struct Meant<'a> {
    /// What the manifest wants.
    pub wanted: Option<&'a Values>,
    /// What was applied last.
    pub applied: Option<&'a Applied>,
}

/// A domain in the words of the manifest.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Current {
    /// What can be said.
    pub values: Values,
    /// What cannot.
    pub unsaid: Vec<Unsaid>,
}

impl Meant<'_> {
    /// The values of a field, the manifest's first.
    fn values(&self, field: Field) -> impl Iterator<Item = &Value> {
        let wanted = self.wanted.and_then(|values| values.get(&field));
        let applied = self.applied.and_then(|applied| applied.fields.get(&field));
        wanted.into_iter().chain(applied)
    }

    /// The disk that is meant.
    pub fn disk<'d>(&self, fields: &'d Fields) -> Option<&'d Disk> {
        let at = |path: &str| {
            fields
                .disks
                .iter()
                .find(|disk| matches!(&disk.source, Source::File(file) if file == Path::new(path)))
        };
        self.values(Field::DiskPath).filter_map(Value::as_str).find_map(at).or_else(|| fields.disks.first())
    }

    /// The card that is meant, with its place among the cards.
    pub fn nic<'d>(&self, fields: &'d Fields) -> Option<(usize, &'d Nic)> {
        let at = |mac: MacAddr| fields.nics.iter().enumerate().find(|(_, nic)| nic.mac == Some(mac));
        let named = self.values(Field::Mac).filter_map(|value| value.as_str()?.parse().ok());
        let ours = self.applied.and_then(|applied| applied.nic);
        named.chain(ours).find_map(at).or_else(|| fields.nics.iter().enumerate().next())
    }

    /// The display that is meant.
    fn graphics<'d>(&self, fields: &'d Fields) -> Option<&'d GraphicsKind> {
        let of_kind = |word: &str| {
            fields.graphics.iter().map(|one| &one.kind).find(|kind| graphics_word(kind) == Some(word))
        };
        let named = self.values(Field::Graphics).filter_map(Value::as_str).find_map(of_kind);
        named.or_else(|| fields.graphics.first().map(|one| &one.kind))
    }

    /// The media that are ours.
    pub fn media(&self) -> Vec<PathBuf> {
        let listed = |value: &Value| value.as_array().cloned().unwrap_or_default();
        let paths = self.values(Field::IsoSources).flat_map(listed);
        paths.filter_map(|value| value.as_str().map(PathBuf::from)).collect()
    }
}

/// Reads a domain.
pub fn current(domain: &Domain, beside: &Beside, meant: &Meant<'_>) -> Current {
    let fields = &domain.fields;
    let mut current = Current::default();
    current.say(Field::Title, json!(fields.title));
    current.machine(fields);
    current.disk(fields, beside, meant);
    current.firmware(domain);
    current.network(fields, meant);
    current.graphics(fields, meant);
    current.say(Field::IsoSources, paths_value(&media::current(&fields.cdroms, &meant.media())));
    if let Some(autostart) = beside.autostart {
        current.say(Field::Autostart, json!(autostart));
    }
    current
}

/// Paths as a field's value. Each came out of XML or JSON, so it is text.
pub(super) fn paths_value(paths: &[PathBuf]) -> Value {
    paths.iter().map(|path| Value::String(path.display().to_string())).collect()
}

/// A display's word.
pub(super) fn graphics_word(kind: &GraphicsKind) -> Option<&'static str> {
    match kind {
        GraphicsKind::Spice => Some("spice"),
        GraphicsKind::Vnc => Some("vnc"),
        GraphicsKind::Other(_) => None,
    }
}

/// A network's words; none where a manifest would read them as something else.
pub(super) fn network_word(network: &Network) -> Option<String> {
    match network {
        Network::User => Some("user".to_owned()),
        Network::Bridge(name) => Some(format!("bridge:{name}")),
        Network::Named(name) if name == "user" || name == "none" || name.contains(':') => None,
        Network::Named(name) => Some(name.clone()),
        Network::Other(_) => None,
    }
}

impl Current {
    fn say(&mut self, field: Field, value: Value) {
        self.values.insert(field, value);
    }

    fn cannot_say(&mut self, field: Field, found: impl Into<String>, why: impl Into<String>) {
        self.unsaid.push(Unsaid { field, found: found.into(), why: why.into() });
    }

    fn machine(&mut self, fields: &Fields) {
        if fields.memory_kib.is_multiple_of(1024) && fields.memory_kib > 0 {
            self.say(Field::Memory, json!(fields.memory_kib / 1024));
        } else {
            let found = format!("{} KiB", fields.memory_kib);
            self.cannot_say(Field::Memory, found, "a manifest counts memory in whole MiB");
        }
        self.say(Field::Vcpus, json!(fields.vcpus));
        match &fields.cpu {
            CpuModel::HostPassthrough => self.say(Field::CpuModel, json!("host-passthrough")),
            CpuModel::HostModel => self.say(Field::CpuModel, json!("host-model")),
            CpuModel::Maximum => self.say(Field::CpuModel, json!("maximum")),
            CpuModel::Named(model) => self.say(Field::CpuModel, json!(model)),
            CpuModel::Unspecified => self.cannot_say(
                Field::CpuModel,
                "no model",
                "its XML leaves the processor to libvirt, and a manifest names one",
            ),
        }
    }

    fn disk(&mut self, fields: &Fields, beside: &Beside, meant: &Meant<'_>) {
        let Some(disk) = meant.disk(fields) else {
            self.cannot_say(Field::DiskPath, "no disk", "a manifest's VM has one");
            return;
        };
        match &disk.source {
            Source::File(path) => self.say(Field::DiskPath, json!(path)),
            Source::Empty => {
                self.cannot_say(Field::DiskPath, "a disk without a file", "a manifest names one");
            }
            Source::Other(kind) => self.cannot_say(
                Field::DiskPath,
                format!("a disk of type `{kind}`"),
                "a manifest's disk is a file",
            ),
        }
        match &disk.bus {
            Some(bus) => self.say(Field::DiskBus, json!(bus)),
            None => self.cannot_say(Field::DiskBus, "no bus", "its XML leaves the bus to libvirt"),
        }
        match beside.disk_size {
            Some(size) if size.as_mib().is_multiple_of(1024) && size == ByteSize::mib(size.as_mib()) => {
                self.say(Field::DiskSizeGb, json!(size.as_mib() / 1024));
            }
            Some(size) => {
                let found = format!("{} bytes", size.as_bytes());
                self.cannot_say(Field::DiskSizeGb, found, "a manifest counts disks in whole GiB");
            }
            None => {}
        }
    }

    fn firmware(&mut self, domain: &Domain) {
        let fields = &domain.fields;
        self.say(Field::Boot, json!(fields.boot));
        if let (Boot::Uefi, Some(secure)) = (fields.boot, fields.secure_boot) {
            self.say(Field::SecureBoot, json!(secure));
        }
        match &fields.tpm {
            None => self.say(Field::Tpm, json!("none")),
            Some(tpm) if tpm.emulated && tpm.version == Some(TpmVersion::V2_0) => {
                self.say(Field::Tpm, json!("2.0"));
            }
            Some(tpm) if tpm.emulated => self.cannot_say(
                Field::Tpm,
                if tpm.version.is_some() { "a TPM 1.2" } else { "a TPM without a version" },
                "a manifest has version 2.0, or none",
            ),
            Some(_) => {
                self.cannot_say(Field::Tpm, "the host's TPM", "a manifest has an emulated one, or none");
            }
        }
    }

    fn network(&mut self, fields: &Fields, meant: &Meant<'_>) {
        let Some((_, nic)) = meant.nic(fields) else {
            self.say(Field::Network, json!("none"));
            return;
        };
        match (network_word(&nic.network), &nic.network) {
            (Some(word), _) => self.say(Field::Network, json!(word)),
            (None, Network::Named(name)) => self.cannot_say(
                Field::Network,
                format!("a network named `{name}`"),
                "in a manifest that name means something else",
            ),
            (None, Network::Other(kind)) => self.cannot_say(
                Field::Network,
                format!("a card of type `{kind}`"),
                "a manifest's card is on a libvirt network, a bridge or user-mode NAT",
            ),
            (None, Network::Bridge(_) | Network::User) => {}
        }
        if let Some(mac) = nic.mac {
            self.say(Field::Mac, json!(mac));
        }
    }

    fn graphics(&mut self, fields: &Fields, meant: &Meant<'_>) {
        match meant.graphics(fields) {
            None => self.say(Field::Graphics, json!("none")),
            Some(kind) => match (graphics_word(kind), kind) {
                (Some(word), _) => self.say(Field::Graphics, json!(word)),
                (None, kind) => {
                    let found = match kind {
                        GraphicsKind::Other(other) => format!("a display of type `{other}`"),
                        GraphicsKind::Spice | GraphicsKind::Vnc => String::new(),
                    };
                    self.cannot_say(Field::Graphics, found, "a manifest has spice, vnc or none");
                }
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::sample::{domain, nic};
    use super::*;
    use plasmavmc_libvirt::domain::{Graphics, Tpm};

    fn read(domain: &Domain) -> Current {
        current(domain, &Beside::default(), &Meant::default())
    }

    fn unsaid(domain: &Domain, field: Field) -> String {
        let current = read(domain);
        assert!(!current.values.contains_key(&field), "{field} was said: {:?}", current.values);
        let unsaid = current.unsaid.into_iter().find(|unsaid| unsaid.field == field);
        unsaid.expect("it is not accounted for").found
    }

    #[test]
    fn every_field_of_a_plain_domain_is_said() {
        let beside = Beside { autostart: Some(true), disk_size: Some(ByteSize::gib(80)) };
        let current = current(&domain(), &beside, &Meant::default());
        assert_eq!(current.unsaid, []);
        let expected = json!({
            "title": "A web server", "memory": 2048, "vcpus": 2, "cpu_model": "host-passthrough",
            "disk_path": "/images/web.qcow2", "disk_size_gb": 80, "disk_bus": "virtio", "boot": "uefi",
            "secure_boot": false, "tpm": "2.0", "network": "default", "mac": "52:54:00:00:00:01",
            "graphics": "spice", "iso_sources": [], "autostart": true,
        });
        assert_eq!(serde_json::to_value(&current.values).unwrap(), expected);
    }

    #[test]
    fn what_has_no_words_is_accounted_for() {
        let mut odd = domain();
        odd.fields.memory_kib = 2_097_153;
        odd.fields.cpu = CpuModel::Unspecified;
        odd.fields.disks[0].source = Source::Other("block".to_owned());
        odd.fields.tpm = Some(Tpm { version: Some(TpmVersion::V1_2), emulated: true });
        odd.fields.nics[0].network = Network::Other("direct".to_owned());
        odd.fields.graphics = vec![Graphics { kind: GraphicsKind::Other("rdp".to_owned()) }];
        for (field, found) in [
            (Field::Memory, "2097153 KiB"),
            (Field::CpuModel, "no model"),
            (Field::DiskPath, "a disk of type `block`"),
            (Field::Tpm, "a TPM 1.2"),
            (Field::Network, "a card of type `direct`"),
            (Field::Graphics, "a display of type `rdp`"),
        ] {
            assert_eq!(unsaid(&odd, field), found);
        }
    }

    #[test]
    fn a_network_with_the_name_of_a_word_is_not_said() {
        for name in ["user", "none", "bridge:x"] {
            let mut odd = domain();
            odd.fields.nics[0].network = Network::Named(name.to_owned());
            assert_eq!(unsaid(&odd, Field::Network), format!("a network named `{name}`"));
        }
    }

    #[test]
    fn a_disk_of_odd_size_is_not_rounded() {
        for size in [ByteSize::bytes((80 << 30) + 1), ByteSize::mib(1025), ByteSize::bytes(512)] {
            let beside = Beside { disk_size: Some(size), ..Beside::default() };
            let current = current(&domain(), &beside, &Meant::default());
            assert_eq!(current.values.get(&Field::DiskSizeGb), None, "{size:?}");
            assert_eq!(current.unsaid.len(), 1);
        }
    }

    #[test]
    fn the_disk_that_the_manifest_names_is_meant_wherever_it_stands() {
        let mut two = domain();
        let mut other = two.fields.disks[0].clone();
        other.target = "vda".to_owned();
        other.source = Source::File("/images/theirs.qcow2".into());
        two.fields.disks[0].target = "vdb".to_owned();
        two.fields.disks.insert(0, other);
        let wanted = Values::from([(Field::DiskPath, json!("/images/web.qcow2"))]);
        let meant = Meant { wanted: Some(&wanted), applied: None };
        assert_eq!(meant.disk(&two.fields).unwrap().target, "vdb");
        let moved = Values::from([(Field::DiskPath, json!("/images/new.qcow2"))]);
        let applied = Applied { fields: wanted.clone(), ..Applied::default() };
        let meant = Meant { wanted: Some(&moved), applied: Some(&applied) };
        assert_eq!(meant.disk(&two.fields).unwrap().target, "vdb");
    }

    #[test]
    fn our_card_is_found_by_its_address_behind_another() {
        let mut two = domain();
        two.fields.nics.insert(0, nic("direct", 9));
        let ours = two.fields.nics[1].mac;
        let applied = Applied { nic: ours, ..Applied::default() };
        let meant = Meant { wanted: None, applied: Some(&applied) };
        assert_eq!(meant.nic(&two.fields).unwrap().0, 1);
        assert_eq!(Meant::default().nic(&two.fields).unwrap().0, 0);
    }

    #[test]
    fn a_second_display_does_not_hide_the_one_that_is_wanted() {
        let mut two = domain();
        two.fields.graphics.insert(0, Graphics { kind: GraphicsKind::Vnc });
        let wanted = Values::from([(Field::Graphics, json!("spice"))]);
        let meant = Meant { wanted: Some(&wanted), applied: None };
        let current = current(&two, &Beside::default(), &meant);
        assert_eq!(current.values[&Field::Graphics], json!("spice"));
    }
}
