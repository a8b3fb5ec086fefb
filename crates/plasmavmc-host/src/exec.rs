//! Runs a program to its end: within a bound, with captured and capped output.
//!
//! Owns: finding a program, naming the Debian package of one that is missing, reading both of its
//! outputs at once, and ending its whole process group when its time is up. Never does: keep a
//! program running; virtual machines are started elsewhere. One thread, no polling interval: the
//! wait is a `poll` on both outputs and the process itself. Tests: below.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open};

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

/// How long a killed process group has to be gone. Only the kernel can exceed it.
const REAP_BOUND: Duration = Duration::from_secs(5);

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
pub fn run_gently(mut command: Command, bound: Duration, grace: Duration) -> Result<Output, HostError> {
    let shown = shown(&command);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
    let program = command.get_program().to_string_lossy().into_owned();
    let spawn_error = |source| HostError::Spawn { program: program.clone(), source };
    let mut running = Running::start(&mut command).map_err(spawn_error)?;
    let end = running.drain(Instant::now() + bound).map_err(spawn_error)?;
    let status = match end {
        End::Exited(status) => status,
        End::Late => {
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

/// How a run came to its end.
enum End {
    Exited(ExitStatus),
    Late,
    TooMuch,
}

/// A started program. Dropping it while it runs kills its process group.
struct Running {
    child: Child,
    pidfd: OwnedFd,
    stdout: Captured,
    stderr: Captured,
    reaped: bool,
}

/// One of a program's outputs.
struct Captured {
    pipe: Option<OwnedFd>,
    kept: Vec<u8>,
}

impl Running {
    fn start(command: &mut Command) -> io::Result<Self> {
        let mut child = command.spawn()?;
        let stdout = Captured::new(child.stdout.take().map(OwnedFd::from));
        let stderr = Captured::new(child.stderr.take().map(OwnedFd::from));
        let pidfd = pidfd_open(pid_of(&child), PidfdFlags::empty());
        match pidfd {
            Ok(pidfd) => Ok(Self { child, pidfd, stdout, stderr, reaped: false }),
            Err(error) => {
                let _ = kill_process_group(pid_of(&child), Signal::KILL);
                child.wait()?;
                Err(error.into())
            }
        }
    }

    /// Reads both outputs until the program exits, its time is up, or it wrote too much.
    fn drain(&mut self, deadline: Instant) -> io::Result<End> {
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(End::Late);
            }
            let exited = self.wait_for_news(left)?;
            self.stdout.read_available(exited)?;
            self.stderr.read_available(exited)?;
            if self.stdout.kept.len() > STDOUT_LIMIT {
                return Ok(End::TooMuch);
            }
            self.stderr.keep_tail(STDERR_LIMIT);
            if exited {
                let status = self.child.wait()?;
                self.reaped = true;
                return Ok(End::Exited(status));
            }
        }
    }

    /// Asks the process group to end, and waits for the program at most `grace`, reading on: one that
    /// finds nobody to take its words would stand still.
    fn ask_to_end(&mut self, grace: Duration) -> io::Result<()> {
        if !grace.is_zero() {
            let _ = kill_process_group(pid_of(&self.child), Signal::TERM);
            self.drain(Instant::now() + grace)?;
        }
        Ok(())
    }

    /// Waits until an output can be read or the program is gone; tells whether it is gone.
    fn wait_for_news(&self, bound: Duration) -> io::Result<bool> {
        let mut fds = vec![PollFd::new(&self.pidfd, PollFlags::IN)];
        for pipe in [&self.stdout.pipe, &self.stderr.pipe].into_iter().flatten() {
            fds.push(PollFd::new(pipe, PollFlags::IN));
        }
        let timeout = Timespec::try_from(bound).map_err(io::Error::other)?;
        match poll(&mut fds, Some(&timeout)) {
            Ok(_) => Ok(!fds[0].revents().is_empty()),
            Err(rustix::io::Errno::INTR) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.reaped {
            return;
        }
        // The child is not reaped yet, so its pid, which is the group's id, cannot have been reused.
        let _ = kill_process_group(pid_of(&self.child), Signal::KILL);
        if let Ok(timeout) = Timespec::try_from(REAP_BOUND) {
            let _ = poll(&mut [PollFd::new(&self.pidfd, PollFlags::IN)], Some(&timeout));
        }
        let _ = self.child.try_wait();
    }
}

impl Captured {
    fn new(pipe: Option<OwnedFd>) -> Self {
        Self { pipe, kept: Vec::new() }
    }

    /// Reads once if something is there; with `to_end`, until nothing is there any more.
    ///
    /// A grandchild may hold the pipe open for ever, so the end of the pipe is never waited for.
    fn read_available(&mut self, to_end: bool) -> io::Result<()> {
        while let Some(pipe) = &self.pipe {
            let mut fds = [PollFd::from_borrowed_fd(pipe.as_fd(), PollFlags::IN)];
            let ready = poll(&mut fds, Some(&Timespec { tv_sec: 0, tv_nsec: 0 }));
            if matches!(ready, Ok(0)) {
                return Ok(());
            }
            let mut chunk = [0; 16 << 10];
            match rustix::io::read(pipe, &mut chunk) {
                Ok(0) => self.pipe = None,
                Ok(count) => self.kept.extend_from_slice(&chunk[..count]),
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
            if !to_end || self.kept.len() > STDOUT_LIMIT {
                return Ok(());
            }
        }
        Ok(())
    }

    fn keep_tail(&mut self, limit: usize) {
        let surplus = self.kept.len().saturating_sub(limit);
        self.kept.drain(..surplus);
    }
}

fn pid_of(child: &Child) -> Pid {
    Pid::from_child(child)
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
mod tests {
    use super::*;

    fn sh(script: &str) -> Command {
        let mut command = Program::new("sh", "dash").command().unwrap();
        command.args(["-c", script]);
        command
    }

    const LONG: Duration = Duration::from_secs(20);

    #[test]
    fn both_outputs_are_read_whole_even_when_neither_fits_a_pipe() {
        let script = "head -c 300000 /dev/zero >&2; head -c 300000 /dev/zero; echo end; echo last >&2";
        let output = run(sh(script), LONG).unwrap();
        assert_eq!(output.stdout.len(), 300_004);
        assert_eq!(output.stderr.len(), STDERR_LIMIT);
        assert!(output.stdout.ends_with(b"end\n") && output.stderr.ends_with(b"last\n"));
    }

    #[test]
    fn a_failure_tells_the_command_its_status_and_its_last_words() {
        let error = run(sh("echo 'no such disk' >&2; exit 3"), LONG).unwrap_err();
        let text = error.to_string();
        assert!(text.starts_with("`sh -c 'echo '"), "{text}");
        assert!(text.ends_with("failed with exit status: 3: no such disk"), "{text}");
    }

    #[test]
    fn a_late_program_is_killed_with_its_children() {
        let dir = tempfile::tempdir().unwrap();
        let pids = dir.path().join("pids");
        let script = format!("sleep 600 & echo $! > '{0}'; echo $$ >> '{0}'; wait", pids.display());
        let start = Instant::now();
        let error = run(sh(&script), Duration::from_secs(1)).unwrap_err();
        assert!(matches!(error, HostError::CommandTimedOut { bound_secs: 1, .. }), "{error}");
        assert!(start.elapsed() < LONG);
        let gone = |pid: &str| match std::fs::read_to_string(format!("/proc/{pid}/stat")) {
            Err(_) => true,
            Ok(stat) => stat.rsplit(") ").next().is_some_and(|rest| rest.starts_with('Z')),
        };
        let text = std::fs::read_to_string(&pids).unwrap();
        assert_eq!(text.lines().count(), 2);
        while !text.lines().all(gone) {
            assert!(start.elapsed() < LONG, "still there: {text}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    #[test]
    fn a_late_program_that_is_asked_gently_puts_its_things_away() {
        let dir = tempfile::tempdir().unwrap();
        let script = format!(
            "cd '{}'; touch left; trap 'head -c 300000 /dev/zero; rm left; exit 0' TERM; sleep 600 & wait",
            dir.path().display()
        );
        let error = run_gently(sh(&script), Duration::from_secs(1), LONG).unwrap_err();
        assert!(matches!(error, HostError::CommandTimedOut { bound_secs: 1, .. }), "{error}");
        assert!(!dir.path().join("left").exists());
    }

    #[test]
    fn a_late_program_that_does_not_listen_is_killed_after_its_grace() {
        let start = Instant::now();
        let script = "trap '' TERM; while :; do sleep 0.1; done";
        run_gently(sh(script), Duration::from_millis(200), Duration::from_millis(300)).unwrap_err();
        assert!((Duration::from_millis(500)..LONG).contains(&start.elapsed()), "{:?}", start.elapsed());
    }

    #[test]
    fn a_grandchild_that_holds_the_output_open_is_not_waited_for() {
        let start = Instant::now();
        let output = run(sh("sleep 30 & echo $!"), LONG).unwrap();
        assert!(start.elapsed() < LONG);
        let pid = output.text().trim().parse().ok().and_then(Pid::from_raw).unwrap();
        rustix::process::kill_process(pid, Signal::KILL).unwrap();
    }

    #[test]
    fn a_program_without_end_is_stopped_at_the_limit() {
        let error = run(sh("yes"), LONG).unwrap_err();
        assert!(matches!(error, HostError::CommandWroteTooMuch { .. }), "{error}");
    }

    #[test]
    fn a_missing_program_names_its_package() {
        let error = Program::new("no-such-program-of-ours", "its-package").command().unwrap_err();
        assert!(matches!(error, HostError::MissingProgram { package: "its-package", .. }), "{error}");
    }

    #[test]
    fn only_executable_files_in_absolute_directories_are_found() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("tool");
        std::fs::write(&file, "").unwrap();
        let find = |dir: &Path| find_in("tool", std::iter::once(dir.to_owned()));
        assert_eq!(find(dir.path()), None);
        std::fs::set_permissions(&file, PermissionsExt::from_mode(0o755)).unwrap();
        assert_eq!(find(dir.path()), Some(file));
        assert_eq!(find(Path::new(".")), None);
    }

    #[test]
    fn a_command_line_is_shown_as_a_shell_would_take_it() {
        let mut command = Command::new("/usr/bin/qemu-img");
        command.args(["info", "", "a b", "it's"]);
        assert_eq!(shown(&command), r"qemu-img info '' 'a b' 'it'\''s'");
    }
}
