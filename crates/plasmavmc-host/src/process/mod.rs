//! Processes known by identity, never by a bare pid.
//!
//! A pid is reused; a pid together with its start time and the boot it counts from is not. Every
//! question and every signal goes through a pidfd that was opened first and compared afterwards, so
//! a process that ends in between is "gone" and its pid's next owner is never touched.
//!
//! Owns: [`ProcessIdentity`], [`Process`], the pidfile's format, launching a process that outlives
//! us. Never does: decide whom to signal. A zombie counts as gone. Tests: below and in each file.

mod identity;
mod launch;
mod pidfile;
mod scan;
mod stat;

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use rustix::time::{ClockId, clock_gettime};

pub use identity::{BootId, ProcessIdentity};
pub use launch::{Detached, Launched};
pub use pidfile::PidFile;
pub use scan::{find_by_argument, find_by_prefix};
pub use stat::{ProcessState, Stat};

use crate::{HostError, IoContext};

/// How long a program may take to be loaded: some microseconds, unless the host is overloaded.
const LOADING_BOUND: Duration = Duration::from_millis(200);

/// A live process, held by a pidfd.
#[derive(Debug)]
pub struct Process {
    pidfd: OwnedFd,
    identity: ProcessIdentity,
}

impl Process {
    /// The process of that identity; none where it has ended, however, or its pid has another owner.
    ///
    /// # Errors
    /// [`HostError::Io`] where the system cannot be asked.
    pub fn open(identity: ProcessIdentity) -> Result<Option<Self>, HostError> {
        if identity.boot_id != BootId::current()? {
            return Ok(None);
        }
        let process = Self::of_pid(identity.pid)?;
        Ok(process.filter(|process| process.identity == identity))
    }

    /// This process itself.
    ///
    /// # Errors
    /// [`HostError::Io`] where the system cannot be asked.
    pub fn of_this_process() -> Result<Self, HostError> {
        let missing = || HostError::Io {
            action: "find this process in",
            path: "/proc".into(),
            source: std::io::ErrorKind::NotFound.into(),
        };
        Self::of_pid(std::process::id())?.ok_or_else(missing)
    }

    /// The process that has this pid now; none where there is none.
    ///
    /// # Errors
    /// [`HostError::Io`] where the system cannot be asked.
    pub fn of_pid(pid: u32) -> Result<Option<Self>, HostError> {
        match Self::attach(pid)? {
            // Alive after the reading: the pid was this process's throughout.
            Some(process) if !process.exits_within(Duration::ZERO)? => Ok(Some(process)),
            _ => Ok(None),
        }
    }

    /// The process or zombie that has this pid now. Its identity is certain only while nobody can
    /// have reaped it.
    fn attach(pid: u32) -> Result<Option<Self>, HostError> {
        let Some(raw) = i32::try_from(pid).ok().and_then(Pid::from_raw) else {
            return Ok(None);
        };
        let pidfd = match pidfd_open(raw, PidfdFlags::empty()) {
            Ok(pidfd) => pidfd,
            // EINVAL: the id of a thread that leads no process.
            Err(Errno::SRCH | Errno::INVAL) => return Ok(None),
            Err(error) => return Err(error).context("open a handle on", &proc_path(pid, "")),
        };
        let Some(stat) = Stat::read(pid)? else { return Ok(None) };
        let identity = ProcessIdentity { pid, start_time: stat.start_time, boot_id: BootId::current()? };
        Ok(Some(Self { pidfd, identity }))
    }

    /// Who it is.
    pub fn identity(&self) -> ProcessIdentity {
        self.identity
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.identity.pid
    }

    /// Sends a signal. A process that has ended takes it without effect.
    ///
    /// # Errors
    /// [`HostError::Io`] where this user may not signal it.
    pub fn signal(&self, signal: Signal) -> Result<(), HostError> {
        match pidfd_send_signal(&self.pidfd, signal) {
            Ok(()) | Err(Errno::SRCH) => Ok(()),
            Err(error) => Err(error).context("signal", &proc_path(self.pid(), "")),
        }
    }

    /// Waits until it has ended, at most `bound`; tells whether it did. A bound beyond what a clock
    /// holds is none.
    ///
    /// # Errors
    /// [`HostError::Io`] where the system cannot be asked.
    pub fn exits_within(&self, bound: Duration) -> Result<bool, HostError> {
        let end = Instant::now().checked_add(bound);
        loop {
            let left = end.map(|end| end.saturating_duration_since(Instant::now()));
            let timeout = left.and_then(|left| Timespec::try_from(left).ok());
            match poll(&mut [PollFd::new(&self.pidfd, PollFlags::IN)], timeout.as_ref()) {
                Ok(ready) => return Ok(ready > 0),
                Err(Errno::INTR) => {}
                Err(error) => return Err(error).context("wait for", &proc_path(self.pid(), "")),
            }
        }
    }

    /// Whether it runs, was stopped by a signal, or has ended.
    ///
    /// # Errors
    /// [`HostError::Io`] where the system cannot be asked.
    pub fn state(&self) -> Result<ProcessState, HostError> {
        let stat = Stat::read(self.pid())?.filter(|stat| stat.start_time == self.identity.start_time);
        Ok(stat.map_or(ProcessState::Dead, |stat| stat.state))
    }

    /// Time since it started.
    pub fn uptime(&self) -> Duration {
        let now = clock_gettime(ClockId::Boottime);
        let now = Duration::new(
            u64::try_from(now.tv_sec).unwrap_or_default(),
            u32::try_from(now.tv_nsec).unwrap_or_default(),
        );
        now.saturating_sub(self.identity.started_after_boot())
    }

    /// The directory it runs in; none where it ended or does not show it.
    pub fn working_dir(&self) -> Option<PathBuf> {
        std::fs::read_link(proc_path(self.pid(), "cwd")).ok()
    }

    /// Whether one of its command line's arguments is exactly `argument`.
    ///
    /// A process shows no command line for the moment its program is being loaded; that moment is
    /// waited for.
    ///
    /// # Errors
    /// [`HostError::Io`] where the command line cannot be read.
    pub fn has_argument(&self, argument: &str) -> Result<bool, HostError> {
        let end = Instant::now() + LOADING_BOUND;
        loop {
            match self.shows_argument(argument)? {
                Some(found) => return Ok(found),
                None if Instant::now() >= end => return Ok(false),
                None => std::thread::sleep(Duration::from_millis(1)),
            }
        }
    }

    /// Whether one of its command line's arguments is exactly `argument`. None where it lives and
    /// shows no command line: its program is just being loaded, or it was killed and the kernel is
    /// still taking its memory back, while all its files and locks are still held.
    ///
    /// # Errors
    /// [`HostError::Io`] where the command line cannot be read.
    pub fn shows_argument(&self, argument: &str) -> Result<Option<bool>, HostError> {
        let found = scan::has_argument(self.pid(), argument)?;
        Ok(if self.exits_within(Duration::ZERO)? { Some(false) } else { found })
    }
}

/// The pidfd, for a `poll` over several things: it becomes readable when the process ends.
impl AsFd for Process {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }
}

/// A file of a process under `/proc`.
fn proc_path(pid: u32, file: &str) -> PathBuf {
    PathBuf::from(format!("/proc/{pid}/{file}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Child, Command};

    /// A child that is ended when the test ends.
    struct Sleeper(Child);

    impl Sleeper {
        fn start() -> Self {
            Self(Command::new("sleep").arg("600").spawn().unwrap())
        }

        fn process(&self) -> Process {
            Process::of_pid(self.0.id()).unwrap().expect("it lives")
        }
    }

    impl Drop for Sleeper {
        fn drop(&mut self) {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }

    #[test]
    fn a_process_is_found_again_by_its_identity() {
        let child = Sleeper::start();
        let identity = child.process().identity();
        let process = Process::open(identity).unwrap().expect("it lives");
        assert_eq!(process.state().unwrap(), ProcessState::Alive);
        assert!(process.uptime() < Duration::from_secs(60), "{:?}", process.uptime());
    }

    #[test]
    fn another_owner_of_the_pid_is_not_the_process() {
        let child = Sleeper::start();
        let identity = child.process().identity();
        let earlier = ProcessIdentity { start_time: identity.start_time - 1, ..identity };
        assert!(Process::open(earlier).unwrap().is_none());
        let other_boot = ProcessIdentity { boot_id: BootId::from_uuid(uuid::Uuid::nil()), ..identity };
        assert!(Process::open(other_boot).unwrap().is_none());
    }

    #[test]
    fn no_pid_beyond_the_kernels_range_is_a_process() {
        for pid in [0, u32::MAX, i32::MAX.unsigned_abs()] {
            assert!(Process::of_pid(pid).unwrap().is_none(), "{pid}");
        }
    }

    #[test]
    fn a_zombie_is_gone_and_takes_signals_without_effect() {
        let mut child = Sleeper::start();
        let process = child.process();
        assert!(!process.exits_within(Duration::from_millis(1)).unwrap());
        process.signal(Signal::KILL).unwrap();
        assert!(process.exits_within(Duration::from_secs(10)).unwrap());
        assert!(Process::of_pid(process.pid()).unwrap().is_none(), "the zombie counts as alive");
        child.0.wait().unwrap();
        process.signal(Signal::KILL).unwrap();
        assert_eq!(process.state().unwrap(), ProcessState::Dead);
    }

    #[test]
    fn a_wait_without_a_bound_ends_with_the_process() {
        let child = Sleeper::start();
        let process = child.process();
        process.signal(Signal::KILL).unwrap();
        assert!(process.exits_within(Duration::MAX).unwrap());
    }

    #[test]
    fn a_process_that_lives_on_without_a_command_line_is_not_taken_for_a_stranger() {
        // A process whose first thread has ended shows none, as one that is being killed does.
        let script = "use threads; threads->create(sub { sleep 600 }); syscall($ARGV[0], 0)";
        let exit_thread = if cfg!(target_arch = "aarch64") { "93" } else { "60" };
        let child = Sleeper(Command::new("perl").args(["-e", script, exit_thread]).spawn().unwrap());
        let process = child.process();
        castra_testkit::eventually("its first thread's end", || {
            process.state().unwrap() == ProcessState::Dead
        });
        assert_eq!(process.shows_argument(exit_thread).unwrap(), None);
        assert!(!process.exits_within(Duration::ZERO).unwrap());
        assert!(Process::open(process.identity()).unwrap().is_some());
        process.signal(Signal::KILL).unwrap();
        assert!(process.exits_within(Duration::from_secs(10)).unwrap());
        assert_eq!(process.shows_argument(exit_thread).unwrap(), Some(false));
    }

    #[test]
    fn a_stopped_process_is_told_apart() {
        let child = Sleeper::start();
        let process = child.process();
        process.signal(Signal::STOP).unwrap();
        let end = Instant::now() + Duration::from_secs(10);
        while process.state().unwrap() != ProcessState::Stopped {
            assert!(Instant::now() < end, "SIGSTOP had no effect");
            std::thread::yield_now();
        }
    }
}
