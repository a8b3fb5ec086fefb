//! `status`: what every VM of the known workspaces is doing.
//!
//! Reads only: it is handed the reading half of the backend, creates no file, takes no lock and
//! waits for nothing but the hypervisor's bounded answer. Tests: `tests/it/status.rs`, and the
//! pure part below.

use std::time::{Duration, SystemTime};

use plasmavmc_hypervisor::block_on;
use plasmavmc_types::{Accelerator, StopReason, Timestamp, VmName, VmSpec, VmStatus, VmSummary};
use schemars::JsonSchema;
use serde::Serialize;

use super::backend;
use super::broker::{Channels, GuestChannel, Process};
use super::error::Error;
use super::fan_out::spread;
use super::former::still_running;
use super::mounts::{self, MountRow};
use super::observed::ObservedVm;
use super::operation::{OperationKind, in_progress, state_with};
use super::output::{Diagnostic, OperationOutput};
use super::project::WorkspaceId;
use super::ready::{RunTiming, Timings, console_has_spoken, timings};
use super::selection::{Owner, Selected, Target, WorkspaceSelection, targets};
use super::session::Session;
use super::strays::{all_deleted, strays_of};
use super::up::WaitFor;

/// Threads that look at workspaces, and again at the VMs of one. A look takes a millisecond, or 150
/// where a hypervisor hangs: enough of them hang at once to matter only in a disaster.
const THREADS: usize = 4;

/// How long it takes at most from the moment an `up` sets out to launch a VM until its process starts.
const LAUNCH_BOUND: Duration = Duration::from_secs(30);

/// What `status` is asked.
#[derive(Debug, Clone, Default)]
pub struct StatusOptions {
    /// Which workspaces.
    pub selection: WorkspaceSelection,
    /// Whether to tell how long the last runs took.
    pub timings: bool,
}

/// What `status` saw.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct StatusOutcome {
    /// The workspaces, in the order of their ids.
    pub workspaces: Vec<WorkspaceStatus>,
}

/// One workspace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct WorkspaceStatus {
    /// What `--workspace` takes.
    #[schemars(with = "String")]
    pub id: WorkspaceId,
    /// The project's name.
    pub project: String,
    /// Where its state is.
    pub root: std::path::PathBuf,
    /// The config it was made from.
    pub config: std::path::PathBuf,
    /// Its VMs, in the order of their names.
    pub vms: Vec<VmRow>,
}

/// One VM.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct VmRow {
    /// Its name.
    #[schemars(with = "String")]
    pub vm: VmName,
    /// stopped, starting, running or shutting_down.
    pub state: VmSummary,
    /// Whether its guest is frozen; it then counts as running.
    pub paused: bool,
    /// Whether its hypervisor answered in time.
    pub responsive: bool,
    /// The process that runs it; null when stopped.
    pub pid: Option<u32>,
    /// Milliseconds since that process started; null when stopped.
    pub uptime_ms: Option<u64>,
    /// What runs its guest code; null when stopped.
    pub accelerator: Option<Accelerator>,
    /// Virtual processors; null where it was never started.
    pub cpus: Option<u32>,
    /// Guest memory; null where it was never started.
    pub memory_bytes: Option<u64>,
    /// The ports of the host that lead into it.
    pub forwards: Vec<Forward>,
    /// Folders of the host that its guest sees, or would; empty when stopped.
    pub mounts: Vec<MountRow>,
    /// Why it is stopped; null when it lives or never ran.
    pub stop_reason: Option<StopReason>,
    /// How long its last runs took to come up; null unless asked for.
    pub timings: Option<Timings>,
    /// offline: no broker runs; waiting: one runs and has not heard of the guest lately; reachable: the
    /// guest answered within the freshness window.
    pub broker: BrokerState,
    /// Whether the guest answered within the freshness window: `broker` is reachable.
    pub reachable: bool,
    /// Milliseconds since the guest's last handshake or answered keepalive in this run; null where there
    /// was none. Grows between keepalives, which come every 2 s.
    pub last_handshake_age_ms: Option<u64>,
    /// Why the guest's agent is not accepted, or that the guest sends more than it may; null otherwise.
    pub channel_fault: Option<ChannelFault>,
}

/// Whether a guest can be spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum BrokerState {
    /// No broker runs.
    Offline,
    /// A broker runs and has not heard of the guest lately.
    Waiting,
    /// The guest answered within the freshness window.
    Reachable,
}

/// What is wrong with a guest's end of the channel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(tag = "fault", rename_all = "snake_case")]
pub enum ChannelFault {
    /// Its agent is not accepted.
    Declined {
        /// Why.
        reason: String,
    },
    /// It sends more than it may, and is held back.
    Flooded,
}

/// One port forward, as the JSON output shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Forward {
    /// The host address.
    pub address: std::net::IpAddr,
    /// The host port.
    pub host: u16,
    /// The guest port.
    pub guest: u16,
    /// tcp or udp.
    pub protocol: plasmavmc_types::Protocol,
}

impl From<&plasmavmc_types::PortForward> for Forward {
    fn from(forward: &plasmavmc_types::PortForward) -> Self {
        Self {
            address: forward.address,
            host: forward.host.get(),
            guest: forward.guest.get(),
            protocol: forward.protocol,
        }
    }
}

/// Observes the VMs of the selected workspaces.
///
/// # Errors
/// [`Error`] where the selection names what does not exist.
pub fn status(session: &Session, options: &StatusOptions) -> Result<OperationOutput<StatusOutcome>, Error> {
    let Selected { targets, notes } = targets(session, &options.selection)?;
    let value = StatusOutcome { workspaces: Vec::new() };
    let mut output = OperationOutput { value, diagnostics: notes };
    output.diagnostics.extend(strays(session, &targets));
    let here = targets.iter().find(|target| target.owner == Owner::Here && target.note.is_none());
    let here = here.and_then(|target| target.project.as_ref());
    output.diagnostics.extend(here.into_iter().flat_map(|project| still_running(session, project)));
    let observe = |target: &Target| {
        let (mut workspace, warnings) = observe(target)?;
        if options.timings {
            for row in &mut workspace.vms {
                row.timings = Some(timings(&target.layout, &row.vm));
            }
        }
        Ok((workspace, warnings))
    };
    for (target, observed) in targets.iter().zip(spread(&targets, THREADS, observe)) {
        match observed {
            Ok((workspace, warnings)) => {
                output.value.workspaces.push(workspace);
                output.diagnostics.extend(warnings);
            }
            // One unreadable workspace must not hide the others.
            Err(error) if targets.len() > 1 => {
                let message = format!("workspace `{}` cannot be read: {error}", target.id);
                output
                    .diagnostics
                    .push(Diagnostic::warning(message).with_hint("`castra doctor` looks closer"));
            }
            Err(error) => return Err(error),
        }
    }
    Ok(output)
}

/// What runs although its workspace is gone: looked for only where one has no record, or none is known.
fn strays(session: &Session, targets: &[Target]) -> Vec<Diagnostic> {
    if targets.is_empty() {
        let all = all_deleted(session).unwrap_or_default();
        return all.iter().map(|stray| stray.warning(None)).collect();
    }
    let of = |target: &Target| -> Vec<Diagnostic> {
        let strays = strays_of(target).unwrap_or_default();
        strays.iter().map(|stray| stray.warning(Some(&target.config))).collect()
    };
    targets.iter().flat_map(of).collect()
}

/// A workspace, and what cannot be told of its VMs.
fn observe(target: &Target) -> Result<(WorkspaceStatus, Vec<Diagnostic>), Error> {
    let backend = &*backend::observer(&target.layout);
    let channels = Channels::look(target);
    let known = block_on(backend.list_vms())?;
    let seen = spread(&known, THREADS, |vm| ObservedVm::look(backend, vm));
    let warnings = seen.iter().flat_map(|vm| vm.warnings(target)).collect();
    let mut vms: Vec<VmRow> = seen.iter().filter_map(|vm| observed_row(target, &channels, vm)).collect();
    for vm in target.project.iter().flat_map(|project| &project.vms) {
        if !known.iter().any(|handle| handle.name == vm.name) {
            let channel = channels.of(&vm.name, Process::None);
            vms.push(row(&vm.name, &VmStatus::NEVER_RAN, None, vm.port_forwards.iter(), channel));
        }
    }
    vms.sort_by(|a, b| a.vm.cmp(&b.vm));
    let workspace = WorkspaceStatus {
        id: target.id.clone(),
        project: target.project_name(),
        root: target.layout.root().to_owned(),
        config: target.config.clone(),
        vms,
    };
    Ok((workspace, warnings))
}

/// A VM the backend knows; none where its state cannot be told.
fn observed_row(target: &Target, channels: &Channels<'_>, vm: &ObservedVm) -> Option<VmRow> {
    let mut status = vm.status.clone()?;
    let process = if status.state.is_live() { Process::Live } else { Process::None };
    let channel = channels.of(&vm.name, process);
    let operation = in_progress(&target.layout, &vm.name);
    // The `up` that waits for a guest may be gone, or never have waited.
    let boots = || is_unheard(target, &vm.name, &status, &channel).then_some(OperationKind::Starting);
    status.state = state_with(status.state, operation.or_else(boots));
    let forwards = vm.spec.iter().flat_map(VmSpec::port_forwards);
    let mut row = row(&vm.name, &status, vm.spec.as_ref(), forwards, channel);
    if let Some(spec) = vm.spec.as_ref().filter(|_| status.state.is_live()) {
        row.mounts = mounts::rows(&target.layout, &vm.name, &spec.shares);
    }
    Some(row)
}

/// Whether nothing was heard of a guest in this run: no byte on its console, no handshake, and no `up` that
/// found it ready. Where its QEMU does not answer, that says more.
fn is_unheard(target: &Target, vm: &VmName, status: &VmStatus, channel: &GuestChannel) -> bool {
    let (Some(console_start), Some(uptime)) = (status.console_start, status.uptime) else { return false };
    let is_silent = !console_has_spoken(&target.layout.serial_log(vm), console_start);
    status.responsive
        && is_silent
        && channel.age_ms.is_none()
        && !came_up(&timings(&target.layout, vm).runs, (SystemTime::now() - uptime).into())
}

/// Whether an `up` found the run ready whose process started at `started`. Pure.
fn came_up(runs: &[RunTiming], started: Timestamp) -> bool {
    let is_this = |run: &RunTiming| started.since(run.launched_at) <= LAUNCH_BOUND;
    runs.first().is_some_and(|run| run.waited_for != WaitFor::None && is_this(run))
}

fn row<'a>(
    vm: &VmName,
    status: &VmStatus,
    spec: Option<&VmSpec>,
    forwards: impl Iterator<Item = &'a plasmavmc_types::PortForward>,
    channel: GuestChannel,
) -> VmRow {
    VmRow {
        vm: vm.clone(),
        state: status.state.summary(),
        paused: status.state == plasmavmc_types::VmState::Paused,
        responsive: status.responsive,
        pid: status.pid,
        uptime_ms: status.uptime.map(|up| u64::try_from(up.as_millis()).unwrap_or(u64::MAX)),
        accelerator: status.accelerator,
        cpus: spec.map(|spec| spec.resources.cpus.get()),
        memory_bytes: spec.map(|spec| spec.resources.memory.as_bytes()),
        forwards: forwards.map(Forward::from).collect(),
        mounts: Vec::new(),
        stop_reason: status.stop_reason.clone(),
        timings: None,
        broker: channel.broker,
        reachable: channel.broker == BrokerState::Reachable,
        last_handshake_age_ms: channel.age_ms,
        channel_fault: channel.fault,
    }
}
