//! Whether a workspace has a broker: it holds a lock for as long as it lives, and names itself in the
//! lock's file for people and for `doctor`. The name proves nothing; the lock does. Tests: below.

use std::io::{Seek, Write};
use std::time::Duration;

use plasmavmc_host::process::{Process, ProcessIdentity};
use plasmavmc_host::{FileLock, HostError, IoContext, Layout, LockError, plain};

use crate::freshness::BrokerLock;

/// How long a broker that starts waits for the lock: those who look at it hold it for microseconds.
const CLAIM_BOUND: Duration = Duration::from_millis(200);

/// Most bytes of the lock's file that are read.
const IDENTITY_MAX: u64 = 4096;

/// The right to be the broker, given up when dropped.
#[derive(Debug)]
pub struct Presence {
    _lock: FileLock,
}

impl Presence {
    /// Becomes the broker; none where another is.
    ///
    /// # Errors
    /// [`LockError::Host`] where the lock's file cannot be used.
    pub fn claim(layout: &Layout) -> Result<Option<Self>, LockError> {
        let path = layout.broker_lock();
        let lock = match FileLock::acquire(&path, CLAIM_BOUND) {
            Ok(lock) => lock,
            Err(LockError::Busy { .. }) => return Ok(None),
            Err(error) => return Err(error),
        };
        let named = Process::of_this_process().and_then(|process| {
            let text = serde_json::to_vec(&process.identity()).expect("plain values serialise");
            let mut file = lock.as_file();
            file.set_len(0).and_then(|()| file.rewind()).context("write", &path)?;
            file.write_all(&text).context("write", &path)
        });
        // On a full disk the broker goes without a name.
        drop(named as Result<(), HostError>);
        Ok(Some(Self { _lock: lock }))
    }
}

/// Whether the workspace has a broker. Makes no file; a lock that cannot be looked at counts as free.
pub fn lock_state(layout: &Layout) -> BrokerLock {
    match FileLock::is_held(&layout.broker_lock()) {
        Ok(true) => BrokerLock::Held,
        Ok(false) | Err(_) => BrokerLock::Free,
    }
}

/// Who the broker is, or the last one was.
pub fn identity(layout: &Layout) -> Option<ProcessIdentity> {
    serde_json::from_slice(&plain::read(&layout.broker_lock(), IDENTITY_MAX).ok()??).ok()
}

/// Who holds the broker's lock now; none where nobody does, or where whoever took it this moment has not
/// said so yet.
pub fn holder(layout: &Layout) -> Option<ProcessIdentity> {
    if lock_state(layout) == BrokerLock::Free {
        return None;
    }
    // The name of one that was killed stands there until the next one has written its own.
    let named = identity(layout)?;
    Process::open(named).ok().flatten().map(|process| process.identity())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn there_is_one_broker_and_it_can_be_told_who() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::new(dir.path());
        assert_eq!((lock_state(&layout), identity(&layout)), (BrokerLock::Free, None));
        let presence = Presence::claim(&layout).unwrap().expect("there is none");
        assert_eq!(lock_state(&layout), BrokerLock::Held);
        assert!(Presence::claim(&layout).unwrap().is_none());
        let me = Process::of_this_process().unwrap().identity();
        assert_eq!((identity(&layout), holder(&layout)), (Some(me), Some(me)));
        // As a broker that was killed leaves it to one that has the lock and not written its name.
        let dead = ProcessIdentity { start_time: me.start_time + 1, ..me };
        fs::write(layout.broker_lock(), serde_json::to_vec(&dead).unwrap()).unwrap();
        assert_eq!((identity(&layout), holder(&layout)), (Some(dead), None));
        fs::write(layout.broker_lock(), serde_json::to_vec(&me).unwrap()).unwrap();
        drop(presence);
        assert_eq!((lock_state(&layout), holder(&layout)), (BrokerLock::Free, None));
        assert!(Presence::claim(&layout).unwrap().is_some());
    }
}
