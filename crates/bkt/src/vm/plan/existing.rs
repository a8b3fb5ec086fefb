//! Decides what becomes of a domain that the manifest lists.
//!
//! Pure. Tests: `tests.rs`.

use std::path::{Path, PathBuf};

use plasmavmc_libvirt::domain::{CpuModel, Domain, Edit, Source};
use plasmavmc_types::{ByteSize, DiskFormat, MacAddr, VmId};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::along;
use super::change::{applied_after, changes};
use super::decide::World;
use super::observation::disk_file;
use super::trial;
use super::{Action, Change, Decision, DiskStep, Entry, FileSeen, Note, Options, Refusal, Seen};
use crate::manifest::VmDefinition;
use crate::vm::capture::captured_media;
use crate::vm::current::paths_value;
use crate::vm::edits::paths;
use crate::vm::wanted::wanted;
use crate::vm::{
    Applied, Blocker, Current, Field, Forecast, Meant, Situation, Values, current, fetched_path, media,
};

/// Decides what becomes of a domain.
pub(super) fn plan_existing(
    world: &World<'_>,
    seen: &Seen,
    definition: &VmDefinition,
    options: &Options,
) -> Entry {
    let domain = &seen.domain;
    if !seen.persistent {
        return Entry::of(seen, Action::Refuse { refusal: Refusal::Transient });
    }
    let is_ours = domain.mark.as_ref().is_some_and(|mark| mark.key == domain.name);
    let applied = domain.mark.as_ref().filter(|_| is_ours).and_then(Applied::read);
    let in_drive = |path: &Path| {
        domain.fields.cdroms.iter().any(|drive| matches!(&drive.source, Source::File(file) if file == path))
    };
    let wanted = wanted(definition, &|path| in_drive(path) || world.is_usable(path));
    let meant = Meant { wanted: Some(&wanted.values), applied: applied.as_ref() };
    let mut compared = Compared::new(world, seen, &wanted.values, meant, options);
    let mut notes: Vec<Note> = wanted.absent.into_iter().map(Note::Absent).collect();
    let is_new = |note: &Note| match note {
        Note::FetchUnknown { url, .. } => !in_drive(&fetched_path(&definition.disk_path, url)),
        _ => true,
    };
    if wanted.values.contains_key(&Field::IsoSources) {
        notes.extend(world.fetch_unknown(&domain.name, definition).filter(is_new));
    }
    notes.extend(compared.notes(world, applied.as_ref()));
    if is_ours && applied.is_none() {
        notes.push(Note::MarkUnreadable);
    }
    compared.take_media(seen, definition, world);
    trial::changes(&mut compared.changes, seen, &meant, &world.observation.files);
    notes.extend(along::notes(&compared.changes, domain, &meant));
    let disk = compared.settle_disk(world, &domain.name, definition);
    let after = compared.applied_after(seen, disk.as_ref());
    let changes = compared.changes;
    let made = |change: &Change| matches!(change.decision, Decision::Make | Decision::TakeTheirs);
    let action = if let Some(refusal) = theirs(domain, applied.as_ref(), options) {
        if options.adopt { Action::Adopt } else { Action::Refuse { refusal } }
    } else if changes.iter().any(made) || applied.as_ref() != Some(&after) {
        Action::Update
    } else {
        Action::Keep
    };
    let action = match action {
        Action::Adopt | Action::Update => match trial::mark(seen, Some(after.to_mark(&domain.name))) {
            Ok(()) => action,
            Err(why) => Action::Refuse { refusal: Refusal::Uneditable { why } },
        },
        other => other,
    };
    let pending = pending(seen, &meant);
    Entry { changes, disk, pending, notes, applied: Some(after), ..Entry::of(seen, action) }
}

/// Why a domain of the manifest's name is not this manifest's.
fn theirs(domain: &Domain, applied: Option<&Applied>, options: &Options) -> Option<Refusal> {
    match &domain.mark {
        None => Some(Refusal::NotOurs),
        Some(mark) if mark.key != domain.name => Some(Refusal::MarkedAs { of: mark.key.clone() }),
        Some(_) => {
            let manifest = options.other_manifest(applied?)?;
            Some(Refusal::OtherManifest { manifest })
        }
    }
}

/// A domain beside what is wanted of it.
struct Compared<'a> {
    wanted: &'a Values,
    meant: Meant<'a>,
    current: Current,
    changes: Vec<Change>,
    /// The file of the disk that is meant, where it has one.
    disk: Option<PathBuf>,
    /// The format it is read in.
    format: Option<DiskFormat>,
    disk_size: Option<ByteSize>,
    /// The manifest's id.
    manifest: Option<String>,
}

impl<'a> Compared<'a> {
    fn new(world: &World<'_>, seen: &Seen, wanted: &'a Values, meant: Meant<'a>, options: &Options) -> Self {
        let fields = &seen.domain.fields;
        let beside = seen.beside(&world.observation.files, meant.disk(fields));
        let format = meant.disk(fields).and_then(|disk| disk.format);
        let disk = meant.disk(fields).and_then(disk_file).map(Path::to_owned);
        let current = current(&seen.domain, &beside, &meant);
        let media = wanted.get(&Field::IsoSources).map(paths).unwrap_or_default();
        let is_new = |edit: &Edit| matches!(edit, Edit::AddCdrom { .. });
        let situation = Situation {
            domain: &seen.domain,
            standing: seen.standing(),
            disk_size: beside.disk_size,
            needs_drive: media::edits(&fields.cdroms, &meant.media(), &media).iter().any(is_new),
            disk_is_file: disk.is_some(),
            allowed: &options.allowed,
        };
        let changes = changes(wanted, &current, meant.applied, &situation, options);
        let manifest = options.manifest.clone();
        Self { wanted, meant, current, changes, disk, format, disk_size: beside.disk_size, manifest }
    }

    fn is_changed(&self, field: Field) -> bool {
        self.changes.iter().any(|change| change.field == field)
    }

    /// Media that the manifest takes are all those in the drives, in its own words: it says more (URLs, and
    /// those that nobody fetched yet) than can be seen there.
    fn take_media(&mut self, seen: &Seen, definition: &VmDefinition, world: &World<'_>) {
        let is_taken = |change: &&mut Change| {
            change.field == Field::IsoSources && change.decision == Decision::TakeTheirs
        };
        if let Some(change) = self.changes.iter_mut().find(is_taken) {
            change.takes = Some(captured_media(seen, Some(definition), world.observation));
            let there = seen.domain.fields.cdroms.iter().filter_map(|drive| match &drive.source {
                Source::File(path) => Some(path.clone()),
                Source::Empty | Source::Other(_) => None,
            });
            change.from = Some(paths_value(&there.collect::<Vec<_>>()));
        }
    }

    /// What a person should know of the disk, and of what has no words.
    fn notes(&self, world: &World<'_>, applied: Option<&Applied>) -> Vec<Note> {
        let mut notes = Vec::new();
        if let Some(path) = self.disk.clone().filter(|_| self.wanted.contains_key(&Field::DiskPath)) {
            match world.observation.files.get(&path) {
                Some(FileSeen::Missing) => {
                    let size_gb = self.wanted.get(&Field::DiskSizeGb).and_then(Value::as_u64);
                    notes.push(Note::DiskGone { path, format: self.format, size_gb });
                }
                Some(FileSeen::Unreadable) if applied.is_none() => notes.push(Note::DiskUnreadable { path }),
                _ => {}
            }
        }
        let differs = |field| self.is_changed(field);
        notes.extend(
            self.current.unsaid.iter().filter(|one| differs(one.field)).cloned().map(Note::CannotSay),
        );
        notes
    }

    /// What is noted in the domain once the changes were made.
    fn applied_after(&self, seen: &Seen, step: Option<&DiskStep>) -> Applied {
        let before = self.meant.applied;
        let mut fields = applied_after(self.wanted, &self.changes, before);
        let repointed = self.changes.iter().find(|change| change.field == Field::DiskPath);
        let is_made = matches!(step, Some(DiskStep::Create { .. }));
        if self.wanted.contains_key(&Field::DiskSizeGb) && !is_made {
            match repointed {
                // The size of another file is not known before it is the VM's.
                Some(change) if change.decision == Decision::Make => drop(fields.remove(&Field::DiskSizeGb)),
                None if self.disk_size.is_some() => {}
                // What nobody could read, or compare, keeps its old note.
                Some(_) | None => {
                    fields.remove(&Field::DiskSizeGb);
                    let old = before.and_then(|applied| applied.fields.get_key_value(&Field::DiskSizeGb));
                    fields.extend(old.map(|(field, value)| (*field, value.clone())));
                }
            }
        }
        let manifest = self.manifest.clone().or_else(|| before.and_then(|applied| applied.manifest.clone()));
        let made = before.is_some_and(|applied| applied.made);
        Applied { nic: self.nic_after(seen), fields, manifest, made }
    }

    /// The address of our card once the changes were made.
    fn nic_after(&self, seen: &Seen) -> Option<MacAddr> {
        let made = |field| {
            let change = self.changes.iter().find(|change| change.field == field)?;
            (change.decision == Decision::Make).then_some(&change.to)
        };
        if !self.wanted.contains_key(&Field::Network) && !self.wanted.contains_key(&Field::Mac) {
            return None;
        }
        let set = made(Field::Mac).and_then(|mac| mac.as_str()?.parse().ok());
        // Of a card that went, for the next one: a network knows a machine by it.
        let before = self.meant.applied.and_then(|applied| applied.nic);
        let there = self.meant.nic(&seen.domain.fields);
        match there {
            Some((_, nic)) => set.or(nic.mac),
            None if made(Field::Network).is_some() => {
                set.or(before).or_else(|| Some(drawn_mac(seen.domain.id)))
            }
            None => before,
        }
    }

    /// What is done to the disk. Blocks a change of its path that cannot be made.
    fn settle_disk(&mut self, world: &World<'_>, name: &str, definition: &VmDefinition) -> Option<DiskStep> {
        // The size that was compared is that of the old disk, which is not to grow for another's sake.
        if self.is_changed(Field::DiskPath) {
            self.changes.retain(|change| change.field != Field::DiskSizeGb);
        }
        let mut step = None;
        for change in self.changes.iter_mut().filter(|change| change.decision == Decision::Make) {
            match change.field {
                Field::DiskPath => match world.new_disk(definition) {
                    _ if world.holders.taken(&definition.disk_path, name).is_some() => {
                        block(change, Blocker::DiskTaken);
                    }
                    Ok((made, _)) => step = made,
                    Err(_) => block(change, Blocker::DiskMissing),
                },
                Field::DiskSizeGb => {
                    let grow = self.disk.clone().zip(self.disk_size).zip(change.to.as_u64());
                    step = grow.map(|((path, from), size_gb)| DiskStep::Grow {
                        path,
                        from_bytes: from.as_bytes(),
                        size_gb,
                    });
                }
                _ => {}
            }
        }
        step
    }
}

fn block(change: &mut Change, reason: Blocker) {
    change.decision = Decision::Blocked;
    change.forecast = Forecast::Blocked { reason, danger: None };
}

/// The address of a card that is added to a domain or made with it, always the same for the same domain.
pub fn drawn_mac(id: VmId) -> MacAddr {
    let digest = Sha256::digest(id.to_string());
    MacAddr::from_seed([digest[0], digest[1], digest[2]])
}

/// The fields in which a domain runs with other values than it will after its next cold boot.
pub fn pending(seen: &Seen, meant: &Meant<'_>) -> Vec<Field> {
    let Some(live) = seen.live.as_ref().filter(|_| seen.persistent) else { return Vec::new() };
    let beside = crate::vm::Beside::default();
    // Every medium counts, whoever put it in.
    let everything: Vec<PathBuf> = [live, &seen.domain]
        .iter()
        .flat_map(|domain| domain.fields.cdroms.iter())
        .filter_map(|drive| match &drive.source {
            Source::File(path) => Some(path.clone()),
            Source::Empty | Source::Other(_) => None,
        })
        .collect();
    let (now, then) = (current(live, &beside, meant), current(&seen.domain, &beside, meant));
    let media = |domain: &Domain| media::current(&domain.fields.cdroms, &everything);
    let differs = |field: &Field| match field {
        Field::IsoSources => media(live) != media(&seen.domain),
        // A running domain shows the model that was chosen for it.
        Field::CpuModel if seen.domain.fields.cpu == CpuModel::HostModel => false,
        field => {
            let value = |current: &Current| -> Option<Value> { current.values.get(field).cloned() };
            value(&now) != value(&then)
        }
    };
    Field::ALL.into_iter().filter(differs).collect()
}

/// The format of the disk that a change of `disk_path` points to.
pub fn new_disk_format(files: &super::Files, path: &Path) -> DiskFormat {
    match files.get(path) {
        Some(FileSeen::Disk { format, .. }) => *format,
        _ => DiskFormat::Qcow2,
    }
}
