//! A blocking QMP session: one command at a time, each with a deadline.
//!
//! Every command has a number of its own, and a reply to a command that was given up is dropped, so
//! a late answer is never taken for another's. Events that arrive in between are dropped too: the
//! journal keeps them. Tests: below, against the other end of a socket pair.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use super::{Capabilities, Codec, CodecError, Command, Message, QemuVersion};

/// Why a command was not answered.
#[derive(Debug, thiserror::Error)]
pub enum QmpError {
    /// The deadline passed first.
    #[error("no answer to `{command}` within {} ms", .bound.as_millis())]
    Timeout {
        /// The command.
        command: &'static str,
        /// How long it had.
        bound: Duration,
    },
    /// QEMU closed the connection, which it does when it ends.
    #[error("the connection closed before `{command}` was answered")]
    Closed {
        /// The command.
        command: &'static str,
    },
    /// QEMU refused.
    #[error("`{command}` was refused: {description}")]
    Refused {
        /// The command.
        command: &'static str,
        /// What QEMU says.
        description: String,
    },
    /// QEMU sent what is not QMP.
    #[error("the answer to `{command}` cannot be read")]
    Codec {
        /// The command.
        command: &'static str,
        /// What is wrong with it.
        #[source]
        source: CodecError,
    },
    /// QEMU's answer has another form than this program knows.
    #[error("the answer to `{command}` has an unknown form")]
    Reply {
        /// The command.
        command: &'static str,
        /// What is wrong with it.
        #[source]
        source: serde_json::Error,
    },
    /// The socket failed.
    #[error("failed to talk to QEMU about `{command}`")]
    Io {
        /// The command.
        command: &'static str,
        /// The system's answer.
        #[source]
        source: io::Error,
    },
}

/// A session with one QEMU.
#[derive(Debug)]
pub struct Client {
    stream: UnixStream,
    codec: Codec,
    /// Messages that arrived and were not looked at yet.
    arrived: VecDeque<Message>,
    version: QemuVersion,
    last_id: u64,
}

impl Client {
    /// Waits for the greeting and ends the negotiation, both within `bound`.
    ///
    /// # Errors
    /// [`QmpError`]. QEMU serves one session at a time on a socket: while it serves another, the
    /// greeting does not come and this times out.
    pub fn start(stream: UnixStream, bound: Duration) -> Result<Self, QmpError> {
        let unknown = QemuVersion { major: 0, minor: 0, micro: 0 };
        let mut client =
            Self { stream, codec: Codec::new(), arrived: VecDeque::new(), version: unknown, last_id: 0 };
        let wait = Wait::new(Capabilities::NAME, bound);
        // Sent before the greeting is here: one turn of QEMU's main loop less.
        let sent = client.send(&Capabilities {}, &wait);
        client.version = loop {
            if let Message::Greeting(version) = client.receive(&wait)? {
                break version;
            }
        };
        sent.and_then(|()| client.reply::<Capabilities>(&wait))?;
        Ok(client)
    }

    /// QEMU's version, as its greeting told it.
    pub fn version(&self) -> QemuVersion {
        self.version
    }

    /// Sends a command and waits for its reply, at most `bound`.
    ///
    /// # Errors
    /// [`QmpError`]. After [`QmpError::Timeout`] or [`QmpError::Refused`] the session goes on.
    pub fn execute<C: Command>(&mut self, command: &C, bound: Duration) -> Result<C::Reply, QmpError> {
        let wait = Wait::new(C::NAME, bound);
        self.send(command, &wait)?;
        self.reply::<C>(&wait)
    }

    /// Waits until QEMU closes the connection, at most `bound`; tells whether it did.
    ///
    /// # Errors
    /// [`QmpError`] where the connection failed otherwise.
    pub fn closes_within(&mut self, bound: Duration) -> Result<bool, QmpError> {
        let wait = Wait::new("nothing", bound);
        loop {
            match self.receive(&wait) {
                Ok(_) => {}
                Err(QmpError::Timeout { .. }) => return Ok(false),
                Err(QmpError::Closed { .. }) => return Ok(true),
                Err(error) => return Err(error),
            }
        }
    }

    /// Sends a command under a number of its own.
    fn send<C: Command>(&mut self, command: &C, wait: &Wait) -> Result<(), QmpError> {
        self.last_id += 1;
        let request = serde_json::json!({ "execute": C::NAME, "arguments": command, "id": self.last_id });
        let mut line = request.to_string().into_bytes();
        line.push(b'\n');
        // A zero timeout would mean "for ever".
        let left = wait.left().max(Duration::from_millis(1));
        self.stream.set_write_timeout(Some(left)).map_err(|error| wait.error(error))?;
        self.stream.write_all(&line).map_err(|error| wait.error(error))
    }

    /// Waits for the reply to the command that was sent last.
    fn reply<C: Command>(&mut self, wait: &Wait) -> Result<C::Reply, QmpError> {
        loop {
            match self.receive(wait)? {
                Message::Return { id, value } if id == Some(self.last_id) => {
                    return serde_json::from_value(value)
                        .map_err(|source| QmpError::Reply { command: C::NAME, source });
                }
                Message::Error { id, description } if id == Some(self.last_id) => {
                    return Err(QmpError::Refused { command: C::NAME, description });
                }
                _ => {}
            }
        }
    }

    /// The next message, before the wait ends.
    fn receive(&mut self, wait: &Wait) -> Result<Message, QmpError> {
        let mut chunk = [0; 4096];
        loop {
            if let Some(message) = self.arrived.pop_front() {
                return Ok(message);
            }
            let left = wait.left();
            if left.is_zero() {
                return Err(wait.timeout());
            }
            self.stream.set_read_timeout(Some(left)).map_err(|error| wait.error(error))?;
            let count = match self.stream.read(&mut chunk) {
                Ok(0) => return Err(QmpError::Closed { command: wait.command }),
                Ok(count) => count,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(wait.error(error)),
            };
            let messages = self.codec.push(&chunk[..count]);
            let messages = messages.map_err(|source| QmpError::Codec { command: wait.command, source })?;
            self.arrived.extend(messages);
        }
    }
}

/// A command's time.
struct Wait {
    command: &'static str,
    bound: Duration,
    end: Instant,
}

impl Wait {
    fn new(command: &'static str, bound: Duration) -> Self {
        Self { command, bound, end: Instant::now() + bound }
    }

    fn left(&self) -> Duration {
        self.end.saturating_duration_since(Instant::now())
    }

    fn timeout(&self) -> QmpError {
        QmpError::Timeout { command: self.command, bound: self.bound }
    }

    /// What an error of the socket means.
    fn error(&self, error: io::Error) -> QmpError {
        match error.kind() {
            ErrorKind::WouldBlock | ErrorKind::TimedOut => self.timeout(),
            // A QEMU that dies resets the connection instead of closing it.
            ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => QmpError::Closed { command: self.command },
            _ => QmpError::Io { command: self.command, source: error },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{QueryStatus, RunState, RunStatus, Stop};
    use super::*;
    use std::io::BufRead;
    use std::thread::JoinHandle;

    const BOUND: Duration = Duration::from_secs(10);
    const GREETING: &str =
        r#"{"QMP":{"version":{"qemu":{"micro":2,"minor":0,"major":10}},"capabilities":[]}}"#;

    /// The other end: greets, then answers the n-th line with the n-th text and closes.
    fn qemu(answers: &'static [&'static str]) -> (UnixStream, JoinHandle<Vec<String>>) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let thread = std::thread::spawn(move || {
            let mut lines = io::BufReader::new(theirs.try_clone().unwrap()).lines();
            let mut theirs = theirs;
            writeln!(theirs, "{GREETING}").unwrap();
            let mut heard = Vec::new();
            for answer in answers {
                heard.push(lines.next().unwrap().unwrap());
                writeln!(theirs, "{answer}").unwrap();
            }
            heard
        });
        (ours, thread)
    }

    #[test]
    fn a_late_reply_and_an_event_are_not_taken_for_the_answer() {
        let (stream, qemu) = qemu(&[
            r#"{"return":{},"id":1}"#,
            r#"{"event":"NEW_THING","data":{},"timestamp":{}}
               {"return":{"status":"paused","running":false},"id":77}
               {"return":{"status":"hibernated-2","running":true},"id":2}"#,
        ]);
        let mut client = Client::start(stream, BOUND).unwrap();
        assert_eq!(client.version(), QemuVersion { major: 10, minor: 0, micro: 2 });
        let status = client.execute(&QueryStatus {}, BOUND).unwrap();
        assert_eq!(status, RunStatus { status: RunState::Unknown });
        let expected = r#"{"arguments":{},"execute":"query-status","id":2}"#;
        assert_eq!(qemu.join().unwrap()[1], expected);
        assert!(client.closes_within(BOUND).unwrap());
    }

    #[test]
    fn a_refusal_tells_the_command_and_the_session_goes_on() {
        let (stream, qemu) = qemu(&[
            r#"{"return":{},"id":1}"#,
            r#"{"error":{"class":"GenericError","desc":"not now"},"id":2}"#,
            r#"{"return":{"status":"running"},"id":3}"#,
        ]);
        let mut client = Client::start(stream, BOUND).unwrap();
        let error = client.execute(&Stop {}, BOUND).unwrap_err();
        assert_eq!(error.to_string(), "`stop` was refused: not now");
        assert_eq!(client.execute(&QueryStatus {}, BOUND).unwrap().status, RunState::Running);
        qemu.join().unwrap();
    }

    #[test]
    fn a_silent_qemu_is_given_up_at_the_bound() {
        let (stream, _theirs) = UnixStream::pair().unwrap();
        let (start, bound) = (Instant::now(), Duration::from_millis(30));
        let error = Client::start(stream, bound).unwrap_err();
        assert!(matches!(error, QmpError::Timeout { .. }), "{error}");
        assert!(start.elapsed() >= bound && start.elapsed() < BOUND);
    }

    #[test]
    fn a_qemu_that_ends_or_talks_nonsense_is_told_apart() {
        let (stream, theirs) = UnixStream::pair().unwrap();
        drop(theirs);
        assert!(matches!(Client::start(stream, BOUND), Err(QmpError::Closed { .. })));
        let (stream, mut theirs) = UnixStream::pair().unwrap();
        theirs.write_all(b"SSH-2.0-dropbear\r\n").unwrap();
        assert!(matches!(Client::start(stream, BOUND), Err(QmpError::Codec { .. })));
    }

    #[test]
    fn a_flood_of_events_does_not_outlast_the_bound() {
        let (stream, mut theirs) = UnixStream::pair().unwrap();
        let flood = std::thread::spawn(move || while theirs.write_all(b"{\"event\":\"X\"}\n").is_ok() {});
        let start = Instant::now();
        assert!(matches!(Client::start(stream, Duration::from_millis(50)), Err(QmpError::Timeout { .. })));
        assert!(start.elapsed() < BOUND);
        flood.join().unwrap();
    }
}
