//! Changes a VM that exists, or undefines it.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use plasmavmc_host::{disk_image, failpoint};
use plasmavmc_libvirt::domain::{Domain, DomainXml, Edit, unplanned};
use plasmavmc_libvirt::virsh::{Connection, VirshError, Writer};
use plasmavmc_types::{ByteSize, DiskFormat, VmId};
use serde_json::Value;

use super::create::differences;
use super::undo::{Defined, Trouble};
use super::{ApplyError, Done, StateDir};
use crate::vm::observe::{digest, look, power_state};
use crate::vm::plan::{Action, DiskStep, Entry, FileSeen};
use crate::vm::stale::stale_standing;
use crate::vm::{Applied, Beside, Current, Field, Forecast, Meant, Values, current, edits};

/// Changes a VM.
pub(super) fn update(entry: &Entry, connection: &Connection, state: &StateDir) -> Result<Done, ApplyError> {
    let mut done = Done::new(entry);
    let id = entry.id.ok_or(ApplyError::Changed { what: "the plan does not name it" })?;
    let writer = connection.writer();
    let before = writer.with_secrets(id)?;
    let change = Planned::new(entry, unchanged(entry, connection, id)?);
    let edits = change.edits();
    let planned = before.edit(&edits)?;
    let backup = state.back_up(&entry.name, id, &before, SystemTime::now())?;
    failpoint::hit("sync.backed-up");
    change.disk(&mut done)?;
    failpoint::hit("sync.disk-made");
    // What was read before the disk was made may be old by now: libvirt itself does not compare.
    unchanged(entry, connection, id)?;
    // Before the mark that says so: killed in between, it would look like somebody's edit.
    if let Some(autostart) = change.autostart() {
        writer.set_autostart(id, autostart)?;
    }
    let changes: Vec<String> = entry.made().map(ToString::to_string).collect();
    let changes = if changes.is_empty() { "its mark".to_owned() } else { changes.join("; ") };
    let defined = Defined { connection, id, before: &before, backup, changes };
    if let Err(error) = define(&writer, &planned, &mut done) {
        return Err(not_defined(error, &change, defined));
    }
    failpoint::hit("sync.defined");
    let after = match writer.with_secrets(id) {
        Ok(after) => after,
        Err(source) => return Err(defined.undo(Trouble::Unread(Box::new(source.into())))),
    };
    match change.not_as_planned(&before, &planned, &after) {
        Ok(what) if what.is_empty() => {}
        Ok(what) => return Err(defined.undo(Trouble::Unplanned(what))),
        Err(error) => return Err(defined.undo(Trouble::Unread(Box::new(error)))),
    }
    failpoint::hit("sync.proved");
    for made in entry.made() {
        done.step(made.to_string());
    }
    if entry.action == Action::Release {
        done.step("let go of it; the VM stays as it is");
    }
    change.beside(&writer, id, &edits, &mut done)?;
    Ok(done)
}

/// What became of a VM whose definition virsh ended on with an error: one that libvirt refused is the old one;
/// of one that took too long, nobody knows.
fn not_defined(error: ApplyError, change: &Planned<'_>, defined: Defined<'_>) -> ApplyError {
    if let Some(autostart) = change.autostart()
        && defined.connection.writer().set_autostart(defined.id, !autostart).is_err()
    {
        return defined.undo(Trouble::Unread(Box::new(error)));
    }
    match &error {
        ApplyError::Virsh { source: VirshError::Invalid { .. } | VirshError::Refused { .. } } => error,
        _ => defined.undo(Trouble::Unread(Box::new(error))),
    }
}

/// Undefines a VM. Its disks, NVRAM and TPM state stay.
pub(super) fn prune(entry: &Entry, connection: &Connection, state: &StateDir) -> Result<Done, ApplyError> {
    let mut done = Done::new(entry);
    let id = entry.id.ok_or(ApplyError::Changed { what: "the plan does not name it" })?;
    let writer = connection.writer();
    let before = writer.with_secrets(id)?;
    unchanged(entry, connection, id)?;
    let runs = connection.reader().state(id)?.is_none_or(|(state, _)| state.is_active());
    if runs {
        return Err(ApplyError::Changed { what: "it runs now" });
    }
    let backup = state.back_up(&entry.name, id, &before, SystemTime::now())?;
    writer.undefine_keeping(id)?;
    done.step(format!("undefined it; its definition is kept in `{}`", backup.display()));
    Ok(done)
}

/// The domain, where it is still the one the plan was made from: the whole of its XML is compared, and
/// whether it runs or has a saved state.
fn unchanged(entry: &Entry, connection: &Connection, id: VmId) -> Result<Domain, ApplyError> {
    let gone = ApplyError::Changed { what: "it is gone" };
    let observed = connection.reader().observe_one(id)?.ok_or(gone)?;
    let now = &observed.inactive;
    if entry.digest.as_deref() != Some(digest(now).as_str()) {
        let renamed = now.domain().is_ok_and(|domain| domain.name != entry.name);
        let what = if renamed { "it has another name" } else { "someone edited it" };
        return Err(ApplyError::Changed { what });
    }
    let domain = now.domain()?;
    // Neither a start nor a saved state shows in the XML, and each changes what a definition does.
    let is_active = observed.state.is_active();
    let standing = power_state(observed.state, observed.managed_save).standing(is_active);
    match stale_standing(entry, standing) {
        Some(what) => Err(ApplyError::Changed { what }),
        None => Ok(domain),
    }
}

/// Defines a VM, held against libvirt's schema; where what was there before does not fit that, without.
fn define(writer: &Writer<'_>, planned: &DomainXml, done: &mut Done) -> Result<(), ApplyError> {
    match writer.define(planned, true) {
        Err(VirshError::Invalid { said }) => {
            writer.define(planned, false)?;
            done.warn(format!("its XML does not fit libvirt's schema, and was taken all the same: {said}"));
            Ok(())
        }
        result => Ok(result?),
    }
}

/// What is to become of a domain.
struct Planned<'e> {
    entry: &'e Entry,
    domain: Domain,
    /// What was applied last, as the domain says.
    applied: Option<Applied>,
    /// What the manifest wants, as far as the plan knows.
    wanted: Values,
    /// The fields that are changed.
    changes: Values,
}

impl<'e> Planned<'e> {
    fn new(entry: &'e Entry, domain: Domain) -> Self {
        let ours = domain.mark.as_ref().filter(|mark| mark.key == entry.name);
        let mut wanted = entry.applied.clone().unwrap_or_default().fields;
        wanted.extend(entry.changes.iter().map(|change| (change.field, change.to.clone())));
        let changes = entry.made().map(|change| (change.field, change.to.clone())).collect();
        Self { entry, applied: ours.and_then(Applied::read), domain, wanted, changes }
    }

    fn meant(&self) -> Meant<'_> {
        Meant { wanted: Some(&self.wanted), applied: self.applied.as_ref() }
    }

    fn edits(&self) -> Vec<Edit> {
        let to_be = self.changes.get(&Field::DiskPath).and_then(Value::as_str).map(Path::new);
        let format = match to_be.map(look) {
            Some(FileSeen::Disk { format, .. }) => format,
            _ => DiskFormat::Qcow2,
        };
        let after = self.entry.applied.clone().unwrap_or_default();
        let mut edits = edits(&self.domain, &self.meant(), &self.changes, format);
        for edit in &mut edits {
            if let Edit::AddNic { mac, .. } = edit {
                *mac = mac.or(after.nic);
            }
        }
        let stays = self.entry.action != Action::Release;
        edits.push(Edit::Mark(stays.then(|| after.to_mark(&self.entry.name))));
        edits
    }

    /// Makes or grows the disk.
    fn disk(&self, done: &mut Done) -> Result<(), ApplyError> {
        let Some(step) = &self.entry.disk else { return Ok(()) };
        match step {
            DiskStep::Create { path, size_gb } => disk_image::create(path, ByteSize::gib(*size_gb))?,
            DiskStep::Take { .. } => {}
            DiskStep::Grow { path, size_gb, .. } => {
                let disk = self.meant().disk(&self.domain.fields);
                let format = disk.and_then(|disk| disk.format).unwrap_or(DiskFormat::Qcow2);
                disk_image::grow(path, format, ByteSize::gib(*size_gb))?;
            }
        }
        done.step(step.to_string());
        Ok(())
    }

    /// What of the domain is neither as it was nor as planned.
    fn not_as_planned(
        &self,
        before: &DomainXml,
        planned: &DomainXml,
        after: &DomainXml,
    ) -> Result<Vec<String>, ApplyError> {
        let mut what: Vec<String> =
            unplanned(before, planned, after).iter().map(|difference| difference.path.clone()).collect();
        let domain = after.domain()?;
        let Current { values, .. } = current(&domain, &Beside::default(), &self.meant());
        what.extend(differences(&self.changes, &values));
        Ok(what)
    }

    /// Whether it is to start with the host, where that changes.
    fn autostart(&self) -> Option<bool> {
        self.changes.get(&Field::Autostart).and_then(Value::as_bool)
    }

    /// What is not in the definition: the media of a running VM.
    fn beside(
        &self,
        writer: &Writer<'_>,
        id: VmId,
        edits: &[Edit],
        done: &mut Done,
    ) -> Result<(), ApplyError> {
        let is_live =
            |field| self.entry.made().any(|one| one.field == field && one.forecast == Forecast::Live);
        if !is_live(Field::IsoSources) {
            return Ok(());
        }
        for edit in edits {
            let Edit::CdromMedium { target, path } = edit else { continue };
            let path: Option<&PathBuf> = path.as_ref();
            if let Err(error) = writer.change_media(id, target, path.map(PathBuf::as_path), true) {
                done.warn(format!("the drive `{target}` changes at the next cold boot: {error}"));
            }
        }
        Ok(())
    }
}
