//! A program that is asked several things, one after the other: its input stays open between them.
//!
//! Every question has a bound of its own; when it is over, the whole process group is killed, as it is
//! when the dialogue is dropped. Tests: with the module.

use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::running::{End, Running};
use super::{STDERR_SHOWN, shown, tail};
use crate::HostError;

/// A program that reads questions and writes answers.
pub struct Dialogue {
    running: Running,
    shown: String,
    program: String,
}

impl Dialogue {
    /// Starts the program, in a process group of its own.
    ///
    /// # Errors
    /// [`HostError::Spawn`].
    pub fn start(mut command: Command) -> Result<Self, HostError> {
        let shown = shown(&command);
        let program = command.get_program().to_string_lossy().into_owned();
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
        match Running::start(&mut command) {
            Ok(running) => Ok(Self { running, shown, program }),
            Err(source) => Err(HostError::Spawn { program, source }),
        }
    }

    /// Writes `question` and reads the program's output until `answered` is content with all of it, and
    /// returns it. `answered` is called whenever more has come.
    ///
    /// # Errors
    /// [`HostError::CommandTimedOut`] after `bound`, [`HostError::CommandWroteTooMuch`] past `limit`,
    /// [`HostError::CommandEnded`] where the program ended before its answer was whole. After a time-out the
    /// rest of the answer comes with the next one; after any other error nothing more can be asked.
    pub fn ask(
        &mut self,
        question: &[u8],
        bound: Duration,
        limit: usize,
        answered: &mut dyn FnMut(&[u8]) -> bool,
    ) -> Result<Vec<u8>, HostError> {
        self.running.input.push(question, false);
        let end = self.running.drain(Instant::now() + bound, limit, answered);
        match end.map_err(|source| HostError::Spawn { program: self.program.clone(), source })? {
            End::Answered => Ok(std::mem::take(&mut self.running.stdout.kept)),
            End::Late => {
                Err(HostError::CommandTimedOut { command: self.shown.clone(), bound_secs: bound.as_secs() })
            }
            End::TooMuch => Err(HostError::CommandWroteTooMuch { command: self.shown.clone(), limit }),
            End::Exited(status) => {
                let end = tail(&self.running.stderr.kept, STDERR_SHOWN);
                let stderr = String::from_utf8_lossy(end).trim().to_owned();
                Err(HostError::CommandEnded { command: self.shown.clone(), status, stderr })
            }
        }
    }

    /// What the program has written to its standard error since this was last asked.
    ///
    /// # Errors
    /// [`HostError::Spawn`] where it cannot be read.
    pub fn take_stderr(&mut self) -> Result<Vec<u8>, HostError> {
        let stderr = &mut self.running.stderr;
        stderr
            .read_available(true, super::STDERR_LIMIT)
            .map_err(|source| HostError::Spawn { program: self.program.clone(), source })?;
        stderr.keep_tail(super::STDERR_LIMIT);
        Ok(std::mem::take(&mut stderr.kept))
    }
}
