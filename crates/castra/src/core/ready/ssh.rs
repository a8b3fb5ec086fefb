//! Waits for the identification string of an SSH server (RFC 4253, section 4.2) behind a forward.
//!
//! QEMU accepts a connection to a forwarded port long before anything in the guest listens, so an
//! open port proves nothing. What then happens to the connection tells how far the guest is:
//!
//! ```text
//!  Dark ──closed by the guest──► Lit ──banner──► up
//!    └──────────────banner───────────────────────┘
//! ```
//!
//! *Dark*: connections stay silent, because the guest's network is down and QEMU's first packet
//! was lost; it is repeated only after a second or more, so waiting on one connection is slow. New
//! ones are opened beside it, each after 2 % of the time waited so far. *Lit*: the guest refuses
//! connections; those of the dark are given up, for their first packets are lost, and one at a time is
//! enough from then on. A silent one is a server at work, and gets company only after two seconds.
//! Tests: below, against sockets that behave like QEMU's.

use std::io::{ErrorKind, Read};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// Time between two connections to a guest that refuses them.
const RETRY: Duration = Duration::from_millis(10);
/// Shortest and longest time between two connections to a guest that is silent.
const CADENCE: (Duration, Duration) = (Duration::from_millis(30), Duration::from_millis(250));
/// Connections to a silent guest that are kept open at once. OpenSSH begins to turn connections
/// away when 10 wait to log in (`MaxStartups`).
const OPEN_AT_ONCE: usize = 9;
/// Time a connection to a guest that has answered before may stay silent.
const SERVER_AT_WORK: Duration = Duration::from_secs(10);
/// Time after which another connection is opened beside such a one: a full Debian under emulation
/// takes one second from a connection to its banner.
const COMPANY: Duration = Duration::from_secs(2);
/// Bytes a server may send before its identification.
const PREAMBLE: usize = 1024;

/// What ended a wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Waited {
    /// The guest is up.
    Ready,
    /// It is not, and the bound has passed.
    TimedOut,
    /// It stopped, or the caller gave up.
    Abandoned,
}

/// One wait for an SSH server.
#[derive(Debug)]
pub struct SshWait {
    address: SocketAddr,
    began: Instant,
    answered: bool,
    probes: Vec<Probe>,
}

#[derive(Debug)]
struct Probe {
    stream: TcpStream,
    seen: Vec<u8>,
    opened: Instant,
}

/// What a look at one connection saw.
enum Look {
    Banner,
    Silent,
    Closed,
}

impl SshWait {
    /// A wait for the server behind `address`, a forward on this host.
    pub fn new(address: SocketAddr) -> Self {
        Self { address, began: Instant::now(), answered: false, probes: Vec::new() }
    }

    /// Waits until the server identifies itself, until `deadline`, or until `abandon` says so.
    ///
    /// `abandon` is called several times a second.
    pub fn run(&mut self, deadline: Instant, mut abandon: impl FnMut() -> bool) -> Waited {
        loop {
            if self.look() {
                return Waited::Ready;
            }
            if abandon() {
                return Waited::Abandoned;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Waited::TimedOut;
            }
            self.open_if_due();
            self.sleep(left);
        }
    }

    /// Reads from every connection; true once one has shown the identification.
    fn look(&mut self) -> bool {
        let (mut banner, mut refused) = (false, false);
        let lit = self.answered;
        self.probes.retain_mut(|probe| match probe.look() {
            Look::Banner => {
                banner = true;
                true
            }
            Look::Silent => !lit || probe.opened.elapsed() < SERVER_AT_WORK,
            Look::Closed => {
                refused = true;
                false
            }
        });
        if refused && !lit {
            self.answered = true;
            // Waiting on them would be waiting for QEMU to repeat what was lost.
            if !banner {
                self.probes.clear();
            }
        }
        banner
    }

    /// Time after the newest connection at which the next one is due.
    fn cadence(&self) -> Duration {
        if self.answered {
            return COMPANY;
        }
        (self.began.elapsed() / 50).clamp(CADENCE.0, CADENCE.1)
    }

    fn open_if_due(&mut self) {
        let due = match self.probes.last() {
            None => true,
            Some(newest) => newest.opened.elapsed() >= self.cadence(),
        };
        if !due {
            return;
        }
        if self.probes.len() >= OPEN_AT_ONCE {
            self.probes.remove(0);
        }
        if let Ok(stream) = TcpStream::connect_timeout(&self.address, CADENCE.1)
            && stream.set_nonblocking(true).is_ok()
        {
            self.probes.push(Probe { stream, seen: Vec::new(), opened: Instant::now() });
        }
    }

    /// Sleeps until a connection has news, the next one is due, or `left` has passed.
    fn sleep(&self, left: Duration) {
        if self.probes.is_empty() {
            return thread::sleep(RETRY.min(left));
        }
        let bound = self.cadence().min(CADENCE.1).min(left);
        let timeout = Timespec::try_from(bound).unwrap_or(Timespec { tv_sec: 0, tv_nsec: 10_000_000 });
        let mut fds: Vec<_> =
            self.probes.iter().map(|probe| PollFd::new(&probe.stream, PollFlags::IN)).collect();
        match poll(&mut fds, Some(&timeout)) {
            // A refused connection is tried again at once otherwise, thousands of times a second.
            Ok(ready) if ready > 0 => thread::sleep(Duration::from_millis(1)),
            Ok(_) => {}
            Err(_) => thread::sleep(RETRY.min(left)),
        }
    }
}

impl Probe {
    fn look(&mut self) -> Look {
        let mut buffer = [0; 256];
        loop {
            match self.stream.read(&mut buffer) {
                Ok(0) => return Look::Closed,
                Ok(read) => self.seen.extend_from_slice(&buffer[..read]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Look::Silent,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(_) => return Look::Closed,
            }
            if self.seen.split(|&byte| byte == b'\n').any(|line| line.starts_with(b"SSH-")) {
                return Look::Banner;
            }
            if self.seen.len() > PREAMBLE {
                return Look::Closed;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::net::{Ipv4Addr, TcpListener};

    use super::*;

    fn listen(mut serve: impl FnMut(TcpStream, usize) + Send + 'static) -> SocketAddr {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        thread::spawn(move || {
            for (number, stream) in listener.incoming().flatten().enumerate() {
                serve(stream, number);
            }
        });
        address
    }

    fn wait(address: SocketAddr, bound: Duration) -> Waited {
        SshWait::new(address).run(Instant::now() + bound, || false)
    }

    const SHORT: Duration = Duration::from_millis(100);
    const LONG: Duration = Duration::from_secs(20);

    #[test]
    fn a_port_that_is_open_but_closes_at_once_is_not_ready() {
        assert_eq!(wait(listen(|stream, _| drop(stream)), SHORT), Waited::TimedOut);
    }

    #[test]
    fn a_port_that_says_something_else_is_not_ready() {
        let address = listen(|mut stream, _| {
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
        });
        assert_eq!(wait(address, SHORT), Waited::TimedOut);
    }

    #[test]
    fn a_port_that_floods_is_not_ready() {
        let address = listen(|mut stream, _| {
            let _ = stream.write_all(&[b'x'; 65536]);
        });
        assert_eq!(wait(address, SHORT), Waited::TimedOut);
    }

    #[test]
    fn the_banner_counts_even_in_pieces_and_after_other_lines() {
        let address = listen(|mut stream, number| {
            if number > 1 {
                let _ = stream.write_all(b"welcome\r\nSS");
                let _ = stream.flush();
                let _ = stream.write_all(b"H-2.0-dropbear\r\n");
            }
        });
        assert_eq!(wait(address, LONG), Waited::Ready);
    }

    #[test]
    fn a_connection_lost_in_the_dark_does_not_hold_up_the_next() {
        let mut lost = Vec::new();
        let address = listen(move |mut stream, number| {
            if number >= 20 {
                let _ = stream.write_all(b"SSH-2.0-x\r\n");
            }
            lost.push(stream);
        });
        assert_eq!(wait(address, LONG), Waited::Ready);
    }

    /// What QEMU does with a guest whose network is up before its SSH server: connections of the dark
    /// stay silent for seconds, new ones are refused, then served.
    #[test]
    fn connections_lost_in_the_dark_are_given_up_once_the_guest_refuses_one() {
        let mut lost = Vec::new();
        let address = listen(move |mut stream, number| match number {
            0..=4 => lost.push(stream),
            5..=7 => drop(stream),
            _ => {
                let _ = stream.write_all(b"SSH-2.0-x\r\n");
                lost.push(stream);
            }
        });
        assert_eq!(wait(address, SERVER_AT_WORK / 2), Waited::Ready);
    }

    #[test]
    fn a_slow_server_is_not_connected_to_again() {
        let mut held = Vec::new();
        let address = listen(move |mut stream, number| match number {
            0 => drop(stream),
            1 => {
                thread::sleep(SHORT * 3);
                let _ = stream.write_all(b"SSH-2.0-slow\r\n");
                held.push(stream);
            }
            _ => drop(stream),
        });
        let mut wait = SshWait::new(address);
        assert_eq!(wait.run(Instant::now() + LONG, || false), Waited::Ready);
        assert_eq!(wait.probes.len(), 1);
    }

    #[test]
    fn a_guest_that_stopped_is_not_waited_for() {
        let closed = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap();
        let waited = SshWait::new(closed).run(Instant::now() + LONG, || true);
        assert_eq!(waited, Waited::Abandoned);
    }
}
