//! What a capture writes into the manifest, and what it cannot.
//!
//! ```text
//!  domain in the manifest    the fields it says there take the domain's values; no other is added
//!  domain not in it          every field, if the manifest can say all of the VM; else only with --lossy
//!  no such domain            its entry stays
//! ```
//!
//! Never rounds and never leaves out in silence: what a manifest has no words for is a [`Loss`], with the
//! reason. What belongs to a VM beyond its fields stays in its domain whatever the manifest says; it would be
//! missing from a VM made anew. Pure; how the text of the manifest takes it is `manifest/edit.rs`.
//! Tests: below.

use std::collections::BTreeSet;
use std::path::PathBuf;

use plasmavmc_libvirt::domain::Source;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::plan::{FileSeen, Observation, Seen, disk_file};
use super::{Applied, Current, Field, Meant, Values, current, fetched_path, losses, said};
use crate::manifest::{DomainName, IsoSource, VmDefinition, VmManifest};

/// What of a VM a manifest cannot say.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Loss {
    /// The field; none where it is nothing a manifest speaks of.
    pub field: Option<Field>,
    /// What is there, for a person.
    pub found: String,
    /// Why it cannot be said.
    pub why: String,
}

/// What becomes of one VM.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The manifest says it already.
    Unchanged,
    /// Some of its fields are set.
    Change,
    /// It is added.
    Add,
    /// It is not added, as something would be lost; `--lossy` adds it.
    Lossy,
    /// It cannot be said: a field that every VM must have, has no words.
    Unsayable,
    /// The manifest has it, and libvirt does not. Its entry stays.
    Missing,
}

/// What a capture makes of one VM.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Captured {
    /// Its name.
    pub name: String,
    /// What becomes of it.
    pub outcome: Outcome,
    /// The fields that are set, in the words of the manifest.
    pub values: Values,
    /// What cannot be said.
    pub losses: Vec<Loss>,
}

/// What a capture makes of every VM, in the order of their names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Capture {
    /// The libvirt connection, as libvirt itself names it.
    pub uri: String,
    /// The VMs.
    pub vms: Vec<Captured>,
}

/// What a person asked for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CaptureOptions {
    /// Only these VMs; none for all of them.
    pub only: Option<BTreeSet<String>>,
    /// Whether a VM is added although something of it is lost.
    pub lossy: bool,
}

impl Capture {
    /// Whether the manifest would stay as it is.
    pub fn is_empty(&self) -> bool {
        !self.vms.iter().any(|one| matches!(one.outcome, Outcome::Change | Outcome::Add))
    }

    /// Whether every VM can be said: what `--check` asks.
    pub fn is_lossless(&self) -> bool {
        self.vms.iter().all(|one| one.losses.is_empty())
    }
}

/// Decides what a capture writes.
pub fn capture(manifest: &VmManifest, observation: &Observation, options: &CaptureOptions) -> Capture {
    let covers = |name: &str| options.only.as_ref().is_none_or(|only| only.contains(name));
    let mut vms = Vec::new();
    for seen in observation.domains.iter().filter(|seen| covers(&seen.domain.name)) {
        vms.push(match manifest.vms.get(seen.domain.name.as_str()) {
            Some(definition) => merge(observation, seen, definition),
            None => add(observation, seen, options),
        });
    }
    for unreadable in observation.unreadable.iter().filter(|one| covers(&one.name)) {
        let found = "XML that cannot be read".to_owned();
        let losses = vec![Loss { field: None, found, why: unreadable.why.clone() }];
        vms.push(Captured { losses, ..Captured::new(&unreadable.name, Outcome::Unsayable) });
    }
    let known: BTreeSet<String> = vms.iter().map(|one| one.name.clone()).collect();
    let missing = manifest.vms.keys().filter(|name| !known.contains(name.as_str()) && covers(name.as_str()));
    vms.extend(missing.map(|name| Captured::new(name.as_str(), Outcome::Missing)));
    vms.sort_by(|a, b| a.name.cmp(&b.name));
    Capture { uri: observation.uri.clone(), vms }
}

impl Captured {
    fn new(name: &str, outcome: Outcome) -> Self {
        Self { name: name.to_owned(), outcome, values: Values::new(), losses: Vec::new() }
    }
}

/// A domain that the manifest has: the fields it says take the domain's values.
fn merge(observation: &Observation, seen: &Seen, definition: &VmDefinition) -> Captured {
    let is_usable = |_: &std::path::Path| true;
    let mut wanted = super::wanted(definition, &is_usable).values;
    let applied = seen.domain.mark.as_ref().and_then(Applied::read);
    let meant = Meant { wanted: Some(&wanted), applied: applied.as_ref() };
    let mut current = read(observation, seen, &meant);
    let name = &seen.domain.name;
    let losses = field_losses(&current, |field| wanted.contains_key(&field));
    if !losses.is_empty() {
        return Captured { losses, ..Captured::new(name, Outcome::Unsayable) };
    }
    if let Some(media) = wanted.get_mut(&Field::IsoSources) {
        *media = as_written(definition);
        current.values.insert(Field::IsoSources, captured_media(seen, Some(definition), observation));
    }
    let differs = |(field, value): &(Field, Value)| wanted.get(field).is_some_and(|wanted| wanted != value);
    let values: Values = current.values.into_iter().filter(differs).collect();
    let outcome = if values.is_empty() { Outcome::Unchanged } else { Outcome::Change };
    Captured { values, ..Captured::new(name, outcome) }
}

/// A domain that the manifest does not have.
fn add(observation: &Observation, seen: &Seen, options: &CaptureOptions) -> Captured {
    let name = &seen.domain.name;
    let mut current = read(observation, seen, &Meant::default());
    let mut all = field_losses(&current, |_| true);
    let is_told = lost(&all, Field::DiskSizeGb) || lost(&all, Field::DiskPath);
    if !current.values.contains_key(&Field::DiskSizeGb) && !is_told {
        all.push(unmeasured(observation, seen));
    }
    if let Err(error) = name.parse::<DomainName>() {
        let found = format!("the name {name:?}");
        all.push(Loss { field: None, found, why: error.to_string() });
        return Captured { losses: all, ..Captured::new(name, Outcome::Unsayable) };
    }
    let needed =
        |loss: &Loss| loss.field.is_some_and(|field| field != Field::CpuModel && field != Field::DiskBus);
    if all.iter().any(needed) {
        return Captured { losses: all, ..Captured::new(name, Outcome::Unsayable) };
    }
    all.extend(losses::beyond_fields(&seen.domain));
    if !all.is_empty() && !options.lossy {
        return Captured { losses: all, ..Captured::new(name, Outcome::Lossy) };
    }
    let media = captured_media(seen, None, observation);
    current.values.insert(Field::IsoSources, media);
    // Absent is what it is: no title, no start with the host, no media.
    let is_default = |field: &Field, value: &Value| match field {
        Field::Title => value.is_null(),
        Field::Autostart => value == false,
        Field::IsoSources => value.as_array().is_some_and(Vec::is_empty),
        Field::Tpm => value == "none",
        _ => false,
    };
    current.values.retain(|field, value| !is_default(field, value));
    Captured { values: current.values, losses: all, ..Captured::new(name, Outcome::Add) }
}

/// Why the size of a domain's disk is not known.
fn unmeasured(observation: &Observation, seen: &Seen) -> Loss {
    let disk = Meant::default().disk(&seen.domain.fields).and_then(disk_file);
    let why = match disk.and_then(|path| observation.files.get(path)) {
        Some(FileSeen::Missing) => "its file is gone",
        Some(FileSeen::NotPlain { .. }) => "it is no plain file",
        Some(FileSeen::Unreadable) => "you may not read it; root may",
        None if observation.is_elsewhere() => "it is on another machine: run `bkt` there",
        Some(FileSeen::Disk { .. }) | None => "nobody could look at it",
    };
    let found = "a disk whose size is not known".to_owned();
    Loss { field: Some(Field::DiskSizeGb), found, why: why.to_owned() }
}

fn read(observation: &Observation, seen: &Seen, meant: &Meant<'_>) -> Current {
    current(&seen.domain, &seen.beside(&observation.files, meant.disk(&seen.domain.fields)), meant)
}

fn field_losses(current: &Current, counts: impl Fn(Field) -> bool) -> Vec<Loss> {
    let counted = current.unsaid.iter().filter(|unsaid| counts(unsaid.field)).cloned();
    counted.map(|unsaid| Loss { field: Some(unsaid.field), found: unsaid.found, why: unsaid.why }).collect()
}

fn lost(losses: &[Loss], field: Field) -> bool {
    losses.iter().any(|loss| loss.field == Some(field))
}

/// The media as a definition has them.
fn as_written(definition: &VmDefinition) -> Value {
    definition.iso_sources.iter().flatten().map(source_value).collect()
}

fn source_value(source: &IsoSource) -> Value {
    match source {
        IsoSource::Path { path, .. } => json!({ "path": path }),
        IsoSource::Url { url, checksum: None } => json!({ "url": url }),
        IsoSource::Url { url, checksum } => json!({ "url": url, "checksum": checksum }),
    }
}

/// The media of the drives, in the words of the manifest: one that was fetched is its URL, and a URL that
/// nobody fetched yet stays where it is in the list.
pub(super) fn captured_media(
    seen: &Seen,
    definition: Option<&VmDefinition>,
    observation: &Observation,
) -> Value {
    let mut there: Vec<PathBuf> = Vec::new();
    for drive in &seen.domain.fields.cdroms {
        if let Source::File(path) = &drive.source {
            there.push(path.clone());
        }
    }
    let written = definition.and_then(|definition| definition.iso_sources.as_deref()).unwrap_or_default();
    let file_of = |source: &IsoSource| match (source, definition) {
        (IsoSource::Path { path, .. }, _) => Some(path.clone()),
        (IsoSource::Url { url, .. }, Some(definition)) => Some(fetched_path(&definition.disk_path, url)),
        (IsoSource::Url { .. }, None) => None,
    };
    let is_not_fetched = |source: &&IsoSource| {
        let missing = |path: &PathBuf| matches!(observation.files.get(path), None | Some(FileSeen::Missing));
        matches!(source, IsoSource::Url { .. })
            && file_of(source).is_some_and(|path| !there.contains(&path) && missing(&path))
    };
    let mut listed: Vec<Value> = Vec::new();
    for path in &there {
        let source = written.iter().find(|source| file_of(source).as_ref() == Some(path));
        listed.push(source.map_or_else(|| json!({ "path": path }), source_value));
    }
    for (place, source) in written.iter().enumerate().filter(|(_, source)| is_not_fetched(source)) {
        listed.insert(place.min(listed.len()), source_value(source));
    }
    Value::Array(listed)
}

/// The values with which a VM would be made from what was captured of it. For proofs that nothing is lost.
pub fn remade(definition: &VmDefinition) -> Values {
    said(definition, &|_| true).values
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::plan::Files;
    use super::super::sample::{cdrom, definition, domain, nic};
    use super::super::{PowerState, Unsaid};
    use super::*;
    use plasmavmc_libvirt::domain::{Domain, Network};
    use plasmavmc_types::{ByteSize, DiskFormat};

    fn observation(domain: Domain) -> Observation {
        let (size, length) = (ByteSize::gib(80), ByteSize::mib(1));
        let disk = FileSeen::Disk { size, format: DiskFormat::Qcow2, length };
        let seen = Seen {
            domain,
            live: None,
            xml: None,
            kept: None,
            digest: String::new(),
            state: PowerState::Stopped,
            is_active: false,
            persistent: true,
            autostart: Some(false),
        };
        let files = Files::from([("/images/web.qcow2".into(), disk)]);
        Observation { domains: vec![seen], files, ..Observation::default() }
    }

    fn listed(definition: VmDefinition) -> VmManifest {
        VmManifest { uri: None, vms: BTreeMap::from([("web".parse().unwrap(), definition)]) }
    }

    fn captured(manifest: &VmManifest, domain: Domain, lossy: bool) -> Captured {
        let options = CaptureOptions { only: None, lossy };
        let capture = capture(manifest, &observation(domain), &options);
        assert_eq!(capture.vms.len(), 1);
        capture.vms.into_iter().next().unwrap()
    }

    #[test]
    fn a_plain_vm_is_added_with_everything_that_is_not_the_default() {
        let added = captured(&VmManifest::default(), domain(), false);
        assert_eq!((added.outcome, &added.losses[..]), (Outcome::Add, &[][..]));
        let expected = json!({
            "title": "A web server", "memory": 2048, "vcpus": 2, "cpu_model": "host-passthrough",
            "disk_path": "/images/web.qcow2", "disk_size_gb": 80, "disk_bus": "virtio", "boot": "uefi",
            "secure_boot": false, "tpm": "2.0", "network": "default", "mac": "52:54:00:00:00:01",
            "graphics": "spice",
        });
        assert_eq!(serde_json::to_value(&added.values).unwrap(), expected);
    }

    #[test]
    fn what_would_be_lost_keeps_a_vm_out_until_that_is_accepted() {
        let mut two = domain();
        two.fields.nics.push(nic("other", 2));
        let refused = captured(&VmManifest::default(), two.clone(), false);
        assert_eq!(refused.outcome, Outcome::Lossy);
        assert!(refused.values.is_empty());
        assert_eq!(refused.losses.len(), 1, "{:?}", refused.losses);
        let added = captured(&VmManifest::default(), two, true);
        assert_eq!((added.outcome, added.losses), (Outcome::Add, refused.losses));
    }

    #[test]
    fn a_field_that_every_vm_must_have_is_never_made_up() {
        let mut odd = domain();
        odd.fields.memory_kib += 1;
        for lossy in [false, true] {
            let refused = captured(&VmManifest::default(), odd.clone(), lossy);
            assert_eq!((refused.outcome, refused.values.len()), (Outcome::Unsayable, 0));
            assert_eq!(refused.losses[0].field, Some(Field::Memory));
        }
        let mut observation = observation(domain());
        observation.files.clear();
        let unread = capture(&VmManifest::default(), &observation, &CaptureOptions::default());
        assert_eq!(unread.vms[0].losses[0].field, Some(Field::DiskSizeGb));
        assert!(!unread.is_lossless());
    }

    #[test]
    fn a_size_that_is_not_known_has_the_reason_and_a_vm_without_a_disk_lacks_the_disk_alone() {
        let whys = |file: Option<FileSeen>, uri: &str| {
            let mut observation = Observation { uri: uri.to_owned(), ..observation(domain()) };
            observation.files = file.map(|file| ("/images/web.qcow2".into(), file)).into_iter().collect();
            let found = capture(&VmManifest::default(), &observation, &CaptureOptions::default());
            found.vms[0].losses.iter().map(|loss| loss.why.clone()).collect::<Vec<_>>()
        };
        let here = "qemu:///system";
        assert_eq!(whys(Some(FileSeen::Missing), here), ["its file is gone"]);
        assert_eq!(whys(Some(FileSeen::Unreadable), here), ["you may not read it; root may"]);
        assert_eq!(whys(None, "qemu+ssh://far/system"), ["it is on another machine: run `bkt` there"]);
        let mut bare = domain();
        bare.fields.disks.clear();
        let found: Vec<_> = captured(&VmManifest::default(), bare, true).losses;
        assert_eq!(found.iter().map(|loss| loss.found.as_str()).collect::<Vec<_>>(), ["no disk"]);
    }

    #[test]
    fn a_merge_sets_what_the_manifest_says_and_adds_nothing() {
        let mut edited = domain();
        edited.fields.vcpus = 4;
        edited.fields.title = Some("By hand".to_owned());
        edited.fields.nics.push(nic("other", 2));
        let merged = captured(&listed(definition()), edited, false);
        assert_eq!(merged.outcome, Outcome::Change);
        assert_eq!(merged.values, Values::from([(Field::Vcpus, json!(4))]));
        assert_eq!(captured(&listed(definition()), domain(), false).outcome, Outcome::Unchanged);
    }

    #[test]
    fn a_merge_that_has_no_words_for_a_managed_field_is_refused() {
        let mut odd = domain();
        odd.fields.nics[0].network = Network::Other("direct".to_owned());
        let refused = captured(&listed(definition()), odd.clone(), true);
        assert_eq!(refused.outcome, Outcome::Unsayable);
        let mut unmanaged = definition();
        unmanaged.unmanaged_fields.insert(Field::Network);
        assert_eq!(captured(&listed(unmanaged), odd, false).outcome, Outcome::Unchanged);
    }

    #[test]
    fn a_url_stays_a_url_whether_it_was_fetched_or_not() {
        let url =
            |name: &str| IsoSource::Url { url: format!("https://example.org/{name}.iso"), checksum: None };
        let path = IsoSource::Path { written: "~/w.iso".to_owned(), path: "/home/me/w.iso".into() };
        let mut wish = definition();
        wish.iso_sources = Some(vec![url("a"), path, url("b")]);
        let fetched = fetched_path(&wish.disk_path, "https://example.org/b.iso");
        let mut there = domain();
        there.fields.cdroms = vec![cdrom("sda", Some("/home/me/w.iso")), cdrom("sdb", fetched.to_str())];
        assert_eq!(captured(&listed(wish.clone()), there.clone(), false).outcome, Outcome::Unchanged);
        there.fields.cdroms[0].source = Source::Empty;
        let ejected = captured(&listed(wish), there, false);
        let media = json!([{ "url": "https://example.org/a.iso" }, { "url": "https://example.org/b.iso" }]);
        assert_eq!(ejected.values, Values::from([(Field::IsoSources, media)]));
    }

    #[test]
    fn a_vm_that_libvirt_does_not_have_stays_in_the_manifest() {
        let capture = capture(&listed(definition()), &Observation::default(), &CaptureOptions::default());
        assert_eq!(capture.vms[0].outcome, Outcome::Missing);
        assert!(capture.is_empty());
    }

    #[test]
    fn what_is_unsaid_keeps_its_reason() {
        let unsaid = Unsaid { field: Field::Tpm, found: "a".to_owned(), why: "b".to_owned() };
        let current = Current { values: Values::new(), unsaid: vec![unsaid] };
        let losses = field_losses(&current, |_| true);
        assert_eq!(losses, [Loss { field: Some(Field::Tpm), found: "a".to_owned(), why: "b".to_owned() }]);
    }
}
