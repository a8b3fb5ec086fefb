//! Decides whether a lifecycle request is accepted, ignored or denied.
//!
//! A repeated request is ignored, so every command can be run twice; a contradicting one is denied
//! with its reason. Never does: carry the request out. Tests: below, over every pair.

use std::fmt;

use plasmavmc_types::{ErrorKind, Explain, VmInput, VmState};

/// What someone asks of a VM.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Request {
    /// Start it.
    Start,
    /// Stop it.
    Stop,
    /// Freeze it.
    Pause,
    /// Let it run on.
    Resume,
    /// Press its reset button.
    Reset,
    /// Forget it.
    Delete,
}

/// What becomes of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    /// Carry it out.
    Accept,
    /// Nothing to do: it is so already.
    Ignore,
}

/// A request that contradicts what the VM is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a VM that is {state} cannot be {request}")]
pub struct Refusal {
    /// What the VM is doing.
    pub state: VmState,
    /// What was asked.
    pub request: Request,
}

/// Decides about one request.
///
/// # Errors
/// [`Refusal`] where the request contradicts the state.
pub fn admit(state: VmState, request: Request) -> Result<Admission, Refusal> {
    use Admission::{Accept, Ignore};
    use VmState as S;
    match (request, state) {
        (Request::Start, S::Stopped) => Ok(Accept),
        (Request::Start, S::Starting | S::Running) => Ok(Ignore),
        (Request::Stop, S::Stopped | S::ShuttingDown) => Ok(Ignore),
        (Request::Stop, S::Starting | S::Running | S::Paused) => Ok(Accept),
        (Request::Pause, S::Paused) | (Request::Resume, S::Running) => Ok(Ignore),
        (Request::Delete, S::Stopped) => Ok(Accept),
        (Request::Pause | Request::Resume | Request::Reset, _) => {
            let input = match request {
                Request::Pause => VmInput::PauseRequested,
                Request::Resume => VmInput::ResumeRequested,
                _ => VmInput::ResetRequested,
            };
            state.next(input).map(|_| Accept).map_err(|_| Refusal { state, request })
        }
        (Request::Start, S::Paused | S::ShuttingDown) | (Request::Delete, _) => {
            Err(Refusal { state, request })
        }
    }
}

impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Start => "started",
            Self::Stop => "stopped",
            Self::Pause => "paused",
            Self::Resume => "resumed",
            Self::Reset => "reset",
            Self::Delete => "deleted",
        })
    }
}

impl Explain for Refusal {
    fn kind(&self) -> ErrorKind {
        ErrorKind::Conflict
    }

    fn hints(&self) -> Vec<String> {
        match self.state {
            VmState::ShuttingDown => vec!["wait until `castra status` shows it stopped".to_owned()],
            _ => Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn start_and_stop_are_decided_by_this_table() {
        use VmState as S;
        let table = [
            (S::Stopped, Some(Admission::Accept), Some(Admission::Ignore)),
            (S::Starting, Some(Admission::Ignore), Some(Admission::Accept)),
            (S::Running, Some(Admission::Ignore), Some(Admission::Accept)),
            (S::Paused, None, Some(Admission::Accept)),
            (S::ShuttingDown, None, Some(Admission::Ignore)),
        ];
        for (state, start, stop) in table {
            assert_eq!(admit(state, Request::Start).ok(), start, "start while {state}");
            assert_eq!(admit(state, Request::Stop).ok(), stop, "stop while {state}");
        }
    }

    #[test]
    fn a_live_vm_is_never_deleted() {
        for state in VmState::ALL {
            assert_eq!(admit(state, Request::Delete).is_ok(), !state.is_live(), "{state}");
        }
    }

    #[test]
    fn what_is_accepted_is_legal_in_the_transition_table() {
        let inputs = [
            (Request::Start, VmInput::StartRequested),
            (Request::Stop, VmInput::StopRequested),
            (Request::Pause, VmInput::PauseRequested),
            (Request::Resume, VmInput::ResumeRequested),
            (Request::Reset, VmInput::ResetRequested),
        ];
        for state in VmState::ALL {
            for (request, input) in inputs {
                if admit(state, request) == Ok(Admission::Accept) {
                    assert!(state.next(input).is_ok(), "{request} while {state}");
                }
            }
        }
    }
}
