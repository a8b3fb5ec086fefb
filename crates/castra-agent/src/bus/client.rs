//! What guest programs call: `castra-agent publish` and `castra-agent tail`.
//!
//! Tests: `tests/it/bus.rs`.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use castra_agent_proto::message::{Attach, Attached, Publication, PublishError, body, session_frame};
use castra_agent_proto::{Decoder, Frame, Kind};

/// How long the agent gets to answer.
const ANSWER_BOUND: Duration = Duration::from_secs(5);

/// Why a guest program cannot publish or listen.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// There is no agent.
    #[error("no agent listens on `{path}`")]
    NoAgent {
        /// Its socket.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The message breaks a rule.
    #[error(transparent)]
    Message(#[from] PublishError),
    /// The agent did not take it.
    #[error("{reason}")]
    Refused {
        /// Why.
        reason: String,
    },
    /// The agent went.
    #[error("the agent went before it answered")]
    Lost {
        /// How that showed.
        #[source]
        source: io::Error,
    },
    /// What was heard could not be handed on.
    #[error("cannot write what was heard")]
    Output {
        /// Why not.
        #[source]
        source: io::Error,
    },
}

/// Publishes messages on `topic`, in order, until one is refused.
///
/// # Errors
/// [`ClientError`]; messages before it were taken.
pub fn publish(
    socket: &Path,
    topic: &str,
    messages: impl Iterator<Item = Vec<u8>>,
) -> Result<(), ClientError> {
    let mut connection = Connection::open(socket)?;
    for message in messages {
        let publication = Publication::new(topic, message)?;
        connection.ask(&Frame::session(Kind::Publish, publication.to_payload()))?;
    }
    Ok(())
}

/// Hands `each` what the host publishes, on `topic` or on all, until the agent ends.
///
/// # Errors
/// [`ClientError`].
pub fn tail(
    socket: &Path,
    topic: Option<&str>,
    each: &mut dyn FnMut(&Publication) -> io::Result<()>,
) -> Result<(), ClientError> {
    let mut connection = Connection::open(socket)?;
    let attach = Attach::Tail { vm: None, topic: topic.map(str::to_owned), last: 0, only_last: false };
    connection.ask(&session_frame(Kind::Attach, &attach))?;
    connection.stream.set_read_timeout(None).map_err(|source| ClientError::Lost { source })?;
    loop {
        let frame = match connection.next_frame() {
            Ok(frame) => frame,
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
            Err(source) => return Err(ClientError::Lost { source }),
        };
        if let Some(publication) = Publication::parse(&frame.payload) {
            each(&publication).map_err(|source| ClientError::Output { source })?;
        }
    }
}

struct Connection {
    stream: UnixStream,
    decoder: Decoder,
}

impl Connection {
    fn open(socket: &Path) -> Result<Self, ClientError> {
        let open = || {
            let stream = UnixStream::connect(socket)?;
            stream.set_read_timeout(Some(ANSWER_BOUND))?;
            stream.set_write_timeout(Some(ANSWER_BOUND))?;
            Ok(stream)
        };
        let stream = open().map_err(|source| ClientError::NoAgent { path: socket.to_owned(), source })?;
        Ok(Self { stream, decoder: Decoder::default() })
    }

    fn ask(&mut self, frame: &Frame) -> Result<(), ClientError> {
        let lost = |source| ClientError::Lost { source };
        self.stream.write_all(&frame.to_bytes()).map_err(lost)?;
        match body(&self.next_frame().map_err(lost)?) {
            Some(Attached::Ok) => Ok(()),
            Some(Attached::Refused { message, .. }) => Err(ClientError::Refused { reason: message }),
            None => Err(lost(io::ErrorKind::InvalidData.into())),
        }
    }

    fn next_frame(&mut self) -> io::Result<Frame> {
        let mut buffer = [0; 8 * 1024];
        loop {
            if let Some(frame) = self.decoder.next_frame() {
                return Ok(frame);
            }
            match self.stream.read(&mut buffer)? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                count => self.decoder.push(&buffer[..count]),
            }
        }
    }
}
