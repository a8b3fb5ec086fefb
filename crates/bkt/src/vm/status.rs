//! How every VM stands: the manifest's, and those that libvirt has beside them.
//!
//! Pure: a plan with its options left out, read as an account. Tests: below.

use std::collections::BTreeMap;

use plasmavmc_engine::Drift;
use plasmavmc_types::VmId;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::plan::{Action, Change, Decision, Entry, Note, Observation, Options, Refusal, Seen, plan};
use super::{Applied, Field, PowerState};
use crate::manifest::VmManifest;

/// How the VMs stand.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Status {
    /// The libvirt connection, as libvirt itself names it.
    pub uri: String,
    /// The VMs, in the order of their names.
    pub vms: Vec<VmStatus>,
}

/// How one VM stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct VmStatus {
    /// Its name.
    pub name: String,
    /// Its UUID; none where it is missing.
    #[schemars(with = "Option<String>")]
    pub id: Option<VmId>,
    /// What it does; none where it is missing or cannot be read.
    pub state: Option<PowerState>,
    /// How it belongs to the manifest.
    pub standing: Belonging,
    /// Whether its definition goes when it stops.
    pub transient: bool,
    /// Whether it starts with the host.
    pub autostart: Option<bool>,
    /// The fields in which it runs with other values than it will after its next cold boot.
    pub pending: Vec<Field>,
    /// The fields in which it differs from the manifest.
    pub changes: Vec<Change>,
    /// Why a sync would do nothing to it, though the manifest lists it.
    pub refusal: Option<Refusal>,
    /// What else a person should know.
    pub notes: Vec<Note>,
}

/// How a VM belongs to the manifest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Belonging {
    /// The manifest lists it, and it is ours.
    Managed,
    /// The manifest lists it, and libvirt does not have it.
    Missing,
    /// The manifest lists it, and it was not made here: `--adopt` takes it over.
    NotOurs,
    /// It is ours, and left the manifest.
    NotListed,
    /// It is in the hands of another manifest.
    OtherManifest,
    /// The manifest does not speak of it.
    Unmanaged,
    /// Its XML cannot be read.
    Unreadable,
}

impl Status {
    /// Whether every listed VM is there and as the manifest wants it, with nothing pending.
    pub fn is_clean(&self) -> bool {
        self.vms.iter().all(VmStatus::is_clean)
    }
}

impl VmStatus {
    /// Whether it is as the manifest wants it, with nothing pending.
    pub fn is_clean(&self) -> bool {
        match self.standing {
            Belonging::Unmanaged | Belonging::NotListed => true,
            // This manifest lists it too.
            Belonging::OtherManifest => self.refusal.is_none(),
            Belonging::Managed => {
                let is_whole = !self.notes.iter().any(Note::is_a_difference);
                is_whole && self.changes.is_empty() && self.pending.is_empty() && self.refusal.is_none()
            }
            Belonging::Missing | Belonging::NotOurs | Belonging::Unreadable => false,
        }
    }

    /// The fields that someone edited by hand.
    pub fn drift(&self) -> impl Iterator<Item = (Field, Drift)> {
        let drifted = self.changes.iter().filter(|change| change.drift.is_drift());
        drifted.map(|change| (change.field, change.drift))
    }

    /// The state in one word: `missing` where there is none.
    pub fn word(&self) -> &'static str {
        match (self.state, self.standing) {
            (Some(state), _) => state.as_str(),
            (None, Belonging::Unreadable) => "unreadable",
            (None, _) => "missing",
        }
    }
}

/// How the VMs stand. `ours` is the manifest's id; none where it has no place.
pub fn status(manifest: &VmManifest, observation: &Observation, ours: Option<String>) -> Status {
    let seen: BTreeMap<&str, &Seen> =
        observation.domains.iter().map(|seen| (seen.domain.name.as_str(), seen)).collect();
    let options = Options { manifest: ours, ..Options::default() };
    let planned = plan(manifest, observation, &options);
    let mut vms: BTreeMap<String, VmStatus> = BTreeMap::new();
    for entry in planned.vms {
        let one = entry_status(&entry, seen.get(entry.name.as_str()).copied());
        vms.insert(entry.name, one);
    }
    for (name, seen) in seen {
        vms.entry(name.to_owned()).or_insert_with(|| unlisted(seen, &options));
    }
    for one in &observation.unreadable {
        vms.entry(one.name.clone())
            .or_insert_with(|| VmStatus { id: one.id, ..VmStatus::new(&one.name, Belonging::Unreadable) });
    }
    Status { uri: observation.uri.clone(), vms: vms.into_values().collect() }
}

impl VmStatus {
    pub(super) fn new(name: &str, standing: Belonging) -> Self {
        Self {
            name: name.to_owned(),
            id: None,
            state: None,
            standing,
            transient: false,
            autostart: None,
            pending: Vec::new(),
            changes: Vec::new(),
            refusal: None,
            notes: Vec::new(),
        }
    }
}

fn seen_status(seen: &Seen, standing: Belonging) -> VmStatus {
    VmStatus {
        id: Some(seen.domain.id),
        state: Some(seen.state),
        transient: !seen.persistent,
        autostart: seen.autostart,
        ..VmStatus::new(&seen.domain.name, standing)
    }
}

/// A VM that is no business of the manifest.
fn unlisted(seen: &Seen, options: &Options) -> VmStatus {
    let applied = seen.domain.mark.as_ref().and_then(Applied::read);
    match applied.and_then(|applied| options.other_manifest(&applied)) {
        Some(manifest) => VmStatus {
            notes: vec![Note::OtherManifest { manifest }],
            ..seen_status(seen, Belonging::OtherManifest)
        },
        None => seen_status(seen, Belonging::Unmanaged),
    }
}

fn entry_status(entry: &Entry, seen: Option<&Seen>) -> VmStatus {
    let standing = match &entry.action {
        Action::Refuse { refusal: Refusal::NotOurs | Refusal::MarkedAs { .. } } => Belonging::NotOurs,
        Action::Refuse { refusal: Refusal::OtherManifest { .. } } => Belonging::OtherManifest,
        Action::Refuse { refusal: Refusal::Unreadable { .. } } => Belonging::Unreadable,
        _ if seen.is_none() => Belonging::Missing,
        _ if entry.notes.iter().any(|note| matches!(note, Note::NotListed { .. })) => Belonging::NotListed,
        _ if entry.notes.iter().any(|note| matches!(note, Note::Copied { .. })) => Belonging::Unmanaged,
        _ => Belonging::Managed,
    };
    let base = seen.map_or_else(
        || VmStatus { id: entry.id, ..VmStatus::new(&entry.name, standing) },
        |seen| seen_status(seen, standing),
    );
    // What is not made without a flag still differs; what is noted needs no decision.
    let changes = entry.changes.iter().filter(|change| change.decision != Decision::TakeTheirs);
    let refusal = match &entry.action {
        Action::Refuse { refusal } => Some(refusal.clone()),
        _ => None,
    };
    VmStatus {
        refusal,
        pending: entry.pending.clone(),
        changes: changes.cloned().collect(),
        notes: entry.notes.clone(),
        ..base
    }
}

#[cfg(test)]
mod tests {
    use super::super::plan::Unreadable;
    use super::super::sample::{definition, domain};
    use super::*;

    fn seen(name: &str, state: PowerState) -> Seen {
        let mut domain = domain();
        domain.name = name.to_owned();
        domain.fields.disks.clear();
        let is_active = !matches!(state, PowerState::Stopped | PowerState::Saved);
        Seen {
            domain,
            live: None,
            xml: None,
            kept: None,
            digest: String::new(),
            state,
            is_active,
            persistent: state != PowerState::Asleep,
            autostart: Some(false),
        }
    }

    #[test]
    fn every_vm_is_told_once_with_its_state_and_its_place() {
        let mut manifest = VmManifest::default();
        for name in ["gone", "theirs"] {
            manifest.vms.insert(name.parse().unwrap(), definition());
        }
        let observation = Observation {
            domains: vec![
                seen("crashed", PowerState::Crashed),
                seen("saved", PowerState::Saved),
                seen("sleeps", PowerState::Asleep),
                seen("theirs", PowerState::Paused),
            ],
            unreadable: vec![Unreadable { id: None, name: "odd".to_owned(), why: "x".to_owned() }],
            ..Observation::default()
        };
        let status = status(&manifest, &observation, None);
        let told: Vec<_> =
            status.vms.iter().map(|one| (one.name.as_str(), one.word(), one.standing)).collect();
        assert_eq!(
            told,
            [
                ("crashed", "crashed", Belonging::Unmanaged),
                ("gone", "missing", Belonging::Missing),
                ("odd", "unreadable", Belonging::Unreadable),
                ("saved", "saved", Belonging::Unmanaged),
                ("sleeps", "asleep", Belonging::Unmanaged),
                ("theirs", "paused", Belonging::NotOurs),
            ]
        );
        assert!(status.vms[4].transient);
        assert!(!status.is_clean());
    }

    #[test]
    fn a_vm_of_another_manifest_is_shown_with_its_manifest() {
        let mut one = seen("x", PowerState::Running);
        let mark =
            Applied { manifest: Some("host:/a/vms.json".to_owned()), made: true, ..Applied::default() };
        one.domain.mark = Some(mark.to_mark("x"));
        let observation = Observation { domains: vec![one], ..Observation::default() };
        let seen_from = |path: &str| {
            let status = status(&VmManifest::default(), &observation, Some(format!("host:{path}")));
            assert!(status.is_clean(), "{status:?}");
            (status.vms[0].standing, status.vms[0].notes[0].to_string())
        };
        let (standing, note) = seen_from("/b/vms.json");
        assert_eq!(
            (standing, note.as_str()),
            (Belonging::OtherManifest, "it is in the hands of /a/vms.json")
        );
        assert_eq!(seen_from("/a/vms.json").0, Belonging::NotListed);
    }

    #[test]
    fn vms_that_nobody_listed_are_no_reason_to_act() {
        let observation =
            Observation { domains: vec![seen("x", PowerState::Running)], ..Observation::default() };
        assert!(status(&VmManifest::default(), &observation, None).is_clean());
    }
}
