//! What can go wrong between Castra and a hypervisor.

use std::fmt;
use std::time::Duration;

use plasmavmc_types::{ErrorKind, Explain, PortForward, VmName, VmState};

/// A failure of a backend call. Its `Display` never repeats its source.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The backend has no VM of that name.
    #[error("no VM `{vm}` is defined")]
    UnknownVm {
        /// The VM's name.
        vm: VmName,
    },
    /// The VM's state does not allow the call.
    #[error("VM `{vm}` is {state}, so it cannot be {action}")]
    WrongState {
        /// The VM's name.
        vm: VmName,
        /// Its state.
        state: VmState,
        /// What was asked, as a past participle: "paused".
        action: &'static str,
    },
    /// The spec asks for something this backend does not do on this host.
    #[error("VM `{vm}` needs {what}")]
    Unsupported {
        /// The VM's name.
        vm: VmName,
        /// What it needs.
        what: String,
        /// How to get it, or what to write instead.
        hint: String,
    },
    /// The VM did not start.
    #[error("VM `{vm}` did not start")]
    Launch {
        /// The VM's name.
        vm: VmName,
        /// What can be done.
        hints: Vec<String>,
        /// The backend's own account.
        #[source]
        source: BackendError,
    },
    /// A port forward could not be bound.
    #[error("VM `{vm}` cannot listen on {forward}: something else does")]
    PortInUse {
        /// The VM's name.
        vm: VmName,
        /// The forward.
        forward: PortForward,
    },
    /// The hypervisor did not answer in time.
    #[error("VM `{vm}`: the hypervisor did not {what} within {}", humantime(.bound))]
    Unresponsive {
        /// The VM's name.
        vm: VmName,
        /// What it was to do.
        what: &'static str,
        /// How long it had.
        bound: Duration,
    },
    /// Anything else the backend ran into.
    #[error("VM `{vm}`: could not {action}")]
    Backend {
        /// The VM's name.
        vm: VmName,
        /// What was being done, as an infinitive.
        action: &'static str,
        /// What kind of failure it is.
        kind: ErrorKind,
        /// What can be done.
        hints: Vec<String>,
        /// The backend's own account.
        #[source]
        source: BackendError,
    },
    /// The backend as a whole cannot be used.
    #[error("the {backend} backend cannot {action}")]
    Host {
        /// The backend's name.
        backend: &'static str,
        /// What it cannot do, as an infinitive.
        action: &'static str,
        /// What kind of failure it is.
        kind: ErrorKind,
        /// What can be done.
        hints: Vec<String>,
        /// The backend's own account.
        #[source]
        source: BackendError,
    },
}

/// A backend's own error, whole, as the source of an [`Error`].
pub type BackendError = Box<dyn std::error::Error + Send + Sync + 'static>;

/// Shows a duration in seconds with one decimal.
fn humantime(duration: &Duration) -> impl fmt::Display {
    format!("{:.1} s", duration.as_secs_f64())
}

impl Explain for Error {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::UnknownVm { .. } => ErrorKind::Usage,
            Self::WrongState { .. } | Self::PortInUse { .. } => ErrorKind::Conflict,
            Self::Unsupported { .. } => ErrorKind::Preflight,
            Self::Launch { .. } => ErrorKind::Launch,
            Self::Unresponsive { .. } => ErrorKind::Timeout,
            Self::Backend { kind, .. } | Self::Host { kind, .. } => *kind,
        }
    }

    fn hints(&self) -> Vec<String> {
        match self {
            Self::Unsupported { hint, .. } => vec![hint.clone()],
            Self::PortInUse { .. } => vec!["`castra ports` shows who holds each port".to_owned()],
            Self::Launch { hints, .. } | Self::Backend { hints, .. } | Self::Host { hints, .. } => {
                hints.clone()
            }
            Self::UnknownVm { .. } | Self::WrongState { .. } | Self::Unresponsive { .. } => Vec::new(),
        }
    }
}
