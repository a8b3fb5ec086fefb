//! ssh's processes on this host: one connection into a guest, and the requests that share it.
//!
//! The first process logs in and runs `cat` in the guest, whose input is this process: when this one ends,
//! however it does, so does the connection. Requests go through its socket and nowhere else: where it is
//! gone they fail, and never reach a guest that has booted again. All of it lies in a directory of the
//! workspace that goes with the connection. Tests: `tests/it/bootstrap_ssh.rs`.

use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use plasmavmc_host::{HostError, IoContext, Layout, exec, publish};
use plasmavmc_types::VmName;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use super::super::capture::Output;
use super::remote;
use crate::core::logs::readable;
use crate::core::ssh::OwnWay;

/// What the guest says once somebody is logged in.
const GREETING: &[u8] = b"castra-is-in";
/// The most bytes before that which a login may say, such as a message of the day.
const PREAMBLE: usize = 64 * 1024;
/// How long a connection that was let go may take to end.
const END: Duration = Duration::from_millis(500);
/// How long the guest may take to end a program that was given up.
const GIVE_UP: Duration = Duration::from_secs(10);
/// Time between two looks at a process that is about to end.
const POLL: Duration = Duration::from_millis(2);
/// Options of every ssh here: it asks nobody, repeats no greeting of the guest's, and tells within half a
/// minute that a guest is gone.
const OPTIONS: [&str; 16] = [
    "-F",
    "config",
    "-S",
    "control",
    "-o",
    "BatchMode=yes",
    "-o",
    "ConnectTimeout=10",
    "-o",
    "ServerAliveInterval=5",
    "-o",
    "ServerAliveCountMax=6",
    "-o",
    "ControlPersist=no",
    "-o",
    "LogLevel=ERROR",
];

/// What a look at a connection saw.
#[derive(Debug)]
pub(super) enum Look {
    /// It leads into the guest.
    Up,
    NotYet,
    /// ssh ended, and said this.
    Failed(String),
}

/// What a request reads.
#[derive(Debug)]
pub(super) enum Input {
    Nothing,
    File(File),
    /// Nothing, for as long as its answer is waited for.
    Lifeline,
}

/// Why a request has no answer.
#[derive(Debug)]
pub(super) enum Trouble {
    /// Its time was up.
    Late,
    /// ssh could not be run.
    Host(HostError),
}

/// A connection into a guest, or one that is being made.
#[derive(Debug)]
pub(super) struct Connection {
    dir: PathBuf,
    vm: VmName,
    user: String,
    master: Child,
    lifeline: Option<ChildStdin>,
    stdout: Option<OwnedFd>,
    heard: Vec<u8>,
}

impl Connection {
    /// Begins to log in.
    pub(super) fn open(layout: &Layout, vm: &VmName, way: &OwnWay) -> Result<Self, HostError> {
        let dir = layout.bootstrap_connection(vm);
        // Before anything below it is removed: a link in its place would lead elsewhere.
        publish::private_dir_below(layout.root(), &layout.bootstrap())?;
        clean(&dir)?;
        publish::private_dir_below(layout.root(), &dir)?;
        publish::write(&dir.join("config"), way.config.as_bytes())?;
        let log = dir.join("log");
        let log = File::create(&log).context("create", &log)?;
        let mut command = ssh(&dir)?;
        command.args(["-o", "ControlMaster=yes", "--", vm.as_str()]);
        command.arg(format!("echo {}; exec cat >/dev/null", String::from_utf8_lossy(GREETING)));
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(log);
        let mut master = command.spawn().map_err(spawning)?;
        let (lifeline, stdout) = (master.stdin.take(), master.stdout.take().map(OwnedFd::from));
        let (vm, user) = (vm.clone(), way.user.clone());
        Ok(Self { dir, vm, user, master, lifeline, stdout, heard: Vec::new() })
    }

    /// How far it is. Does not wait.
    pub(super) fn look(&mut self) -> Look {
        while let Some(stdout) = &self.stdout {
            let mut chunk = [0; 4096];
            match is_readable(stdout).then(|| rustix::io::read(stdout, &mut chunk)) {
                None | Some(Err(Errno::INTR)) => break,
                Some(Ok(0) | Err(_)) => self.stdout = None,
                Some(Ok(count)) if self.heard.len() < PREAMBLE => {
                    self.heard.extend_from_slice(&chunk[..count]);
                }
                Some(Ok(_)) => {}
            }
        }
        if !matches!(self.master.try_wait(), Ok(None)) {
            let said = fs::read(self.dir.join("log")).unwrap_or_default();
            return Look::Failed(last_line(&said).unwrap_or_else(|| "ssh ended without a word".to_owned()));
        }
        match self.heard.windows(GREETING.len()).any(|seen| seen == GREETING) {
            true => Look::Up,
            false => Look::NotYet,
        }
    }

    /// Runs a script in the guest as root; gives what it ended with, or 255 where ssh failed.
    pub(super) fn request(
        &self,
        script: &str,
        input: Input,
        deadline: Instant,
        output: &mut dyn FnMut(Output, &[u8]),
    ) -> Result<i32, Trouble> {
        let mut command = ssh(&self.dir).map_err(Trouble::Host)?;
        // Where the socket leads nowhere, ssh would connect anew.
        command.args(["-o", "ControlMaster=no", "-o", "ProxyCommand=false", "--", self.vm.as_str()]);
        command.arg(remote::as_root(&self.user, script));
        command.stdin(match input {
            Input::Nothing => Stdio::null(),
            Input::File(file) => file.into(),
            Input::Lifeline => Stdio::piped(),
        });
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut talk = Talk::start(&mut command).map_err(Trouble::Host)?;
        match talk.listen(deadline, output) {
            Some(code) => Ok(code),
            None => {
                // The guest ends what nobody waits for, and that is heard to its end.
                if talk.child.stdin.take().is_some() {
                    talk.listen(Instant::now() + GIVE_UP, output);
                }
                Err(Trouble::Late)
            }
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.lifeline = None;
        self.stdout = None;
        let deadline = Instant::now() + END;
        while matches!(self.master.try_wait(), Ok(None)) && Instant::now() < deadline {
            thread::sleep(POLL);
        }
        end(&mut self.master);
        // What is left is cleaned by the next one.
        let _ = clean(&self.dir);
    }
}

/// One request's process, and what it says.
struct Talk {
    child: Child,
    pipes: [(Output, Option<OwnedFd>); 2],
}

impl Talk {
    fn start(command: &mut Command) -> Result<Self, HostError> {
        let mut child = command.spawn().map_err(spawning)?;
        let (out, err) = (child.stdout.take().map(OwnedFd::from), child.stderr.take().map(OwnedFd::from));
        Ok(Self { child, pipes: [(Output::Stdout, out), (Output::Stderr, err)] })
    }

    /// Hands on what it says until it ends; gives its exit code, or none where its time is up.
    fn listen(&mut self, deadline: Instant, output: &mut dyn FnMut(Output, &[u8])) -> Option<i32> {
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return None;
            }
            let open: Vec<&OwnedFd> = self.pipes.iter().filter_map(|(_, pipe)| pipe.as_ref()).collect();
            if open.is_empty() {
                match self.child.try_wait() {
                    Ok(None) => thread::sleep(POLL),
                    // Without a code a signal ended it, which no guest sends to a process of this host.
                    ended => {
                        return Some(ended.ok().flatten().and_then(|status| status.code()).unwrap_or(255));
                    }
                }
                continue;
            }
            let mut fds: Vec<_> = open.iter().map(|pipe| PollFd::new(*pipe, PollFlags::IN)).collect();
            let _ = poll(&mut fds, Timespec::try_from(left).ok().as_ref());
            for (from, pipe) in &mut self.pipes {
                let mut chunk = [0; 16 * 1024];
                let Some(fd) = pipe.as_ref().filter(|pipe| is_readable(pipe)) else { continue };
                match rustix::io::read(fd, &mut chunk) {
                    Ok(0) => *pipe = None,
                    Ok(count) => output(*from, &chunk[..count]),
                    Err(Errno::INTR | Errno::AGAIN) => {}
                    Err(_) => *pipe = None,
                }
            }
        }
    }
}

impl Drop for Talk {
    fn drop(&mut self) {
        end(&mut self.child);
    }
}

/// ssh in a connection's directory. A terminal's Ctrl-C is for this process, which lets go of it in order.
fn ssh(dir: &std::path::Path) -> Result<Command, HostError> {
    let mut command = exec::SSH.command()?;
    command.current_dir(dir).args(OPTIONS).process_group(0);
    Ok(command)
}

fn spawning(source: io::Error) -> HostError {
    HostError::Spawn { program: exec::SSH.name().to_owned(), source }
}

/// Ends a child of ours that may have ended by itself. It is not reaped yet, so its pid is its own.
fn end(child: &mut Child) {
    if matches!(child.try_wait(), Ok(None)) {
        let _ = child.kill();
        let _ = child.wait();
    }
}

fn is_readable(fd: impl AsFd) -> bool {
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    poll(&mut [PollFd::new(&fd, PollFlags::IN)], Some(&now)).is_ok_and(|ready| ready > 0)
}

/// The last line that says something, for people.
pub(super) fn last_line(bytes: &[u8]) -> Option<String> {
    let lines = bytes.split(|byte| *byte == b'\n').rev();
    lines.map(readable).find(|line| !line.trim().is_empty())
}

fn clean(dir: &std::path::Path) -> Result<(), HostError> {
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error).context("remove", dir),
        _ => Ok(()),
    }
}
