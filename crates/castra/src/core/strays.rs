//! VMs that run although their workspace is gone: deleted under them, or moved away by hand.
//!
//! ```text
//! a workspace without a record ─► is a process of ours running in it? ─► told, and ended by `down`
//! ```
//!
//! All processes are looked through only where a record is missing, or where nothing at all is known: it
//! costs milliseconds. A process is known by its marker and the directory it runs in, and ended through a
//! handle that was opened before its marker was read again. Never does: end one whose workspace is still
//! somewhere. Tests: below, `tests/it/lost.rs`.

use std::path::{Path, PathBuf};
use std::time::Instant;

use plasmavmc_engine::LadderPolicy;
use plasmavmc_host::process::Process;
use plasmavmc_host::{HostError, Layout};
use plasmavmc_hypervisor::EventSink;
use plasmavmc_kvm::{MarkedProcess, marked_processes};
use plasmavmc_types::{Escalation, EventKind, ShutdownOutcome, VmName};
use rustix::process::Signal;

use super::error::Error;
use super::output::Diagnostic;
use super::project::WorkspaceId;
use super::selection::Target;
use super::session::Session;
use super::workspace::WorkspaceRecord;

/// How the kernel shows a directory that was removed under a process.
const REMOVED: &str = " (deleted)";

/// A process that runs a VM whose workspace is not where it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stray {
    process: MarkedProcess,
    fate: Fate,
}

/// What became of the workspace.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Fate {
    /// It was deleted, or all that was in it.
    Deleted {
        /// Where it was.
        root: PathBuf,
    },
    /// It is somewhere else now.
    Moved {
        /// Where it was.
        from: PathBuf,
        /// Where it is.
        to: PathBuf,
    },
}

/// The VMs that run although the workspace of `target` has no record: quick where it has one.
///
/// # Errors
/// [`HostError`] where the processes cannot be listed.
pub(crate) fn strays_of(target: &Target) -> Result<Vec<Stray>, HostError> {
    let root = target.layout.root();
    if target.layout.workspace_record().exists() {
        return Ok(Vec::new());
    }
    let root = canonical(root);
    let fate = |process: &MarkedProcess| fate_in(process, &root, &target.id);
    Ok(found(marked_processes()?, fate))
}

/// The VMs that run in the directory of workspaces, each deleted under it: for who knows of no workspace.
///
/// # Errors
/// [`HostError`] where the processes cannot be listed.
pub(crate) fn all_deleted(session: &Session) -> Result<Vec<Stray>, HostError> {
    let home = canonical(session.dirs.castra_home());
    Ok(found(marked_processes()?, |process| {
        let root = removed_root(process.root.as_deref()?)?;
        root.starts_with(&home).then_some(Fate::Deleted { root })
    }))
}

fn found(marked: Vec<MarkedProcess>, fate: impl Fn(&MarkedProcess) -> Option<Fate>) -> Vec<Stray> {
    marked.into_iter().filter_map(|process| Some(Stray { fate: fate(&process)?, process })).collect()
}

/// What became of the workspace `id` at `root`, which has no record, where the process is one of its VMs'.
fn fate_in(process: &MarkedProcess, root: &Path, id: &WorkspaceId) -> Option<Fate> {
    let runs_in = process.root.as_deref()?;
    if runs_in == root || removed_root(runs_in).is_some_and(|removed| removed == root) {
        return Some(Fate::Deleted { root: root.to_owned() });
    }
    let record = WorkspaceRecord::read(&Layout::new(runs_in)).ok().flatten()?.workspace;
    let is_this = record.id == *id && canonical(&record.root) == root;
    is_this.then(|| Fate::Moved { from: root.to_owned(), to: runs_in.to_owned() })
}

/// The path of a directory that was removed under a process; none where it is still there.
fn removed_root(runs_in: &Path) -> Option<PathBuf> {
    let text = runs_in.to_str()?.strip_suffix(REMOVED)?;
    (!runs_in.exists()).then(|| PathBuf::from(text))
}

/// The path without links, as far as it exists.
fn canonical(path: &Path) -> PathBuf {
    let whole = path.canonicalize();
    whole.unwrap_or_else(|_| match (path.parent(), path.file_name()) {
        (Some(parent), Some(name)) => canonical(parent).join(name),
        _ => path.to_owned(),
    })
}

impl Stray {
    /// The VM.
    pub(crate) fn vm(&self) -> &VmName {
        &self.process.vm
    }

    /// Its process.
    pub(crate) fn pid(&self) -> u32 {
        self.process.pid
    }

    /// What it is, as a clause.
    pub(crate) fn text(&self) -> String {
        let (vm, pid) = (self.vm(), self.pid());
        match &self.fate {
            Fate::Deleted { root } => format!(
                "VM `{vm}` still runs as process {pid} although `{}` was deleted under it: what it wrote there is lost when it ends",
                root.display()
            ),
            Fate::Moved { to, .. } => {
                format!(
                    "VM `{vm}` runs as process {pid} in `{}`, where its workspace was moved to",
                    to.display()
                )
            }
        }
    }

    /// What to do about it; `config` is that of its project, where it is known.
    pub(crate) fn hint(&self, config: Option<&Path>) -> String {
        match (&self.fate, config) {
            (Fate::Deleted { .. }, Some(config)) => {
                format!("`castra down --config {}` ends it", config.display())
            }
            (Fate::Deleted { .. }, None) => "`castra down` in its project ends it".to_owned(),
            (Fate::Moved { from, to }, _) => {
                format!("move it back: `mv {} {}`", to.display(), from.display())
            }
        }
    }

    /// What a person should know.
    pub(crate) fn warning(&self, config: Option<&Path>) -> Diagnostic {
        Diagnostic::warning(self.text()).with_hint(self.hint(config))
    }

    /// Whether `down` may end it: nothing of its workspace is left that could be asked or kept.
    pub(crate) fn may_be_ended(&self) -> bool {
        matches!(self.fate, Fate::Deleted { .. })
    }

    /// Ends it: its control socket is gone, so the guest cannot be asked.
    ///
    /// # Errors
    /// [`Error::WouldNotDie`]; [`Error::Host`] where it cannot be signalled.
    pub(crate) fn end(&self, policy: LadderPolicy, sink: &dyn EventSink) -> Result<ShutdownOutcome, Error> {
        let vm = self.vm();
        let begun = Instant::now();
        let Some(process) = self.process.open()? else { return Ok(ShutdownOutcome::AlreadyStopped) };
        let ms = |time: std::time::Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let reason = "its workspace is gone, and its control socket with it".to_owned();
        sink.emit(Some(vm), EventKind::CooperativeUnavailable { reason });
        for (signal, named, wait, outcome) in [
            (Signal::TERM, Escalation::Sigterm, policy.sigterm, ShutdownOutcome::Terminated),
            (Signal::KILL, Escalation::Sigkill, policy.sigkill, ShutdownOutcome::Killed),
        ] {
            sink.emit(Some(vm), EventKind::Escalation { signal: named, timeout_ms: ms(wait) });
            if ends(&process, signal, wait)? {
                let total_ms = ms(begun.elapsed());
                sink.emit(Some(vm), EventKind::ShutdownComplete { outcome, total_ms });
                return Ok(outcome);
            }
        }
        Err(Error::WouldNotDie { vm: vm.clone(), pid: Some(self.pid()) })
    }
}

fn ends(process: &Process, signal: Signal, wait: std::time::Duration) -> Result<bool, HostError> {
    process.signal(signal)?;
    process.exits_within(wait)
}

#[cfg(test)]
mod tests {
    use plasmavmc_types::RunToken;

    use super::*;

    fn process(root: &Path) -> MarkedProcess {
        MarkedProcess {
            pid: 3,
            vm: "db".parse().unwrap(),
            token: RunToken::generate(),
            root: Some(root.into()),
        }
    }

    #[test]
    fn a_process_belongs_to_the_workspace_it_runs_in_and_to_no_other() {
        let dir = tempfile::tempdir().unwrap();
        let root = canonical(dir.path()).join("w");
        let id = "shop-0123456789ab".parse().unwrap();
        let deleted = Some(Fate::Deleted { root: root.clone() });
        let removed = PathBuf::from(format!("{}{REMOVED}", root.display()));
        assert_eq!(fate_in(&process(&removed), &root, &id), deleted);
        assert_eq!(fate_in(&process(&root), &root, &id), deleted, "only emptied");
        assert_eq!(fate_in(&process(&root.join("x")), &root, &id), None);
        // A directory that is really called so is one that is there.
        std::fs::create_dir(&removed).unwrap();
        assert_eq!(fate_in(&process(&removed), &root, &id), None);
    }

    #[test]
    fn what_was_moved_is_never_ended() {
        let fate = Fate::Moved { from: "/a".into(), to: "/b".into() };
        let moved = Stray { process: process(Path::new("/b")), fate };
        assert!(!moved.may_be_ended());
        assert_eq!(moved.hint(None), "move it back: `mv /b /a`");
        assert_eq!(moved.text(), "VM `db` runs as process 3 in `/b`, where its workspace was moved to");
    }
}
