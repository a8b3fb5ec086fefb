//! Starts writing a growing file to disk early, so that the one flush at its end is short.
//!
//! An early flush that fails says nothing: the last one, by the writer itself, tells. Tests: the
//! downloads in `crates/plasmavmc-host/tests/image` end with that flush.

use std::fs::File;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::{self, JoinHandle};

/// Bytes between two early flushes.
const EVERY_BYTES: usize = 32 << 20;

/// A thread that flushes a file while it is written.
#[derive(Debug)]
pub(super) struct EarlyFlush {
    /// None where the system gave no thread: flushing early is a favour, not a duty.
    thread: Option<(SyncSender<()>, JoinHandle<()>)>,
    pending: usize,
}

impl EarlyFlush {
    pub(super) fn start(file: File) -> Self {
        let (sender, asked) = sync_channel(1);
        let flush = move || {
            for () in asked {
                let _ = file.sync_data();
            }
        };
        let thread = thread::Builder::new().name("castra-flush".to_owned()).spawn(flush).ok();
        Self { thread: thread.map(|thread| (sender, thread)), pending: 0 }
    }

    /// Tells that `bytes` more were written.
    pub(super) fn written(&mut self, bytes: usize) {
        self.pending += bytes;
        if self.pending < EVERY_BYTES {
            return;
        }
        self.pending = 0;
        if let Some((sender, _)) = &self.thread {
            // One flush under way and one asked for are enough.
            let _ = sender.try_send(());
        }
    }

    /// Waits for a flush under way to end.
    pub(super) fn finish(self) {
        if let Some((sender, thread)) = self.thread {
            drop(sender);
            let _ = thread.join();
        }
    }
}
