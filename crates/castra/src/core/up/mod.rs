//! `up`: brings a project's VMs up, each as far as asked.
//!
//! ```text
//!  select ─► preflight ─► workspace ─► images ─► accelerator ─► each VM, in parallel:
//!  (read only up to here; a failure       lock ─► observe ─► plan ─► steps ─► unlock ─► wait
//!   leaves nothing behind)
//! ```
//!
//! The workspace's lock is shared with other `up`s until every VM is launched, so that `clean` finds
//! no half-filled workspace. A VM's lock is held until its process runs and answers, not while its guest boots: `down` can
//! stop a VM that does not come up. Every step can be repeated, so an `up` that was killed is
//! finished by the next. Tests: `tests/it/up.rs`, `tests/it/crash.rs`, `tests/it/race.rs`.

mod alone;
mod base;
mod bootstraps;
mod drift;
mod hold;
mod in_use;
mod records;
mod seed;
mod served;
mod spec;
mod vm;
mod wait;

use std::time::Duration;

use plasmavmc_engine::{Plan, plan_up};
use plasmavmc_host::{Layout, failpoint};
use plasmavmc_hypervisor::EventSink;
use plasmavmc_types::{Accelerator, EventKind, Stage, VmName, VmSummary};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use self::alone::{BrokerOnlyOutcome, broker_only};
pub(crate) use self::base::BaseImages;
use self::hold::Hold;
use self::served::Served;
use self::vm::VmUp;
use super::backend;
use super::bootstrap::{BootstrapChoice, BootstrapOutcome, Bootstraps};
use super::error::{Error, VmFailure};
use super::fan_out::fan_out;
use super::former::still_running;
use super::observed::{self, ObservedVm};
use super::output::{Diagnostic, OperationOutput};
use super::preflight;
use super::project::WorkspaceId;
use super::ready::Phase;
use super::recorder::{Observer, Recorder};
use super::selection::{ProjectSelection, Target, project};
use super::session::Session;
use super::ssh;
use super::status::Forward;
use super::strays::strays_of;
use super::workspace;
use crate::config::{Project, VmConfig};

/// How long a guest may take to come up by default.
///
/// Four times what a full Debian with cloud-init takes under TCG on two shared cores (75 s).
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(300);

/// What `up` is asked.
#[derive(Debug, Clone)]
pub struct UpOptions {
    /// Which project.
    pub project: ProjectSelection,
    /// Which VMs; all of them where empty.
    pub vms: Vec<VmName>,
    /// How far each shall come.
    pub wait: WaitFor,
    /// How long its guest may take.
    pub timeout: Duration,
    /// Whether to go on although the host has less than the project asks.
    pub force: Force,
    /// An image to use for every VM instead of its own.
    pub qcow: Option<std::path::PathBuf>,
    /// Which VMs are bootstrapped, where it is not as configured.
    pub bootstrap: BootstrapChoice,
}

impl Default for UpOptions {
    fn default() -> Self {
        Self {
            project: ProjectSelection::default(),
            vms: Vec::new(),
            wait: WaitFor::default(),
            timeout: DEFAULT_TIMEOUT,
            force: Force::No,
            qcow: None,
            bootstrap: BootstrapChoice::default(),
        }
    }
}

/// How far a VM shall come before `up` returns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum WaitFor {
    /// SSH where port 22 is forwarded, else running.
    #[default]
    Auto,
    /// QEMU was launched and answered.
    None,
    /// The guest's processors run and it wrote to its console.
    Running,
    /// The agent in the guest greeted the broker.
    Reachable,
    /// The guest's SSH server identified itself.
    Ssh,
}

/// Whether preflight blockers that are a matter of degree are overruled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Force {
    /// They stop `up`.
    #[default]
    No,
    /// They become warnings.
    Yes,
}

/// What `up` did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct UpOutcome {
    /// The workspace.
    #[schemars(with = "String")]
    pub workspace: WorkspaceId,
    /// Where its state is.
    pub root: std::path::PathBuf,
    /// The project's name.
    pub project: String,
    /// Its VMs, in the order of the config.
    pub vms: Vec<VmOutcome>,
}

/// What became of one VM.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct VmOutcome {
    /// The VM.
    #[schemars(with = "String")]
    pub vm: VmName,
    /// Whether it was started now.
    pub change: Change,
    /// Its state when `up` returned.
    pub state: VmSummary,
    /// Its process.
    pub pid: Option<u32>,
    /// What runs its guest code.
    pub accelerator: Option<Accelerator>,
    /// The ports of the host that lead into it.
    pub forwards: Vec<Forward>,
    /// How far its guest got, and when.
    pub timeline: Vec<StageTime>,
    /// How long each part of its way up took; empty where it ran before.
    pub phases: Vec<Phase>,
    /// Milliseconds until it was as ready as asked, its folders mounted and its bootstrap done; counted
    /// from when `up` found it where it ran before.
    pub ready_ms: u64,
    /// What was done to set it up; null where it has no bootstrap, or that is not to run.
    pub bootstrap: Option<BootstrapOutcome>,
}

/// Whether `up` changed a VM.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// It was started.
    Started,
    /// It ran already.
    AlreadyRunning,
}

/// When a guest reached a stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StageTime {
    /// The stage.
    pub stage: Stage,
    /// Milliseconds since its launch; since `up` found it where it ran before.
    pub at_ms: u64,
}

/// What `up --plan` shows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct PlanOutcome {
    /// The workspace.
    #[schemars(with = "String")]
    pub workspace: WorkspaceId,
    /// Where its state is, or would be.
    pub root: std::path::PathBuf,
    /// What would be done.
    #[serde(flatten)]
    pub plan: Plan,
}

/// Decides what `up` would do, and changes nothing.
///
/// # Errors
/// As [`up`], as far as that can be told without doing it.
pub fn plan(session: &Session, options: &UpOptions) -> Result<OperationOutput<PlanOutcome>, Error> {
    let (project, _) = project(session, &options.project)?;
    let vms = selected(&project, &options.vms)?;
    wait::check(options.wait, &vms)?;
    vms.iter().try_for_each(|vm| seed::check(vm))?;
    let layout = Layout::new(&project.state_root);
    records::check_owner(session, &project, &layout)?;
    refuse_strays(&project)?;
    let images = BaseImages::locate(session, &project, &vms, options.qcow.as_deref())?;
    let mut findings = preflight::check(session, &project, &vms, &images, options.force)?;
    findings.extend(vms.iter().filter_map(|vm| seed::forgets(vm)));
    bootstraps::check(&project, &vms, options)?;
    let observer = backend::observer(&layout);
    let plan_one = |vm: &&VmConfig| {
        let observed = vm::observe(&*observer, &layout, vm, images.state(vm))?;
        let refused = |source| Error::Refused { vm: vm.name.clone(), source };
        let mut plan = plan_up(&vm::desired(vm), observed).map_err(refused)?;
        vm::refuse_loss(vm, &plan, vm::definition(&*observer, &vm.name)?.as_ref())?;
        plan.steps.extend(bootstraps::plan(&*observer, &layout, vm, &plan, options)?);
        Ok(plan)
    };
    let vms = vms.iter().map(plan_one).collect::<Result<Vec<_>, Error>>()?;
    let outcome =
        PlanOutcome { workspace: project.workspace_id, root: project.state_root, plan: Plan { vms } };
    Ok(OperationOutput { value: outcome, diagnostics: findings })
}

/// Brings the project's VMs up.
///
/// # Errors
/// [`Error`]; where a VM fails the others are still brought up, and one that was launched is left
/// running to be looked into.
pub fn up(
    session: &Session,
    options: &UpOptions,
    observer: &Observer<'_>,
) -> Result<OperationOutput<UpOutcome>, Error> {
    let (project, origin) = project(session, &options.project)?;
    let vms = selected(&project, &options.vms)?;
    wait::check(options.wait, &vms)?;
    vms.iter().try_for_each(|vm| seed::check(vm))?;
    let layout = Layout::new(&project.state_root);
    let early = Hold::take_early(&layout, &project.workspace_id, vms.len())?;
    records::check_owner(session, &project, &layout)?;
    refuse_strays(&project)?;
    let mut images = BaseImages::locate(session, &project, &vms, options.qcow.as_deref())?;
    vm::refuse_losses(&*backend::observer(&layout), &layout, &vms)?;
    let mut diagnostics = preflight::check(session, &project, &vms, &images, options.force)?;
    diagnostics.extend(vms.iter().filter_map(|vm| seed::forgets(vm)));
    bootstraps::check(&project, &vms, options)?;

    workspace::prepare(&session.dirs, &project.workspace_id, &layout)?;
    let hold = match early {
        Some(hold) => hold,
        None => Hold::take(&layout, &project.workspace_id, vms.len())?,
    };
    failpoint::hit("up.workspace-prepared");
    let recorder = Recorder::new(&layout, observer);
    recorder.emit(None, EventKind::WorkspacePrepared { root: layout.root().to_owned() });
    workspace::prune_legacy(&layout, &recorder)?;
    records::write(session, &project, &origin, options, &layout)?;
    failpoint::hit("up.records-written");

    images.fetch(session, &project, &layout, &recorder)?;
    failpoint::hit("up.images-ready");
    let launcher = backend::launcher(session, &layout, &recorder)?;
    let target = Target::of_project(project.clone());
    let work = VmUp {
        session,
        project: &project,
        workspace: &project.workspace_id,
        lifecycle: &project.lifecycle,
        layout: &layout,
        launcher: &launcher,
        images: &images,
        sink: &recorder,
        options,
        hold: &hold,
        broker: Served::new(session, &layout),
        bootstraps: Bootstraps {
            target: &target,
            backend: &*launcher.backend,
            sink: &recorder,
            channel: project.channel,
        },
    };
    let results = fan_out(&vms, |vm| work.run(vm));
    diagnostics.extend(work.broker.diagnostic());

    if let Err(error) = ssh::refresh(&target) {
        diagnostics.push(Diagnostic::warning(format!("ssh is not told of changed ports: {error}")));
    }
    diagnostics.extend(still_running(session, &project));
    let (outcomes, notes) = gather(&vms, results)?;
    diagnostics.extend(notes);
    diagnostics.extend(lost_disks(&target, &outcomes));
    diagnostics.extend(records::forget_removed(&project, &layout, &*launcher.backend, &recorder)?);
    let value = UpOutcome {
        workspace: project.workspace_id.clone(),
        root: layout.root().to_owned(),
        project: project.name.to_string(),
        vms: outcomes,
    };
    Ok(OperationOutput { value, diagnostics })
}

/// What became of all VMs, and what a person should know of them; the failures where there are any.
fn gather(
    vms: &[&VmConfig],
    results: Vec<Result<(VmOutcome, Vec<Diagnostic>), Error>>,
) -> Result<(Vec<VmOutcome>, Vec<Diagnostic>), Error> {
    let (mut outcomes, mut diagnostics, mut failures) = (Vec::new(), Vec::new(), Vec::new());
    for (vm, result) in vms.iter().zip(results) {
        match result {
            Ok((outcome, notes)) => {
                outcomes.push(outcome);
                diagnostics.extend(notes);
            }
            Err(error) => failures.push(VmFailure { vm: vm.name.clone(), error: Box::new(error) }),
        }
    }
    Error::from_failures(failures)?;
    Ok((outcomes, diagnostics))
}

/// Fails where a VM of the project runs although its workspace is gone: its ports are taken, and a second
/// one of its name would hide it.
fn refuse_strays(project: &Project) -> Result<(), Error> {
    let target = Target::of_project(project.clone());
    let Some(stray) = strays_of(&target)?.into_iter().next() else { return Ok(()) };
    let (vm, pid, text) = (stray.vm().clone(), stray.pid(), stray.text());
    Err(Error::Stray { vm, pid, text, hint: stray.hint(Some(&project.config_path)) })
}

/// Disks that were deleted under VMs that ran before.
fn lost_disks(target: &Target, outcomes: &[VmOutcome]) -> Vec<Diagnostic> {
    if outcomes.iter().all(|vm| vm.change == Change::Started) {
        return Vec::new();
    }
    let seen = observed::observe(target).unwrap_or_default();
    let ran =
        |vm: &&ObservedVm| outcomes.iter().any(|it| it.vm == vm.name && it.change == Change::AlreadyRunning);
    seen.iter().filter(ran).flat_map(|vm| vm.warnings(target)).collect()
}

/// The VMs a command is about, in the order of the config.
fn selected<'a>(project: &'a Project, names: &[VmName]) -> Result<Vec<&'a VmConfig>, Error> {
    if let Some(unknown) = names.iter().find(|name| project.vm(name.as_str()).is_none()) {
        let known = project.vms.iter().map(|vm| vm.name.clone()).collect();
        return Err(Error::UnknownVm { vm: unknown.to_string(), known });
    }
    Ok(project.vms.iter().filter(|vm| names.is_empty() || names.contains(&vm.name)).collect())
}
