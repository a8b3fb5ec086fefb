//! A started program with its three streams: fed, read and ended within a bound.
//!
//! One thread, no polling interval: the wait is a `poll` on the streams and the process itself. Input is
//! written only as fast as the program takes it, while both outputs are read, so neither can stand still
//! for the other. Dropping it kills its process group. Tests: with the module.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::process::{Child, Command, ExitStatus};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::OFlags;
use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open};

use super::STDERR_LIMIT;

/// How long a killed process group has to be gone. Only the kernel can exceed it.
const REAP_BOUND: Duration = Duration::from_secs(5);

/// How a run, or a part of it, came to its end.
pub(super) enum End {
    /// The program ended by itself.
    Exited(ExitStatus),
    /// Its output satisfied whoever reads it.
    Answered,
    /// Its time was up.
    Late,
    /// It wrote more than it may.
    TooMuch,
}

/// A started program. Dropping it while it runs kills its process group.
pub(super) struct Running {
    child: Child,
    pidfd: OwnedFd,
    pub(super) input: Input,
    pub(super) stdout: Captured,
    pub(super) stderr: Captured,
    reaped: bool,
}

/// What a program is to be fed.
pub(super) struct Input {
    pipe: Option<OwnedFd>,
    pending: Vec<u8>,
    /// Whether the pipe is closed once all was written.
    last: bool,
}

/// One of a program's outputs.
pub(super) struct Captured {
    pipe: Option<OwnedFd>,
    pub(super) kept: Vec<u8>,
}

/// Which streams have news.
struct News {
    exited: bool,
    writable: bool,
}

impl Running {
    pub(super) fn start(command: &mut Command) -> io::Result<Self> {
        let mut child = command.spawn()?;
        let input = Input::new(child.stdin.take().map(OwnedFd::from));
        let stdout = Captured::new(child.stdout.take().map(OwnedFd::from));
        let stderr = Captured::new(child.stderr.take().map(OwnedFd::from));
        let pidfd = pidfd_open(pid_of(&child), PidfdFlags::empty()).map_err(io::Error::from);
        match input.and_then(|input| Ok((input, pidfd?))) {
            Ok((input, pidfd)) => Ok(Self { child, pidfd, input, stdout, stderr, reaped: false }),
            Err(error) => {
                let _ = kill_process_group(pid_of(&child), Signal::KILL);
                child.wait()?;
                Err(error)
            }
        }
    }

    /// Feeds the program and reads both outputs until it exits, `answered` is content with its standard
    /// output, its time is up, or it wrote more than `limit`.
    pub(super) fn drain(
        &mut self,
        deadline: Instant,
        limit: usize,
        answered: &mut dyn FnMut(&[u8]) -> bool,
    ) -> io::Result<End> {
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(End::Late);
            }
            let news = self.wait_for_news(left)?;
            if news.writable {
                self.input.write_available()?;
            }
            self.stdout.read_available(news.exited, limit)?;
            self.stderr.read_available(news.exited, limit)?;
            if self.stdout.kept.len() > limit {
                return Ok(End::TooMuch);
            }
            self.stderr.keep_tail(STDERR_LIMIT);
            if answered(&self.stdout.kept) {
                return Ok(End::Answered);
            }
            if news.exited {
                let status = self.child.wait()?;
                self.reaped = true;
                return Ok(End::Exited(status));
            }
        }
    }

    /// Asks the process group to end, and waits for the program at most `grace`, reading on: one that
    /// finds nobody to take its words would stand still.
    pub(super) fn ask_to_end(&mut self, grace: Duration) -> io::Result<()> {
        if !grace.is_zero() {
            let _ = kill_process_group(pid_of(&self.child), Signal::TERM);
            self.drain(Instant::now() + grace, super::STDOUT_LIMIT, &mut |_| false)?;
        }
        Ok(())
    }

    /// Waits until a stream is ready or the program is gone.
    fn wait_for_news(&self, bound: Duration) -> io::Result<News> {
        let mut fds = vec![PollFd::new(&self.pidfd, PollFlags::IN)];
        let feeding = self.input.pipe.as_ref().filter(|_| !self.input.pending.is_empty());
        if let Some(pipe) = feeding {
            fds.push(PollFd::new(pipe, PollFlags::OUT));
        }
        for pipe in [&self.stdout.pipe, &self.stderr.pipe].into_iter().flatten() {
            fds.push(PollFd::new(pipe, PollFlags::IN));
        }
        let timeout = Timespec::try_from(bound).map_err(io::Error::other)?;
        match poll(&mut fds, Some(&timeout)) {
            Ok(_) => {
                let writable = feeding.is_some() && !fds[1].revents().is_empty();
                Ok(News { exited: !fds[0].revents().is_empty(), writable })
            }
            Err(rustix::io::Errno::INTR) => Ok(News { exited: false, writable: false }),
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

impl Input {
    fn new(pipe: Option<OwnedFd>) -> io::Result<Self> {
        if let Some(pipe) = &pipe {
            // A program that does not read must not hold us up.
            let flags = rustix::fs::fcntl_getfl(pipe)?;
            rustix::fs::fcntl_setfl(pipe, flags | OFlags::NONBLOCK)?;
        }
        Ok(Self { pipe, pending: Vec::new(), last: false })
    }

    /// Adds to what the program is fed; after the last, the pipe is closed.
    pub(super) fn push(&mut self, bytes: &[u8], last: bool) {
        self.pending.extend_from_slice(bytes);
        self.last = last;
        if last && self.pending.is_empty() {
            self.pipe = None;
        }
    }

    /// Writes as much as fits. A program that closed its input needs no more of it.
    fn write_available(&mut self) -> io::Result<()> {
        use rustix::io::Errno;
        let Some(pipe) = &self.pipe else { return Ok(()) };
        match rustix::io::write(pipe, &self.pending) {
            Ok(count) => drop(self.pending.drain(..count)),
            Err(Errno::INTR | Errno::AGAIN) => {}
            Err(Errno::PIPE) => {
                self.pending.clear();
                self.pipe = None;
            }
            Err(error) => return Err(error.into()),
        }
        if self.pending.is_empty() && self.last {
            self.pipe = None;
        }
        Ok(())
    }
}

impl Captured {
    fn new(pipe: Option<OwnedFd>) -> Self {
        Self { pipe, kept: Vec::new() }
    }

    /// Reads once if something is there; with `to_end`, until nothing is there any more.
    ///
    /// A grandchild may hold the pipe open for ever, so the end of the pipe is never waited for.
    pub(super) fn read_available(&mut self, to_end: bool, limit: usize) -> io::Result<()> {
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
            if !to_end || self.kept.len() > limit {
                return Ok(());
            }
        }
        Ok(())
    }

    pub(super) fn keep_tail(&mut self, limit: usize) {
        let surplus = self.kept.len().saturating_sub(limit);
        self.kept.drain(..surplus);
    }
}

fn pid_of(child: &Child) -> Pid {
    Pid::from_child(child)
}
