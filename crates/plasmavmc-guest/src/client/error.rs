//! What speaking to a guest can fail with.
//!
//! A guest's own words are made one harmless line before they are kept. Tests: below.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use castra_agent_proto::limits::MAX_PAYLOAD;
use castra_agent_proto::message::RefusedCode;
use castra_agent_proto::request::{Failure, FailureCode};
use plasmavmc_host::HostError;
use plasmavmc_types::{ErrorKind, Explain, VmName};

/// The most characters of a guest's words that are kept.
const MAX_REASON: usize = 400;

/// A failed conversation with a guest.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// The workspace has no broker.
    #[error("no broker serves the workspace `{}`", root.display())]
    NoBroker {
        /// The workspace's root.
        root: PathBuf,
    },
    /// The broker takes a connection and says nothing.
    #[error("the broker of `{}` does not answer within {} s", root.display(), waited.as_secs())]
    BrokerSilent {
        /// The workspace's root.
        root: PathBuf,
        /// How long it was waited for.
        waited: Duration,
    },
    /// The broker ended, or ended the connection.
    #[error("the broker ended the connection")]
    BrokerGone,
    /// The broker has no time or no room.
    #[error("the broker takes no more connections now")]
    BrokerBusy,
    /// The broker knows no such VM.
    #[error("no VM `{vm}` runs with a guest channel")]
    UnknownVm {
        /// The VM.
        vm: VmName,
    },
    /// The guest's agent is not there.
    #[error("the guest of VM `{vm}` is not reachable{}: {reason}", after(*waited))]
    Unreachable {
        /// The VM.
        vm: VmName,
        /// How long it was waited for.
        waited: Duration,
        /// The broker's words.
        reason: String,
    },
    /// The guest's agent cannot do what is asked.
    #[error("the guest of VM `{vm}` cannot do that: {reason}")]
    Unsupported {
        /// The VM.
        vm: VmName,
        /// The broker's words.
        reason: String,
    },
    /// The broker takes the request for none.
    #[error("the broker refused the request: {reason}")]
    Refused {
        /// The broker's words.
        reason: String,
    },
    /// One frame does not hold the request. The guest heard nothing of it.
    #[error("the request has {bytes} bytes, and a guest takes {MAX_PAYLOAD}")]
    TooLong {
        /// How many it has, as it is sent.
        bytes: usize,
    },
    /// The guest could not do it.
    #[error("in VM `{vm}`: {reason}")]
    Guest {
        /// The VM.
        vm: VmName,
        /// What kind of reason.
        code: FailureCode,
        /// The guest's words.
        reason: String,
    },
    /// The guest or its agent went while it was at work.
    #[error("the guest of VM `{vm}` went away: {reason}")]
    Lost {
        /// The VM.
        vm: VmName,
        /// The broker's words.
        reason: String,
    },
    /// Nothing came for too long.
    #[error("the guest of VM `{vm}` said nothing for {} s", waited.as_secs())]
    GuestSilent {
        /// The VM.
        vm: VmName,
        /// How long.
        waited: Duration,
    },
    /// Nothing came, and the guest's VM stands still.
    #[error("VM `{vm}` is frozen: its guest said nothing for {} s", waited.as_secs())]
    Frozen {
        /// The VM.
        vm: VmName,
        /// How long.
        waited: Duration,
    },
    /// The other end does not keep the protocol.
    #[error("the guest of VM `{vm}` broke the protocol: {what}")]
    Protocol {
        /// The VM.
        vm: VmName,
        /// How.
        what: &'static str,
    },
    /// Whoever waited does not wait any more.
    #[error("interrupted")]
    Interrupted,
    /// The program's input cannot be read.
    #[error("failed to read what the guest is to get")]
    Input(#[source] io::Error),
    /// What the guest says cannot be written.
    #[error("failed to write what the guest says")]
    Output(#[source] io::Error),
    /// The connection to the broker failed.
    #[error("the connection to the broker failed")]
    Connection(#[source] io::Error),
    /// The broker's socket cannot be used.
    #[error(transparent)]
    Host(#[from] HostError),
}

fn after(waited: Duration) -> String {
    if waited.is_zero() { String::new() } else { format!(" after {} s", waited.as_secs_f32().ceil()) }
}

impl ClientError {
    /// The broker's no to a request about `vm`.
    pub(super) fn refused(code: RefusedCode, message: &str, vm: Option<&VmName>, waited: Duration) -> Self {
        let reason = one_line(message);
        match (code, vm) {
            (RefusedCode::UnknownVm, Some(vm)) => Self::UnknownVm { vm: vm.clone() },
            (RefusedCode::Unreachable, Some(vm)) => Self::Unreachable { vm: vm.clone(), waited, reason },
            (RefusedCode::Unsupported, Some(vm)) => Self::Unsupported { vm: vm.clone(), reason },
            (RefusedCode::Busy, _) => Self::BrokerBusy,
            _ => Self::Refused { reason },
        }
    }

    /// The guest's no.
    pub(super) fn failed(vm: &VmName, failure: &Failure) -> Self {
        let (vm, reason) = (vm.clone(), one_line(&failure.message));
        match failure.code {
            FailureCode::Lost => Self::Lost { vm, reason },
            FailureCode::Unsupported => Self::Unsupported { vm, reason },
            code => Self::Guest { vm, code, reason },
        }
    }

    /// What kind of reason the guest gave, where it was the guest that could not do it.
    pub const fn guest_code(&self) -> Option<FailureCode> {
        match self {
            Self::Guest { code, .. } => Some(*code),
            Self::Lost { .. } => Some(FailureCode::Lost),
            Self::Unsupported { .. } => Some(FailureCode::Unsupported),
            _ => None,
        }
    }

    /// Whether a reader of the guest's words went away, which is no fault.
    pub fn is_closed_output(&self) -> bool {
        matches!(self, Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe)
    }
}

/// Words from elsewhere as one line of printable text.
fn one_line(text: &str) -> String {
    let shown = text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(MAX_REASON);
    shown.collect::<String>().trim().to_owned()
}

impl Explain for ClientError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Host(error) => error.kind(),
            Self::Unreachable { .. }
            | Self::BrokerSilent { .. }
            | Self::GuestSilent { .. }
            | Self::Frozen { .. } => ErrorKind::Timeout,
            Self::NoBroker { .. }
            | Self::UnknownVm { .. }
            | Self::BrokerBusy
            | Self::Unsupported { .. }
            | Self::Guest { code: FailureCode::Busy, .. } => ErrorKind::Conflict,
            Self::Refused { .. }
            | Self::TooLong { .. }
            | Self::Guest {
                code: FailureCode::NotFound | FailureCode::Invalid | FailureCode::WrongKind,
                ..
            } => ErrorKind::Usage,
            Self::Guest { .. }
            | Self::Lost { .. }
            | Self::BrokerGone
            | Self::Protocol { .. }
            | Self::Interrupted
            | Self::Input(_)
            | Self::Output(_)
            | Self::Connection(_) => ErrorKind::Io,
        }
    }

    fn hints(&self) -> Vec<String> {
        let console = |vm: &VmName| format!("`castra logs {vm} --source serial` shows what its guest said");
        match self {
            Self::Host(error) => error.hints(),
            Self::NoBroker { .. } | Self::UnknownVm { .. } => {
                vec!["`castra status` shows what runs, `castra up` starts it".to_owned()]
            }
            Self::BrokerSilent { .. } => vec![
                "its process is stopped or stuck: `castra logs --source host` ends with its last words"
                    .to_owned(),
                "VMs run on without it".to_owned(),
            ],
            Self::BrokerGone => {
                vec!["run the command again: it starts another broker where VMs run".to_owned()]
            }
            Self::BrokerBusy => {
                vec!["end some of the commands that speak to guests, or try again".to_owned()]
            }
            Self::Unreachable { vm, .. } => {
                vec!["`castra status` shows when its agent was last heard".to_owned(), console(vm)]
            }
            Self::Lost { vm, .. } | Self::GuestSilent { vm, .. } => {
                vec!["`castra status` shows whether it still runs".to_owned(), console(vm)]
            }
            Self::Frozen { .. } => vec![
                "it is paused, or its QEMU was stopped or hangs: `castra status` shows which".to_owned(),
                "it goes on where it was once it runs on; `castra down --now` ends it".to_owned(),
            ],
            Self::Unsupported { vm, .. } => {
                vec![format!(
                    "its agent may be of another version: `castra status --json` shows what `{vm}` can"
                )]
            }
            Self::TooLong { .. } => {
                vec![
                    "put what is long into a file and `castra cp` it, or give it on standard input"
                        .to_owned(),
                ]
            }
            Self::Guest { vm, code: FailureCode::NoSpace, .. } => {
                vec![format!("see what fills it: `castra exec {vm} -- df -h`")]
            }
            Self::Guest { vm, code: FailureCode::Permission, .. } => {
                vec![format!("look at who may: `castra exec {vm} -- ls -ld <path>`")]
            }
            _ => Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vm() -> VmName {
        "web".parse().unwrap()
    }

    #[test]
    fn a_guests_words_are_one_harmless_line() {
        let failure =
            Failure { code: FailureCode::Io, message: format!("\x1b[2Jno\r\n{}", "x".repeat(10_000)) };
        let text = ClientError::failed(&vm(), &failure).to_string();
        assert!(!text.contains(char::is_control) && text.len() < 500, "{text}");
    }

    #[test]
    fn an_unreachable_guest_is_explained_with_what_to_type() {
        let error = ClientError::refused(
            RefusedCode::Unreachable,
            "no hello yet",
            Some(&vm()),
            Duration::from_secs(3),
        );
        assert_eq!(error.to_string(), "the guest of VM `web` is not reachable after 3 s: no hello yet");
        assert_eq!(error.kind(), ErrorKind::Timeout);
        let hints = error.hints().join("\n");
        assert!(hints.contains("castra status") && hints.contains("castra logs web --source serial"));
    }

    #[test]
    fn no_error_repeats_its_source() {
        let denied = || io::Error::from(io::ErrorKind::PermissionDenied);
        for error in
            [ClientError::Input(denied()), ClientError::Output(denied()), ClientError::Connection(denied())]
        {
            assert_eq!(plasmavmc_types::repeated_source(&error), None);
        }
    }
}
