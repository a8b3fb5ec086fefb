//! The bus as a command has it: one message to a guest, or every message there is. Tests: in `tests`.

use std::os::fd::BorrowedFd;
use std::time::Duration;

use castra_agent_proto::message::{Attach, Attached, BusMessage, Publication, body};
use castra_agent_proto::{Frame, Kind};
use plasmavmc_host::Layout;
use plasmavmc_types::VmName;

use super::ClientError;
use super::link::Link;

/// How long the broker may take to answer a message: it only queues it.
const ANSWER: Duration = Duration::from_secs(5);

/// Publishes one message to the guest of `vm`; waits up to `bound` for it to become reachable.
///
/// # Errors
/// [`ClientError`]; [`ClientError::Unreachable`] where its agent is not there.
pub fn publish(
    layout: &Layout,
    vm: &VmName,
    publication: &Publication,
    bound: Duration,
) -> Result<(), ClientError> {
    let what = Attach::Publish { vm: vm.to_string() };
    let mut link = super::attach_within(layout, &what, vm, bound, None)?;
    link.send(&Frame::session(Kind::Publish, publication.to_payload()));
    let Some(frame) = link.next_frame(Some(ANSWER))? else {
        return Err(ClientError::BrokerSilent { root: layout.root().to_owned(), waited: ANSWER });
    };
    match body::<Attached>(&frame).filter(|_| frame.kind == Kind::Attached) {
        Some(Attached::Ok) => Ok(()),
        Some(Attached::Refused { code, message }) => {
            Err(ClientError::refused(code, &message, Some(vm), Duration::ZERO))
        }
        None => Err(ClientError::BrokerGone),
    }
}

/// Which messages are wanted. By default all that come, and none that were.
#[derive(Debug, Clone, Copy, Default)]
pub struct TailWanted<'a> {
    /// Only of this VM.
    pub vm: Option<&'a VmName>,
    /// Only on this topic.
    pub topic: Option<&'a str>,
    /// How many of those that were; the broker keeps the last few of each VM.
    pub last: usize,
    /// Not those that come: [`Tail::next`] then ends with [`ClientError::BrokerGone`].
    pub only_last: bool,
}

/// Messages of the bus, as they come.
#[derive(Debug)]
pub struct Tail {
    link: Link,
}

impl Tail {
    /// Listens.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn open(layout: &Layout, wanted: &TailWanted<'_>) -> Result<Self, ClientError> {
        let what = Attach::Tail {
            vm: wanted.vm.map(ToString::to_string),
            topic: wanted.topic.map(ToOwned::to_owned),
            last: wanted.last,
            only_last: wanted.only_last,
        };
        Link::attach(layout, &what, wanted.vm, None).map(|link| Self { link })
    }

    /// From here on every wait ends with [`ClientError::Interrupted`] once `fd` can be read.
    ///
    /// # Errors
    /// Where `fd` cannot be duplicated.
    pub fn interrupted_by(&mut self, fd: BorrowedFd<'_>) -> std::io::Result<()> {
        self.link.interrupted_by(fd)
    }

    /// The next message; none where none came within `bound`.
    ///
    /// # Errors
    /// [`ClientError::BrokerGone`] where the broker ended.
    pub fn next(&mut self, bound: Option<Duration>) -> Result<Option<BusMessage>, ClientError> {
        while let Some(frame) = self.link.next_frame(bound)? {
            // What is no message is from a newer broker, and for others.
            if let Some(message) = body::<BusMessage>(&frame).filter(|_| frame.kind == Kind::Publish) {
                return Ok(Some(message));
            }
        }
        Ok(None)
    }
}
