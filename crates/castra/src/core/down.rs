//! `down`: stops VMs, each over the shutdown ladder, and discards what is disposable.
//!
//! Works from what `up` wrote down, so it needs neither the config nor its directory. An overlay is
//! deleted only after the VM's process is known to be gone, under the VM's lock. A VM that stopped
//! by itself is cleaned up the same way. Tests: below, `tests/it/down.rs`, `tests/it/selection.rs`,
//! `tests/it/records.rs`.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use plasmavmc_engine::{LadderPolicy, stop};
use plasmavmc_host::{FileLock, failpoint, overlay};
use plasmavmc_hypervisor::{EventSink, HypervisorBackend, block_on};
use plasmavmc_types::{
    ByteSize, DiskSpec, EventKind, Persistence, ShutdownOutcome, StopReason, VmHandle, VmName,
};
use schemars::JsonSchema;
use serde::Serialize;

use super::backend;
use super::broker::{Stay, ensure, retire};
use super::clock::MonotonicClock;
use super::error::{Error, VmFailure};
use super::fan_out::fan_out;
use super::observed::lost_disk;
use super::operation::{Operation, OperationKind};
use super::output::{Diagnostic, OperationOutput};
use super::project::WorkspaceId;
use super::recorder::{Observer, Recorder};
use super::selection::{Owner, Selected, Target, WorkspaceSelection, targets};
use super::session::Session;
use super::strays::{Stray, all_deleted, strays_of};
use crate::config::Lifecycle;

/// What `down` is asked.
#[derive(Debug, Clone, Default)]
pub struct DownOptions {
    /// Which workspaces.
    pub selection: WorkspaceSelection,
    /// Which VMs; all of them where empty.
    pub vms: Vec<VmName>,
    /// Whether guests are asked first.
    pub patience: Patience,
}

/// How long a guest is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Patience {
    /// As the config says.
    #[default]
    Configured,
    /// Not at all: SIGTERM at once.
    None,
}

/// What `down` did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct DownOutcome {
    /// Every workspace it looked at.
    pub workspaces: Vec<WorkspaceDown>,
}

/// What `down` did in one workspace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct WorkspaceDown {
    /// The workspace.
    #[schemars(with = "String")]
    pub id: WorkspaceId,
    /// Its project.
    pub project: String,
    /// Where its state is.
    pub root: PathBuf,
    /// Its VMs.
    pub vms: Vec<VmDown>,
}

/// What became of one VM.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct VmDown {
    /// The VM.
    #[schemars(with = "String")]
    pub vm: VmName,
    /// How it ended.
    pub outcome: ShutdownOutcome,
    /// Why it is stopped.
    pub stop_reason: Option<StopReason>,
    /// Disk space its overlay took.
    pub reclaimed_bytes: u64,
}

/// Stops the VMs of the selected workspaces, all at once.
///
/// # Errors
/// [`Error`] where a workspace or VM is not known, or a name means VMs of several projects, before
/// any is stopped; [`Error::Vms`] where some VM could not be stopped, after all others were.
pub fn down(
    session: &Session,
    options: &DownOptions,
    observer: &Observer<'_>,
) -> Result<OperationOutput<DownOutcome>, Error> {
    let Selected { targets, notes } = targets(session, &options.selection)?;
    let events = Recorder::forwarding(observer);
    let shutdowns: Vec<_> = targets
        .iter()
        .map(|target| Shutdown {
            target,
            backend: backend::writer(&target.layout),
            sink: events.keeping(&target.layout),
            lifecycle: lifecycle(target),
            patience: options.patience,
        })
        .collect();
    let (all, unlisted) = list(&shutdowns);
    let strays = strays(&targets, &options.vms)?;
    let jobs = chosen(all, &targets, &options.vms)?;
    let results = fan_out(&jobs, |job| shutdowns[job.place].run(&job.vm));
    let mut workspaces: Vec<_> = targets
        .iter()
        .map(|target| WorkspaceDown {
            id: target.id.clone(),
            project: target.project_name(),
            root: target.layout.root().to_owned(),
            vms: Vec::new(),
        })
        .collect();
    let (mut failures, mut diagnostics) = (Vec::new(), notes);
    for (place, stray) in &strays {
        if !stray.may_be_ended() {
            diagnostics.push(stray.warning(Some(&targets[*place].config)));
            continue;
        }
        match shutdowns[*place].end(stray) {
            Ok(outcome) => workspaces[*place].vms.push(outcome),
            Err(error) => failures.push(VmFailure { vm: stray.vm().clone(), error: Box::new(error) }),
        }
    }
    if targets.is_empty() {
        diagnostics.extend(all_deleted(session)?.iter().map(|stray| stray.warning(None)));
    }
    for (job, result) in jobs.iter().zip(results) {
        match result {
            Ok((outcome, lost)) => {
                workspaces[job.place].vms.push(outcome);
                diagnostics.extend(lost);
            }
            Err(error) => failures.push(VmFailure { vm: job.vm.name.clone(), error: Box::new(error) }),
        }
    }
    for shutdown in &shutdowns {
        shutdown.brokers(session);
    }
    Error::from_failures(failures)?;
    // What could be stopped was: nobody is told that all VMs are down while some are not even known.
    unlisted.map_or(Ok(()), Err)?;
    Ok(OperationOutput { value: DownOutcome { workspaces }, diagnostics })
}

/// The VMs that run although their workspace is gone, each with the number of that.
fn strays(targets: &[Target], wanted: &[VmName]) -> Result<Vec<(usize, Stray)>, Error> {
    let mut found = Vec::new();
    for (place, target) in targets.iter().enumerate() {
        let strays = strays_of(target)?.into_iter();
        found.extend(strays.filter(|it| wanted.is_empty() || wanted.contains(it.vm())).map(|it| (place, it)));
    }
    Ok(found)
}

/// A VM to stop, and the number of its workspace.
struct Job {
    place: usize,
    vm: VmHandle,
}

/// Every VM there is; and why a workspace does not tell, which hides no VM of the others.
fn list(shutdowns: &[Shutdown<'_>]) -> (Vec<Job>, Option<Error>) {
    let (mut all, mut unlisted) = (Vec::new(), None);
    for (place, shutdown) in shutdowns.iter().enumerate() {
        match block_on(shutdown.backend.list_vms()) {
            Ok(vms) => all.extend(vms.into_iter().map(|vm| Job { place, vm })),
            Err(error) => unlisted = unlisted.or(Some(error.into())),
        }
    }
    (all, unlisted)
}

/// The VMs the names mean; all of them where there are no names.
///
/// A name means a VM of the project here, where it has one of that name: the other projects' are
/// meant only where no two of them share it. Pure.
fn chosen(all: Vec<Job>, targets: &[Target], wanted: &[VmName]) -> Result<Vec<Job>, Error> {
    let mut places = BTreeSet::new();
    for name in wanted {
        let named: BTreeSet<usize> =
            all.iter().filter(|job| job.vm.name == *name).map(|job| job.place).collect();
        let configured = |target: &Target| target.project.iter().any(|it| it.vm(name.as_str()).is_some());
        let is_here = |place: &usize| targets[*place].owner == Owner::Here;
        let own = named.iter().any(is_here)
            || targets.iter().any(|target| target.owner == Owner::Here && configured(target));
        let meant: BTreeSet<usize> = named.into_iter().filter(|place| !own || is_here(place)).collect();
        let ids: BTreeSet<&WorkspaceId> = meant.iter().map(|place| &targets[*place].id).collect();
        if ids.len() > 1 {
            let workspaces = ids.into_iter().cloned().collect();
            return Err(Error::VmOfWhich { vm: name.clone(), workspaces });
        }
        // One that the config has and that never ran is as stopped as it can be.
        if meant.is_empty() && !targets.iter().any(configured) {
            let known: BTreeSet<VmName> = all.into_iter().map(|job| job.vm.name).collect();
            return Err(Error::UnknownVm { vm: name.to_string(), known: known.into_iter().collect() });
        }
        places.extend(meant.into_iter().map(|place| (place, name)));
    }
    Ok(match wanted {
        [] => all,
        _ => all.into_iter().filter(|job| places.contains(&(job.place, &job.vm.name))).collect(),
    })
}

/// The waits of a workspace: its config's, else the last `up`'s, else the defaults.
fn lifecycle(target: &Target) -> Lifecycle {
    target.project.as_ref().map_or_else(Lifecycle::default, |project| project.lifecycle)
}

/// How long a command waits for another one to let go of a VM: as long as the shutdown of that VM
/// may take, and [`LOCK_MARGIN`].
pub(crate) fn lock_bound(lifecycle: &Lifecycle) -> Duration {
    let Lifecycle { graceful_shutdown_wait, sigterm_wait, sigkill_wait } = lifecycle;
    *graceful_shutdown_wait + *sigterm_wait + *sigkill_wait + LOCK_MARGIN
}

/// What a holder of a VM's lock may take beside the waits of a shutdown: to launch QEMU, or to remove
/// a large overlay, on a host that has a lot to do. A launch takes some 0.2 s on an idle one.
const LOCK_MARGIN: Duration = Duration::from_secs(25);

/// One workspace's shutdown.
struct Shutdown<'a> {
    target: &'a Target,
    backend: Box<dyn HypervisorBackend>,
    sink: Recorder<'a>,
    lifecycle: Lifecycle,
    patience: Patience,
}

impl Shutdown<'_> {
    fn policy(&self) -> LadderPolicy {
        let graceful = match self.patience {
            Patience::Configured => self.lifecycle.graceful_shutdown_wait,
            Patience::None => Duration::ZERO,
        };
        LadderPolicy { graceful, sigterm: self.lifecycle.sigterm_wait, sigkill: self.lifecycle.sigkill_wait }
    }

    /// Ends a VM whose workspace is gone. Nothing of its is left to be discarded.
    fn end(&self, stray: &Stray) -> Result<VmDown, Error> {
        let outcome = stray.end(self.policy(), &self.sink)?;
        Ok(VmDown { vm: stray.vm().clone(), outcome, stop_reason: None, reclaimed_bytes: 0 })
    }

    fn run(&self, vm: &VmHandle) -> Result<(VmDown, Option<Diagnostic>), Error> {
        let layout = &self.target.layout;
        let _lock = FileLock::acquire(&layout.vm_lock(&vm.name), lock_bound(&self.lifecycle))?;
        // Only for whoever looks meanwhile: a full disk must not keep a VM alive.
        let _operation = Operation::begin(layout, &vm.name, OperationKind::ShuttingDown).ok();
        failpoint::hit("down.marked");
        let before = block_on(self.backend.get_status(vm))?;
        let lost = before.state.is_live().then(|| block_on(self.backend.get_spec(vm)).ok()).flatten();
        let lost = lost.and_then(|spec| was_lost(&vm.name, &spec.disks));
        let clock = MonotonicClock::new();
        let (outcome, reason) = block_on(stop(&*self.backend, vm, self.policy(), &clock, &self.sink))?;
        failpoint::hit("down.stopped");
        if outcome == ShutdownOutcome::StillRunning {
            return Err(Error::WouldNotDie { vm: vm.name.clone(), pid: before.pid });
        }
        let reclaimed = self.discard(vm, reason.as_ref().filter(|_| !before.state.is_live()))?;
        failpoint::hit("down.discarded");
        let reclaimed_bytes = reclaimed.as_bytes();
        Ok((VmDown { vm: vm.name.clone(), outcome, stop_reason: reason, reclaimed_bytes }, lost))
    }

    /// Lets the broker go with the last VM; makes sure that there is one for those that go on.
    fn brokers(&self, session: &Session) {
        let layout = &self.target.layout;
        let is_live = |vm: &VmHandle| block_on(self.backend.get_status(vm)).is_ok_and(|s| s.state.is_live());
        let lives = block_on(self.backend.list_vms()).is_ok_and(|vms| vms.iter().any(is_live));
        if lives {
            ensure(session, layout, Stay::WithVms);
        } else {
            retire(layout);
        }
    }

    /// Discards the disposable disks of a stopped VM. `found` is why it had stopped before anyone
    /// asked.
    fn discard(&self, vm: &VmHandle, found: Option<&StopReason>) -> Result<ByteSize, Error> {
        let mut disks = block_on(self.backend.get_spec(vm))?.disks;
        let config = self.target.project.as_ref().and_then(|project| project.vm(vm.name.as_str()));
        for disk in &mut disks {
            // Whoever wrote `persistent = true` while it ran wants to keep what it wrote.
            if config.is_some_and(|config| config.persistence == Persistence::Persistent) {
                disk.persistence = Persistence::Persistent;
            }
        }
        discard_disposable(self.target.layout.root(), &vm.name, &disks, found, &self.sink)
    }
}

/// That a disk was gone before its VM stopped.
fn was_lost(vm: &VmName, disks: &[DiskSpec]) -> Option<Diagnostic> {
    let lost = lost_disk(vm, disks)?;
    Some(Diagnostic {
        message: lost.message.replace("is lost when it stops", "was lost"),
        hint: None,
        ..lost
    })
}

/// Discards the disposable disks of a VM that is known to be stopped, under its lock.
///
/// Only those in the workspace at `root`, and elsewhere those that Castra made: a record can have come
/// with a cloned repository, and must not choose which of the user's files go.
///
/// # Errors
/// [`Error::Host`] where a file cannot be removed.
pub(crate) fn discard_disposable(
    root: &Path,
    vm: &VmName,
    disks: &[DiskSpec],
    found: Option<&StopReason>,
    sink: &dyn EventSink,
) -> Result<ByteSize, Error> {
    let mut reclaimed = 0;
    for disk in disks.iter().filter(|disk| !disk.read_only && disk.path.exists()) {
        if let Some(reason) = found {
            sink.emit(Some(vm), EventKind::VmFoundStopped { reason: reason.clone() });
        }
        match disk.persistence {
            Persistence::Disposable if may_go(root, &disk.path) => {
                let bytes = overlay::discard(&disk.path)?.as_bytes();
                reclaimed += bytes;
                let path = disk.path.clone();
                sink.emit(Some(vm), EventKind::EphemeralLayerDiscarded { path, reclaimed_bytes: bytes });
            }
            Persistence::Disposable | Persistence::Persistent => {
                let size_bytes = plasmavmc_host::disk::usage(&disk.path)?.as_bytes();
                let path = disk.path.clone();
                sink.emit(Some(vm), EventKind::PersistentLayerKept { path, size_bytes });
            }
        }
    }
    Ok(ByteSize::bytes(reclaimed))
}

/// Whether a file is the workspace's, or an overlay that Castra made.
fn may_go(root: &Path, path: &Path) -> bool {
    let inside = || Some(path.parent()?.canonicalize().ok()?.starts_with(root.canonicalize().ok()?));
    inside() == Some(true) || overlay::is_own(path).unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use plasmavmc_types::VmId;

    use super::*;

    #[test]
    fn a_record_never_makes_a_file_go_that_castra_did_not_make() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("w");
        std::fs::create_dir_all(root.join("overlays")).unwrap();
        let own = dir.path().join("thesis.tex");
        std::fs::write(&own, "words").unwrap();
        let disk = |path: PathBuf| DiskSpec {
            id: "root".parse().unwrap(),
            path,
            format: plasmavmc_types::DiskFormat::Qcow2,
            backing: None,
            read_only: false,
            persistence: Persistence::Disposable,
        };
        let sink = Recorder::forwarding(&|_| {});
        let vm = "web".parse().unwrap();
        let inside = root.join("overlays/web.qcow2");
        std::fs::write(&inside, "").unwrap();
        let disks = [disk(own.clone()), disk(root.join("overlays/../../thesis.tex")), disk(inside.clone())];
        discard_disposable(&root, &vm, &disks, None, &sink).unwrap();
        assert!(own.exists() && !inside.exists());
    }

    #[test]
    fn nobody_gives_a_lock_up_before_a_shutdown_may_take() {
        assert_eq!(lock_bound(&Lifecycle::default()), Duration::from_secs(60));
        let hour = Duration::from_secs(3600);
        let patient =
            Lifecycle { graceful_shutdown_wait: hour, sigterm_wait: hour, sigkill_wait: Duration::ZERO };
        assert!(lock_bound(&patient) > 2 * hour);
    }

    /// A target whose config has the VMs of these names.
    fn target(name: &str, owner: Owner, vms: &str) -> Target {
        let vms = vms.split_whitespace();
        let vms = vms.map(|vm| format!("[[vms]]\nname = \"{vm}\"\nbase_image = \"alpine\"\n"));
        let text = format!("[project]\nname = \"{name}\"\n{}", vms.collect::<String>());
        let dirs = crate::env::UserDirs::from_values(Some("/home/me".into()), None).unwrap();
        let config = PathBuf::from(format!("/src/{name}/castra.toml"));
        let project = crate::config::from_snapshot(&text, &config, &dirs).unwrap();
        owned(Target::of_project(project), owner)
    }

    fn owned(mut target: Target, owner: Owner) -> Target {
        target.owner = owner;
        target
    }

    /// The VMs that `name` means among those that have a record, by number of target.
    fn meant(targets: &[Target], records: &[(usize, &str)], name: &str) -> Result<Vec<usize>, Error> {
        let job = |(place, name): &(usize, &str)| Job {
            place: *place,
            vm: VmHandle { id: VmId::generate(), name: name.parse().unwrap() },
        };
        let jobs = chosen(records.iter().map(job).collect(), targets, &[name.parse().unwrap()])?;
        assert!(jobs.iter().all(|job| job.vm.name.as_str() == name));
        Ok(jobs.into_iter().map(|job| job.place).collect())
    }

    #[test]
    fn a_name_means_the_vm_here_else_the_only_one() {
        let records = [(0, "web"), (1, "web"), (1, "db"), (2, "web")];
        let here = [
            target("a", Owner::Elsewhere, "web"),
            target("b", Owner::Here, "web db new"),
            target("c", Owner::Elsewhere, "web"),
        ];
        assert_eq!(meant(&here, &records, "web").unwrap(), [1]);
        assert_eq!(meant(&here, &records, "db").unwrap(), [1]);
        assert_eq!(meant(&here, &records, "new").unwrap(), [0; 0], "it never ran");
        let elsewhere = here.map(|target| owned(target, Owner::Elsewhere));
        assert_eq!(meant(&elsewhere, &records, "db").unwrap(), [1]);
        match meant(&elsewhere, &records, "web") {
            Err(Error::VmOfWhich { workspaces, .. }) => {
                assert_eq!(workspaces, elsewhere.clone().map(|target| target.id));
            }
            other => panic!("{other:?}"),
        }
        match meant(&elsewhere, &records, "wbe") {
            Err(Error::UnknownVm { known, .. }) => assert_eq!(known.len(), 2),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_vm_here_that_never_ran_is_not_taken_for_one_elsewhere() {
        let targets = [target("a", Owner::Elsewhere, "web"), target("b", Owner::Here, "web")];
        assert_eq!(meant(&targets, &[(0, "web")], "web").unwrap(), [0; 0]);
    }

    #[test]
    fn every_place_of_one_workspace_is_meant() {
        let targets = [target("a", Owner::Elsewhere, "web"), target("a", Owner::Elsewhere, "web")];
        assert_eq!(meant(&targets, &[(0, "web"), (1, "web")], "web").unwrap(), [0, 1]);
    }
}
