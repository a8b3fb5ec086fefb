//! A program as a process: found, started, signalled, and gone with its stream.
//!
//! Owns: the process and our ends of its standard streams. What it started in its own session goes
//! with it when the stream is cancelled. Tests: `tests/it/exec.rs`.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use castra_agent_proto::request::{Exec, FailureCode, Size};
use rustix::fs::OFlags;
use rustix::process::{Pid, PidfdFlags, Signal};
use rustix::pty::{OpenptFlags, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

use super::{Link, Stop, invalid};
use crate::child::Child;
use crate::failure::{failure, of};
use crate::users::User;

/// Where programs are, for users who were told nowhere else.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// How long programs get to end by themselves when nobody waits for them any more.
const HANGUP_BOUND: Duration = Duration::from_millis(200);
/// How long the kernel gets to end a process.
const KILL_BOUND: Duration = Duration::from_secs(2);

/// A running program. Ends when dropped.
pub(super) struct Process {
    child: std::process::Child,
    pid: Pid,
    /// Readable when the process ended; none where the kernel cannot do that.
    pub(super) handle: Option<OwnedFd>,
    status: Option<ExitStatus>,
    pub(super) pipes: Pipes,
}

/// Our ends of a program's standard streams. All of them return at once.
pub(super) struct Pipes {
    pub(super) stdin: Option<OwnedFd>,
    pub(super) stdout: Option<OwnedFd>,
    pub(super) stderr: Option<OwnedFd>,
    /// The terminal; its other ends are then those above.
    pub(super) terminal: Option<OwnedFd>,
}

impl Process {
    /// Starts what `exec` asks for.
    pub(super) fn start(exec: &Exec, link: &Link) -> Result<Self, Stop> {
        let user = find_user(exec, link)?;
        let child = child_of(exec, &user)?;
        let mut command = Command::new(&link.config().helper);
        command.arg("exec-child").args(child.to_args()).env_clear().envs(environment(exec, &user));
        command.current_dir("/");
        let fail = |error: io::Error| of("start the program", &error);
        let terminal = match &exec.terminal {
            Some(terminal) => Some(attach_terminal(&mut command, terminal.size, &user).map_err(fail)?),
            None => {
                command.stdin(if exec.stdin { Stdio::piped() } else { Stdio::null() });
                command.stdout(Stdio::piped()).stderr(Stdio::piped());
                None
            }
        };
        let mut child = command.spawn().map_err(fail)?;
        // Closes our copies of the terminal's other end.
        drop(command);
        let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
        let pid = pid.ok_or_else(|| invalid("a process has a number"))?;
        let handle = rustix::process::pidfd_open(pid, PidfdFlags::empty()).ok();
        let pipes = Pipes::take(&mut child, terminal);
        let mut process = Self { child, pid, handle, status: None, pipes };
        process.pipes.set_nonblocking().map_err(fail)?;
        Ok(process)
    }

    /// Its number.
    pub(super) fn id(&self) -> u32 {
        self.child.id()
    }

    /// How it ended, once it has.
    pub(super) fn try_wait(&mut self) -> Option<ExitStatus> {
        if self.status.is_none() {
            self.status = self.child.try_wait().ok().flatten();
        }
        self.status
    }

    /// Sends a signal to the program and what it started.
    pub(super) fn signal(&mut self, name: &str) {
        if let Some(signal) = signal(name)
            && self.try_wait().is_none()
        {
            self.signal_all(signal);
        }
    }

    fn signal_all(&self, signal: Signal) {
        // Until the child has a group of its own there is only the child.
        if rustix::process::kill_process_group(self.pid, signal).is_err() {
            let _ = rustix::process::kill_process(self.pid, signal);
        }
    }

    /// Tells the terminal's new size.
    pub(super) fn resize(&self, size: Size) {
        if let Some(terminal) = &self.pipes.terminal {
            let _ = tcsetwinsize(terminal, winsize(size));
        }
    }

    fn wait_for(&mut self, bound: Duration) {
        let deadline = Instant::now() + bound;
        while self.try_wait().is_none() && Instant::now() <= deadline {
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

impl Drop for Process {
    /// As a terminal that is closed: a hang-up first, then the end.
    fn drop(&mut self) {
        if self.try_wait().is_some() {
            return;
        }
        self.signal_all(Signal::HUP);
        self.signal_all(Signal::CONT);
        // Not waited for meanwhile: while the program is not reaped, its number and its group's are no
        // other's, and what it started may outlive its own hang-up.
        std::thread::sleep(HANGUP_BOUND);
        self.signal_all(Signal::KILL);
        self.wait_for(KILL_BOUND);
    }
}

impl Pipes {
    fn take(child: &mut std::process::Child, terminal: Option<OwnedFd>) -> Self {
        Self {
            stdin: child.stdin.take().map(OwnedFd::from),
            stdout: child.stdout.take().map(OwnedFd::from),
            stderr: child.stderr.take().map(OwnedFd::from),
            terminal,
        }
    }

    fn set_nonblocking(&mut self) -> io::Result<()> {
        if let Some(terminal) = &self.terminal {
            self.stdin = Some(terminal.try_clone()?);
            self.stdout = Some(terminal.try_clone()?);
        }
        for fd in [&self.stdin, &self.stdout, &self.stderr].into_iter().flatten() {
            let flags = rustix::fs::fcntl_getfl(fd)?;
            rustix::fs::fcntl_setfl(fd, flags | OFlags::NONBLOCK)?;
        }
        Ok(())
    }
}

/// The signal of this name.
fn signal(name: &str) -> Option<Signal> {
    Some(match name {
        "HUP" => Signal::HUP,
        "INT" => Signal::INT,
        "QUIT" => Signal::QUIT,
        "TERM" => Signal::TERM,
        "KILL" => Signal::KILL,
        "USR1" => Signal::USR1,
        "USR2" => Signal::USR2,
        "WINCH" => Signal::WINCH,
        "STOP" => Signal::STOP,
        "CONT" => Signal::CONT,
        _ => return None,
    })
}

fn winsize(size: Size) -> Winsize {
    Winsize { ws_row: size.rows, ws_col: size.columns, ws_xpixel: 0, ws_ypixel: 0 }
}

/// Who the program runs as.
fn find_user(exec: &Exec, link: &Link) -> Result<User, Stop> {
    let me = rustix::process::geteuid().as_raw();
    let users = link.users();
    let Some(name) = &exec.user else {
        // A guest without a table of users still has root.
        let root = || User {
            name: "root".to_owned(),
            uid: me,
            gid: rustix::process::getegid().as_raw(),
            home: "/".to_owned(),
            shell: "/bin/sh".to_owned(),
            groups: Vec::new(),
        };
        return Ok(users.by_uid(me).unwrap_or_else(root));
    };
    let missing = || failure(FailureCode::NotFound, &format!("the guest has no user `{name}`"));
    let user = users.find(name).ok_or_else(missing)?;
    if me != 0 && user.uid != me {
        let what = format!("the agent does not run as root, so it cannot become `{name}`");
        return Err(failure(FailureCode::Permission, &what).into());
    }
    Ok(user)
}

/// What the child is told; whatever can be seen to be wrong now is told now.
fn child_of(exec: &Exec, user: &User) -> Result<Child, Stop> {
    let is_clean = |text: &String| !text.contains('\0');
    let names = exec
        .env
        .iter()
        .all(|(name, value)| !name.is_empty() && !name.contains('=') && is_clean(name) && is_clean(value));
    if !names || !exec.argv.iter().all(is_clean) || exec.cwd.iter().any(|cwd| !is_clean(cwd)) {
        return Err(invalid("arguments, names and values hold no zero, and names no `=`"));
    }
    let cwd = match &exec.cwd {
        Some(cwd) => Path::new(&user.home).join(cwd),
        None if Path::new(&user.home).is_dir() => PathBuf::from(&user.home),
        None => PathBuf::from("/"),
    };
    if !cwd.is_dir() {
        let what = format!("the guest has no directory `{}`", cwd.display());
        return Err(failure(FailureCode::NotFound, &what).into());
    }
    let (program, argv) = if let Some(name) = exec.argv.first() {
        let program = find_program(name, exec, &cwd);
        let missing = || failure(FailureCode::NotFound, &format!("the guest has no program `{name}`"));
        (program.ok_or_else(missing)?, exec.argv.iter().map(Into::into).collect())
    } else {
        // A shell that is called by a name with a dash is one of a login.
        let shell = Path::new(&user.shell);
        let name = shell.file_name().unwrap_or(shell.as_os_str()).to_string_lossy();
        (shell.to_owned(), vec![format!("-{name}").into()])
    };
    let me = rustix::process::geteuid();
    let changes_user = me.is_root();
    Ok(Child {
        has_terminal: exec.terminal.is_some(),
        user: changes_user.then(|| (user.uid, user.gid, user.groups.clone())),
        cwd: cwd.into(),
        program: program.into(),
        argv,
    })
}

/// The file of a program, looked for as a shell does.
fn find_program(name: &str, exec: &Exec, cwd: &Path) -> Option<PathBuf> {
    if name.contains('/') {
        let path = cwd.join(name);
        return path.exists().then_some(path);
    }
    let own = exec.env.iter().find(|(variable, _)| variable == "PATH").map(|(_, value)| value.clone());
    let path = own.unwrap_or_else(default_path);
    path.split(':').filter(|place| !place.is_empty()).map(|place| cwd.join(place).join(name)).find(|path| {
        path.metadata().is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
    })
}

/// The agent's own PATH, which is the guest's, and the usual places after it.
fn default_path() -> String {
    let own = std::env::var("PATH").unwrap_or_default();
    let mut places: Vec<&str> = own.split(':').filter(|place| place.starts_with('/')).collect();
    for place in PATH.split(':') {
        if !places.contains(&place) {
            places.push(place);
        }
    }
    places.join(":")
}

/// The variables of a login, then those of the request.
fn environment(exec: &Exec, user: &User) -> Vec<(String, String)> {
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let mut variables = vec![
        pair("PATH", &default_path()),
        pair("HOME", &user.home),
        pair("USER", &user.name),
        pair("LOGNAME", &user.name),
        pair("SHELL", &user.shell),
    ];
    if let Some(terminal) = &exec.terminal {
        let is_name = !terminal.term.is_empty() && terminal.term.bytes().all(|byte| byte.is_ascii_graphic());
        variables.push(pair("TERM", if is_name { &terminal.term } else { "dumb" }));
    }
    variables.extend(exec.env.iter().cloned());
    variables
}

/// Gives the program a terminal; tells our end of it.
fn attach_terminal(command: &mut Command, size: Size, user: &User) -> io::Result<OwnedFd> {
    let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)?;
    unlockpt(&ours)?;
    tcsetwinsize(&ours, winsize(size))?;
    let name = ptsname(&ours, Vec::new())?;
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
    let theirs = File::from(rustix::fs::open(&name, flags, rustix::fs::Mode::empty())?);
    // Programs of that user may open it by its name. Not all guests allow it, and few programs ask.
    let uid = rustix::fs::Uid::from_raw(user.uid);
    let _ = rustix::fs::fchown(&theirs, Some(uid), None);
    command.stdin(theirs.try_clone()?).stdout(theirs.try_clone()?).stderr(theirs);
    Ok(ours)
}
