//! Whether every workspace can be read, and every link to one leads somewhere.
//!
//! Other commands skip what is no workspace; this one says why it is none. Tests: below.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use plasmavmc_host::{HostError, Layout};

use super::{Check, CheckName, CheckStatus};
use crate::core::observed::{self, ObservedWorkspace};
use crate::core::output::Diagnostic;
use crate::core::project::default_projects_root;
use crate::core::session::Session;
use crate::core::workspace::{WorkspaceRecord, links_root};

/// What is wrong with something that should be a workspace.
#[derive(Debug)]
enum Fault {
    /// A link that leads nowhere.
    Dangling { link: PathBuf, target: PathBuf },
    /// A directory without a record.
    NoRecord { root: PathBuf },
    /// A record that cannot be read.
    BadRecord { error: HostError },
    /// Its VMs cannot be read.
    Unreadable { root: PathBuf, error: String },
    /// Something of one of its VMs cannot be told.
    BadVm(Diagnostic),
}

/// Looks at every workspace; gives what was seen of their VMs for the checks that follow.
pub(super) fn check(session: &Session) -> (Check, Vec<ObservedWorkspace>) {
    let places = [default_projects_root(&session.dirs), links_root(&session.dirs)];
    let mut faults: Vec<Fault> =
        places.iter().flat_map(|place| children(place)).filter_map(|path: PathBuf| look(&path)).collect();
    let known = match observed::everywhere(session, Vec::new()) {
        Ok(known) => known,
        Err(error) => {
            return (Check::failed(CheckName::Workspaces, CheckStatus::Problem, &error), Vec::new());
        }
    };
    faults.extend(known.iter().filter_map(|workspace| {
        let error = workspace.vms.as_ref().err()?.to_string();
        Some(Fault::Unreadable { root: workspace.target.layout.root().to_owned(), error })
    }));
    faults.extend(known.iter().flat_map(ObservedWorkspace::warnings).map(Fault::BadVm));
    (judge(known.len(), &faults), known)
}

fn children(dir: &Path) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> =
        fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    found.sort();
    found
}

/// What is wrong with one entry; none where it is a workspace, or never was meant to be one.
fn look(path: &Path) -> Option<Fault> {
    let root = match path.canonicalize() {
        Ok(root) if root.is_dir() => root,
        Ok(_) => return None,
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let target = fs::read_link(path).ok()?;
            return Some(Fault::Dangling { link: path.to_owned(), target });
        }
        Err(source) => {
            let error = HostError::Io { action: "open", path: path.to_owned(), source };
            return Some(Fault::BadRecord { error });
        }
    };
    match WorkspaceRecord::read(&Layout::new(&root)) {
        Ok(Some(_)) => None,
        Ok(None) => Some(Fault::NoRecord { root }),
        Err(error) => Some(Fault::BadRecord { error }),
    }
}

fn judge(known: usize, faults: &[Fault]) -> Check {
    let readable = match known {
        0 => "none yet: `castra up` makes one".to_owned(),
        1 => "1 known".to_owned(),
        more => format!("{more} known"),
    };
    if faults.is_empty() {
        return Check::ok(CheckName::Workspaces, readable);
    }
    let lost =
        |fault: &Fault| matches!(fault, Fault::BadRecord { .. } | Fault::Unreadable { .. } | Fault::BadVm(_));
    let status = if faults.iter().any(lost) { CheckStatus::Problem } else { CheckStatus::Warning };
    let summary = match faults.len() {
        1 => format!("{readable}, and something is wrong with 1 more"),
        more => format!("{readable}, and something is wrong with {more} more"),
    };
    let mut check = Check::new(CheckName::Workspaces, status, summary);
    for fault in faults {
        let (detail, hint) = describe(fault);
        check.details.push(detail);
        check.hints.push(hint);
    }
    check
}

fn describe(fault: &Fault) -> (String, String) {
    match fault {
        Fault::Dangling { link, target } => (
            format!("{} leads to {}, which does not exist", link.display(), target.display()),
            format!("if it was deleted and not moved: `rm {}`", link.display()),
        ),
        Fault::NoRecord { root } => (
            format!("{} has no record: an interrupted `castra up` or `castra clean` left it", root.display()),
            format!("run `castra up` in its project again, or delete it: `rm -r {}`", root.display()),
        ),
        Fault::BadRecord { error } => {
            let cause = std::error::Error::source(error).map(|cause| format!(": {cause}"));
            let detail = format!("{error}{}", cause.unwrap_or_default());
            (detail, "run `castra up` in its project: it writes the record anew".to_owned())
        }
        Fault::Unreadable { root, error } => (
            format!("the VMs of {} cannot be told: {error}", root.display()),
            format!("look at the records: `ls -l {}`", root.join("metadata/vms").display()),
        ),
        Fault::BadVm(warning) => (warning.message.clone(), warning.hint.clone().unwrap_or_default()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_that_is_no_workspace_says_why() {
        let dir = tempfile::tempdir().unwrap();
        let broken = dir.path().join("broken");
        fs::create_dir_all(broken.join("metadata")).unwrap();
        fs::write(broken.join("metadata/workspace.json"), "{").unwrap();
        fs::create_dir(dir.path().join("empty")).unwrap();
        fs::write(dir.path().join("file"), "").unwrap();
        std::os::unix::fs::symlink("/nonexistent/w", dir.path().join("gone")).unwrap();
        let faults: Vec<Fault> = children(dir.path()).iter().filter_map(|path| look(path)).collect();
        let [Fault::BadRecord { .. }, Fault::NoRecord { .. }, Fault::Dangling { .. }] = &faults[..] else {
            panic!("{faults:?}");
        };
        let check = judge(3, &faults);
        assert_eq!(check.status, CheckStatus::Problem);
        assert_eq!(check.summary, "3 known, and something is wrong with 3 more");
        assert_eq!((check.details.len(), check.hints.len()), (3, 3));
    }

    #[test]
    fn a_lost_link_alone_loses_no_vm() {
        let faults = [Fault::Dangling { link: "/c/workspaces/a".into(), target: "/w".into() }];
        let check = judge(1, &faults);
        assert_eq!(check.status, CheckStatus::Warning);
        assert_eq!(check.details, ["/c/workspaces/a leads to /w, which does not exist"]);
        assert_eq!(judge(0, &[]).status, CheckStatus::Ok);
    }
}
