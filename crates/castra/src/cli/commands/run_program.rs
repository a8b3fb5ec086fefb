//! What `castra exec` and `castra shell` share: a program in a guest, on this process's streams.

use std::io::{self, IsTerminal};
use std::os::fd::AsFd;

use plasmavmc_guest::client::{
    ClientError, Exec, ExecIo, FailureCode, Input, Nudge, Nudges, Output, Size, Terminal,
};
use plasmavmc_term::exit::{PROGRAM_FAILED, PROGRAM_NOT_FOUND, PROGRAM_NOT_RUNNABLE};
use plasmavmc_term::{OutputFormat, StdoutError};
use rustix::termios::tcgetwinsize;

use super::exec::RunArgs;
use crate::cli::error::CliError;
use crate::cli::face::{Face, terminal_name};
use crate::cli::render::{self, OutputLines};
use crate::cli::terminal::{Forwarded, LeavingKeys, RawMode, TerminalError, die_of};
use crate::core::error::Error;
use crate::core::exec::{ExecOutcome, exec_in};
use crate::core::guest::{GuestSelection, connect};
use crate::core::output::OperationOutput;

/// The size of a terminal that does not tell.
const USUAL: Size = Size { columns: 80, rows: 24 };

/// When a program has a terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tty {
    /// Where input and output are terminals.
    Auto,
    /// Where the input is one.
    Input,
    Always,
    Never,
}

/// A program to run.
pub(super) struct Program {
    pub(super) guest: GuestSelection,
    pub(super) argv: Vec<String>,
    pub(super) run: RunArgs,
    pub(super) tty: Tty,
    /// Whether it gets the input of a terminal although it has none itself.
    pub(super) wants_input: bool,
}

/// Runs it; gives its exit code, or one that tells that it did not run.
pub(super) fn run_program(face: &Face, program: Result<Program, CliError>) -> Result<u8, CliError> {
    match program.and_then(|program| attempt(face, program)) {
        Ok(code) => Ok(code),
        Err(error) if is_closed(&error) => Err(StdoutError::Closed.into()),
        Err(error) => {
            let code = code_of(&error);
            face.voice.fail(&error.report(face.voice.err.width()));
            Ok(code)
        }
    }
}

fn code_of(error: &CliError) -> u8 {
    let CliError::Operation(Error::Guest(ClientError::Guest { code, .. })) = error else {
        return PROGRAM_FAILED;
    };
    match code {
        FailureCode::NotFound => PROGRAM_NOT_FOUND,
        FailureCode::Permission | FailureCode::WrongKind => PROGRAM_NOT_RUNNABLE,
        _ => PROGRAM_FAILED,
    }
}

/// Whether whoever read the program's output has seen enough.
fn is_closed(error: &CliError) -> bool {
    matches!(error, CliError::Operation(Error::Guest(error)) if error.is_closed_output())
}

fn attempt(face: &Face, program: Program) -> Result<u8, CliError> {
    let (stdin, stdout) = (io::stdin(), io::stdout());
    let typed = stdin.is_terminal();
    let has_terminal = face.voice.format == OutputFormat::Human
        && match program.tty {
            Tty::Auto => typed && stdout.is_terminal(),
            Tty::Input => typed,
            Tty::Always => true,
            Tty::Never => false,
        };
    let terminal = has_terminal.then(|| Terminal { term: terminal_name(), size: size().unwrap_or(USUAL) });
    let RunArgs { user, cwd, env } = program.run;
    let exec_of = Exec { argv: program.argv, env, cwd, user, terminal, stdin: false };
    // Until the guest is there nothing runs that signals and keys could be for: they end this process.
    let guest = connect(&face.session, &program.guest, None, &mut |note| face.diagnose_all(&[note]))?;
    let mut signals = Forwarded::catch()?;
    let wake = signals.wake()?;
    let raw = if has_terminal { RawMode::enter(&stdin)? } else { None };
    let mut take = || -> Vec<Nudge> { signals.take(size) };
    let mut keys = LeavingKeys::default();
    let mut leaves = |typed: &[u8]| keys.see(typed);
    let gets_input = has_terminal || !typed || program.wants_input;
    let mut lines =
        [OutputLines::new("stdout", &face.voice.out), OutputLines::new("stderr", &face.voice.out)];
    let [out_lines, err_lines] = &mut lines;
    let stderr = io::stderr();
    let (out, err) = match face.voice.format {
        OutputFormat::Human => (Output::Fd(stdout.as_fd()), Output::Fd(stderr.as_fd())),
        OutputFormat::Json => (Output::Write(out_lines), Output::Write(err_lines)),
    };
    let io = ExecIo {
        stdin: match (gets_input, has_terminal && typed) {
            (true, true) => Input::Keys(stdin.as_fd(), &mut leaves),
            (true, false) => Input::Fd(stdin.as_fd()),
            (false, _) => Input::Nothing,
        },
        stdout: out,
        stderr: err,
        nudges: Some(Nudges { wake: wake.as_fd(), take: &mut take }),
    };
    let ended = exec_in(guest, &exec_of, io);
    drop(raw);
    match (ended, signals.left_with()) {
        (Err(Error::Guest(ClientError::Interrupted)), Some(signal)) => {
            drop(signals);
            die_of(signal);
            Ok(PROGRAM_FAILED)
        }
        (ended, _) => finish(face, &mut lines, ended?),
    }
}

fn finish(face: &Face, lines: &mut [OutputLines<'_>], outcome: ExecOutcome) -> Result<u8, CliError> {
    let code = outcome.exit_code;
    for line in lines {
        line.finish().map_err(|source| TerminalError::Carry { source })?;
    }
    face.answer(&OperationOutput::new(outcome), render::exec)?;
    Ok(code)
}

/// The size of the terminal, where there is one.
fn size() -> Option<Size> {
    let size = tcgetwinsize(io::stdout()).or_else(|_| tcgetwinsize(io::stdin())).ok()?;
    (size.ws_col > 0 && size.ws_row > 0).then_some(Size { columns: size.ws_col, rows: size.ws_row })
}
