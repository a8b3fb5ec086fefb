//! Decides what becomes of every VM of a manifest, and of those that left it.
//!
//! Pure. Tests: `tests.rs`.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use plasmavmc_types::{ByteSize, DiskFormat};
use serde_json::Value;

use super::existing::plan_existing;
use super::holders::{Holders, disk_files};
use super::trial;
use super::{
    Action, Blueprint, DiskStep, Entry, FileSeen, Note, Observation, Options, Refusal, Seen, VmPlan,
};
use crate::manifest::{IsoSource, VmDefinition, VmManifest};
use crate::vm::wanted::{medium_path, said, wanted};
use crate::vm::{Absent, Applied, Field, Standing, Values};

/// Decides what a sync does.
pub fn plan(manifest: &VmManifest, observation: &Observation, options: &Options) -> VmPlan {
    let world = World::new(manifest, observation);
    let listed = manifest.vms.iter().filter(|(name, _)| options.covers(name.as_str()));
    let mut vms: Vec<Entry> =
        listed.map(|(name, definition)| world.entry(name.as_str(), definition, options)).collect();
    let left = observation.domains.iter().filter(|seen| {
        !manifest.vms.contains_key(seen.domain.name.as_str()) && options.covers(&seen.domain.name)
    });
    vms.extend(left.filter_map(|seen| plan_unlisted(seen, manifest, options)));
    vms.sort_by(|a, b| a.name.cmp(&b.name));
    VmPlan { uri: observation.uri.clone(), vms }
}

impl Options {
    fn covers(&self, name: &str) -> bool {
        self.only.as_ref().is_none_or(|only| only.contains(name))
    }
}

/// An observation, found by what a decision asks for.
pub(super) struct World<'o> {
    pub(super) observation: &'o Observation,
    by_name: HashMap<&'o str, &'o Seen>,
    by_key: HashMap<&'o str, &'o Seen>,
    pub(super) holders: Holders<'o>,
}

impl<'o> World<'o> {
    fn new(manifest: &'o VmManifest, observation: &'o Observation) -> Self {
        let domains = &observation.domains;
        let key = |seen: &'o Seen| seen.domain.mark.as_ref().map(|mark| (mark.key.as_str(), seen));
        Self {
            observation,
            by_name: domains.iter().map(|seen| (seen.domain.name.as_str(), seen)).collect(),
            by_key: domains.iter().filter_map(key).collect(),
            holders: Holders::new(manifest, observation),
        }
    }

    fn entry(&self, name: &str, definition: &VmDefinition, options: &Options) -> Entry {
        if let Some(unreadable) = self.observation.unreadable.iter().find(|one| one.name == name) {
            let refusal = Refusal::Unreadable { why: unreadable.why.clone() };
            return Entry { id: unreadable.id, ..Entry::refused(name, refusal) };
        }
        match self.by_name.get(name) {
            Some(seen) => plan_existing(self, seen, definition, options),
            None => self.plan_new(name, definition, options),
        }
    }

    /// Whether a medium can be put into a drive; one nobody looked at can.
    pub(super) fn is_usable(&self, path: &Path) -> bool {
        !matches!(self.observation.files.get(path), Some(FileSeen::Missing))
    }

    /// The media behind URLs of which nobody could look whether they were fetched.
    pub(super) fn fetch_unknown<'s>(
        &'s self,
        name: &'s str,
        definition: &'s VmDefinition,
    ) -> impl Iterator<Item = Note> + 's {
        definition.iso_sources.iter().flatten().filter_map(move |source| match source {
            IsoSource::Url { url, .. } => {
                let is_known = self.observation.files.contains_key(&medium_path(definition, source));
                (!is_known).then(|| Note::FetchUnknown { url: url.clone(), vm: name.to_owned() })
            }
            IsoSource::Path { .. } => None,
        })
    }

    fn plan_new(&self, name: &str, definition: &VmDefinition, options: &Options) -> Entry {
        // One of ours, renamed: making it again would give its disk to two VMs.
        if let Some(seen) = self.by_key.get(name)
            && disk_files(&seen.domain).any(|disk| self.holders.is_one(disk, &definition.disk_path))
        {
            let to = seen.domain.name.clone();
            return Entry { id: Some(seen.domain.id), ..Entry::refused(name, Refusal::Renamed { to }) };
        }
        if let Some(refusal) = self.holders.taken_or_wanted(&definition.disk_path, name) {
            return Entry::refused(name, refusal);
        }
        let is_usable = |path: &Path| self.is_usable(path);
        let said = said(definition, &is_usable);
        let gone = said.absent.iter().find_map(|absent| match absent {
            Absent::Gone { path } => Some(path.clone()),
            Absent::NotFetched { .. } => None,
        });
        if let Some(path) = gone {
            return Entry::refused(name, Refusal::MediumGone { path });
        }
        let (disk, disk_format) = match self.new_disk(definition) {
            Ok(found) => found,
            Err(refusal) => return Entry::refused(name, refusal),
        };
        let mut fields = wanted(definition, &is_usable).values;
        disk_as_it_is(disk.as_ref(), &mut fields);
        let blueprint = Blueprint::new(said.values, self.observation.host.as_ref(), disk_format);
        Entry {
            disk,
            notes: said
                .absent
                .into_iter()
                .map(Note::Absent)
                .chain(self.fetch_unknown(name, definition))
                .collect(),
            applied: Some(Applied { fields, nic: None, manifest: options.manifest.clone(), made: true }),
            ..Entry::new(name, Action::Create { blueprint })
        }
    }

    /// What is done to the disk of a new VM, and its format.
    pub(super) fn new_disk(
        &self,
        definition: &VmDefinition,
    ) -> Result<(Option<DiskStep>, DiskFormat), Refusal> {
        let (path, size_gb) = (definition.disk_path.clone(), definition.disk_size_gb.get());
        match self.observation.files.get(&path) {
            None if definition.create_if_missing && self.observation.is_elsewhere() => {
                let what = "on another machine, where it cannot be made: make it there, and leave \
                            `create_if_missing` out"
                    .to_owned();
                Err(Refusal::DiskUnfit { path, what })
            }
            // Nobody looked: it is what a manifest's disks are.
            None | Some(FileSeen::Unreadable) => Ok((None, DiskFormat::Qcow2)),
            Some(FileSeen::Disk { format, size, length }) => {
                let ground = self.observation.grounds.get(&path);
                let real = ground.map_or(path.as_path(), |ground| &ground.real);
                if let Some(what) = no_image(real, *format, *length) {
                    return Err(Refusal::DiskUnfit { path, what: what.to_owned() });
                }
                let size_bytes = size.as_bytes();
                Ok((Some(DiskStep::Take { path, format: *format, size_bytes }), *format))
            }
            Some(FileSeen::Missing) if definition.create_if_missing => {
                let ground = self.observation.grounds.get(&path);
                if let Some(dir) = path.parent().filter(|_| ground.is_some_and(|ground| !ground.has_folder)) {
                    return Err(Refusal::NoFolder { dir: dir.to_owned() });
                }
                Ok((Some(DiskStep::Create { path, size_gb }), DiskFormat::Qcow2))
            }
            Some(FileSeen::Missing) => Err(Refusal::DiskMissing { path }),
            Some(FileSeen::NotPlain { what }) => Err(Refusal::DiskUnfit { path, what: what.clone() }),
        }
    }
}

/// The folders in which a file that is not qcow2 is something else than a disk.
const SYSTEM: [&str; 12] = [
    "/bin",
    "/boot",
    "/dev",
    "/etc",
    "/lib",
    "/lib64",
    "/proc",
    "/root/.ssh",
    "/run",
    "/sbin",
    "/sys",
    "/usr",
];

/// The smallest file without a header that is taken for a disk.
const LEAST_RAW: ByteSize = ByteSize::mib(1);

/// Why a file is not taken for a disk: a raw one has nothing in it that says so.
fn no_image(real: &Path, format: DiskFormat, length: ByteSize) -> Option<&'static str> {
    if format != DiskFormat::Raw {
        None
    } else if SYSTEM.iter().any(|folder| real.starts_with(folder)) {
        Some("a file of the system, and no disk image")
    } else if length < LEAST_RAW || !length.as_bytes().is_multiple_of(512) {
        Some("no disk image: not qcow2, and a raw one has whole sectors of 512 bytes, and 1 MiB at least")
    } else {
        None
    }
}

/// Notes the size that the disk of a new VM really has, and not the one that is wanted: what differs is the
/// manifest's to change, and nobody's edit.
fn disk_as_it_is(disk: Option<&DiskStep>, values: &mut Values) {
    let size_gb = match disk {
        Some(DiskStep::Create { size_gb, .. } | DiskStep::Grow { size_gb, .. }) => Some(*size_gb),
        Some(DiskStep::Take { size_bytes, .. }) => {
            size_bytes.is_multiple_of(1 << 30).then_some(size_bytes >> 30)
        }
        // Nobody could look.
        None => None,
    };
    if let Some(value) = values.get_mut(&Field::DiskSizeGb) {
        match size_gb {
            Some(size_gb) => *value = size_gb.into(),
            None => drop(values.remove(&Field::DiskSizeGb)),
        }
    }
}

/// What becomes of a domain that is not in the manifest; nothing is said of one that is not ours.
fn plan_unlisted(seen: &Seen, manifest: &VmManifest, options: &Options) -> Option<Entry> {
    let mark = seen.domain.mark.as_ref()?;
    let name = &seen.domain.name;
    let entry = |action| Entry::of(seen, action);
    let refuse = |refusal| entry(Action::Refuse { refusal });
    let applied = Applied::read(mark).unwrap_or_default();
    let is_named = options.only.as_ref().is_some_and(|only| only.contains(name));
    if let Some(manifest) = options.other_manifest(&applied) {
        return is_named.then(|| refuse(Refusal::OtherManifest { manifest }));
    }
    if !options.is_of_this_manifest(&applied) && !is_named {
        // Nobody knows whose.
        return None;
    }
    if mark.key != *name {
        // Renamed, which is told where the manifest lists its key, or a copy that took the mark along.
        let note = Note::Copied { of: mark.key.clone() };
        let listed = manifest.vms.contains_key(mark.key.as_str());
        return (!listed).then(|| Entry { notes: vec![note], ..entry(Action::Keep) });
    }
    if !options.prune {
        let note = Note::NotListed { made: applied.made };
        return Some(Entry { notes: vec![note], ..entry(Action::Keep) });
    }
    Some(match seen.standing() {
        _ if !seen.persistent => refuse(Refusal::Transient),
        _ if !applied.made => match trial::mark(seen, None) {
            Ok(()) => entry(Action::Release),
            Err(why) => refuse(Refusal::Uneditable { why }),
        },
        Standing::Running => refuse(Refusal::Runs),
        Standing::Saved => refuse(Refusal::HasSavedState),
        Standing::Stopped => match seen.kept {
            Some(kept) => refuse(Refusal::Keeps { kept }),
            None => entry(Action::Prune),
        },
    })
}

impl Entry {
    /// An entry for a VM that is not there.
    pub(super) fn new(name: &str, action: Action) -> Self {
        Self {
            name: name.to_owned(),
            id: None,
            standing: None,
            action,
            changes: Vec::new(),
            disk: None,
            pending: Vec::new(),
            notes: Vec::new(),
            digest: None,
            applied: None,
        }
    }

    fn refused(name: &str, refusal: Refusal) -> Self {
        Self::new(name, Action::Refuse { refusal })
    }

    /// An entry for a domain.
    pub(super) fn of(seen: &Seen, action: Action) -> Self {
        Self {
            id: Some(seen.domain.id),
            standing: Some(seen.standing()),
            digest: Some(seen.digest.clone()),
            ..Self::new(&seen.domain.name, action)
        }
    }
}

/// Every file that a plan for this manifest and these domains, or a capture of them, asks about: the disks of
/// domains that the manifest does not have too, whose sizes a capture writes down.
pub fn files_to_look_at(manifest: &VmManifest, domains: &[Seen]) -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> = Vec::new();
    for definition in manifest.vms.values() {
        let sources: &[IsoSource] = definition.iso_sources.as_deref().unwrap_or_default();
        paths.extend(sources.iter().map(|source| medium_path(definition, source)));
    }
    paths.extend(disks_to_look_at(manifest, domains));
    paths.sort();
    paths.dedup();
    paths
}

/// Every disk that a plan for this manifest and these domains asks about.
pub fn disks_to_look_at(manifest: &VmManifest, domains: &[Seen]) -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> = manifest.vms.values().map(|vm| vm.disk_path.clone()).collect();
    for seen in domains {
        let applied = seen.domain.mark.as_ref().and_then(Applied::read).unwrap_or_default();
        let path = applied.fields.get(&Field::DiskPath).and_then(Value::as_str).map(PathBuf::from);
        paths.extend(path.into_iter().chain(disk_files(&seen.domain).map(Path::to_owned)));
    }
    paths.sort();
    paths.dedup();
    paths
}
