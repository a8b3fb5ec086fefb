//! Numbers events, hands them to whoever watches, and keeps them in `logs/events.jsonl`.
//!
//! One stream of numbers per command, and one recorder per workspace it works on. Each event is one
//! `write` of one line to a file opened for appending, so that the lines of commands running at
//! once do not mix. A log that cannot be written never fails the operation it tells about. Tests:
//! below.

use std::fs::File;
use std::io::Write;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use plasmavmc_host::{Layout, plain};
use plasmavmc_hypervisor::EventSink;
use plasmavmc_types::{Event, EventKind, VmName};

/// How long the log may be when a command begins, in bytes; then it is put aside as `events.jsonl.1`.
const LOG_MAX: u64 = 16 << 20;

/// Sees events as they happen. Called from several threads, one event at a time.
pub type Observer<'a> = dyn Fn(&Event) + Sync + 'a;

/// Numbers, forwards and keeps events.
pub struct Recorder<'a> {
    stream: Arc<Stream<'a>>,
    log: Option<File>,
}

struct Stream<'a> {
    last_seq: Mutex<u64>,
    observer: &'a Observer<'a>,
}

impl<'a> Recorder<'a> {
    /// A recorder that keeps the events of the workspace at `layout`.
    ///
    /// Where the log cannot be opened, for instance before the workspace exists, events are only
    /// forwarded.
    pub fn new(layout: &Layout, observer: &'a Observer<'a>) -> Self {
        Self::forwarding(observer).keeping(layout)
    }

    /// A recorder that keeps nothing.
    pub fn forwarding(observer: &'a Observer<'a>) -> Self {
        Self { stream: Arc::new(Stream { last_seq: Mutex::new(0), observer }), log: None }
    }

    /// A recorder of the same stream that keeps nothing.
    #[must_use]
    pub fn forwarding_too(&self) -> Self {
        Self { stream: Arc::clone(&self.stream), log: None }
    }

    /// A recorder of the same stream that keeps the events of the workspace at `layout`.
    #[must_use]
    pub fn keeping(&self, layout: &Layout) -> Self {
        let path = layout.events_log();
        let log = plain::rotate(&path, &path.with_extension("jsonl.1"), LOG_MAX)
            .and_then(|()| plain::append(&path));
        Self { stream: Arc::clone(&self.stream), log: log.ok() }
    }
}

impl EventSink for Recorder<'_> {
    fn emit(&self, vm: Option<&VmName>, kind: EventKind) {
        // Held while the observer runs: events reach it in the order of their numbers.
        let mut last_seq = self.stream.last_seq.lock().unwrap_or_else(PoisonError::into_inner);
        *last_seq += 1;
        let event = Event { seq: *last_seq, at: SystemTime::now().into(), vm: vm.cloned(), kind };
        if is_kept(&event.kind)
            && let Some(mut log) = self.log.as_ref()
            && let Ok(mut line) = serde_json::to_vec(&event)
        {
            line.push(b'\n');
            // An event log on a full disk is no reason to leave a VM half stopped.
            let _ = log.write_all(&line);
        }
        (self.stream.observer)(&event);
    }
}

/// Progress is for watching only: it would bury everything else in the log.
fn is_kept(kind: &EventKind) -> bool {
    !matches!(kind, EventKind::ImageDownloadProgress { .. })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_reads_back_as_it_was_seen() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::new(dir.path());
        std::fs::create_dir(layout.logs()).unwrap();
        let seen = Mutex::new(Vec::new());
        let observer = |event: &Event| seen.lock().unwrap().push(event.clone());
        let recorder = Recorder::new(&layout, &observer);
        let vm: VmName = "web".parse().unwrap();
        recorder.emit(None, EventKind::WorkspacePrepared { root: dir.path().into() });
        let progress =
            EventKind::ImageDownloadProgress { image: "a".into(), done_bytes: 1, total_bytes: None };
        recorder.emit(None, progress);
        recorder.keeping(&layout).emit(Some(&vm), EventKind::VmReady { elapsed_ms: 7 });
        let text = std::fs::read_to_string(layout.events_log()).unwrap();
        let kept: Vec<Event> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let seen = seen.into_inner().unwrap();
        assert_eq!(seen.iter().map(|event| event.seq).collect::<Vec<_>>(), [1, 2, 3]);
        assert_eq!(kept, [seen[0].clone(), seen[2].clone()]);
    }
}
