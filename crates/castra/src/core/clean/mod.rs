//! `clean`: removes what commands have left behind, and nothing that is in use.
//!
//! ```text
//! lock the workspace ─► lock every VM ─► which live? ─► survey ─► refuse, or list, or remove ─► unlock
//! ```
//!
//! Everything is looked at before anything is removed, under the locks that keep workspaces from
//! being filled and VMs from being started meanwhile. A dry run locks nothing. A live VM is in the way unless forced; even then nothing of it is touched. Disks
//! of persistent VMs are a person's data and stay in any case. Tests: in each file, and
//! `tests/it/clean.rs`.

mod forget;
mod shared;
mod survey;
mod vms;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use plasmavmc_host::image::Store;
use plasmavmc_host::{FileLock, Layout};
use plasmavmc_hypervisor::EventSink;
use plasmavmc_types::{CleanupKind, EventKind, VmName};
use schemars::JsonSchema;
use serde::Serialize;

use self::survey::{Survey, survey};
use self::vms::{Vm, entries, vms};
use super::backend;
use super::error::Error;
use super::images::image_names;
use super::output::{Diagnostic, OperationOutput};
use super::project::default_projects_root;
use super::recorder::{Observer, Recorder};
use super::selection::{WorkspaceSelection, target, targets};
use super::session::Session;
use super::workspace;
use crate::config::Project;

/// How long an `up` is waited for that is filling the workspace: the time of a small image's
/// download. Who wants to clean meanwhile can try again.
const LOCK_BOUND: Duration = Duration::from_secs(10);

/// What `clean` is asked.
#[derive(Debug, Clone, Default)]
pub struct CleanOptions {
    /// Where.
    pub scope: CleanScope,
    /// Whether to remove, or only to tell.
    pub mode: CleanMode,
    /// What to do about live VMs.
    pub live: LiveVms,
}

/// Where `clean` works.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CleanScope {
    /// One workspace.
    Workspace(WorkspaceSelection),
    /// Every workspace in its default place, and what all workspaces share. Overlays stay.
    Global,
}

impl Default for CleanScope {
    fn default() -> Self {
        Self::Workspace(WorkspaceSelection::default())
    }
}

/// Whether `clean` removes anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CleanMode {
    /// It does.
    #[default]
    Remove,
    /// It tells what it would remove (`--dry-run`).
    DryRun,
}

/// What a live VM means to `clean`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LiveVms {
    /// Nothing is removed at all.
    #[default]
    Refuse,
    /// What does not belong to it is removed (`--force`).
    Spare,
}

/// Whether a workspace's overlays are removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Overlays {
    Remove,
    Keep,
}

/// What `clean` removed, or would.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct CleanOutcome {
    /// Whether everything is still there because this was a dry run.
    pub dry_run: bool,
    /// The workspaces it looked at.
    pub workspaces: Vec<WorkspaceClean>,
    /// What was removed, in order.
    pub items: Vec<CleanItem>,
    /// The same by kind; kinds without items are left out.
    pub totals: Vec<CleanTotal>,
    /// Disk space it took in all.
    pub reclaimed_bytes: u64,
}

/// One workspace `clean` looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct WorkspaceClean {
    /// Its id; of a directory that is no workspace any more, its name.
    pub id: String,
    /// Where it is.
    pub root: PathBuf,
    /// Whether it is not known any more, or would not be: its project's directory is gone.
    pub forgotten: bool,
    /// Live VMs that were spared.
    #[schemars(with = "Vec<String>")]
    pub live: Vec<VmName>,
}

/// One thing that was removed, or would be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct CleanItem {
    /// The file or directory.
    pub path: PathBuf,
    /// What kind of thing it is.
    pub kind: CleanupKind,
    /// Disk space it takes; 0 where other names lead to the same bytes.
    pub bytes: u64,
}

/// What was removed of one kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
pub struct CleanTotal {
    /// The kind.
    pub kind: CleanupKind,
    /// How many files and directories.
    pub count: u64,
    /// Disk space they took.
    pub bytes: u64,
}

/// Removes what the workspaces no longer need.
///
/// # Errors
/// [`Error::LiveVm`] where a VM lives and is not to be spared, [`Error::WorkspaceBusy`] where an `up`
/// is at work, both with nothing removed; [`Error`] where something cannot be looked at or removed.
pub fn clean(
    session: &Session,
    options: &CleanOptions,
    observer: &Observer<'_>,
) -> Result<OperationOutput<CleanOutcome>, Error> {
    let places = places(session, &options.scope)?;
    let looked = places.iter().map(|place| look(place, options)).collect::<Result<Vec<_>, _>>()?;
    let mut diagnostics = Vec::new();
    for (place, looked) in places.iter().zip(&looked) {
        if let (Some(vm), LiveVms::Refuse) = (looked.live.first(), options.live) {
            let refusal = Error::LiveVm { vm: vm.clone(), workspace: place.id.clone() };
            match options.mode {
                CleanMode::Remove => return Err(refusal),
                CleanMode::DryRun => diagnostics.push(
                    Diagnostic::warning(format!("{refusal}: without `--force` nothing is removed"))
                        .with_hint(format!("stop it first: `castra down --workspace {}`", place.id)),
                ),
            }
        }
        diagnostics.extend(looked.survey.notes.iter().cloned());
    }
    let sink = Recorder::forwarding(observer);
    let mut items = Vec::new();
    for (place, looked) in places.iter().zip(&looked) {
        let sink = recorder(&sink, place, looked, options.mode);
        for item in &looked.survey.items {
            remove(item, options.mode, &sink)?;
            items.push(item.clone());
        }
    }
    if options.scope == CleanScope::Global {
        items.extend(clean_shared(session, &items, options.mode, &sink)?);
    }
    let mut forgotten = Vec::new();
    for (place, looked) in places.iter().zip(&looked) {
        let note = forget_abandoned(session, place, looked, options.mode)?;
        forgotten.push(note.is_some());
        diagnostics.extend(note);
    }
    let seen = |((place, looked), forgotten): ((&Place, Looked), bool)| WorkspaceClean {
        id: place.id.clone(),
        root: place.layout.root().to_owned(),
        forgotten,
        live: looked.live,
    };
    let value = CleanOutcome {
        dry_run: options.mode == CleanMode::DryRun,
        workspaces: places.iter().zip(looked).zip(forgotten).map(seen).collect(),
        totals: totals(&items),
        reclaimed_bytes: items.iter().map(|item| item.bytes).sum(),
        items,
    };
    Ok(OperationOutput { value, diagnostics })
}

/// A directory to clean.
struct Place {
    id: String,
    layout: Layout,
    project: Option<Project>,
    overlays: Overlays,
}

/// What was seen of a place, and the locks that keep it so.
#[derive(Default)]
struct Looked {
    live: Vec<VmName>,
    survey: Survey,
    _locks: Vec<FileLock>,
}

fn places(session: &Session, scope: &CleanScope) -> Result<Vec<Place>, Error> {
    let CleanScope::Workspace(selection) = scope else { return global(session) };
    let target = target(session, selection)?;
    if let Some(note) = target.note {
        // It may say by now that a disk is to be kept.
        return Err(Error::NotToBeCleaned { workspace: target.id, why: note.message });
    }
    let overlays = Overlays::Remove;
    Ok(vec![Place { id: target.id.to_string(), layout: target.layout, project: target.project, overlays }])
}

/// Every child of the projects directory, whether or not it still is a workspace.
fn global(session: &Session) -> Result<Vec<Place>, Error> {
    let mut known = targets(session, &WorkspaceSelection::Known)?.targets;
    let children = entries(&default_projects_root(&session.dirs))?;
    let place = |child: PathBuf| {
        let root = child.canonicalize().ok()?;
        let at = known.iter().position(|target| target.layout.root() == root);
        let name = child.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Some(match at.map(|at| known.swap_remove(at)) {
            Some(target) => Place {
                id: target.id.to_string(),
                layout: target.layout,
                project: target.project,
                overlays: Overlays::Keep,
            },
            None => Place { id: name, layout: Layout::new(root), project: None, overlays: Overlays::Keep },
        })
    };
    let is_dir = |child: &PathBuf| child.symlink_metadata().is_ok_and(|meta| meta.is_dir());
    Ok(children.into_iter().filter(is_dir).filter_map(place).collect())
}

/// Forgets a workspace that nobody will come back to; says so.
fn forget_abandoned(
    session: &Session,
    place: &Place,
    looked: &Looked,
    mode: CleanMode,
) -> Result<Option<Diagnostic>, Error> {
    let layout = &place.layout;
    let Some(directory) = forget::abandoned_by(layout).filter(|_| looked.live.is_empty()) else {
        return Ok(None);
    };
    let removed: Vec<&Path> = looked.survey.items.iter().map(|item| item.path.as_path()).collect();
    if forget::left_in(layout, &removed)?.is_some() {
        return Ok(None);
    }
    let done = match mode {
        CleanMode::Remove => {
            forget::forget(&session.dirs, layout)?;
            "is forgotten"
        }
        CleanMode::DryRun => "would be forgotten",
    };
    let why = format!("its project's directory `{}` is gone", directory.display());
    Ok(Some(Diagnostic::note(format!("workspace `{}` {done}: {why}", place.id))))
}

/// A recorder that keeps what becomes of a place in its log of events, where that stays: mostly it is
/// among what is removed, and an empty workspace gets none.
fn recorder<'a>(events: &Recorder<'a>, place: &Place, looked: &Looked, mode: CleanMode) -> Recorder<'a> {
    let log = place.layout.events_log();
    let goes = looked.survey.items.iter().any(|item| log.starts_with(&item.path));
    if mode == CleanMode::Remove && !goes && log.is_file() {
        events.keeping(&place.layout)
    } else {
        events.forwarding_too()
    }
}

/// Looks at a place, holding its locks and those of its VMs where something is going to be removed.
fn look(place: &Place, options: &CleanOptions) -> Result<Looked, Error> {
    let layout = &place.layout;
    if !layout.root().is_dir() {
        return Ok(Looked::default());
    }
    let mut locks = Vec::new();
    let found = match options.mode {
        CleanMode::DryRun => vms(layout, &*backend::observer(layout))?,
        CleanMode::Remove => {
            let workspace = FileLock::acquire(&layout.workspace_lock(), LOCK_BOUND);
            locks.push(workspace.map_err(|error| Error::busy(&place.id, error))?);
            lock_vms(layout, &mut locks)?
        }
    };
    let live = found.iter().filter(|vm| vm.live).map(|vm: &Vm| vm.name.clone()).collect();
    let survey = survey(layout, place.project.as_ref(), &found, place.overlays)?;
    Ok(Looked { live, survey, _locks: locks })
}

/// Takes the lock of every VM there is, and gives the VMs as they are under it.
fn lock_vms(layout: &Layout, locks: &mut Vec<FileLock>) -> Result<Vec<Vm>, Error> {
    let backend = backend::observer(layout);
    let (mut asked, mut busy) = (BTreeSet::new(), BTreeSet::new());
    loop {
        // A VM may have been started before its lock was held; one whose lock another command
        // holds is about to be.
        let mut found = vms(layout, &*backend)?;
        let new: Vec<VmName> =
            found.iter().map(|vm| vm.name.clone()).filter(|name| !asked.contains(name)).collect();
        if new.is_empty() {
            for vm in found.iter_mut().filter(|vm| busy.contains(&vm.name)) {
                vm.live = true;
            }
            return Ok(found);
        }
        for name in new {
            match FileLock::try_acquire(&layout.vm_lock(&name))? {
                Some(lock) => locks.push(lock),
                None => drop(busy.insert(name.clone())),
            }
            asked.insert(name);
        }
    }
}

fn clean_shared(
    session: &Session,
    going: &[CleanItem],
    mode: CleanMode,
    sink: &dyn EventSink,
) -> Result<Vec<CleanItem>, Error> {
    let store = Store::new(session.image_store());
    let mut items = shared::partial_downloads(&store)?;
    items.extend(shared::unfinished_builds(&session.cache_dir())?);
    for item in &items {
        remove(item, mode, sink)?;
    }
    let known = targets(session, &WorkspaceSelection::All)?.targets;
    let named: Vec<String> = known.iter().flat_map(image_names).collect();
    for unused in shared::unused(&store, if mode == CleanMode::DryRun { going } else { &[] }, &named) {
        if mode == CleanMode::Remove {
            unused.remove(&store)?;
        }
        if let Some(item) = unused.item {
            tell(&item, mode, sink);
            items.push(item);
        }
    }
    for link in workspace::dangling(&session.dirs) {
        if mode == CleanMode::Remove {
            workspace::forget(&link)?;
        }
    }
    Ok(items)
}

fn remove(item: &CleanItem, mode: CleanMode, sink: &dyn EventSink) -> Result<(), Error> {
    if mode == CleanMode::Remove {
        shared::remove(&item.path)?;
    }
    tell(item, mode, sink);
    Ok(())
}

fn tell(item: &CleanItem, mode: CleanMode, sink: &dyn EventSink) {
    let CleanItem { path, kind, bytes } = item.clone();
    let dry_run = mode == CleanMode::DryRun;
    sink.emit(None, EventKind::CleanupProgress { path, kind, reclaimed_bytes: bytes, dry_run });
}

/// The items by kind, in the order of the kinds.
fn totals(items: &[CleanItem]) -> Vec<CleanTotal> {
    let mut kinds: Vec<CleanupKind> = items.iter().map(|item| item.kind).collect();
    kinds.sort();
    kinds.dedup();
    let total = |kind| {
        let of_kind = items.iter().filter(|item| item.kind == kind);
        CleanTotal {
            kind,
            count: of_kind.clone().count() as u64,
            bytes: of_kind.map(|item| item.bytes).sum(),
        }
    };
    kinds.into_iter().map(total).collect()
}
