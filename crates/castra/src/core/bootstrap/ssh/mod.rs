//! SSH as a way into a guest that has no agent: the system's ssh, with the key the guest was given and the
//! host key it was told to have.
//!
//! ```text
//!  Idle ──► Asking ──greeting──► Up
//!    ▲         │
//!    └─ ended ─┘  the guest is not that far, or lets nobody in
//! ```
//!
//! Never does: trust a host key it was not given, ask anybody, leave a process behind. What the guest's
//! shell is told is in `remote`. Tests: there, and `tests/it/bootstrap_ssh.rs` on a real guest.

mod connection;
mod remote;

use std::fs::File;
use std::io::{Seek, Write};
use std::time::{Duration, Instant};

use plasmavmc_host::Layout;
use plasmavmc_types::{RunToken, VmName};
use rustix::fs::{MemfdFlags, memfd_create};

use self::connection::{Connection, Input, Look, Trouble, last_line};
use super::capture::Output;
use super::guest::{Ended, Guest, GuestFault, Program};
use super::record::MAX_RECORD;
use crate::core::ssh::OwnWay;

/// Time between two attempts to log in.
const RETRY: Duration = Duration::from_secs(2);
/// How long one attempt may take; a full Debian under emulation takes three seconds.
const ATTEMPT: Duration = Duration::from_secs(30);
/// The most bytes of a request's errors that are kept: the last ones.
const ERRORS_MAX: usize = 4096;

/// Attempts to log in to a guest.
pub(super) struct Login<'a> {
    layout: &'a Layout,
    vm: &'a VmName,
    way: &'a OwnWay,
    state: State,
    /// What ssh said last.
    pub(super) said: Option<String>,
}

enum State {
    Idle { until: Instant },
    Asking { connection: Connection, since: Instant },
    Up { connection: Connection, since: Instant },
}

impl<'a> Login<'a> {
    /// Begins after `delay`.
    pub(super) fn new(layout: &'a Layout, vm: &'a VmName, way: &'a OwnWay, delay: Duration) -> Self {
        Self { layout, vm, way, state: State::Idle { until: Instant::now() + delay }, said: None }
    }

    /// Goes on with it; tells for how long somebody has been logged in. Does not wait.
    pub(super) fn go_on(&mut self) -> Option<Duration> {
        let now = Instant::now();
        let idle = State::Idle { until: now + RETRY };
        self.state = match std::mem::replace(&mut self.state, idle) {
            State::Idle { until } if now < until => State::Idle { until },
            State::Idle { .. } => match Connection::open(self.layout, self.vm, self.way) {
                Ok(connection) => State::Asking { connection, since: now },
                Err(error) => self.failed(error.to_string()),
            },
            State::Asking { mut connection, since } => match connection.look() {
                Look::Up => State::Up { connection, since: now },
                Look::NotYet if now - since >= ATTEMPT => {
                    self.failed(format!("nobody was let in within {} s", ATTEMPT.as_secs()))
                }
                Look::NotYet => State::Asking { connection, since },
                Look::Failed(said) => self.failed(said),
            },
            State::Up { mut connection, since } => match connection.look() {
                Look::Failed(said) => self.failed(said),
                _ => State::Up { connection, since },
            },
        };
        match &self.state {
            State::Up { since, .. } => Some(since.elapsed()),
            _ => None,
        }
    }

    fn failed(&mut self, said: String) -> State {
        self.said = Some(said);
        State::Idle { until: Instant::now() + RETRY }
    }

    /// The connection, where there is one.
    pub(super) fn done(self) -> Option<Way> {
        match self.state {
            State::Up { connection, .. } => Some(Way(connection)),
            _ => None,
        }
    }
}

/// A connection that leads into a guest.
pub(super) struct Way(Connection);

impl Way {
    /// The guest behind it; what is asked is over within `limit`.
    pub(super) fn guest(&self, limit: Duration) -> SshGuest<'_> {
        SshGuest { connection: &self.0, limit, deadline: Instant::now() + limit }
    }
}

/// A guest over SSH.
pub(super) struct SshGuest<'a> {
    connection: &'a Connection,
    limit: Duration,
    deadline: Instant,
}

/// What came of a request.
struct Answer {
    code: i32,
    stdout: Vec<u8>,
    said: String,
}

impl SshGuest<'_> {
    /// Asks for something that says little.
    fn ask(&self, script: &str, input: Input) -> Result<Answer, GuestFault> {
        let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
        let code = self.request(script, input, &mut |from, bytes| match from {
            // A guest may say anything; what is longer is no record.
            Output::Stdout => {
                let room = (MAX_RECORD - stdout.len()).min(bytes.len());
                stdout.extend_from_slice(&bytes[..room]);
            }
            Output::Stderr => {
                stderr.extend_from_slice(bytes);
                let surplus = stderr.len().saturating_sub(ERRORS_MAX);
                stderr.drain(..surplus);
            }
        })?;
        let said = last_line(&stderr).unwrap_or_else(|| format!("exit code {code}"));
        if code == 255 { Err(GuestFault::SshLost { said }) } else { Ok(Answer { code, stdout, said }) }
    }

    fn request(
        &self,
        script: &str,
        input: Input,
        output: &mut dyn FnMut(Output, &[u8]),
    ) -> Result<i32, GuestFault> {
        self.connection.request(script, input, self.deadline, output).map_err(|trouble| match trouble {
            Trouble::Late => GuestFault::TimedOut { limit: self.limit },
            Trouble::Host(source) => GuestFault::Ssh(source),
        })
    }

    /// Asks for something that succeeds or not.
    fn order(&self, script: &str, input: Input) -> Result<(), GuestFault> {
        match self.ask(script, input)? {
            Answer { code: 0, .. } => Ok(()),
            Answer { said, .. } => Err(GuestFault::Refused { said }),
        }
    }
}

impl Guest for SshGuest<'_> {
    fn bound(&mut self, limit: Duration) {
        (self.limit, self.deadline) = (limit, Instant::now() + limit);
    }

    fn read(&mut self, path: &str) -> Result<Option<Vec<u8>>, GuestFault> {
        match self.ask(&remote::read(path), Input::Nothing)? {
            Answer { code: 0, stdout, .. } => Ok(Some(stdout)),
            Answer { code: remote::MISSING, .. } => Ok(None),
            Answer { said, .. } => Err(GuestFault::Refused { said }),
        }
    }

    fn write(&mut self, path: &str, mode: u32, bytes: &[u8]) -> Result<(), GuestFault> {
        let staged = |source| GuestFault::Staged { source };
        let file = memfd_create("castra", MemfdFlags::CLOEXEC).map_err(|error| staged(error.into()))?;
        let mut file = File::from(file);
        file.write_all(bytes).and_then(|()| file.rewind()).map_err(staged)?;
        self.send(path, mode, None, &file)
    }

    fn send(
        &mut self,
        path: &str,
        mode: u32,
        modified_s: Option<i64>,
        file: &File,
    ) -> Result<(), GuestFault> {
        let staged = |source| GuestFault::Staged { source };
        let length = file.metadata().map_err(staged)?.len();
        let input = Input::File(file.try_clone().map_err(staged)?);
        self.order(&remote::write(path, mode, modified_s, length), input)
    }

    fn make_dir(&mut self, path: &str, mode: u32) -> Result<(), GuestFault> {
        self.order(&remote::make_dir(path, mode), Input::Nothing)
    }

    fn link(&mut self, path: &str, target: &str) -> Result<(), GuestFault> {
        self.order(&remote::link(path, target), Input::Nothing)
    }

    /// Its words and variables go in a file: on a command line every user of the guest could read them.
    fn run(&mut self, program: &Program, output: &mut dyn FnMut(Output, &[u8])) -> Result<Ended, GuestFault> {
        let dir = format!("/run/castra-{}", RunToken::generate());
        self.write(&format!("{dir}/run"), 0o600, remote::program(&dir, program).as_bytes())?;
        let code = self.request(&remote::run(&dir), Input::Lifeline, output)?;
        if code != 255 {
            return Ok(Ended::Exited(code));
        }
        match self.read(&format!("{dir}/{}", remote::ENDED))? {
            Some(_) => {
                self.order(&remote::remove(&dir), Input::Nothing)?;
                Ok(Ended::Exited(code))
            }
            None => Err(GuestFault::SshLost { said: "the program's connection ended before it".to_owned() }),
        }
    }
}
