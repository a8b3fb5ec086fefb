//! What the guest channel's broker has to know of VMs: which live, and what their QEMUs report, of all
//! at once.
//!
//! One inotify descriptor for every journal: a user may have few of them. Whoever waits polls it.
//!
//! ```text
//!  journal  ░░░░░░░░░░░░░░░░░░░░░░░████████████████  ◄── QEMU appends
//!           given back to the disk │ read: READ_MAX
//! ```
//!
//! A guest can have lines written for ever, by opening and closing its port or resetting itself. What
//! nobody reads any more becomes a hole, behind QEMU's back: nothing moves, so nothing is lost between.
//! Tests: below, and `tests/it/events.rs`.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use plasmavmc_host::process::Process;
use plasmavmc_host::{HostError, IoContext, Layout};
use plasmavmc_hypervisor::VmEvent;
use plasmavmc_types::{RunToken, VmName};
use rustix::fs::{FallocateFlags, fallocate, inotify};

use crate::journal::{self, READ_MAX};
use crate::locate::locate;
use crate::qmp::Codec;
use crate::record::{self, Record};

/// Bytes nobody reads that a journal may have before they are given back, a multiple of every file
/// system's block.
const SPARE: u64 = 1 << 20;

/// A VM's live process.
#[derive(Debug)]
pub struct LiveProcess {
    /// The VM.
    pub vm: VmName,
    /// The run it was launched for.
    pub token: RunToken,
    /// The process.
    pub process: Process,
}

/// The live processes of a workspace's VMs. A VM that cannot be looked at is left out.
///
/// # Errors
/// [`HostError`] where the VMs cannot be listed.
pub fn live_processes(layout: &Layout) -> Result<Vec<LiveProcess>, HostError> {
    let live = record::names(layout)?.into_iter().filter_map(|vm| {
        // A process is found although the record cannot be read.
        let record = Record::load(layout, &vm).ok().flatten();
        let live = locate(layout, &vm, record.as_ref()).ok().flatten()?;
        Some(LiveProcess { vm, token: live.token, process: live.process })
    });
    Ok(live.collect())
}

/// What happened to the guest's end of the agent's port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PortChange {
    /// It was opened.
    Opened,
    /// It was closed.
    Closed,
}

/// What a journal tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JournalNews {
    /// What any subscriber is told.
    Vm(VmEvent),
    /// Of the agent's port. QEMU tells one change a second, the last one.
    AgentPort(PortChange),
}

/// Follows the journals of VMs.
#[derive(Debug)]
pub struct JournalWatch {
    layout: Layout,
    changes: OwnedFd,
    followed: BTreeMap<VmName, Followed>,
}

#[derive(Debug)]
struct Followed {
    run: RunToken,
    file: File,
    watch: i32,
    codec: Codec,
    /// Where what has been given back ends.
    hole: u64,
}

impl JournalWatch {
    /// Follows none yet.
    ///
    /// # Errors
    /// [`HostError`] where the kernel watches no more files for this user.
    pub fn new(layout: Layout) -> Result<Self, HostError> {
        let flags = inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK;
        let changes = inotify::init(flags).context("watch", layout.root())?;
        Ok(Self { layout, changes, followed: BTreeMap::new() })
    }

    /// Follows the journal of a VM's run from its end on. One that is followed goes on where it is: what was
    /// not read yet is still news.
    ///
    /// # Errors
    /// [`HostError`] where it cannot be read.
    pub fn follow(&mut self, vm: &VmName, run: RunToken) -> Result<(), HostError> {
        let path = self.layout.journal(vm);
        if self.followed.get_mut(vm).is_some_and(|followed| followed.run == run && followed.is_of(&path)) {
            return Ok(());
        }
        self.forget(vm);
        let mut file = File::options().read(true).write(true).open(&path).context("open", &path)?;
        let watch = inotify::add_watch(&self.changes, &path, inotify::WatchFlags::MODIFY);
        let watch = watch.context("watch", &path)?;
        file.seek(SeekFrom::End(0)).context("read", &path)?;
        self.followed.insert(vm.clone(), Followed { run, file, watch, codec: Codec::new(), hole: 0 });
        Ok(())
    }

    /// Follows a VM's journal no more.
    pub fn forget(&mut self, vm: &VmName) {
        if let Some(followed) = self.followed.remove(vm) {
            let _ = inotify::remove_watch(&self.changes, followed.watch);
        }
    }

    /// What was reported since this was asked last.
    pub fn news(&mut self) -> Vec<(VmName, JournalNews)> {
        let mut buffer = [MaybeUninit::uninit(); 4096];
        let mut changes = inotify::Reader::new(&self.changes, &mut buffer);
        let mut grown = Vec::new();
        while let Ok(change) = changes.next() {
            grown.push(change.wd());
        }
        let mut news = Vec::new();
        for (vm, followed) in &mut self.followed {
            if grown.contains(&followed.watch) {
                news.extend(followed.read().into_iter().map(|it| (vm.clone(), it)));
            }
        }
        news
    }
}

impl Followed {
    /// Whether this is the file at `path`, and as long as it was.
    fn is_of(&mut self, path: &Path) -> bool {
        let (Ok(at_path), Ok(ours), Ok(read)) =
            (path.metadata(), self.file.metadata(), self.file.stream_position())
        else {
            return false;
        };
        (at_path.dev(), at_path.ino()) == (ours.dev(), ours.ino()) && ours.len() >= read
    }

    fn read(&mut self) -> Vec<JournalNews> {
        let mut bytes = Vec::new();
        // A journal that cannot be read says nothing more; the end of its process still will.
        let _ = self.catch_up().and_then(|()| self.file.read_to_end(&mut bytes)).map(|_| self.give_back());
        // It may have been followed from the middle of a line on.
        let messages = self.codec.push_torn(&bytes);
        let news = messages.iter().filter_map(|message| match journal::agent_port(message) {
            Some(true) => Some(JournalNews::AgentPort(PortChange::Opened)),
            Some(false) => Some(JournalNews::AgentPort(PortChange::Closed)),
            None => journal::event(message).map(JournalNews::Vm),
        });
        news.collect()
    }

    /// Passes over what was written while nobody looked, but for the last of it.
    fn catch_up(&mut self) -> io::Result<()> {
        let end = self.file.metadata()?.len();
        if end.saturating_sub(self.file.stream_position()?) > READ_MAX {
            self.file.seek(SeekFrom::Start(end - READ_MAX))?;
        }
        Ok(())
    }

    /// Gives the disk back what lies further back than anyone reads.
    fn give_back(&mut self) {
        let Ok(at) = self.file.stream_position() else { return };
        let unread = at.saturating_sub(READ_MAX) / SPARE * SPARE;
        if unread > self.hole {
            let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
            // A file system that cannot keeps it until the next launch.
            let _ = fallocate(&self.file, flags, self.hole, unread - self.hole);
            self.hole = unread;
        }
    }
}

impl AsFd for JournalWatch {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.changes.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;
    use plasmavmc_host::publish;

    #[test]
    fn journals_are_followed_side_by_side_from_now_on() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::new(dir.path());
        let vms: [VmName; 2] = ["web", "db"].map(|name| name.parse().unwrap());
        publish::private_dir(layout.journal(&vms[0]).parent().unwrap()).unwrap();
        let mut watch = JournalWatch::new(layout.clone()).unwrap();
        let mut files = vms.each_ref().map(|vm| {
            std::fs::write(layout.journal(vm), "{\"event\":\"RESET\",\"data\":{}}\n").unwrap();
            watch.follow(vm, RunToken::generate()).unwrap();
            File::options().append(true).open(layout.journal(vm)).unwrap()
        });
        assert_eq!(watch.news(), [], "what was there before is no news");
        let port = |open| {
            format!("{{\"event\":\"VSERPORT_CHANGE\",\"data\":{{\"open\":{open},\"id\":\"agent-port\"}}}}\n")
        };
        files[0].write_all(port(true).as_bytes()).unwrap();
        files[1].write_all(b"{\"event\":\"RESET\",\"data\":{}}\n{\"event\":\"OTH").unwrap();
        let expected = [
            (vms[1].clone(), JournalNews::Vm(VmEvent::Reset)),
            (vms[0].clone(), JournalNews::AgentPort(PortChange::Opened)),
        ];
        assert_eq!(watch.news(), expected);
        watch.forget(&vms[1]);
        files[1].write_all(b"ER\"}\n{\"event\":\"RESET\",\"data\":{}}\n").unwrap();
        files[0].write_all(port(false).as_bytes()).unwrap();
        let closed = JournalNews::AgentPort(PortChange::Closed);
        assert_eq!(watch.news(), [(vms[0].clone(), closed)]);
    }

    #[test]
    fn a_journal_that_is_followed_again_loses_no_news_and_that_of_a_new_run_begins_at_its_end() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::new(dir.path());
        let vm: VmName = "web".parse().unwrap();
        let path = layout.journal(&vm);
        publish::private_dir(path.parent().unwrap()).unwrap();
        std::fs::write(&path, "{\"event\":\"RE").unwrap();
        let mut watch = JournalWatch::new(layout).unwrap();
        let (first, second) = (RunToken::generate(), RunToken::generate());
        let write = |text: &str| {
            File::options().append(true).open(&path).unwrap().write_all(text.as_bytes()).unwrap();
        };
        let reset = [(vm.clone(), JournalNews::Vm(VmEvent::Reset))];
        watch.follow(&vm, first).unwrap();
        write("SET\",\"data\":{}}\n{\"event\":\"RESET\",");
        assert_eq!(watch.news(), []);
        watch.follow(&vm, first).unwrap();
        write("\"data\":{}}\n");
        watch.follow(&vm, first).unwrap();
        assert_eq!(watch.news(), reset, "what came before it was followed again is lost");
        // It is emptied before a launch, and has more than before by the time it is looked at.
        std::fs::write(&path, "{\"event\":\"RESET\",\"data\":{}}\n".repeat(5)).unwrap();
        watch.follow(&vm, second).unwrap();
        assert_eq!(watch.news(), []);
        // One that was put in its place, or cut, is another.
        for is_replaced in [false, true] {
            if is_replaced {
                std::fs::remove_file(&path).unwrap();
            }
            std::fs::write(&path, "").unwrap();
            watch.follow(&vm, second).unwrap();
            write("{\"event\":\"RESET\",\"data\":{}}\n");
            assert_eq!(watch.news(), reset, "replaced: {is_replaced}");
        }
    }

    /// A journal that is followed, and QEMU's end of it.
    fn followed(dir: &Path) -> (JournalWatch, File) {
        let (layout, vm) = (Layout::new(dir), "web".parse().unwrap());
        publish::private_dir(layout.journal(&vm).parent().unwrap()).unwrap();
        let qemu = File::options().append(true).create(true).open(layout.journal(&vm)).unwrap();
        let mut watch = JournalWatch::new(layout).unwrap();
        watch.follow(&vm, RunToken::generate()).unwrap();
        (watch, qemu)
    }

    #[test]
    fn a_journal_that_grows_for_ever_takes_no_more_disk_and_loses_nothing_of_its_end() {
        let dir = tempfile::tempdir().unwrap();
        let (mut watch, mut qemu) = followed(dir.path());
        let line = format!("{{\"event\":\"RTC_CHANGE\",\"data\":{{\"offset\":1}}}}{}\n", " ".repeat(80));
        for _ in 0..16 {
            qemu.write_all(line.repeat((1 << 20) / line.len()).as_bytes()).unwrap();
            watch.news();
        }
        qemu.write_all(b"{\"event\":\"SHUTDOWN\",\"data\":{\"reason\":\"guest-panic\"}}\n").unwrap();
        assert_eq!(watch.news().len(), 1);
        let path = Layout::new(dir.path()).journal(&"web".parse().unwrap());
        let meta = path.metadata().unwrap();
        assert!(meta.len() > 15 << 20 && meta.blocks() * 512 <= 4 << 20, "{} blocks", meta.blocks());
        let journal = journal::read(&path);
        assert!(journal.begun && journal.shutdown.is_some(), "{journal:?}");
    }

    #[test]
    fn whoever_was_away_for_long_is_told_the_end_alone() {
        let dir = tempfile::tempdir().unwrap();
        let (mut watch, mut qemu) = followed(dir.path());
        let reset = "{\"event\":\"RESET\",\"data\":{}}\n";
        qemu.write_all(reset.repeat((4 << 20) / reset.len()).as_bytes()).unwrap();
        let told = watch.news().len();
        assert!(told * reset.len() <= 1 << 20 && told > 30_000, "{told}");
    }
}
