//! Starts and stops a VM.
//!
//! ```text
//!  start   stopped, saved ─► start        paused ─► resume        running ─► nothing
//!  stop    running ─► shutdown ─► poll until it is off, or the time is up: a failure
//!          --force ─► a warning ─► destroy --graceful ─► refused? destroy
//! ```
//!
//! A VM is found by its exact name and addressed by its UUID: virsh would take a VM named `1` for the one with
//! that number. Never does: force anything unasked. Tests: below; on real guests in `tests/it`.

use std::fmt;
use std::thread;
use std::time::{Duration, Instant};

use plasmavmc_libvirt::virsh::{Connection, DomainState, VirshError};
use plasmavmc_types::{ErrorKind, Explain, VmId};
use schemars::JsonSchema;
use serde::Serialize;

/// How long a guest has to power off by default: twice what a slow one was seen to take.
pub const STOP_BOUND: Duration = Duration::from_secs(120);

/// Time between two looks at a VM that is on its way down.
const POLL: Duration = Duration::from_millis(500);

/// What became of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PowerOutcome {
    /// It was started.
    Started,
    /// It was started, and goes on from its saved state.
    Restored,
    /// It was paused, and goes on.
    Resumed,
    /// It ran already.
    RanAlready,
    /// Its guest powered off.
    Stopped,
    /// Its process was ended.
    Forced,
    /// It was off already.
    WasOff,
}

/// What is told while a VM stops.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PowerNotice {
    /// The guest was asked to power off.
    Asked {
        /// How long it has.
        bound: Duration,
    },
    /// The process is about to be ended: what the guest has not written yet is lost.
    AboutToForce,
    /// QEMU did not end when it was asked to, and is killed.
    AboutToKill,
}

/// How a VM is to be stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopHow {
    /// By its guest, which has so long.
    Ask {
        /// How long.
        bound: Duration,
    },
    /// By ending its process.
    Force,
}

/// Why a VM was not started or stopped.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PowerError {
    /// There is none of that name.
    #[error("libvirt has no VM `{name}`")]
    NoSuchVm {
        /// The name.
        name: String,
        /// Whether the manifest lists it.
        listed: bool,
    },
    /// Its guest does not run, so it cannot power off.
    #[error("`{name}` is {state}: its guest cannot be asked to power off")]
    CannotBeAsked {
        /// The VM.
        name: String,
        /// What it does.
        state: &'static str,
    },
    /// It is transient: nothing of it would be left.
    #[error("`{name}` is transient: its definition is kept nowhere, and would be lost when it stops")]
    WouldVanish {
        /// The VM.
        name: String,
    },
    /// Its guest crashed, and its process is still there.
    #[error("`{name}` crashed and its process is still there")]
    Crashed {
        /// The VM.
        name: String,
    },
    /// Its guest is on its way down, and may still be writing.
    #[error("`{name}` is powering off")]
    PoweringOff {
        /// The VM.
        name: String,
    },
    /// Its guest did not power off in time.
    #[error("`{name}` did not power off within {} s; it still runs", waited.as_secs())]
    TimedOut {
        /// The VM.
        name: String,
        /// How long was waited.
        waited: Duration,
    },
    /// libvirt could not be asked, or refused.
    #[error("`{name}` is as it was")]
    Virsh {
        /// The VM.
        name: String,
        /// Why.
        #[source]
        source: Box<VirshError>,
    },
}

/// A VM, found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Its name.
    pub name: String,
    /// Its UUID.
    pub id: VmId,
    /// Whether its next start resumes a saved state.
    pub saved: bool,
    /// Whether its definition outlives its run.
    pub persistent: bool,
}

/// What a start does to a VM in this state.
pub fn decide_start(state: DomainState, saved: bool) -> Option<PowerOutcome> {
    match state {
        DomainState::ShutOff | DomainState::NoState if saved => Some(PowerOutcome::Restored),
        DomainState::ShutOff | DomainState::NoState => Some(PowerOutcome::Started),
        DomainState::Paused => Some(PowerOutcome::Resumed),
        DomainState::Running | DomainState::Blocked | DomainState::PmSuspended => {
            Some(PowerOutcome::RanAlready)
        }
        DomainState::InShutdown | DomainState::Crashed => None,
    }
}

/// Starts a VM.
///
/// # Errors
/// [`PowerError`].
pub fn start(connection: &Connection, target: &Target) -> Result<PowerOutcome, PowerError> {
    let virsh = |error| PowerError::Virsh { name: target.name.clone(), source: Box::new(error) };
    let state = state(connection, target)?;
    let Some(outcome) = decide_start(state, target.saved) else {
        let name = target.name.clone();
        return Err(match state {
            DomainState::InShutdown => PowerError::PoweringOff { name },
            _ => PowerError::Crashed { name },
        });
    };
    let writer = connection.writer();
    match outcome {
        PowerOutcome::Started | PowerOutcome::Restored => writer.start(target.id).map_err(virsh)?,
        PowerOutcome::Resumed => writer.resume(target.id).map_err(virsh)?,
        _ => {}
    }
    Ok(outcome)
}

/// Stops a VM, and returns once it is off. `may_vanish` stops one that would be gone then.
///
/// # Errors
/// [`PowerError`]; [`PowerError::TimedOut`] where its guest did not power off in time,
/// [`PowerError::WouldVanish`] where its definition would go.
pub fn stop(
    connection: &Connection,
    target: &Target,
    how: StopHow,
    may_vanish: bool,
    tell: &mut dyn FnMut(PowerNotice),
) -> Result<PowerOutcome, PowerError> {
    let state = state(connection, target)?;
    if !state.is_active() {
        return Ok(PowerOutcome::WasOff);
    }
    if !target.persistent && !may_vanish {
        return Err(PowerError::WouldVanish { name: target.name.clone() });
    }
    match how {
        StopHow::Force => force(connection, target, tell),
        StopHow::Ask { bound } => ask(connection, target, state, bound, tell),
    }
}

fn ask(
    connection: &Connection,
    target: &Target,
    state: DomainState,
    bound: Duration,
    tell: &mut dyn FnMut(PowerNotice),
) -> Result<PowerOutcome, PowerError> {
    if matches!(state, DomainState::Paused | DomainState::PmSuspended | DomainState::Crashed) {
        return Err(PowerError::CannotBeAsked { name: target.name.clone(), state: state.as_str() });
    }
    let begin = Instant::now();
    if state != DomainState::InShutdown {
        match connection.writer().shutdown(target.id) {
            Ok(()) => {}
            // It went off between the look and the request.
            Err(_) if !self::state(connection, target)?.is_active() => return Ok(PowerOutcome::Stopped),
            Err(error) => {
                return Err(PowerError::Virsh { name: target.name.clone(), source: Box::new(error) });
            }
        }
    }
    tell(PowerNotice::Asked { bound });
    loop {
        if !self::state(connection, target)?.is_active() {
            return Ok(PowerOutcome::Stopped);
        }
        let left = bound.saturating_sub(begin.elapsed());
        if left.is_zero() {
            return Err(PowerError::TimedOut { name: target.name.clone(), waited: bound });
        }
        thread::sleep(POLL.min(left));
    }
}

fn force(
    connection: &Connection,
    target: &Target,
    tell: &mut dyn FnMut(PowerNotice),
) -> Result<PowerOutcome, PowerError> {
    tell(PowerNotice::AboutToForce);
    let writer = connection.writer();
    if writer.destroy(target.id, true).is_ok() || !state(connection, target)?.is_active() {
        return Ok(PowerOutcome::Forced);
    }
    tell(PowerNotice::AboutToKill);
    match writer.destroy(target.id, false) {
        Err(error) if state(connection, target)?.is_active() => {
            Err(PowerError::Virsh { name: target.name.clone(), source: Box::new(error) })
        }
        _ => Ok(PowerOutcome::Forced),
    }
}

/// The state of a VM; one that is gone (a transient one that stopped) is off.
fn state(connection: &Connection, target: &Target) -> Result<DomainState, PowerError> {
    let virsh = |error| PowerError::Virsh { name: target.name.clone(), source: Box::new(error) };
    let state = connection.reader().state(target.id).map_err(virsh)?;
    Ok(state.map_or(DomainState::ShutOff, |(state, _)| state))
}

impl fmt::Display for PowerNotice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Asked { bound } => write!(f, "asked its guest to power off; it has {} s", bound.as_secs()),
            Self::AboutToForce => {
                f.write_str("pulling the plug: what its guest has not written to disk yet is lost")
            }
            Self::AboutToKill => f.write_str("its process did not end when asked to, and is killed"),
        }
    }
}

impl Explain for PowerError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::NoSuchVm { .. } => ErrorKind::Usage,
            Self::CannotBeAsked { .. }
            | Self::WouldVanish { .. }
            | Self::Crashed { .. }
            | Self::PoweringOff { .. } => ErrorKind::Conflict,
            Self::TimedOut { .. } => ErrorKind::Timeout,
            Self::Virsh { source, .. } => source.kind(),
        }
    }

    fn hints(&self) -> Vec<String> {
        match self {
            Self::NoSuchVm { name, listed: true } => {
                vec![format!("the manifest lists it: make it with `bkt vm sync {}`", quoted(name))]
            }
            Self::NoSuchVm { .. } => vec!["see which there are: `bkt vm status`".to_owned()],
            Self::CannotBeAsked { name, .. } => vec![
                format!("let it go on first: `bkt vm start {}`", quoted(name)),
                format!("or pull its plug: `bkt vm stop --force {}`", quoted(name)),
            ],
            Self::WouldVanish { name } => {
                let name = quoted(name);
                vec![
                    format!("keep its definition first: `virsh dumpxml {name} > {name}.xml`"),
                    format!(
                        "or have libvirt keep it: `virsh define {name}.xml`; it is stopped as others are then"
                    ),
                    format!("or let it go: `bkt vm stop --lose-definition {name}`"),
                ]
            }
            Self::PoweringOff { name } => {
                vec![format!("once it is off: `bkt vm start {}`", quoted(name))]
            }
            Self::Crashed { name } => {
                vec![format!("end its process first: `bkt vm stop --force {}`", quoted(name))]
            }
            Self::TimedOut { name, .. } => vec![
                format!("give it longer: `bkt vm stop --timeout 600 {}`", quoted(name)),
                format!("or pull its plug, if its guest hangs: `bkt vm stop --force {}`", quoted(name)),
            ],
            Self::Virsh { source, .. } => source.hints(),
        }
    }
}

/// A name as a shell and the command line take it.
pub fn quoted(name: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_.+,:@%/".contains(c);
    let quoted = if name.chars().all(is_plain) && !name.is_empty() {
        name.to_owned()
    } else {
        format!("'{}'", name.replace('\'', r"'\''"))
    };
    if name.starts_with('-') { format!("-- {quoted}") } else { quoted }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_start_does_what_the_state_allows() {
        for (state, saved, expected) in [
            (DomainState::ShutOff, false, Some(PowerOutcome::Started)),
            (DomainState::ShutOff, true, Some(PowerOutcome::Restored)),
            (DomainState::Paused, false, Some(PowerOutcome::Resumed)),
            (DomainState::Running, true, Some(PowerOutcome::RanAlready)),
            (DomainState::Crashed, false, None),
            (DomainState::InShutdown, false, None),
        ] {
            assert_eq!(decide_start(state, saved), expected, "{state:?} {saved}");
        }
    }

    #[test]
    fn a_name_in_a_hint_can_be_typed() {
        for (name, typed) in [
            ("web", "web"),
            ("1", "1"),
            ("a,b", "a,b"),
            ("--all", "-- --all"),
            ("a b", "'a b'"),
            ("it's", r"'it'\''s'"),
            ("-x y", "-- '-x y'"),
        ] {
            assert_eq!(quoted(name), typed);
        }
    }

    #[test]
    fn a_stop_that_timed_out_names_the_way_out() {
        let error = PowerError::TimedOut { name: "--all".to_owned(), waited: Duration::from_secs(120) };
        assert_eq!(error.to_string(), "`--all` did not power off within 120 s; it still runs");
        assert!(error.hints()[1].contains("`bkt vm stop --force -- --all`"), "{:?}", error.hints());
        assert_eq!(error.kind(), ErrorKind::Timeout);
    }
}
