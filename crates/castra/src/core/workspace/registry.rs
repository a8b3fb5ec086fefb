//! Finds the workspaces of this user.
//!
//! ```text
//! <castra home>/projects/<id>/metadata/workspace.json   workspaces in their default place
//! <castra home>/workspaces/<id> -> <root>               the others, by symbolic link
//! ```
//!
//! An id has several workspaces where `state_dir` was changed: the former one stays known, for a VM
//! may run in it, and further links of the id are called `<id>.2`, `<id>.3`.
//!
//! Reads only. A directory without a record is no workspace; a broken one is skipped here and
//! reported by `castra doctor`. Tests: below.

use std::cmp::Reverse;
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

/// Every workspace of this user, in the order of their ids; of one id, the one that was last used
/// first.
pub fn known(dirs: &UserDirs) -> Vec<KnownWorkspace> {
    let mut found = BTreeMap::new();
    for place in [default_projects_root(dirs), links_root(dirs)] {
        for child in children(&place) {
            // Links are followed, so that a workspace has one root whichever way it was found.
            let Ok(root) = child.canonicalize() else { continue };
            if found.contains_key(&root) {
                continue;
            }
            let layout = Layout::new(&root);
            if let Ok(Some(record)) = WorkspaceRecord::read(&layout) {
                found.insert(root, KnownWorkspace { layout, record });
            }
        }
    }
    let copied = |root: &Path, workspace: &KnownWorkspace| {
        let made_at = &workspace.record.workspace.root;
        made_at != root && made_at.canonicalize().is_ok_and(|at| at != root && found.contains_key(&at))
    };
    // Whoever copied a workspace has copied its pidfiles too: its VMs are the original's.
    let copies: Vec<PathBuf> =
        found.iter().filter(|(root, it)| copied(root, it)).map(|(root, _)| root.clone()).collect();
    found.retain(|root, _| !copies.contains(root));
    let mut known: Vec<KnownWorkspace> = found.into_values().collect();
    known.sort_by_key(|it| (it.record.workspace.id.clone(), Reverse(it.record.updated_at)));
    known
}

/// The workspaces of that id, the one that was last used first.
pub fn of_id(dirs: &UserDirs, id: &WorkspaceId) -> Vec<KnownWorkspace> {
    let mut known = known(dirs);
    known.retain(|workspace| workspace.record.workspace.id == *id);
    known
}

/// The name of the link to the `number`th workspace of an id, counted from 1.
pub(super) fn link_name(id: &WorkspaceId, number: usize) -> String {
    if number == 1 { id.to_string() } else { format!("{id}.{number}") }
}

fn is_link_name(name: &str) -> bool {
    let id = match name.rsplit_once('.') {
        Some((id, number)) if number.parse::<usize>().is_ok() => id,
        _ => name,
    };
    id.parse::<WorkspaceId>().is_ok()
}

/// The links to workspaces whose directory is gone.
pub(crate) fn dangling(dirs: &UserDirs) -> Vec<PathBuf> {
    let ours = |link: &PathBuf| link.file_name().and_then(|name| name.to_str()).is_some_and(is_link_name);
    let gone = |link: &PathBuf| link.is_symlink() && !link.exists();
    children(&links_root(dirs)).into_iter().filter(ours).filter(gone).collect()
}

/// The links to a workspace.
pub(crate) fn links_to(dirs: &UserDirs, layout: &Layout) -> Vec<PathBuf> {
    let root = layout.root().canonicalize().ok();
    let leads_there = |link: &PathBuf| link.is_symlink() && link.canonicalize().ok() == root;
    children(&links_root(dirs)).into_iter().filter(leads_there).collect()
}

fn children(dir: &Path) -> Vec<PathBuf> {
    fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path()).collect()
}

#[cfg(test)]
mod tests {
    use super::super::record::tests::record;
    use super::*;
    use plasmavmc_host::publish;
    use plasmavmc_types::Timestamp;

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
        assert_eq!(of_id(&dirs, &"c-0123456789ab".parse().unwrap()), []);
    }

    #[test]
    fn every_workspace_of_an_id_is_known_and_the_last_used_one_first() {
        let home = tempfile::tempdir().unwrap();
        let elsewhere = tempfile::tempdir().unwrap();
        let dirs = dirs(home.path());
        let id = "a-0123456789ab";
        let default = default_projects_root(&dirs).join(id);
        make(&default, id);
        fs::create_dir(links_root(&dirs)).unwrap();
        std::os::unix::fs::symlink(elsewhere.path(), links_root(&dirs).join(id)).unwrap();
        let mut newer = record(id, elsewhere.path());
        newer.updated_at = Timestamp::from_unix_millis(3);
        let layout = Layout::new(elsewhere.path());
        publish::private_dir(&layout.metadata()).unwrap();
        newer.write(&layout).unwrap();
        let roots: Vec<_> = of_id(&dirs, &id.parse().unwrap()).into_iter().map(|w| w.layout).collect();
        assert_eq!(roots, [elsewhere.path(), &default].map(|root| Layout::new(root.canonicalize().unwrap())));
    }

    #[test]
    fn a_copy_of_a_workspace_is_not_taken_for_another_one() {
        let home = tempfile::tempdir().unwrap();
        let dirs = dirs(home.path());
        let root = default_projects_root(&dirs).join("a-0123456789ab");
        make(&root, "a-0123456789ab");
        let copy = Layout::new(default_projects_root(&dirs).join("copy"));
        publish::private_dir(&copy.metadata()).unwrap();
        record("a-0123456789ab", &root).write(&copy).unwrap();
        let roots = || known(&dirs).into_iter().map(|w| w.layout.root().to_owned()).collect::<Vec<_>>();
        assert_eq!(roots(), [root.canonicalize().unwrap()]);
        // Where the original is gone it is no copy: the workspace was moved.
        fs::remove_dir_all(&root).unwrap();
        assert_eq!(roots(), [copy.root().canonicalize().unwrap()]);
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
        link("b-0123456789ab.2", Path::new("/nowhere"));
        for name in ["not an id", "b-0123456789ab.x", ".2"] {
            link(name, Path::new("/nowhere"));
        }
        let mut found = dangling(&dirs);
        found.sort();
        assert_eq!(found, ["b-0123456789ab", "b-0123456789ab.2"].map(|name| links_root(&dirs).join(name)));
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
