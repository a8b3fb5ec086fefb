//! What an operation can fail with.
//!
//! Most variants hand an area's own error through, with its kind and hints; the rest are the
//! operations' own. `Display` never repeats a source.

mod hints;

use std::path::PathBuf;
use std::time::Duration;

use plasmavmc_engine::Refusal;
use plasmavmc_guest::client::{ClientError, FailureCode, PublishError};
use plasmavmc_host::accelerator::NotUsable;
use plasmavmc_host::base::BaseImageError;
use plasmavmc_host::guest::BuildError;
use plasmavmc_host::image::{ImageError, ImageName, LockfileError, MirrorError};
use plasmavmc_host::overlay::OverlayError;
use plasmavmc_host::qemu::QemuError;
use plasmavmc_host::seed::SeedError;
use plasmavmc_host::{HostError, LockError};
use plasmavmc_types::{ErrorKind, Explain, PortForward, StopReason, VmName};

use super::bootstrap::{BootstrapFailure, InputError, none_of};
use super::copy::CopyError;
use super::exec::ExecWordsError;
use super::preflight::Blockers;
use super::project::WorkspaceId;
use super::ready::Stall;
use crate::config::ConfigError;

/// A failed operation.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The config cannot be found, read or understood.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A file, process or program of the host failed.
    #[error(transparent)]
    Host(#[from] HostError),
    /// Another command holds what is needed.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// The backend failed.
    #[error(transparent)]
    Backend(#[from] plasmavmc_hypervisor::Error),
    /// The VM's state contradicts the request.
    #[error("VM `{vm}` cannot be started now")]
    Refused {
        /// The VM.
        vm: VmName,
        /// The decision.
        #[source]
        source: Refusal,
    },
    /// A catalogue image failed.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// `castra.lock` failed.
    #[error(transparent)]
    Lockfile(#[from] LockfileError),
    /// An image could not be built.
    #[error(transparent)]
    Build(#[from] BuildError),
    /// A base image cannot be used.
    #[error(transparent)]
    BaseImage(#[from] BaseImageError),
    /// An overlay cannot be made or used.
    #[error(transparent)]
    Overlay(#[from] OverlayError),
    /// A file that Castra did not make is where a disposable overlay should be.
    #[error("`{}` is in the way: VM `{vm}` would discard it, and castra did not make it", path.display())]
    ForeignOverlay {
        /// The VM.
        vm: VmName,
        /// The file.
        path: PathBuf,
    },
    /// A disk that was to be kept is where a disposable overlay should be.
    #[error("starting VM `{vm}` would delete `{}`, which was made to be kept", path.display())]
    PersistentDisk {
        /// The VM.
        vm: VmName,
        /// Its disk.
        path: PathBuf,
    },
    /// Another project has the workspace.
    #[error("workspace `{}` is that of the project at `{}`", root.display(), config.display())]
    ForeignWorkspace {
        /// The workspace.
        root: PathBuf,
        /// The other project's config.
        config: PathBuf,
    },
    /// Another command is bringing VMs up, or clearing the workspace out.
    #[error("another command is changing workspace `{workspace}`")]
    WorkspaceBusy {
        /// The workspace.
        workspace: String,
        /// How long it was waited for.
        #[source]
        source: LockError,
    },
    /// Two names lead to one file of a workspace, with different bytes.
    #[error("`{one}` and `{other}` are one image, and castra.lock gives each other bytes")]
    ImagesDiffer {
        /// The one name.
        one: ImageName,
        /// The other.
        other: ImageName,
    },
    /// A seed cannot be made.
    #[error("the cloud-init seed of VM `{vm}` cannot be made")]
    Seed {
        /// The VM.
        vm: VmName,
        /// Why.
        #[source]
        source: SeedError,
    },
    /// The host does not meet what the project asks.
    #[error(transparent)]
    Preflight(#[from] Blockers),
    /// A port is taken.
    #[error("VM `{vm}` cannot listen on {forward}: {holder} does")]
    PortHeld {
        /// The VM.
        vm: VmName,
        /// The forward.
        forward: PortForward,
        /// Who holds it, for people.
        holder: String,
    },
    /// No VM of that name.
    #[error("there is no VM `{vm}` here")]
    UnknownVm {
        /// The name as given.
        vm: String,
        /// The names there are.
        known: Vec<VmName>,
    },
    /// No workspace of that id.
    #[error("there is no workspace `{id}`")]
    UnknownWorkspace {
        /// The id as given.
        id: WorkspaceId,
    },
    /// A guest was not up in time.
    #[error("VM `{vm}` was started, but {waited_for} did not come within {} s", waited.as_secs())]
    NotReady {
        /// The VM.
        vm: VmName,
        /// What was waited for.
        waited_for: &'static str,
        /// How long.
        waited: Duration,
        /// What most likely holds it up.
        stall: Stall,
        /// The end of its serial log.
        console: Vec<String>,
    },
    /// A VM stopped while its guest was waited for.
    #[error("VM `{vm}` stopped while it was starting: {reason}")]
    StoppedWhileStarting {
        /// The VM.
        vm: VmName,
        /// Why it stopped.
        reason: StopReason,
        /// The end of its serial log.
        console: Vec<String>,
    },
    /// A VM survived SIGKILL.
    #[error("VM `{vm}` still lives after SIGKILL")]
    WouldNotDie {
        /// The VM.
        vm: VmName,
        /// Its process.
        pid: Option<u32>,
    },
    /// A live VM is in the way.
    #[error("VM `{vm}` of workspace `{workspace}` is live")]
    LiveVm {
        /// The VM.
        vm: VmName,
        /// Its workspace.
        workspace: String,
    },
    /// A VM of the project runs although its workspace is gone.
    #[error("{text}")]
    Stray {
        /// The VM.
        vm: VmName,
        /// Its process.
        pid: u32,
        /// What became of its workspace, for people.
        text: String,
        /// What to do.
        hint: String,
    },
    /// What of a workspace may go is not known: the config it belongs to is of no use.
    #[error("what of workspace `{workspace}` may go is not certain: {why}")]
    NotToBeCleaned {
        /// The workspace.
        workspace: WorkspaceId,
        /// What is wrong with its config, and where.
        why: String,
    },
    /// A file is in the way.
    #[error("`{}` exists already", path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// A VM that does not run was to be talked to.
    #[error("VM `{vm}` does not run")]
    NotRunning {
        /// The VM.
        vm: VmName,
    },
    /// Another command has the VM's console.
    #[error("the console of VM `{vm}` is in use")]
    ConsoleTaken {
        /// The VM.
        vm: VmName,
    },
    /// The mirror variable holds no URL.
    #[error(transparent)]
    Mirror(#[from] MirrorError),
    /// There is no QEMU, or it does not run.
    #[error(transparent)]
    Qemu(#[from] QemuError),
    /// No accelerator can run a VM as it asks.
    #[error("VM `{vm}` cannot be run")]
    Accelerator {
        /// The VM.
        vm: VmName,
        /// Why not.
        #[source]
        source: NotUsable,
    },
    /// The catalogue has no image for this host's processor.
    #[error("there are no images for a host of architecture `{arch}`")]
    NoImagesForHost {
        /// The architecture.
        arch: &'static str,
    },
    /// SSH was to be waited for, and nothing leads there.
    #[error("VM `{vm}` forwards no host port to its port 22, so nobody can tell when its SSH server is up")]
    NoSshForward {
        /// The VM.
        vm: VmName,
    },
    /// SSH was to be used, and nothing leads there.
    #[error("VM `{vm}` forwards no host port to its port 22, so ssh cannot reach it")]
    NoWayForSsh {
        /// The VM.
        vm: VmName,
    },
    /// A folder of the host could not be mounted.
    #[error("`{}` could not be mounted at `{guest}` in VM `{vm}`, which runs on", host.display())]
    NotMounted {
        /// The VM.
        vm: VmName,
        /// The folder.
        host: PathBuf,
        /// Where it was to be.
        guest: String,
        /// Why not.
        #[source]
        source: Box<ClientError>,
    },
    /// A VM was started without a host key that is known here.
    #[error("the host key of VM `{vm}` is not known: it was started without one")]
    NoHostKey {
        /// The VM.
        vm: VmName,
    },
    /// A path that ssh's configuration cannot hold.
    #[error("`{}` cannot be written in a configuration of ssh", path.display())]
    PathForSsh {
        /// The path.
        path: PathBuf,
    },
    /// A VM has to be named because there are several.
    #[error("there are {} VMs here, so one has to be named", known.len())]
    WhichVm {
        /// The names there are.
        known: Vec<VmName>,
    },
    /// VMs of several projects have that name.
    #[error("VMs of {} workspaces are called `{vm}`, so it has to be said which is meant", workspaces.len())]
    VmOfWhich {
        /// The name.
        vm: VmName,
        /// The workspaces that have one.
        workspaces: Vec<WorkspaceId>,
    },
    /// A VM's script or payload cannot be used.
    #[error("VM `{vm}` cannot be bootstrapped")]
    BootstrapInput {
        /// The VM.
        vm: VmName,
        /// Why not.
        #[source]
        source: InputError,
    },
    /// A VM's bootstrap failed; the VM runs.
    #[error(transparent)]
    Bootstrap(#[from] Box<BootstrapFailure>),
    /// Nothing was configured to be done.
    #[error("{} in castra.toml", none_of(vm.as_ref()))]
    NoBootstrap {
        /// The VM that was named; none where all were meant.
        vm: Option<VmName>,
    },
    /// No VM of the workspace runs.
    #[error("no VM runs here")]
    NothingRuns,
    /// A guest cannot be spoken to, or could not do what was asked.
    #[error(transparent)]
    Guest(#[from] ClientError),
    /// A copy failed.
    #[error(transparent)]
    Copy(#[from] CopyError),
    /// Words that run nothing.
    #[error(transparent)]
    ExecWords(#[from] ExecWordsError),
    /// A message cannot be published.
    #[error(transparent)]
    Publish(#[from] PublishError),
    /// Some VMs failed; the others did what was asked.
    #[error("{} of the VMs failed: {}", failures.len(), names(failures))]
    Vms {
        /// Each failure.
        failures: Vec<VmFailure>,
    },
}

/// The failure of one VM among several.
#[derive(Debug)]
pub struct VmFailure {
    /// The VM.
    pub vm: VmName,
    /// What went wrong.
    pub error: Box<Error>,
}

fn names(failures: &[VmFailure]) -> String {
    let names: Vec<_> = failures.iter().map(|failure| format!("`{}`", failure.vm)).collect();
    names.join(", ")
}

impl Error {
    /// Why the lock of the workspace called `workspace` could not be taken.
    pub(crate) fn busy(workspace: &str, error: LockError) -> Self {
        match error {
            LockError::Busy { .. } => Self::WorkspaceBusy { workspace: workspace.to_owned(), source: error },
            LockError::Host { .. } => error.into(),
        }
    }

    /// Nothing where there are no failures; the failure itself where there is one; else all.
    ///
    /// # Errors
    /// Whatever failed.
    pub(crate) fn from_failures(mut failures: Vec<VmFailure>) -> Result<(), Self> {
        match failures.len() {
            0 => Ok(()),
            1 => Err(*failures.remove(0).error),
            _ => Err(Self::Vms { failures }),
        }
    }

    /// The failures of the VMs, where this stands for several.
    pub fn failures(&self) -> &[VmFailure] {
        match self {
            Self::Vms { failures } => failures,
            _ => &[],
        }
    }

    /// The error that knows its own kind and hints, where this hands one through.
    fn inner(&self) -> Option<&dyn Explain> {
        Some(match self {
            Self::Config(error) => error,
            Self::Host(error) => error,
            Self::Lock(error) => error,
            Self::Backend(error) => error,
            Self::Refused { source, .. } => source,
            Self::Image(error) => error,
            Self::Lockfile(error) => error,
            Self::Mirror(error) => error,
            Self::Build(error) => error,
            Self::BaseImage(error) => error,
            Self::Overlay(error) => error,
            Self::Seed { source, .. } => source,
            Self::NotMounted { source, .. } if source.guest_code() != Some(FailureCode::Unsupported) => {
                &**source
            }
            Self::WorkspaceBusy { source, .. } => source,
            Self::Qemu(error) => error,
            Self::Accelerator { source, .. } => source,
            Self::Preflight(error) => error,
            Self::BootstrapInput { source, .. } => source,
            Self::Bootstrap(failure) => &**failure,
            Self::Guest(error) => error,
            Self::Copy(error) => error,
            Self::ExecWords(error) => error,
            Self::Vms { failures } => return failures.first().map(|first| &*first.error as &dyn Explain),
            _ => return None,
        })
    }
}

impl Explain for Error {
    fn kind(&self) -> ErrorKind {
        if let Some(inner) = self.inner() {
            return inner.kind();
        }
        match self {
            Self::UnknownVm { .. }
            | Self::UnknownWorkspace { .. }
            | Self::WhichVm { .. }
            | Self::VmOfWhich { .. }
            | Self::NoWayForSsh { .. }
            | Self::NoBootstrap { .. }
            | Self::Publish(_)
            | Self::NoSshForward { .. } => ErrorKind::Usage,
            Self::ForeignOverlay { .. }
            | Self::PersistentDisk { .. }
            | Self::ForeignWorkspace { .. }
            | Self::PortHeld { .. }
            | Self::LiveVm { .. }
            | Self::Stray { .. }
            | Self::ConsoleTaken { .. }
            | Self::Exists { .. }
            | Self::NoHostKey { .. }
            | Self::NothingRuns
            | Self::NotMounted { .. }
            | Self::NotRunning { .. } => ErrorKind::Conflict,
            Self::PathForSsh { .. } | Self::NotToBeCleaned { .. } => ErrorKind::Config,
            Self::ImagesDiffer { .. } => ErrorKind::Image,
            Self::NotReady { .. } | Self::WouldNotDie { .. } => ErrorKind::Timeout,
            Self::StoppedWhileStarting { .. } => ErrorKind::Launch,
            _ => ErrorKind::Internal,
        }
    }

    fn hints(&self) -> Vec<String> {
        if let Some(inner) = self.inner() {
            return inner.hints();
        }
        self.own_hints()
    }
}
