//! `bus publish` and `bus tail`: messages to guests and from them.
//!
//! Tests: `tests/it/bus.rs`; the rules of topics and messages are `castra_agent_proto`'s.

use std::ops::ControlFlow;
use std::os::fd::BorrowedFd;

use plasmavmc_guest::client::{
    BusMessage, ClientError, Publication, Tail, TailWanted, publish as publish_to,
};
use plasmavmc_types::VmName;
use schemars::JsonSchema;
use serde::Serialize;

pub use castra_agent_proto::limits::MAX_MESSAGE;

use super::error::Error;
use super::guest::{GuestSelection, known_vms, once_reachable, with_broker};
use super::logs::Follow;
use super::output::{Diagnostic, OperationOutput};
use super::project::WorkspaceId;
use super::selection::{WorkspaceSelection, target};
use super::session::Session;

/// A message for a guest.
#[derive(Debug, Clone)]
pub struct PublishOptions {
    /// Which guest.
    pub guest: GuestSelection,
    /// The topic.
    pub topic: String,
    /// The message.
    pub message: Vec<u8>,
}

/// What was published.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct PublishOutcome {
    /// The workspace.
    #[schemars(with = "String")]
    pub workspace: WorkspaceId,
    /// The VM.
    #[schemars(with = "String")]
    pub vm: VmName,
    /// The topic.
    pub topic: String,
    /// The length of the message.
    pub bytes: u64,
}

/// Publishes a message to a guest. `told` hears of it where one that boots is waited for longer.
///
/// # Errors
/// [`Error::Publish`] where it breaks a rule; [`Error::Guest`] where the guest is not there.
pub fn publish(
    session: &Session,
    options: &PublishOptions,
    told: &mut dyn FnMut(Diagnostic),
) -> Result<OperationOutput<PublishOutcome>, Error> {
    let publication = Publication::new(&options.topic, options.message.clone())?;
    let target = target(session, &options.guest.workspace)?;
    let vm = known_vms(&target)?.choose(options.guest.vm.as_ref())?;
    let attempt = |wait| publish_to(&target.layout, &vm, &publication, wait);
    once_reachable(session, &target, &vm, &options.guest, told, attempt)?;
    let bytes = publication.message.len() as u64;
    let value = PublishOutcome { workspace: target.id, vm, topic: publication.topic, bytes };
    Ok(OperationOutput { value, diagnostics: target.note.into_iter().collect() })
}

/// What to listen to.
#[derive(Debug, Clone)]
pub struct TailOptions {
    /// Which workspace.
    pub workspace: WorkspaceSelection,
    /// Only this VM.
    pub vm: Option<VmName>,
    /// Only this topic.
    pub topic: Option<String>,
    /// How many of the messages that were before; the broker keeps the last of each VM.
    pub last: usize,
    /// Whether to go on with those that come.
    pub follow: Follow,
}

/// What was heard.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct TailOutcome {
    /// The workspace.
    #[schemars(with = "String")]
    pub workspace: WorkspaceId,
    /// Messages.
    pub messages: u64,
}

/// Hands every message to `sink` until there are no more, `sink` has enough, or `interrupt` can be
/// read.
///
/// # Errors
/// [`Error::Guest`] where there is no broker, or it ends.
pub fn tail(
    session: &Session,
    options: &TailOptions,
    interrupt: Option<BorrowedFd<'_>>,
    sink: &mut dyn FnMut(&BusMessage) -> ControlFlow<()>,
) -> Result<OperationOutput<TailOutcome>, Error> {
    let target = target(session, &options.workspace)?;
    let vm = options.vm.as_ref().map(|vm| known_vms(&target)?.choose(Some(vm))).transpose()?;
    let wanted = TailWanted {
        vm: vm.as_ref(),
        topic: options.topic.as_deref(),
        last: options.last,
        only_last: options.follow == Follow::No,
    };
    let mut tail = with_broker(session, &target, vm.as_ref(), || Tail::open(&target.layout, &wanted))?;
    if let Some(fd) = interrupt {
        tail.interrupted_by(fd).map_err(ClientError::Connection)?;
    }
    let mut messages = 0;
    loop {
        match tail.next(None) {
            Ok(Some(message)) => {
                messages += 1;
                if sink(&message).is_break() {
                    break;
                }
            }
            Ok(None) | Err(ClientError::Interrupted) => break,
            // Where nothing more is wanted than what there is, the broker's end is the end.
            Err(ClientError::BrokerGone) if options.follow == Follow::No => break,
            Err(error) => return Err(error.into()),
        }
    }
    let value = TailOutcome { workspace: target.id, messages };
    Ok(OperationOutput { value, diagnostics: target.note.into_iter().collect() })
}
