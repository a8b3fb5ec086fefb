//! Carries bytes between a person and a serial console.
//!
//! ```text
//!   input ──► escape? ──► pending ──► socket      a guest that takes nothing never blocks the escape
//!   output ◄───────────────────────── socket
//! ```
//!
//! One thread, one `poll`. Tests: below, over pipes and socket pairs.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::{Errno, read, write};

use super::{ConsoleEnd, Ends};

/// The escape key: `Ctrl-]`, as telnet and virsh have it.
pub const ESCAPE: u8 = 0x1d;

/// Bytes that wait for a guest. A pipe is read no further than this; what a person types beyond it
/// is dropped, as a guest with a full keyboard buffer drops it.
const PENDING_MAX: usize = 64 * 1024;

/// How long a guest is listened to after the input ended, from the last thing it said: twice what a
/// shell on an emulated machine takes to answer a short command.
const LINGER: Duration = Duration::from_secs(2);

/// Whether the escape key means something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Escape {
    /// It ends the line: a person types.
    Leaves,
    /// It is a byte as any other: the input is a file or a pipe.
    IsData,
}

/// One line being carried.
pub(super) struct Pump<'s, 'e> {
    socket: BorrowedFd<'s>,
    ends: Ends<'e>,
    pending: Vec<u8>,
    /// When the input ended.
    quiet_since: Option<Instant>,
    sent: u64,
    received: u64,
}

impl<'s, 'e> Pump<'s, 'e> {
    /// Between `socket`, which does not block, and `ends`.
    pub(super) fn new(socket: BorrowedFd<'s>, ends: Ends<'e>) -> Self {
        Self { socket, ends, pending: Vec::new(), quiet_since: None, sent: 0, received: 0 }
    }

    pub(super) const fn sent_bytes(&self) -> u64 {
        self.sent
    }

    pub(super) const fn received_bytes(&self) -> u64 {
        self.received
    }

    /// Carries bytes until one of the ends is reached.
    pub(super) fn run(&mut self) -> io::Result<ConsoleEnd> {
        loop {
            let Some(ready) = self.wait()? else { return Ok(ConsoleEnd::InputEnded) };
            if ready.stop {
                return Ok(ConsoleEnd::Interrupted);
            }
            if ready.socket_in
                && let Some(end) = self.receive()?
            {
                return Ok(end);
            }
            if ready.input
                && let Some(end) = self.take_input()?
            {
                return Ok(end);
            }
            // Tried whenever something waits: most of the time the socket takes it at once.
            if let Some(end) = self.send()? {
                return Ok(end);
            }
        }
    }

    /// Waits until there is something to do; none where the input has ended and the guest is silent.
    fn wait(&self) -> io::Result<Option<Ready>> {
        let wants_input = self.quiet_since.is_none()
            && (self.ends.escape == Escape::Leaves || self.pending.len() < PENDING_MAX);
        let mut socket_events = PollFlags::IN;
        if !self.pending.is_empty() {
            socket_events |= PollFlags::OUT;
        }
        let mut fds = vec![PollFd::from_borrowed_fd(self.socket, socket_events)];
        let stop = self.ends.stop.map(|stop| {
            fds.push(PollFd::from_borrowed_fd(stop, PollFlags::IN));
            fds.len() - 1
        });
        let input = wants_input.then(|| {
            fds.push(PollFd::from_borrowed_fd(self.ends.input, PollFlags::IN));
            fds.len() - 1
        });
        let left = self.quiet_since.map(|since| LINGER.saturating_sub(since.elapsed()));
        let timeout = left.map(timespec);
        match poll(&mut fds, timeout.as_ref()) {
            Ok(0) => return Ok(None),
            Ok(_) => {}
            Err(Errno::INTR) => return Ok(Some(Ready::default())),
            Err(error) => return Err(error.into()),
        }
        let is_ready = |at: usize| !fds[at].revents().is_empty();
        Ok(Some(Ready {
            socket_in: fds[0].revents().intersects(PollFlags::IN | PollFlags::HUP | PollFlags::ERR),
            stop: stop.is_some_and(is_ready),
            input: input.is_some_and(is_ready),
        }))
    }

    fn receive(&mut self) -> io::Result<Option<ConsoleEnd>> {
        let mut block = [0; 16 * 1024];
        match read(self.socket, &mut block) {
            Ok(0) | Err(Errno::CONNRESET | Errno::PIPE) => Ok(Some(ConsoleEnd::VmStopped)),
            Ok(count) => {
                self.received += count as u64;
                if let Some(quiet_since) = &mut self.quiet_since {
                    *quiet_since = Instant::now();
                }
                (self.ends.output)(&block[..count]).map(|()| None)
            }
            Err(Errno::AGAIN | Errno::INTR) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    fn take_input(&mut self) -> io::Result<Option<ConsoleEnd>> {
        let mut block = [0; 4 * 1024];
        let count = match read(self.ends.input, &mut block) {
            // EIO is how a terminal says that it is gone.
            Ok(0) | Err(Errno::IO) => {
                self.quiet_since = Some(Instant::now());
                return Ok(None);
            }
            Err(Errno::AGAIN | Errno::INTR) => return Ok(None),
            result => result?,
        };
        let (typed, leaves) = until_escape(&block[..count], self.ends.escape);
        let room = PENDING_MAX.saturating_sub(self.pending.len()).max(match self.ends.escape {
            // A pipe was only read because there was room; none of it may get lost.
            Escape::IsData => typed.len(),
            Escape::Leaves => 0,
        });
        self.pending.extend_from_slice(&typed[..typed.len().min(room)]);
        if !leaves {
            return Ok(None);
        }
        // What was typed before the escape is still meant.
        Ok(self.send()?.or(Some(ConsoleEnd::Left)))
    }

    fn send(&mut self) -> io::Result<Option<ConsoleEnd>> {
        while !self.pending.is_empty() {
            match write(self.socket.as_fd(), &self.pending) {
                Ok(count) => {
                    self.sent += count as u64;
                    self.pending.drain(..count);
                }
                Err(Errno::AGAIN) => return Ok(None),
                Err(Errno::INTR) => {}
                // The VM's last words may still have to be read.
                Err(Errno::PIPE | Errno::CONNRESET) => {
                    self.pending.clear();
                    return Ok(None);
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(None)
    }
}

/// What a `poll` found.
#[derive(Default)]
struct Ready {
    socket_in: bool,
    stop: bool,
    input: bool,
}

/// What was typed before the escape key, and whether it was pressed.
fn until_escape(typed: &[u8], escape: Escape) -> (&[u8], bool) {
    let pressed = match escape {
        Escape::Leaves => typed.iter().position(|&byte| byte == ESCAPE),
        Escape::IsData => None,
    };
    match pressed {
        Some(at) => (&typed[..at], true),
        None => (typed, false),
    }
}

fn timespec(duration: Duration) -> Timespec {
    Timespec {
        tv_sec: i64::try_from(duration.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: duration.subsec_nanos().into(),
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write, pipe};
    use std::os::unix::net::UnixStream;
    use std::thread;

    use super::*;

    /// Runs a pump until it ends; gives what it ended with, what it showed and what the guest got.
    fn carried(typed: &[u8], escape: Escape, guest: impl FnOnce(UnixStream) + Send) -> (ConsoleEnd, Vec<u8>) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        let (input, mut keyboard) = pipe().unwrap();
        keyboard.write_all(typed).unwrap();
        let hold = (escape == Escape::Leaves).then_some(keyboard);
        let mut shown = Vec::new();
        let end = thread::scope(|scope| {
            scope.spawn(|| guest(theirs));
            let mut output = |bytes: &[u8]| {
                shown.extend_from_slice(bytes);
                Ok(())
            };
            let ends = Ends { input: input.as_fd(), escape, output: &mut output, stop: None };
            let end = Pump::new(ours.as_fd(), ends).run().unwrap();
            drop(ours);
            end
        });
        drop(hold);
        (end, shown)
    }

    #[test]
    fn the_escape_key_leaves_and_what_was_typed_before_it_arrives() {
        let (end, _) = carried(b"ls\n\x1drm -rf /\n", Escape::Leaves, |mut guest| {
            let mut got = Vec::new();
            guest.read_to_end(&mut got).unwrap();
            assert_eq!(got, b"ls\n");
        });
        assert_eq!(end, ConsoleEnd::Left);
    }

    #[test]
    fn the_end_of_the_vm_ends_the_line_after_its_last_words() {
        let (end, shown) = carried(b"", Escape::Leaves, |mut guest| {
            guest.write_all(b"Power down.\r\n").unwrap();
        });
        assert_eq!((end, shown), (ConsoleEnd::VmStopped, b"Power down.\r\n".to_vec()));
    }

    #[test]
    fn a_piped_command_is_answered_before_the_line_ends() {
        let (end, shown) = carried(b"\x1dpwd\n", Escape::IsData, |mut guest| {
            let mut got = [0; 5];
            guest.read_exact(&mut got).unwrap();
            assert_eq!(&got, b"\x1dpwd\n");
            guest.write_all(b"/root\n").unwrap();
            // Held until the other side is gone.
            let _ = guest.read(&mut got);
        });
        assert_eq!((end, shown), (ConsoleEnd::InputEnded, b"/root\n".to_vec()));
    }

    #[test]
    fn a_guest_that_takes_nothing_cannot_keep_a_person() {
        let (ours, _theirs) = UnixStream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        let (input, mut keyboard) = pipe().unwrap();
        let mut output = |_: &[u8]| Ok(());
        let typing = thread::spawn(move || {
            // More than the socket and the buffer hold.
            keyboard.write_all(&vec![b'x'; 1 << 20]).unwrap();
            keyboard.write_all(&[ESCAPE]).unwrap();
            keyboard
        });
        let ends = Ends { input: input.as_fd(), escape: Escape::Leaves, output: &mut output, stop: None };
        assert_eq!(Pump::new(ours.as_fd(), ends).run().unwrap(), ConsoleEnd::Left);
        drop(typing.join().unwrap());
    }

    #[test]
    fn a_signal_ends_the_line() {
        let (ours, _theirs) = UnixStream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        let (input, _keyboard) = pipe().unwrap();
        let (stop, mut signal) = pipe().unwrap();
        signal.write_all(b"x").unwrap();
        let mut output = |_: &[u8]| Ok(());
        let ends = Ends {
            input: input.as_fd(),
            escape: Escape::Leaves,
            output: &mut output,
            stop: Some(stop.as_fd()),
        };
        assert_eq!(Pump::new(ours.as_fd(), ends).run().unwrap(), ConsoleEnd::Interrupted);
    }
}
