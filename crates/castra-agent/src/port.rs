//! The port: its thread reads frames for the session and writes what the outbox holds.
//!
//! Owns: opening the port, noticing that the host went and came back, and stopping to read while
//! the host does not read. One thread, one poll. Tests: `tests/it`.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use castra_agent_proto::Decoder;
use castra_agent_proto::message::GuestStage;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::OFlags;
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};

use crate::bus::Bus;
use crate::facts::Facts;
use crate::outbox::Outbox;
use crate::session::Session;
use crate::stages;

/// How long a port without a host is left alone.
const WITHOUT_HOST: Duration = Duration::from_millis(100);
/// Bytes read at once: what a virtio-serial port hands over is at most a page.
const READ: usize = 16 * 1024;
/// Frames written before the host is heard again.
const WRITES: usize = 16;

/// What the agent needs to know.
#[derive(Debug, Clone)]
pub struct Config {
    /// The program of which `exec-child` starts others: the agent itself.
    pub helper: PathBuf,
    /// Where the guest's files are: `/`, but in tests.
    pub root: PathBuf,
    /// The socket on which guest programs publish; none for no such socket.
    pub socket: Option<PathBuf>,
    /// How often the boot is looked at until it is done; none for never.
    pub stages: Option<Duration>,
}

impl Config {
    /// That of a guest.
    pub fn guest() -> Self {
        Self {
            // Also right when the file was replaced by a newer one meanwhile.
            helper: PathBuf::from("/proc/self/exe"),
            root: PathBuf::from("/"),
            socket: Some(PathBuf::from(crate::bus::SOCKET)),
            stages: Some(Duration::from_millis(250)),
        }
    }
}

/// What to do when the host goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hangup {
    /// Wait for it: a virtio-serial port.
    Wait,
    /// End: a socket.
    End,
}

/// What the agent's threads share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) config: Config,
    pub(crate) facts: Facts,
    pub(crate) outbox: Outbox,
    pub(crate) bus: Bus,
    stages: Mutex<BTreeMap<GuestStage, u64>>,
}

impl Shared {
    /// The stages that were reached, and when.
    pub(crate) fn stages(&self) -> BTreeMap<GuestStage, u64> {
        self.stages.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Notes that a stage was reached.
    pub(crate) fn reached(&self, stage: GuestStage, uptime_ms: u64) {
        self.stages.lock().unwrap_or_else(PoisonError::into_inner).insert(stage, uptime_ms);
    }
}

/// Opens the port at `path`.
///
/// # Errors
/// What the kernel says.
pub fn open_port(path: &Path) -> io::Result<OwnedFd> {
    Ok(File::options().read(true).write(true).open(path)?.into())
}

/// Serves the host on `port`.
///
/// # Errors
/// The port is gone, or nothing can be set up.
pub fn serve(port: &OwnedFd, config: Config, hangup: Hangup) -> io::Result<()> {
    let flags = rustix::fs::fcntl_getfl(port)?;
    rustix::fs::fcntl_setfl(port, flags | OFlags::NONBLOCK)?;
    let shared = Arc::new(Shared {
        facts: Facts::gather(&config.root),
        config,
        outbox: Outbox::new()?,
        bus: Bus::new()?,
        stages: Mutex::default(),
    });
    // Its other end closes when this function ends, and every thread with it.
    let (stop, _running) = pipe_with(PipeFlags::CLOEXEC)?;
    let stop = Arc::new(stop);
    crate::bus::start(&shared, &stop)?;
    stages::start(&shared, &stop)?;
    let mut port = Port { port, shared: Arc::clone(&shared), session: Session::new(shared), hangup };
    port.run()
}

struct Port<'a> {
    port: &'a OwnedFd,
    shared: Arc<Shared>,
    session: Session,
    hangup: Hangup,
}

/// Whether the host is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Host {
    There,
    Gone,
}

impl Port<'_> {
    fn run(&mut self) -> io::Result<()> {
        let mut decoder = Decoder::default();
        let mut buffer = vec![0; READ];
        loop {
            let events = self.wait()?;
            let mut host = Host::There;
            if events.intersects(PollFlags::IN) {
                host = self.read(&mut decoder, &mut buffer)?;
            } else if events.intersects(PollFlags::HUP | PollFlags::ERR | PollFlags::NVAL) {
                host = Host::Gone;
            }
            if host == Host::There {
                host = self.write()?;
            }
            if host == Host::Gone {
                decoder.reset();
                self.session.end();
                self.shared.outbox.lose();
                if self.hangup == Hangup::End {
                    return Ok(());
                }
                std::thread::sleep(WITHOUT_HOST);
            }
        }
    }

    /// Waits until there is something to do; tells what the port is ready for.
    fn wait(&self) -> io::Result<PollFlags> {
        let outbox = &self.shared.outbox;
        let mut wanted = PollFlags::empty();
        if !outbox.is_full() {
            wanted |= PollFlags::IN;
        }
        if outbox.has_some() {
            wanted |= PollFlags::OUT;
        }
        let mut fds =
            [PollFd::from_borrowed_fd(self.port.as_fd(), wanted), PollFd::new(outbox, PollFlags::IN)];
        match poll(&mut fds, None) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        let (port, woken) = (fds[0].revents(), !fds[1].revents().is_empty());
        if woken {
            outbox.drain_wakes();
        }
        Ok(port)
    }

    fn read(&mut self, decoder: &mut Decoder, buffer: &mut [u8]) -> io::Result<Host> {
        let count = match rustix::io::read(self.port, &mut *buffer) {
            Ok(0) | Err(Errno::CONNRESET | Errno::PIPE) => return Ok(Host::Gone),
            Ok(count) => count,
            Err(Errno::AGAIN | Errno::INTR) => return Ok(Host::There),
            Err(error) => return Err(error.into()),
        };
        decoder.push(&buffer[..count]);
        loop {
            let frame = decoder.next_frame();
            if decoder.take_skipped() > 0 {
                // What comes after noise belongs to another session, or to nobody.
                self.session.end();
            }
            match frame {
                Some(frame) => self.session.handle(frame),
                None => return Ok(Host::There),
            }
        }
    }

    fn write(&self) -> io::Result<Host> {
        for _ in 0..WRITES {
            let written = self.shared.outbox.write_with(|bytes| Ok(rustix::io::write(self.port, bytes)?));
            match written {
                Ok(true) => {}
                Ok(false) => break,
                Err(error) => match Errno::from_io_error(&error) {
                    Some(Errno::AGAIN | Errno::INTR) => break,
                    Some(Errno::PIPE | Errno::CONNRESET) => return Ok(Host::Gone),
                    _ => return Err(error),
                },
            }
        }
        Ok(Host::There)
    }
}
