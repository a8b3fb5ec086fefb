//! What a command can fail with, and how that is reported.

use std::error::Error;

use plasmavmc_cli::EdgeError;
use plasmavmc_host::HostError;
use plasmavmc_libvirt::virsh::VirshError;
use plasmavmc_term::{Report, SourceFault, Width};
use plasmavmc_types::{ErrorKind, Explain};

use crate::env::EnvError;
use crate::manifest::ManifestError;
use crate::subsystem::{Failure, SubsystemError};
use crate::vm::plan_file::PlanFileError;
use crate::vm::power::PowerError;
use crate::vm::sync::SyncError;

/// A failed command.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CliError {
    /// The user's directories are not known.
    #[error(transparent)]
    Env(#[from] EnvError),
    /// There is no manifest, or it cannot be changed.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// libvirt could not be asked.
    #[error(transparent)]
    Virsh(#[from] VirshError),
    /// A sync could not be done.
    #[error(transparent)]
    Sync(#[from] SyncError),
    /// A plan's file cannot be used.
    #[error(transparent)]
    Plan(#[from] PlanFileError),
    /// A VM is not what it has to be.
    #[error(transparent)]
    Power(#[from] PowerError),
    /// A subsystem could not be asked.
    #[error(transparent)]
    Subsystem(#[from] SubsystemError),
    /// A file of the host cannot be used.
    #[error(transparent)]
    Host(#[from] HostError),
    /// The answer cannot be given, or the place of the command cannot be told.
    #[error(transparent)]
    Edge(#[from] EdgeError),
    /// Single things failed, and others did not.
    #[error("{}", count(failures.len()))]
    Several {
        /// What failed.
        failures: Vec<Failure>,
    },
    /// A VM is named that is not there.
    #[error("{place} has no VM `{name}`")]
    NoSuchVm {
        /// The name.
        name: String,
        /// Where it was looked for.
        place: &'static str,
        /// Names that are nearly it.
        near: Option<String>,
    },
}

fn count(failures: usize) -> String {
    if failures == 1 { "one thing failed".to_owned() } else { format!("{failures} things failed") }
}

/// Fails where something failed.
pub(crate) fn none_failed<F: Into<Failure>>(failed: Vec<F>) -> Result<(), CliError> {
    if failed.is_empty() {
        return Ok(());
    }
    Err(CliError::Several { failures: failed.into_iter().map(Into::into).collect() })
}

impl CliError {
    fn inner(&self) -> Option<&dyn Explain> {
        match self {
            Self::Env(error) => Some(error),
            Self::Manifest(error) => Some(error),
            Self::Virsh(error) => Some(error),
            Self::Sync(error) => Some(error),
            Self::Plan(error) => Some(error),
            Self::Power(error) => Some(error),
            Self::Subsystem(error) => Some(error),
            Self::Host(error) => Some(error),
            Self::Edge(error) => Some(error),
            Self::Several { .. } | Self::NoSuchVm { .. } => None,
        }
    }

    /// The failure as it is shown: a manifest's faults where they are, several things' one by one.
    pub(crate) fn report(&self, width: Width) -> Report {
        let own = with_faults(self, self, width);
        match self {
            Self::Several { failures } => failures.iter().fold(own, |report, failure| {
                let error = with_faults(&*failure.error, failure.error.as_ref(), width);
                report.with_failure(&failure.target, error)
            }),
            _ => own,
        }
    }
}

/// The report of an error, with the faults of the manifest where one is behind it.
fn with_faults<E: Explain + ?Sized>(error: &E, chain: &(dyn Error + 'static), width: Width) -> Report {
    let report = Report::of(error);
    let mut behind = std::iter::successors(Some(chain), |&cause| cause.source());
    let faulty = behind.find_map(|cause| {
        let manifest = cause.downcast_ref::<ManifestError>().or_else(|| match cause.downcast_ref()? {
            CliError::Manifest(error) => Some(error),
            _ => None,
        });
        match manifest? {
            ManifestError::Faulty { text, faults, .. } => Some((text, faults)),
            _ => None,
        }
    });
    let Some((text, faults)) = faulty else { return report };
    let faults: Vec<SourceFault<'_>> = faults.iter().map(|fault| SourceFault::of(fault, text)).collect();
    report.with_faults(&faults, width)
}

impl Explain for CliError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Several { failures } => {
                failures.first().map_or(ErrorKind::Internal, |failure| failure.error.kind())
            }
            Self::NoSuchVm { .. } => ErrorKind::Usage,
            _ => self.inner().map_or(ErrorKind::Io, Explain::kind),
        }
    }

    fn hints(&self) -> Vec<String> {
        match self {
            Self::Several { .. } => Vec::new(),
            Self::NoSuchVm { near: Some(near), .. } => vec![format!("did you mean `{near}`?")],
            Self::NoSuchVm { .. } => vec!["see which there are: `bkt vm status`".to_owned()],
            _ => self.inner().map(Explain::hints).unwrap_or_default(),
        }
    }
}
