//! Runs a program to its end: within a bound, with captured and capped output.
//!
//! Owns: finding a program, naming the Debian package of one that is missing, feeding it and reading
//! both of its outputs at once, and ending its whole process group when its time is up; and programs that
//! are asked several things ([`Dialogue`]). Never does: let a program outlive its caller; virtual machines
//! are started elsewhere. Tests: in `tests.rs`.

mod dialogue;
mod running;

use std::ffi::{OsStr, OsString};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use running::{End, Running};

pub use dialogue::Dialogue;

use crate::HostError;

/// `qemu-img`: makes, converts and checks disk images.
pub const QEMU_IMG: Program = Program::new("qemu-img", "qemu-utils");

/// OpenSSH's client.
pub const SSH: Program = Program::new("ssh", "openssh-client");

/// Most bytes of standard output that are kept; a program that writes more is stopped, because
/// half an answer must not be parsed. The longest answer expected is some 100 KiB of JSON.
pub const STDOUT_LIMIT: usize = 8 << 20;

/// Most bytes of standard error that are kept: the last ones.
pub const STDERR_LIMIT: usize = 64 << 10;

/// Most bytes of standard error that an error shows: the last ones.
const STDERR_SHOWN: usize = 2 << 10;

/// Where programs are looked for beside `PATH`: those for administrators are often not in it.
const MORE_PLACES: [&str; 3] = ["/usr/local/sbin", "/usr/sbin", "/sbin"];

/// A program of the host, and where to get it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Program {
    name: &'static str,
    package: &'static str,
}

impl Program {
    /// The program `name`, which the Debian package `package` has.
    pub const fn new(name: &'static str, package: &'static str) -> Self {
        Self { name, package }
    }

    /// The program's name.
    pub const fn name(self) -> &'static str {
        self.name
    }

    /// The Debian package that has it.
    pub const fn package(self) -> &'static str {
        self.package
    }

    /// Where it is: in `PATH`, or in one of the directories for administrators.
    pub fn find(self) -> Option<PathBuf> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        find_in(self.name, std::env::split_paths(&path).chain(MORE_PLACES.map(PathBuf::from)))
    }

    /// A command that runs it, without arguments yet, with messages in English.
    ///
    /// # Errors
    /// [`HostError::MissingProgram`] where it is not installed.
    pub fn command(self) -> Result<Command, HostError> {
        let mut command = Command::new(self.installed()?);
        command.env("LC_ALL", "C");
        Ok(command)
    }

    /// Lets this process become the program: it takes over standard streams, terminal and exit code.
    /// Comes back only where that fails.
    pub fn take_over(self, args: &[OsString]) -> HostError {
        let path = match self.installed() {
            Ok(path) => path,
            Err(missing) => return missing,
        };
        let source = Command::new(path).args(args).exec();
        HostError::Spawn { program: self.name.to_owned(), source }
    }

    fn installed(self) -> Result<PathBuf, HostError> {
        self.find()
            .ok_or_else(|| HostError::MissingProgram { program: self.name.to_owned(), package: self.package })
    }
}

/// The first executable file `name` in `dirs`. Relative directories are passed over: what is run
/// must not depend on where the user stands.
fn find_in(name: &str, dirs: impl Iterator<Item = PathBuf>) -> Option<PathBuf> {
    use std::os::unix::fs::PermissionsExt;
    dirs.filter(|dir| dir.is_absolute()).map(|dir| dir.join(name)).find(|path| {
        path.metadata().is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
    })
}

/// What a program that succeeded wrote.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Output {
    /// Its standard output, whole.
    pub stdout: Vec<u8>,
    /// The end of its standard error: at most [`STDERR_LIMIT`] bytes.
    pub stderr: Vec<u8>,
}

impl Output {
    /// Its standard output as text.
    pub fn text(&self) -> std::borrow::Cow<'_, str> {
        String::from_utf8_lossy(&self.stdout)
    }
}

/// Runs `command` to its end, with no input, and returns what it wrote.
///
/// The program leads a process group of its own, which is killed whole when `bound` is over; so a
/// shell script's children do not outlive it. What it leaves running after it ended by itself is
/// not waited for.
///
/// # Errors
/// [`HostError::Spawn`], [`HostError::CommandFailed`] for any other status than 0,
/// [`HostError::CommandTimedOut`], [`HostError::CommandWroteTooMuch`] past [`STDOUT_LIMIT`].
pub fn run(command: Command, bound: Duration) -> Result<Output, HostError> {
    run_gently(command, bound, Duration::ZERO)
}

/// As [`run`], for a program that has things to put away: when `bound` is over, its process group
/// gets SIGTERM, and is killed `grace` later.
///
/// # Errors
/// As [`run`]; [`HostError::CommandTimedOut`] also where it ended within its grace.
pub fn run_gently(command: Command, bound: Duration, grace: Duration) -> Result<Output, HostError> {
    run_fed(command, None, bound, grace)
}

/// As [`run`], with `input` on the program's standard input. A program need not read all of it.
///
/// # Errors
/// As [`run`].
pub fn run_with_input(command: Command, input: &[u8], bound: Duration) -> Result<Output, HostError> {
    run_fed(command, Some(input), bound, Duration::ZERO)
}

fn run_fed(
    mut command: Command,
    input: Option<&[u8]>,
    bound: Duration,
    grace: Duration,
) -> Result<Output, HostError> {
    let shown = shown(&command);
    let stdin = if input.is_some() { Stdio::piped() } else { Stdio::null() };
    command.stdin(stdin).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
    let program = command.get_program().to_string_lossy().into_owned();
    let spawn_error = |source| HostError::Spawn { program: program.clone(), source };
    let mut running = Running::start(&mut command).map_err(spawn_error)?;
    running.input.push(input.unwrap_or_default(), true);
    let end = running.drain(Instant::now() + bound, STDOUT_LIMIT, &mut |_| false).map_err(spawn_error)?;
    let status = match end {
        End::Exited(status) => status,
        End::Late | End::Answered => {
            running.ask_to_end(grace).map_err(spawn_error)?;
            return Err(HostError::CommandTimedOut { command: shown, bound_secs: bound.as_secs() });
        }
        End::TooMuch => return Err(HostError::CommandWroteTooMuch { command: shown, limit: STDOUT_LIMIT }),
    };
    if status.success() {
        return Ok(Output {
            stdout: std::mem::take(&mut running.stdout.kept),
            stderr: std::mem::take(&mut running.stderr.kept),
        });
    }
    let end = tail(&running.stderr.kept, STDERR_SHOWN);
    Err(HostError::CommandFailed {
        command: shown,
        status,
        stderr: String::from_utf8_lossy(end).trim().to_owned(),
    })
}

/// The last `limit` bytes.
fn tail(bytes: &[u8], limit: usize) -> &[u8] {
    &bytes[bytes.len().saturating_sub(limit)..]
}

/// The command line for people: the program's bare name, and arguments quoted where a shell would
/// need it.
pub fn shown(command: &Command) -> String {
    let program = Path::new(command.get_program());
    let name = program.file_name().unwrap_or(program.as_os_str());
    std::iter::once(name).chain(command.get_args()).map(quoted).collect::<Vec<_>>().join(" ")
}

fn quoted(word: &OsStr) -> String {
    let word = word.to_string_lossy();
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,@%+".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.into_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests;
