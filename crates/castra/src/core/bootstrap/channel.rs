//! The guest channel as a way into a guest.
//!
//! Whether a guest answers is read from what the broker writes down, as `status` does: `reachable` is what
//! a bootstrap begins with. Every request has a bound: a timer that interrupts the channel, whereupon
//! the guest ends what it was doing. Tests: `tests/it/bootstrap.rs`.

use std::cell::RefCell;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use castra_agent_proto::limits::capability;
use plasmavmc_guest::client::{self, Channel, ClientError, Exec, ExecIo, FailureCode, Sink, Source, Write};
use plasmavmc_guest::clock::boot_ms;
use plasmavmc_guest::freshness::{Evidence, Reach, judge};
use plasmavmc_guest::presence::{holder, lock_state};
use plasmavmc_guest::record::SessionRecord;
use plasmavmc_host::Layout;
use plasmavmc_host::process::{BootId, PidFile};
use plasmavmc_hypervisor::{Observe, block_on};
use plasmavmc_types::VmHandle;
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};

use super::capture::Output;
use super::guest::{Ended, Guest, GuestFault, Program};
use super::record::MAX_RECORD;

/// The way to a guest that may not answer yet.
pub(super) struct ChannelDoor<'a> {
    pub(super) layout: &'a Layout,
    pub(super) vm: &'a VmHandle,
    pub(super) backend: &'a dyn Observe,
    /// How old an answer may be, in milliseconds.
    pub(super) window_ms: u64,
}

/// Whether a guest's agent answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    /// It does, and can do what a bootstrap needs.
    Whole,
    /// It does, and runs no programs or moves no files.
    Lesser,
    None,
}

impl ChannelDoor<'_> {
    /// Whether the agent answers now.
    pub(super) fn answer(&self) -> Answer {
        let Ok(boot_id) = BootId::current() else { return Answer::None };
        let record = SessionRecord::read(self.layout, &self.vm.name);
        let evidence = Evidence {
            broker: lock_state(self.layout),
            holder: holder(self.layout),
            run: PidFile::read(&self.layout.pid_file(&self.vm.name)).map(|pidfile| pidfile.token),
            boot_id,
            record: record.as_ref(),
            now_ms: boot_ms(),
            window_ms: self.window_ms,
        };
        if judge(evidence).reach != Reach::Reachable {
            return Answer::None;
        }
        let can = |capability: &str| {
            record.iter().flat_map(|record| &record.capabilities).any(|known| known == capability)
        };
        if can(capability::EXEC) && can(capability::FILES) { Answer::Whole } else { Answer::Lesser }
    }

    /// Whether the VM has stopped.
    pub(super) fn is_gone(&self) -> bool {
        block_on(self.backend.get_status(self.vm)).is_ok_and(|status| !status.state.is_live())
    }

    /// Opens the way.
    pub(super) fn open(&self, limit: Duration) -> Result<Box<dyn Guest>, GuestFault> {
        let fault = |error| GuestFault::of(error, limit);
        let mut channel = Channel::attach(self.layout, &self.vm.name, limit).map_err(fault)?;
        let timer = timer().map_err(|source| fault(ClientError::Connection(source)))?;
        channel.interrupted_by(timer.as_fd()).map_err(|source| fault(ClientError::Connection(source)))?;
        Ok(Box::new(ChannelGuest { channel, timer, limit }))
    }
}

fn timer() -> io::Result<OwnedFd> {
    let flags = TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK;
    Ok(timerfd_create(TimerfdClockId::Monotonic, flags)?)
}

/// A guest over its channel.
struct ChannelGuest {
    channel: Channel,
    timer: OwnedFd,
    limit: Duration,
}

impl ChannelGuest {
    fn fault(&self, error: ClientError) -> GuestFault {
        GuestFault::of(error, self.limit)
    }
}

impl Guest for ChannelGuest {
    fn bound(&mut self, limit: Duration) {
        self.limit = limit;
        let never = Timespec { tv_sec: 0, tv_nsec: 0 };
        let it_value = Timespec::try_from(limit).unwrap_or(never);
        // A timer that cannot be set costs the bound; the channel's own ones remain.
        let _ = timerfd_settime(
            &self.timer,
            TimerfdTimerFlags::empty(),
            &Itimerspec { it_interval: never, it_value },
        );
    }

    fn read(&mut self, path: &str) -> Result<Option<Vec<u8>>, GuestFault> {
        let mut bytes = Bounded(Vec::new());
        match self.channel.read_file(path, Sink::Write(&mut bytes), &mut |_| {}) {
            Ok(_) => Ok(Some(bytes.0)),
            Err(error) if error.guest_code() == Some(FailureCode::NotFound) => Ok(None),
            Err(error) => Err(self.fault(error)),
        }
    }

    fn write(&mut self, path: &str, mode: u32, bytes: &[u8]) -> Result<(), GuestFault> {
        let file = Write { path: path.to_owned(), mode, owner: None, modified_s: None };
        let written = self.channel.write_file(&file, Source::Bytes(bytes), &mut |_| {});
        written.map(drop).map_err(|error| self.fault(error))
    }

    fn send(
        &mut self,
        path: &str,
        mode: u32,
        modified_s: Option<i64>,
        file: &File,
    ) -> Result<(), GuestFault> {
        let target = Write { path: path.to_owned(), mode, owner: None, modified_s };
        match self.channel.write_file(&target, Source::File(file), &mut |_| {}) {
            Ok(_) => Ok(()),
            Err(ClientError::Input(source)) => Err(GuestFault::Staged { source }),
            Err(error) => Err(self.fault(error)),
        }
    }

    fn make_dir(&mut self, path: &str, mode: u32) -> Result<(), GuestFault> {
        self.channel.make_dir(path, mode).map_err(|error| self.fault(error))
    }

    fn link(&mut self, path: &str, target: &str) -> Result<(), GuestFault> {
        self.channel.link(path, target).map_err(|error| self.fault(error))
    }

    fn run(&mut self, program: &Program, output: &mut dyn FnMut(Output, &[u8])) -> Result<Ended, GuestFault> {
        let exec = Exec {
            argv: program.argv.clone(),
            env: program.env.clone(),
            cwd: program.cwd.clone(),
            user: None,
            terminal: None,
            stdin: false,
        };
        let output = RefCell::new(output);
        let mut out = Feed { output: &output, from: Output::Stdout };
        let mut err = Feed { output: &output, from: Output::Stderr };
        let io = ExecIo {
            stdout: client::Output::Write(&mut out),
            stderr: client::Output::Write(&mut err),
            ..ExecIo::default()
        };
        match self.channel.exec(&exec, io) {
            Ok(client::Ended::Exited(code)) => Ok(Ended::Exited(code.into())),
            Ok(client::Ended::Signaled(signal)) => Ok(Ended::Signaled(signal.into())),
            Err(error) => Err(self.fault(error)),
        }
    }
}

/// Takes the first bytes of a file and lets the rest go: what is longer is no record.
struct Bounded(Vec<u8>);

impl io::Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let room = (MAX_RECORD - self.0.len()).min(bytes.len());
        self.0.extend_from_slice(&bytes[..room]);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Takes both of a program's outputs.
type Taker<'f> = &'f mut dyn FnMut(Output, &[u8]);

/// One of a program's outputs on its way to whoever takes both.
struct Feed<'a, 'f> {
    output: &'a RefCell<Taker<'f>>,
    from: Output,
}

impl io::Write for Feed<'_, '_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        (self.output.borrow_mut())(self.from, bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
