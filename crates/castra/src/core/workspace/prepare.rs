//! Makes a workspace ready for `up`, and forgets one that `clean` emptied.
//!
//! Tests: below.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use plasmavmc_host::{HostError, IoContext, Layout, plain, publish};
use plasmavmc_hypervisor::EventSink;
use plasmavmc_types::EventKind;

use super::registry::{link_name, links_root};
use crate::core::project::{WorkspaceId, default_projects_root};
use crate::env::UserDirs;

/// How many places a project may have moved its workspace to while the former ones are still there.
const MAX_LINKS: usize = 99;

/// Creates the workspace's directories, private to the user, and makes it known.
///
/// # Errors
/// [`HostError`] where a directory or the link cannot be made.
pub fn prepare(dirs: &UserDirs, id: &WorkspaceId, layout: &Layout) -> Result<(), HostError> {
    for dir in [layout.logs(), layout.images(), layout.overlays(), layout.vm_records(), layout.locks()] {
        publish::private_dir_below(layout.root(), &dir)?;
    }
    plain::clear_links(layout)?;
    if layout.root().parent() == Some(&default_projects_root(dirs)) {
        return Ok(());
    }
    publish::private_dir(&links_root(dirs))?;
    for number in 1..=MAX_LINKS {
        let link = links_root(dirs).join(link_name(id, number));
        if link_to(layout.root(), &link)? {
            return Ok(());
        }
    }
    let link = links_root(dirs).join(id.as_str());
    Err(io::Error::from(ErrorKind::AlreadyExists)).context("create another link like", &link)
}

/// Makes a link to `root`; false where it leads to another directory that is still there: a VM may
/// run in that one, and without its link nobody would see it.
fn link_to(root: &Path, link: &Path) -> Result<bool, HostError> {
    match fs::read_link(link) {
        Ok(target) if target == root => return Ok(true),
        Ok(target) if target.exists() => return Ok(false),
        Ok(_) => publish::remove(link).map(drop)?,
        Err(_) => {}
    }
    match std::os::unix::fs::symlink(root, link) {
        Ok(()) => Ok(true),
        // Another `up` of the same project made it first.
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            Ok(fs::read_link(link).is_ok_and(|target| target == root))
        }
        Err(error) => Err(error).context("create a link at", link),
    }
}

/// Forgets a workspace outside its default place, by its link. Its directory is not touched.
///
/// # Errors
/// [`HostError`] where the link cannot be removed.
pub fn forget(link: &Path) -> Result<(), HostError> {
    publish::remove(link).map(drop)
}

/// Removes what older versions kept in a workspace: the broker's handshakes, its pidfile and its
/// bus logs.
///
/// # Errors
/// [`HostError`] where something is there and cannot be removed.
pub fn prune_legacy(layout: &Layout, sink: &dyn EventSink) -> Result<(), HostError> {
    for path in legacy(layout) {
        let removed = match fs::symlink_metadata(&path) {
            Ok(meta) if meta.is_dir() => fs::remove_dir_all(&path),
            Ok(_) => fs::remove_file(&path),
            Err(_) => continue,
        };
        removed.context("remove", &path)?;
        sink.emit(None, EventKind::LegacyArtifactRemoved { path });
    }
    Ok(())
}

/// The files and directories only older versions made.
pub(crate) fn legacy(layout: &Layout) -> Vec<PathBuf> {
    let root: &Path = layout.root();
    vec![root.join("handshakes"), root.join("broker.pid"), layout.logs().join("bus")]
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::core::recorder::Recorder;
    use crate::core::workspace::known;

    #[test]
    fn a_workspace_is_private_and_preparing_twice_changes_nothing() {
        let home = tempfile::tempdir().unwrap();
        let dirs = UserDirs::from_values(Some(home.path().into()), None).unwrap();
        let layout = Layout::new(home.path().join("elsewhere/state"));
        let id = "web-0123456789ab".parse().unwrap();
        for _ in 0..2 {
            prepare(&dirs, &id, &layout).unwrap();
        }
        let mode = fs::metadata(layout.root()).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
        assert_eq!(fs::read_link(links_root(&dirs).join("web-0123456789ab")).unwrap(), layout.root());
        forget(&links_root(&dirs).join("web-0123456789ab")).unwrap();
        assert_eq!(known(&dirs), []);
        assert!(layout.logs().is_dir(), "forgetting deletes nothing");
    }

    #[test]
    fn a_workspace_that_moves_leaves_the_link_to_its_former_place_while_that_is_there() {
        let home = tempfile::tempdir().unwrap();
        let dirs = UserDirs::from_values(Some(home.path().into()), None).unwrap();
        let id = "web-0123456789ab".parse().unwrap();
        let places = ["a", "b"].map(|name| Layout::new(home.path().join(name)));
        for layout in [&places[0], &places[1], &places[0]] {
            prepare(&dirs, &id, layout).unwrap();
        }
        let leads_to = |name: &str| fs::read_link(links_root(&dirs).join(name)).ok();
        assert_eq!(leads_to("web-0123456789ab").as_deref(), Some(places[0].root()));
        assert_eq!(leads_to("web-0123456789ab.2").as_deref(), Some(places[1].root()));
        assert_eq!(leads_to("web-0123456789ab.3"), None);
        fs::remove_dir_all(places[0].root()).unwrap();
        let third = Layout::new(home.path().join("c"));
        prepare(&dirs, &id, &third).unwrap();
        assert_eq!(leads_to("web-0123456789ab").as_deref(), Some(third.root()));
    }

    #[test]
    fn legacy_files_go_and_everything_else_stays() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::new(dir.path());
        fs::create_dir_all(dir.path().join("handshakes")).unwrap();
        fs::create_dir_all(layout.logs().join("bus")).unwrap();
        fs::write(dir.path().join("broker.pid"), "1").unwrap();
        fs::write(layout.logs().join("web.log"), "kept").unwrap();
        let seen = std::sync::Mutex::new(0);
        let observer = |_: &plasmavmc_types::Event| *seen.lock().unwrap() += 1;
        prune_legacy(&layout, &Recorder::forwarding(&observer)).unwrap();
        assert!(legacy(&layout).iter().all(|path| !path.exists()));
        assert!(layout.logs().join("web.log").exists());
        assert_eq!(*seen.lock().unwrap(), 3);
    }
}
