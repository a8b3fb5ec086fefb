//! The broker of a workspace, as commands see it: making sure that there is one, and letting it go.
//!
//! ```text
//!  up, exec, cp, ... ── ensure ──► held? ── rescan, answered ───────────► there is one
//!                          ▲        │ free             │ it ends just now
//!                          │        ▼                  │
//!                          └── launch it, detached ◄───┘
//!  down of the last VM ── retire ──► it ends; waited for at most a second
//! ```
//!
//! A VM runs as well without a broker, so none of this fails a command: it is told as a note. What
//! the broker itself does is in [`serve`]. Tests: `tests/it/broker.rs`.

mod channels;
mod serve;
mod vms;

use std::ffi::OsString;
use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use castra_agent_proto::message::{Attach, Attached, body, session_frame};
use castra_agent_proto::{Decoder, Kind};
use plasmavmc_guest::freshness::BrokerLock;
use plasmavmc_guest::presence::lock_state;
use plasmavmc_host::process::Detached;
use plasmavmc_host::socket::{self, Connected};
use plasmavmc_host::{HostError, IoContext, Layout};

pub(crate) use channels::{Channels, GuestChannel, Process};
pub use serve::{ServeOptions, serve};

use super::output::Diagnostic;
use super::session::Session;

/// How long a broker may take from its launch to its first answer. It takes milliseconds.
const START_BOUND: Duration = Duration::from_secs(3);
/// How long a broker that is there may take to answer.
const ANSWER_BOUND: Duration = Duration::from_secs(1);
/// How long a broker that was let go may take to end.
const END_BOUND: Duration = Duration::from_secs(1);
/// Time between two looks.
const POLL: Duration = Duration::from_millis(2);

/// The program that is the broker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrokerProgram {
    /// The program: one that knows `broker --root ROOT`, as `castra-broker` and `castra` do.
    pub program: PathBuf,
}

/// How long a broker shall stay.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Stay {
    /// As long as a VM lives.
    #[default]
    WithVms,
    /// Until the workspace's next `down`.
    UntilDown,
}

/// What became of the wish for a broker.
#[derive(Debug)]
pub enum Ensured {
    /// There is one, and it knows the VMs.
    Served,
    /// The session has no program for it.
    NoProgram,
    /// There is one, and it does not answer.
    Silent,
    /// None could be started.
    Failed(HostError),
}

impl Ensured {
    /// What is worth saying about it.
    pub fn diagnostic(&self) -> Option<Diagnostic> {
        let hint = "VMs run without it; `castra logs --source broker` ends with its last words";
        match self {
            Self::Served | Self::NoProgram => None,
            Self::Silent => {
                Some(Diagnostic::warning("the broker of the guest channel does not answer").with_hint(hint))
            }
            Self::Failed(error) => {
                let text = format!("the broker of the guest channel could not be started: {error}");
                Some(Diagnostic::warning(text).with_hint(hint))
            }
        }
    }
}

/// Makes sure that the workspace has a broker which knows every VM that lives now.
pub fn ensure(session: &Session, layout: &Layout, stay: Stay) -> Ensured {
    let Some(program) = &session.broker else { return Ensured::NoProgram };
    let end = Instant::now() + START_BOUND;
    let mut silent = 0;
    let mut launched_at: Option<Instant> = None;
    while Instant::now() < end {
        match ask(layout, &Attach::Rescan { stay: stay == Stay::UntilDown }) {
            Answer::Yes => return Ensured::Served,
            Answer::Silent => {
                silent += 1;
                if silent == 2 {
                    return Ensured::Silent;
                }
            }
            Answer::Gone => {
                // One that was just launched needs a moment before it holds the lock.
                let is_starting = launched_at.is_some_and(|at| at.elapsed() < ANSWER_BOUND);
                if !is_starting && lock_state(layout) == BrokerLock::Free {
                    if let Err(error) = launch(program, layout, stay) {
                        return Ensured::Failed(error);
                    }
                    launched_at = Some(Instant::now());
                }
                thread::sleep(POLL);
            }
        }
    }
    Ensured::Silent
}

/// Lets the broker go, where no VM lives any more, and waits until it is gone, at most a second.
pub fn retire(layout: &Layout) {
    if lock_state(layout) == BrokerLock::Free || ask(layout, &Attach::Retire) != Answer::Yes {
        return;
    }
    let end = Instant::now() + END_BOUND;
    while lock_state(layout) == BrokerLock::Held && Instant::now() < end {
        thread::sleep(POLL);
    }
}

/// What the broker says to something short.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answer {
    Yes,
    /// Nobody is there, or not any more.
    Gone,
    /// It says nothing in time.
    Silent,
}

fn ask(layout: &Layout, attach: &Attach) -> Answer {
    let mut stream = match socket::connect(layout.root(), Layout::BROKER_SOCKET_NAME) {
        Ok(Connected::Stream(stream)) => stream,
        Ok(Connected::Busy) => return Answer::Silent,
        Ok(Connected::Refused) | Err(_) => return Answer::Gone,
    };
    let bound = stream.set_read_timeout(Some(ANSWER_BOUND)).and(stream.set_write_timeout(Some(ANSWER_BOUND)));
    if bound.is_err() || stream.write_all(&session_frame(Kind::Attach, attach).to_bytes()).is_err() {
        return Answer::Gone;
    }
    let (mut decoder, mut buffer) = (Decoder::default(), [0; 1024]);
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => return Answer::Gone,
            Ok(count) => decoder.push(&buffer[..count]),
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return Answer::Silent,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(_) => return Answer::Gone,
        }
        if let Some(frame) = decoder.next_frame() {
            let yes = frame.kind == Kind::Attached && body::<Attached>(&frame) == Some(Attached::Ok);
            return if yes { Answer::Yes } else { Answer::Silent };
        }
    }
}

fn launch(program: &BrokerProgram, layout: &Layout, stay: Stay) -> Result<(), HostError> {
    let path = layout.broker_log();
    let log = File::options().append(true).create(true).mode(0o600).open(&path).context("open", &path)?;
    let mut arguments: Vec<OsString> = vec!["broker".into(), "--root".into(), layout.root().into()];
    if stay == Stay::UntilDown {
        arguments.push("--stay".into());
    }
    let detached = Detached {
        program: program.program.clone(),
        arguments,
        directory: layout.root().to_owned(),
        log,
        inherits: Vec::new(),
    };
    let mut launched = detached.launch()?;
    // Where this process lives on, someone has to take note of its end.
    let _ = thread::Builder::new().name("broker".to_owned()).spawn(move || launched.child.wait());
    Ok(())
}
