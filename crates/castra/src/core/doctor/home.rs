//! Castra's own directory: whose it is, whether it can be written to, and the room it has.
//!
//! Tests: below.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use plasmavmc_host::{HostError, IoContext, disk};
use plasmavmc_types::ByteSize;
use rustix::fs::Access;

use super::{Check, CheckName, CheckStatus};
use crate::core::session::Session;

/// Below this, an ordinary cloud image and its overlay no longer fit: the largest of the catalogue
/// take some 600 MB, and a guest writes as much at its first boot.
const TIGHT: ByteSize = ByteSize::gib(2);
/// Below this, not even logs and records are safe.
const FULL: ByteSize = ByteSize::mib(100);

/// What is known of Castra's own directory.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Home {
    /// It, or the nearest parent that exists.
    existing: PathBuf,
    /// Whether it exists itself.
    made: bool,
    /// Whether files can be made in `existing`.
    writable: bool,
    /// The permission bits of `existing`.
    mode: u32,
    /// Whether `existing` belongs to this user.
    own: bool,
}

/// Looks at Castra's own directory.
pub(super) fn home(session: &Session) -> Check {
    let home = session.dirs.castra_home();
    match look(home) {
        Ok(found) => judge(home, &found),
        Err(error) => Check::failed(CheckName::Home, CheckStatus::Problem, &error),
    }
}

fn look(home: &Path) -> Result<Home, HostError> {
    let existing = home.ancestors().find(|path| path.exists()).unwrap_or(Path::new("/"));
    let meta = fs::metadata(existing).context("inspect", existing)?;
    let writable = meta.is_dir() && rustix::fs::access(existing, Access::WRITE_OK | Access::EXEC_OK).is_ok();
    Ok(Home {
        existing: existing.to_owned(),
        made: existing == home,
        writable,
        mode: meta.mode() & 0o777,
        own: meta.uid() == rustix::process::geteuid().as_raw(),
    })
}

fn judge(home: &Path, found: &Home) -> Check {
    let shown = home.display();
    let existing = found.existing.display();
    match found {
        Home { writable: false, .. } => Check::problem(
            CheckName::Home,
            format!("{shown} cannot be written to: nothing can be made in {existing}"),
        )
        .with_hint(format!("make `{existing}` yours, or name another place: `export CASTRA_HOME=…`")),
        Home { made: false, .. } => {
            Check::ok(CheckName::Home, format!("{shown} will be made when it is needed"))
        }
        Home { own: false, .. } => {
            Check::warning(CheckName::Home, format!("{shown} belongs to another user"))
                .with_hint(format!("look whose it is: `ls -ld {shown}`"))
        }
        Home { mode, .. } if mode & 0o022 != 0 => {
            Check::warning(CheckName::Home, format!("{shown} can be written to by others (mode {mode:o})"))
                .with_hint(format!("keep it to yourself: `chmod 700 {shown}`"))
        }
        Home { .. } => Check::ok(CheckName::Home, shown.to_string()),
    }
}

/// Looks at the room on its file system.
pub(super) fn disk_space(session: &Session) -> Check {
    match disk::free(session.dirs.castra_home()) {
        Ok(free) => judge_space(free),
        Err(error) => Check::failed(CheckName::DiskSpace, CheckStatus::Problem, &error),
    }
}

fn judge_space(free: ByteSize) -> Check {
    let summary = format!("{free} free");
    let status = match free {
        free if free < FULL => CheckStatus::Problem,
        free if free < TIGHT => CheckStatus::Warning,
        _ => return Check::ok(CheckName::DiskSpace, summary),
    };
    Check::new(CheckName::DiskSpace, status, summary)
        .with_hint("see what can go: `castra clean --dry-run` and `castra image list`")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn good() -> Home {
        Home { existing: "/h/.castra".into(), made: true, writable: true, mode: 0o700, own: true }
    }

    #[test]
    fn only_a_home_that_cannot_be_written_is_a_problem() {
        let home = Path::new("/h/.castra");
        for (found, expected) in [
            (good(), CheckStatus::Ok),
            (Home { made: false, existing: "/h".into(), mode: 0o755, ..good() }, CheckStatus::Ok),
            (Home { mode: 0o755, ..good() }, CheckStatus::Ok),
            (Home { mode: 0o777, ..good() }, CheckStatus::Warning),
            (Home { own: false, ..good() }, CheckStatus::Warning),
            (Home { writable: false, ..good() }, CheckStatus::Problem),
            (Home { made: false, existing: "/h".into(), writable: false, ..good() }, CheckStatus::Problem),
        ] {
            let check = judge(home, &found);
            assert_eq!(check.status, expected, "{found:?}");
            assert_eq!(check.hints.is_empty(), expected == CheckStatus::Ok, "{check:?}");
        }
    }

    #[test]
    fn looking_at_a_home_makes_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let home = dir.path().join("a/b");
        let found = look(&home).unwrap();
        assert_eq!((found.existing.as_path(), found.made, found.writable), (dir.path(), false, true));
        assert!(!home.exists());
        let file = dir.path().join("file");
        fs::write(&file, "").unwrap();
        assert!(!look(&file).unwrap().writable, "a file is no place for files");
    }

    #[test]
    fn room_is_judged_by_what_an_image_needs() {
        for (free, expected) in [
            (ByteSize::gib(20), CheckStatus::Ok),
            (ByteSize::gib(1), CheckStatus::Warning),
            (ByteSize::mib(1), CheckStatus::Problem),
        ] {
            assert_eq!(judge_space(free).status, expected, "{free}");
        }
    }
}
