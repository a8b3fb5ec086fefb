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

/// Publishes one message to the guest of `vm`.
///
/// # Errors
/// [`ClientError`]; [`ClientError::Unreachable`] where its agent is not there.
pub fn publish(layout: &Layout, vm: &VmName, publication: &Publication) -> Result<(), ClientError> {
    let mut link = Link::attach(layout, &Attach::Publish { vm: vm.to_string() }, Some(vm))?;
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

/// Every message on the bus from here on, and before them those the broker still has.
#[derive(Debug)]
pub struct Tail {
    link: Link,
}

impl Tail {
    /// Listens, to everything or only to one VM or topic.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn open(layout: &Layout, vm: Option<&VmName>, topic: Option<&str>) -> Result<Self, ClientError> {
        let what = Attach::Tail { vm: vm.map(ToString::to_string), topic: topic.map(ToOwned::to_owned) };
        Link::attach(layout, &what, vm).map(|link| Self { link })
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
