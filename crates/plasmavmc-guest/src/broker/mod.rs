//! The broker: the one who speaks with the guests of a workspace, and hands on between them and
//! commands.
//!
//! ```text
//!  <vm>.agent ─┐                       ┌─ exec, cp, bootstrap   streams
//!  <vm>.agent ─┼─ poll ── one thread ──┼─ bus                   messages
//!  <vm>.agent ─┘    │                  └─ up, down              rescan, retire
//!                   ├─ pidfds: a VM that ended goes
//!                   └─ metadata/sessions/<vm>.json, logs/host-broker.log, events
//! ```
//!
//! States: it runs while a VM lives, or until it is told to retire; then it ends by itself. It holds
//! nothing that the next one needs. What a VM is, it is told ([`Vms`]). Never does: wait for a guest
//! or a command; every queue is bounded and whoever is slow is not read, or goes.
//! Tests: `broker/tests`, and `castra`'s end-to-end tests.

mod ledger;
mod lesser;
mod link;
mod log;
mod peer;
mod requests;
mod turn;

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixListener;

use castra_agent_proto::limits::KEEPALIVE_MS;
use plasmavmc_host::process::Process;
use plasmavmc_host::{HostError, IoContext, Layout, publish, socket};
use plasmavmc_types::{EventKind, RunToken, VmName};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use self::ledger::Ledger;
use self::link::{HIGH_WATER, Link};
use self::peer::{Peer, Role};
use crate::bus::Bus;
use crate::clock::boot_ms;
use crate::switch::ClientId;

/// How long a broker without a VM stays: an `up` that comes in between needs no other.
const GRACE_MS: u64 = 1_000;
/// Connections at once. The one more is turned away.
const CLIENTS_MAX: usize = 64;
/// The least age from which a guest is told to be lost.
const WINDOW_MIN_MS: u64 = 2 * KEEPALIVE_MS + 500;
/// Bytes read at once.
const READ: usize = 64 * 1024;

/// A live VM.
#[derive(Debug)]
pub struct LiveVm {
    /// Its name.
    pub vm: VmName,
    /// The run it is in.
    pub run: RunToken,
    /// Its process.
    pub process: Process,
}

/// What happened to the guest's end of a VM's port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PortNews {
    /// The agent opened it.
    Opened,
    /// The agent closed it, or the guest was reset.
    Closed,
}

/// What the broker is told of VMs, and whom it tells. None of it may wait.
pub trait Vms {
    /// The VMs that live now.
    fn live(&mut self) -> Vec<LiveVm>;

    /// What becomes readable when there is news of a VM.
    fn watch(&self) -> Option<BorrowedFd<'_>>;

    /// The news of ports since this was asked last.
    fn news(&mut self) -> Vec<(VmName, PortNews)>;

    /// A VM's process has ended.
    fn stopped(&mut self, vm: &VmName);

    /// Something happened.
    fn tell(&mut self, vm: Option<&VmName>, kind: EventKind);
}

/// How long a broker lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lifetime {
    /// As long as a VM does.
    WithVms,
    /// Until it is told to retire, VMs or not.
    UntilRetired,
}

/// What a broker is given.
#[derive(Debug, Clone)]
pub struct BrokerConfig {
    /// The workspace.
    pub layout: Layout,
    /// How long it lives.
    pub lifetime: Lifetime,
    /// The age from which a guest is told to be lost, in milliseconds; where that is less than two
    /// keepalives and a little, then that.
    pub window_ms: u64,
}

/// The broker.
pub struct Broker<V> {
    vms: V,
    config: BrokerConfig,
    ledger: Ledger,
    listener: UnixListener,
    links: BTreeMap<VmName, Link>,
    peers: BTreeMap<ClientId, Peer>,
    last_client: u64,
    bus: Bus,
    /// What was asked of `qemu-guest-agent`s, by ticket: of which VM, for whom, on which stream.
    wishes: BTreeMap<u64, (VmName, ClientId, u32)>,
    last_ticket: u64,
    buffer: Box<[u8]>,
    scanned_at: u64,
    /// Since when no VM lives.
    alone_since: u64,
    retired: bool,
}

/// Something that is ready.
#[derive(Debug, Clone)]
enum Token {
    Listener,
    Watch,
    Ended(VmName),
    Guest(VmName),
    Lesser(VmName),
    Client(ClientId),
}

/// How long it waits at most before it looks whether its workspace is still there.
const LOOK_MS: u64 = 5_000;

impl<V: Vms> Broker<V> {
    /// A broker that listens. Whoever makes it holds the workspace's broker lock.
    ///
    /// # Errors
    /// [`HostError`] where the socket or the directories cannot be made.
    pub fn new(vms: V, mut config: BrokerConfig) -> Result<Self, HostError> {
        // Between two keepalives every guest is silent: that is no news.
        config.window_ms = config.window_ms.max(WINDOW_MIN_MS);
        let ledger = Ledger::open(config.layout.clone())?;
        let root = config.layout.root();
        let listener = socket::listen(root, Layout::BROKER_SOCKET_NAME)?;
        listener.set_nonblocking(true).context("listen on", &config.layout.broker_socket())?;
        let now = boot_ms();
        Ok(Self {
            vms,
            config,
            ledger,
            listener,
            links: BTreeMap::new(),
            peers: BTreeMap::new(),
            last_client: 0,
            bus: Bus::default(),
            wishes: BTreeMap::new(),
            last_ticket: 0,
            buffer: vec![0; READ].into(),
            scanned_at: now,
            alone_since: now,
            retired: false,
        })
    }

    /// Serves until it is over.
    ///
    /// # Errors
    /// [`HostError`] where the system does not let it wait.
    pub fn run(mut self) -> Result<(), HostError> {
        let pid = self.ledger.broker().pid;
        self.ledger.log.line(ledger::now(), format_args!("broker started pid={pid}"));
        self.vms.tell(None, EventKind::BrokerStarted { pid });
        self.rescan(boot_ms());
        loop {
            let now = boot_ms();
            if self.is_lost() {
                // Whatever has the name now is another's.
                self.ledger
                    .log
                    .line(ledger::now(), format_args!("broker stopped pid={pid}: its workspace is gone"));
                return Ok(());
            }
            self.tick(now);
            if self.is_over(now) {
                break;
            }
            let ready = self.wait(now).context("wait at", &self.config.layout.broker_socket())?;
            self.turn(&ready);
        }
        // Before the lock is free: the next broker's socket has the same name.
        let _ = publish::remove(&self.config.layout.broker_socket());
        self.ledger.log.line(ledger::now(), format_args!("broker stopped pid={pid}"));
        self.vms.tell(None, EventKind::BrokerStopped { pid });
        Ok(())
    }

    /// Whether nobody can find it any more: its workspace was removed under it. Who has found it before,
    /// and may be saving what is in a guest, is served to the end.
    fn is_lost(&self) -> bool {
        self.peers.is_empty() && self.ledger.is_homeless()
    }

    fn is_over(&self, now: u64) -> bool {
        if !self.links.is_empty() {
            return false;
        }
        let unread =
            self.peers.values().any(|peer| matches!(peer.role, Role::Closing { .. }) && peer.has_output());
        let stays = self.config.lifetime == Lifetime::UntilRetired;
        let waited = !stays && now.saturating_sub(self.alone_since) >= GRACE_MS;
        (self.retired && !unread) || waited
    }

    /// Waits until something is ready or due.
    fn wait(&self, now: u64) -> Result<Vec<(Token, PollFlags)>, Errno> {
        let (mut tokens, mut fds) = (Vec::new(), Vec::new());
        let mut add = |token, fd, flags| {
            tokens.push(token);
            fds.push(PollFd::from_borrowed_fd(fd, flags));
        };
        add(Token::Listener, self.listener.as_fd(), PollFlags::IN);
        if let Some(watch) = self.vms.watch() {
            add(Token::Watch, watch, PollFlags::IN);
        }
        for (vm, link) in &self.links {
            add(Token::Ended(vm.clone()), link.process.as_fd(), PollFlags::IN);
            if let Some(stream) = link.stream() {
                let flags = wanted(link.is_readable(now), link.backlog() > 0);
                // A socket that is not waited for still tells of its end, for ever.
                if !flags.is_empty() {
                    add(Token::Guest(vm.clone()), stream.as_fd(), flags);
                }
            }
        }
        for (vm, link) in &self.links {
            if let Some(lesser) = &link.lesser {
                let flags = wanted(link.is_readable(now), lesser.has_output());
                if !flags.is_empty() {
                    add(Token::Lesser(vm.clone()), lesser.stream().as_fd(), flags);
                }
            }
        }
        for (client, peer) in &self.peers {
            let flags = wanted(self.may_read(peer), peer.has_output());
            if !flags.is_empty() {
                add(Token::Client(*client), peer.stream().as_fd(), flags);
            }
        }
        let left = self.deadline(now).saturating_sub(now).min(LOOK_MS);
        let timeout = Timespec {
            tv_sec: i64::try_from(left / 1_000).unwrap_or_default(),
            tv_nsec: i64::try_from(left % 1_000 * 1_000_000).unwrap_or_default(),
        };
        match poll(&mut fds, Some(&timeout)) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error),
        }
        let flags: Vec<PollFlags> = fds.iter().map(PollFd::revents).collect();
        Ok(tokens.into_iter().zip(flags).filter(|(_, flags)| !flags.is_empty()).collect())
    }

    /// Whether a client may be read: not while what it sent waits for its guest.
    fn may_read(&self, peer: &Peer) -> bool {
        match &peer.role {
            Role::Streams(vm) => self.links.get(vm).is_none_or(|link| link.backlog() <= HIGH_WATER),
            Role::Closing { .. } => false,
            _ => true,
        }
    }

    /// When something is due.
    fn deadline(&self, now: u64) -> u64 {
        let links = self.links.values().map(|link| link.deadline(now));
        let peers = self.peers.values().filter_map(Peer::deadline);
        let ends = self.links.is_empty() && self.config.lifetime == Lifetime::WithVms;
        let end = ends.then_some(self.alone_since + GRACE_MS);
        links.chain(peers).chain(end).min().unwrap_or(u64::MAX)
    }
}

fn wanted(read: bool, write: bool) -> PollFlags {
    let mut flags = PollFlags::empty();
    flags.set(PollFlags::IN, read);
    flags.set(PollFlags::OUT, write);
    flags
}

/// Whether the process at the other end of a connection is this user's.
fn is_ours(stream: impl AsFd) -> bool {
    rustix::net::sockopt::socket_peercred(stream)
        .is_ok_and(|credentials| credentials.uid == rustix::process::geteuid())
}

/// Whether an error of `accept` is of that connection alone.
fn is_passing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::Interrupted | io::ErrorKind::ConnectionAborted)
}

#[cfg(test)]
mod tests;
