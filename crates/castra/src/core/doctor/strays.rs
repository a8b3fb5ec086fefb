//! VMs that run although no workspace knows them: their workspace was deleted or moved by hand, or
//! belongs to another `CASTRA_HOME`.
//!
//! Only named, never ended: a process is found by the marker on its command line. Tests: below,
//! and `tests/it/doctor.rs` with a real QEMU.

use std::path::{Path, PathBuf};

use plasmavmc_host::Layout;
use plasmavmc_kvm::{MarkedProcess, marked_processes};

use super::{Check, CheckName, CheckStatus};
use crate::core::observed::ObservedWorkspace;
use crate::core::workspace::WorkspaceRecord;

/// A process that runs a VM no known workspace has.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Stray {
    process: MarkedProcess,
    place: Place,
}

/// Where a stray runs.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Place {
    /// In a directory that is a workspace, though not one that is known here.
    Workspace,
    /// In a directory that is none.
    Elsewhere,
    /// In a directory that was deleted under it, or does not show.
    Gone,
}

/// Looks for VMs that none of the `known` workspaces has.
pub(super) fn check(known: &[ObservedWorkspace]) -> Check {
    let marked = match marked_processes() {
        Ok(marked) => marked,
        Err(error) => return Check::failed(CheckName::Strays, CheckStatus::Problem, &error),
    };
    let live: Vec<u32> =
        known.iter().flat_map(ObservedWorkspace::vms).filter_map(|vm| vm.status.as_ref()?.pid).collect();
    let stray = |process: MarkedProcess| Stray { place: place(process.root.as_deref()), process };
    let found: Vec<Stray> = strays(marked, &live).into_iter().map(stray).collect();
    judge(&found)
}

fn place(root: Option<&Path>) -> Place {
    match root {
        Some(root) if matches!(WorkspaceRecord::read(&Layout::new(root)), Ok(Some(_))) => Place::Workspace,
        Some(root) if root.is_dir() => Place::Elsewhere,
        _ => Place::Gone,
    }
}

/// Those whose run is none of the live ones. A run may have two processes: QEMU, and a script that
/// started it.
fn strays(marked: Vec<MarkedProcess>, live: &[u32]) -> Vec<MarkedProcess> {
    let known: Vec<_> =
        marked.iter().filter(|process| live.contains(&process.pid)).map(|process| process.token).collect();
    marked.into_iter().filter(|process| !known.contains(&process.token)).collect()
}

fn judge(strays: &[Stray]) -> Check {
    if strays.is_empty() {
        return Check::ok(CheckName::Strays, "every VM that runs belongs to a known workspace");
    }
    let summary = match strays.len() {
        1 => "1 process runs a VM that no known workspace has".to_owned(),
        more => format!("{more} processes run VMs that no known workspace has"),
    };
    let mut check = Check::warning(CheckName::Strays, summary);
    for stray in strays {
        let (detail, hint) = describe(stray);
        check.details.push(detail);
        if !check.hints.contains(&hint) {
            check.hints.push(hint);
        }
    }
    check
}

fn describe(Stray { process, place }: &Stray) -> (String, String) {
    let MarkedProcess { pid, vm, root, .. } = process;
    let who = format!("process {pid} runs VM `{vm}`");
    let root = root.as_deref().unwrap_or(Path::new("an unknown directory")).display();
    let end = format!("if nobody wants it: `kill {pid}`");
    match place {
        Place::Workspace => {
            let hint = match home_of(process.root.as_deref()) {
                Some(home) => format!("look at it with `CASTRA_HOME={} castra status`", home.display()),
                None => "run `castra up` in its project: that makes its workspace known again".to_owned(),
            };
            (format!("{who} in {root}, a workspace that is not known here"), hint)
        }
        Place::Elsewhere => (format!("{who} in {root}, which is no workspace"), end),
        Place::Gone => {
            // How the kernel shows a directory that was removed under a process.
            let root = root.to_string();
            let root = root.strip_suffix(" (deleted)").unwrap_or(&root);
            (format!("{who} in {root}, which is gone: its disks are lost when it ends"), end)
        }
    }
}

/// The Castra home that a workspace in its default place belongs to.
fn home_of(root: Option<&Path>) -> Option<PathBuf> {
    let projects = root?.parent().filter(|parent| parent.ends_with("projects"))?;
    projects.parent().map(Path::to_owned)
}

#[cfg(test)]
mod tests {
    use plasmavmc_types::RunToken;

    use super::*;

    fn process(pid: u32, token: RunToken, root: &str) -> MarkedProcess {
        MarkedProcess { pid, vm: "db".parse().unwrap(), token, root: Some(root.into()) }
    }

    #[test]
    fn a_run_with_one_known_process_has_no_strays() {
        let (known, lost) = (RunToken::generate(), RunToken::generate());
        let marked = vec![process(1, known, "/w"), process(2, known, "/w"), process(3, lost, "/x (deleted)")];
        assert_eq!(strays(marked.clone(), &[2, 9]), [marked[2].clone()]);
        assert_eq!(strays(marked.clone(), &[]), marked);
    }

    #[test]
    fn a_stray_is_told_with_its_place_and_never_only_counted() {
        let stray = |root: &str, place| Stray { process: process(3, RunToken::generate(), root), place };
        for (stray, detail, hint) in [
            (
                stray("/x (deleted)", Place::Gone),
                "process 3 runs VM `db` in /x, which is gone: its disks are lost when it ends",
                "if nobody wants it: `kill 3`",
            ),
            (
                stray("/x", Place::Elsewhere),
                "process 3 runs VM `db` in /x, which is no workspace",
                "if nobody wants it: `kill 3`",
            ),
            (
                stray("/c/projects/a-0123456789ab", Place::Workspace),
                "process 3 runs VM `db` in /c/projects/a-0123456789ab, a workspace that is not known here",
                "look at it with `CASTRA_HOME=/c castra status`",
            ),
            (
                stray("/src/a/.castra", Place::Workspace),
                "process 3 runs VM `db` in /src/a/.castra, a workspace that is not known here",
                "run `castra up` in its project: that makes its workspace known again",
            ),
        ] {
            let check = judge(&[stray]);
            assert_eq!(check.status, CheckStatus::Warning);
            assert_eq!(
                (&check.details[..], &check.hints[..]),
                (&[detail.to_owned()][..], &[hint.to_owned()][..])
            );
        }
        assert_eq!(judge(&[]).status, CheckStatus::Ok);
    }

    #[test]
    fn where_a_process_runs_is_looked_at_and_not_believed() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(place(Some(dir.path())), Place::Elsewhere);
        assert_eq!(place(Some(&dir.path().join("x (deleted)"))), Place::Gone);
        assert_eq!(place(None), Place::Gone);
    }
}
