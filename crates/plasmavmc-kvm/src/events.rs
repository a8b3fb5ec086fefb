//! A subscription to a VM: its journal as QEMU writes it, and the end of its process.
//!
//! Waits for both at once, without polling: inotify for the file, the pidfd for the process. Any
//! number of subscribers follow one VM, and none of them takes the control socket.
//! Tests: the conformance suite, `tests/it/events.rs`.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use plasmavmc_host::process::Process;
use plasmavmc_host::{HostError, IoContext, Layout};
use plasmavmc_hypervisor::{Error, VmEvent, VmEvents};
use plasmavmc_types::{StopReason, VmName, VmState};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::inotify;
use rustix::io::Errno;

use crate::backend::KvmBackend;
use crate::qmp::Codec;
use crate::record::Record;
use crate::{fault, journal, status};

impl KvmBackend<'_> {
    /// Subscribes to a live VM.
    pub(crate) fn subscribe(&self, vm: &VmName) -> Result<Box<dyn VmEvents>, Error> {
        let (_, Some(live)) = self.find(vm)? else {
            return Err(Error::WrongState { vm: vm.clone(), state: VmState::Stopped, action: "watched" });
        };
        let events = JournalEvents::open(self.layout(), vm, live.process);
        Ok(Box::new(events.map_err(fault::during(vm, "follow its journal"))?))
    }
}

/// The events of one run from some moment on.
struct JournalEvents {
    layout: Layout,
    vm: VmName,
    process: Process,
    file: File,
    changes: OwnedFd,
    codec: Codec,
    queue: VecDeque<VmEvent>,
    ended: bool,
}

/// What a wait ended with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum News {
    Journal,
    End,
    Nothing,
}

impl JournalEvents {
    fn open(layout: &Layout, vm: &VmName, process: Process) -> Result<Self, HostError> {
        let path = layout.journal(vm);
        let changes = inotify::init(inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK);
        let changes = changes.context("watch", &path)?;
        inotify::add_watch(&changes, &path, inotify::WatchFlags::MODIFY).context("watch", &path)?;
        let mut file = File::open(&path).context("open", &path)?;
        file.seek(SeekFrom::End(0)).context("read", &path)?;
        Ok(Self {
            layout: layout.clone(),
            vm: vm.clone(),
            process,
            file,
            changes,
            codec: Codec::new(),
            queue: VecDeque::new(),
            ended: false,
        })
    }

    /// Waits for the journal to grow or the process to end.
    fn wait(&self, bound: Duration) -> Result<News, Errno> {
        let mut fds = [PollFd::new(&self.changes, PollFlags::IN), PollFd::new(&self.process, PollFlags::IN)];
        let timeout = Timespec::try_from(bound).unwrap_or(Timespec { tv_sec: i64::MAX, tv_nsec: 0 });
        match poll(&mut fds, Some(&timeout)) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error),
        }
        // The end comes first: what the journal holds then is all there will be.
        Ok(match fds.map(|fd| !fd.revents().is_empty()) {
            [_, true] => News::End,
            [true, false] => News::Journal,
            [false, false] => News::Nothing,
        })
    }

    /// Takes what QEMU has written since the last time.
    fn read(&mut self) -> std::io::Result<()> {
        let mut buffer = [MaybeUninit::uninit(); 4096];
        let mut changes = inotify::Reader::new(&self.changes, &mut buffer);
        while changes.next().is_ok() {}
        let mut bytes = Vec::new();
        self.file.read_to_end(&mut bytes)?;
        let messages = self.codec.push_torn(&bytes);
        self.queue.extend(messages.iter().filter_map(journal::event));
        Ok(())
    }

    fn stop_reason(&self) -> Result<StopReason, HostError> {
        let record = Record::load(&self.layout, &self.vm)?;
        let reason = status::stop_reason(&self.layout, &self.vm, record.as_ref())?;
        Ok(reason.unwrap_or(StopReason::Vanished))
    }
}

#[async_trait]
impl VmEvents for JournalEvents {
    async fn next(&mut self, timeout: Duration) -> Result<Option<VmEvent>, Error> {
        let follow = fault::during(&self.vm, "follow its journal");
        let end = Instant::now() + timeout.min(Duration::from_secs(u64::from(u32::MAX)));
        loop {
            if let Some(event) = self.queue.pop_front() {
                return Ok(Some(event));
            }
            if self.ended {
                return Ok(None);
            }
            let left = end.saturating_duration_since(Instant::now());
            let path = self.layout.journal(&self.vm);
            let news = self.wait(left).context("watch", &path).map_err(&follow)?;
            self.read().context("read", &path).map_err(&follow)?;
            match news {
                News::End => {
                    self.ended = true;
                    self.queue.push_back(VmEvent::Stopped(self.stop_reason().map_err(&follow)?));
                }
                News::Journal => {}
                News::Nothing if left.is_zero() => return Ok(self.queue.pop_front()),
                News::Nothing => {}
            }
        }
    }
}
