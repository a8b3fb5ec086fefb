//! Finds the workspaces of this user.
//!
//! ```text
//! <castra home>/projects/<id>/metadata/workspace.json   workspaces in their default place
//! <castra home>/workspaces/<id> -> <root>               the others, by symbolic link
//! ```
//!
//! Reads only. A directory without a record is no workspace; a broken one is skipped here and
//! reported by `castra doctor`. Tests: below.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use plasmavmc_host::Layout;

use super::WorkspaceRecord;
use crate::core::project::{WorkspaceId, default_projects_root};
use crate::env::UserDirs;

/// A workspace and its record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownWorkspace {
    /// Where it is.
    pub layout: Layout,
    /// What is known of it.
    pub record: WorkspaceRecord,
}

/// The directory of links to workspaces outside their default place.
pub(crate) fn links_root(dirs: &UserDirs) -> PathBuf {
    dirs.castra_home().join("workspaces")
}

/// Every workspace of this user, in the order of their ids.
pub fn known(dirs: &UserDirs) -> Vec<KnownWorkspace> {
    let mut found = BTreeMap::new();
    for root in [default_projects_root(dirs), links_root(dirs)] {
        for child in children(&root) {
            // Links are followed, so that a workspace has one root whichever way it was found.
            let Ok(child) = child.canonicalize() else { continue };
            let layout = Layout::new(child);
            if let Ok(Some(record)) = WorkspaceRecord::read(&layout) {
                found.entry(record.workspace.id.clone()).or_insert(KnownWorkspace { layout, record });
            }
        }
    }
    found.into_values().collect()
}

/// The workspace of that id.
pub fn find(dirs: &UserDirs, id: &WorkspaceId) -> Option<KnownWorkspace> {
    known(dirs).into_iter().find(|workspace| workspace.record.workspace.id == *id)
}

/// The ids of registered workspaces whose directory is gone.
pub(crate) fn dangling(dirs: &UserDirs) -> Vec<WorkspaceId> {
    let links = children(&links_root(dirs)).into_iter().filter(|link| link.is_symlink() && !link.exists());
    links.filter_map(|link| link.file_name()?.to_str()?.parse().ok()).collect()
}

fn children(dir: &Path) -> Vec<PathBuf> {
    fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path()).collect()
}

#[cfg(test)]
mod tests {
    use super::super::record::tests::record;
    use super::*;
    use plasmavmc_host::publish;

    fn dirs(home: &Path) -> UserDirs {
        UserDirs::from_values(Some(home.into()), None).unwrap()
    }

    fn make(root: &Path, id: &str) {
        let layout = Layout::new(root);
        publish::private_dir(&layout.metadata()).unwrap();
        record(id, root).write(&layout).unwrap();
    }

    #[test]
    fn workspaces_are_found_in_both_places_and_once_each() {
        let home = tempfile::tempdir().unwrap();
        let elsewhere = tempfile::tempdir().unwrap();
        let dirs = dirs(home.path());
        make(&default_projects_root(&dirs).join("b-0123456789ab"), "b-0123456789ab");
        make(elsewhere.path(), "a-0123456789ab");
        fs::create_dir(links_root(&dirs)).unwrap();
        for name in ["a-0123456789ab", "again"] {
            std::os::unix::fs::symlink(elsewhere.path(), links_root(&dirs).join(name)).unwrap();
        }
        let ids: Vec<_> = known(&dirs).into_iter().map(|w| w.record.workspace.id.to_string()).collect();
        assert_eq!(ids, ["a-0123456789ab", "b-0123456789ab"]);
        assert!(find(&dirs, &"c-0123456789ab".parse().unwrap()).is_none());
    }

    #[test]
    fn a_link_to_a_directory_that_is_gone_is_told_apart() {
        let home = tempfile::tempdir().unwrap();
        let dirs = dirs(home.path());
        fs::create_dir_all(links_root(&dirs)).unwrap();
        let link =
            |name: &str, to: &Path| std::os::unix::fs::symlink(to, links_root(&dirs).join(name)).unwrap();
        link("a-0123456789ab", home.path());
        link("b-0123456789ab", Path::new("/nowhere"));
        link("not an id", Path::new("/nowhere"));
        assert_eq!(dangling(&dirs), ["b-0123456789ab".parse().unwrap()]);
    }

    #[test]
    fn litter_in_the_projects_directory_is_no_workspace() {
        let home = tempfile::tempdir().unwrap();
        let dirs = dirs(home.path());
        let root = default_projects_root(&dirs);
        fs::create_dir_all(root.join("empty")).unwrap();
        fs::create_dir_all(root.join("broken/metadata")).unwrap();
        fs::write(root.join("broken/metadata/workspace.json"), "{").unwrap();
        fs::write(root.join("file"), "").unwrap();
        std::os::unix::fs::symlink("/nowhere", root.join("dangling")).unwrap();
        assert_eq!(known(&dirs), []);
    }
}
