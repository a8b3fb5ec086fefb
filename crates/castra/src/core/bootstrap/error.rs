//! What a bootstrap can fail with. Tests: with the driver, and `tests/it/bootstrap.rs`.

use std::fmt;
use std::path::PathBuf;

use plasmavmc_engine::CannotResume;
use plasmavmc_host::HostError;
use plasmavmc_types::{BootstrapStep, ErrorKind, Explain, VmName};

use super::guest::GuestFault;
use super::inputs::InputError;

/// A bootstrap that failed. Its VM runs.
#[derive(Debug, thiserror::Error)]
#[error("the bootstrap of VM `{vm}` failed at {step}")]
pub struct BootstrapFailure {
    /// The VM.
    pub vm: VmName,
    /// The step that failed.
    pub step: BootstrapStep,
    /// Why.
    #[source]
    pub fault: StepFault,
    /// The last lines of what the step ran, without control characters.
    pub last_lines: Vec<String>,
    /// The run's log; none where it could not be made.
    pub log: Option<PathBuf>,
}

/// That there is no bootstrap to do: of a VM that was named, or of any.
pub(crate) fn none_of(vm: Option<&VmName>) -> String {
    vm.map_or_else(|| "no VM has a bootstrap".to_owned(), |vm| format!("VM `{vm}` has no bootstrap"))
}

/// What of a bootstrap ran in the guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ran {
    /// What makes room for it.
    Preparation,
    /// The script.
    Script,
    /// The check.
    Verify,
}

impl fmt::Display for Ran {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Preparation => "making room for it in the guest",
            Self::Script => "its script",
            Self::Verify => "its `verify`",
        })
    }
}

/// Why a step failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StepFault {
    /// A program in the guest ended with another code than 0.
    #[error("{what} ended with exit code {code}")]
    Exited {
        /// Which program.
        what: Ran,
        /// Its code.
        code: i32,
    },
    /// A signal ended a program in the guest.
    #[error("{what} was ended by signal {signal}")]
    Signaled {
        /// Which program.
        what: Ran,
        /// The signal's number.
        signal: i32,
    },
    /// It cannot begin in the middle.
    #[error("it cannot begin here")]
    CannotResume(#[source] CannotResume),
    /// Script or payload cannot be used.
    #[error(transparent)]
    Input(#[from] InputError),
    /// The guest or the way to it failed.
    #[error(transparent)]
    Guest(#[from] GuestFault),
    /// A file of the host failed.
    #[error(transparent)]
    Host(#[from] HostError),
}

impl StepFault {
    /// What a program ended with, where one did.
    pub fn exit_code(&self) -> Option<i32> {
        match self {
            Self::Exited { code, .. } => Some(*code),
            _ => None,
        }
    }

    /// The fault with its causes, on one line.
    pub(super) fn reason(&self) -> String {
        let mut text = self.to_string();
        let mut level: &dyn std::error::Error = self;
        while let Some(source) = level.source() {
            text.push_str(": ");
            text.push_str(&source.to_string());
            level = source;
        }
        text
    }
}

impl Explain for BootstrapFailure {
    fn kind(&self) -> ErrorKind {
        match &self.fault {
            StepFault::Input(error) => error.kind(),
            _ => ErrorKind::Bootstrap,
        }
    }

    fn hints(&self) -> Vec<String> {
        let vm = &self.vm;
        let mut hints = Vec::new();
        if !self.last_lines.is_empty() {
            hints.push(format!("it ends with:\n    {}", self.last_lines.join("\n    ")));
        }
        if let Some(log) = &self.log {
            hints.push(format!("all it said: `castra logs {vm} --source bootstrap`, from {}", log.display()));
        }
        hints.extend(match &self.fault {
            StepFault::Guest(fault) => fault.hints(),
            StepFault::Input(error) => error.hints(),
            StepFault::Host(error) => error.hints(),
            StepFault::CannotResume(_) => vec![format!("begin at the beginning: `castra bootstrap {vm}`")],
            StepFault::Exited { .. } | StepFault::Signaled { .. } => Vec::new(),
        });
        let again = match self.step {
            BootstrapStep::Verify => format!("`castra bootstrap {vm} --from verify` checks again"),
            _ => format!("`castra bootstrap {vm}` tries again"),
        };
        hints.push(format!("the VM runs: `castra shell {vm}` looks into it, {again}"));
        hints
    }
}
