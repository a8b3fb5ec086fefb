//! Files that outlived what they belong to: runtime files of VMs that are gone, unfinished files of
//! commands that died, files of older versions. Untidy, never harmful. Tests: below.

use std::fs;
use std::path::{Path, PathBuf};

use plasmavmc_host::Layout;

use super::{Check, CheckName};
use crate::core::litter;
use crate::core::observed::ObservedWorkspace;
use crate::core::session::Session;
use crate::core::workspace::legacy;

/// A file that outlived what it belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Leftover {
    path: PathBuf,
    kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// A pidfile or socket of a VM that does not live.
    Runtime,
    /// A file that was never finished.
    Unfinished,
    /// A file of an older version.
    Legacy,
}

impl Kind {
    const fn words(self) -> &'static str {
        match self {
            Self::Runtime => "belongs to a VM that is not running",
            Self::Unfinished => "was never finished",
            Self::Legacy => "was left by an older version",
        }
    }
}

/// Looks for them in the workspaces and in Castra's own directory.
pub(super) fn check(session: &Session, known: &[ObservedWorkspace]) -> Check {
    let mut found = Vec::new();
    for workspace in known {
        // Where the VMs are not known, no file of theirs can be called dead.
        if let Ok(vms) = &workspace.vms {
            let live = |file: &str| vms.iter().any(|vm| vm.may_live() && vm.name.as_str() == file);
            found.extend(runtime(&workspace.target.layout, live));
        }
        found.extend(in_workspace(&workspace.target.layout));
    }
    let home = session.dirs.castra_home();
    for dir in [home.to_owned(), session.cache_dir()] {
        found.extend(unfinished(&dir));
    }
    judge(&found)
}

/// Pidfiles and sockets in the root of a workspace whose VM is not live.
fn runtime(layout: &Layout, live: impl Fn(&str) -> bool) -> Vec<Leftover> {
    let of_vm = |path: &Path| {
        let extension = path.extension()?.to_str()?;
        let vm = path.file_stem()?.to_str()?;
        // `broker.pid` is told as what it is: a file of an older version.
        (matches!(extension, "pid" | "qmp" | "serial") && !legacy(layout).iter().any(|old| old == path))
            .then_some(vm.to_owned())
    };
    let dead = |path: &PathBuf| of_vm(path).is_some_and(|vm| !live(&vm));
    children(layout.root())
        .into_iter()
        .filter(dead)
        .map(|path| Leftover { path, kind: Kind::Runtime })
        .collect()
}

fn in_workspace(layout: &Layout) -> Vec<Leftover> {
    let old = legacy(layout).into_iter().filter(|path| path.symlink_metadata().is_ok());
    let mut found: Vec<Leftover> = old.map(|path| Leftover { path, kind: Kind::Legacy }).collect();
    let dirs = [layout.root().to_owned(), layout.images(), layout.overlays(), layout.metadata()];
    for dir in dirs.into_iter().chain(children(&layout.metadata())) {
        found.extend(unfinished(&dir));
    }
    found
}

/// Temporary files in a directory that nobody is writing.
fn unfinished(dir: &Path) -> Vec<Leftover> {
    let found = litter::abandoned(dir).into_iter();
    found.map(|path| Leftover { path, kind: Kind::Unfinished }).collect()
}

fn children(dir: &Path) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> =
        fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    found.sort();
    found
}

fn judge(found: &[Leftover]) -> Check {
    if found.is_empty() {
        return Check::ok(CheckName::Leftovers, "none");
    }
    let summary = match found.len() {
        1 => "1 file outlived what it belongs to".to_owned(),
        more => format!("{more} files outlived what they belong to"),
    };
    let mut check = Check::warning(CheckName::Leftovers, summary)
        .with_details(found.iter().map(|left| format!("{} {}", left.path.display(), left.kind.words())));
    if found.iter().any(|left| left.kind == Kind::Runtime) {
        check.hints.push("`castra down` tidies up after VMs that stopped by themselves".to_owned());
    }
    if found.iter().any(|left| left.kind != Kind::Runtime) {
        check.hints.push(
            "they do no harm; `castra clean --dry-run`, also with `--global`, lists what would go".to_owned(),
        );
    }
    check
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::time::{Duration, SystemTime};

    use super::*;

    fn age(path: &Path, age: Duration) {
        File::options().append(true).open(path).unwrap().set_modified(SystemTime::now() - age).unwrap();
    }

    #[test]
    fn only_files_of_vms_that_are_gone_are_left_over() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::new(dir.path());
        for file in ["web.pid", "web.qmp", "db.pid", "db.serial", "notes.txt", "broker.pid"] {
            fs::write(dir.path().join(file), "").unwrap();
        }
        let found = runtime(&layout, |vm| vm == "web");
        let names: Vec<_> =
            found.iter().map(|left| left.path.file_name().unwrap().to_str().unwrap()).collect();
        assert_eq!(names, ["db.pid", "db.serial"]);
    }

    #[test]
    fn a_file_that_is_being_written_is_not_left_over() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::new(dir.path());
        fs::create_dir_all(layout.vm_records()).unwrap();
        let (old, new) = (layout.vm_records().join(".castra-tmp-a"), layout.root().join(".castra-tmp-b"));
        for path in [&old, &new] {
            fs::write(path, "").unwrap();
        }
        age(&old, Duration::from_secs(7200));
        assert_eq!(in_workspace(&layout), [Leftover { path: old, kind: Kind::Unfinished }]);
    }

    #[test]
    fn every_leftover_is_named_with_what_it_was() {
        let left = |path: &str, kind| Leftover { path: path.into(), kind };
        let check = judge(&[left("/w/db.pid", Kind::Runtime), left("/w/handshakes", Kind::Legacy)]);
        assert_eq!(
            check.details,
            ["/w/db.pid belongs to a VM that is not running", "/w/handshakes was left by an older version"]
        );
        assert_eq!(check.hints.len(), 2);
        assert!(judge(&[]).hints.is_empty());
    }
}
