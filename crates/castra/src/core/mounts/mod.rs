//! Folders of the host that a guest sees: which folder that is, once every link is followed.
//!
//! A config says what is shared; what it does not name is not. A path is resolved once, when the VM is
//! started, and what it led to is what the guest gets: a folder beside the config cannot lead elsewhere,
//! and none holds Castra's own files. Inside the guest QEMU follows no link out of the folder.
//! Mounting there is in `guest`. Tests: below, and `tests/it/mounts.rs`.

mod again;
mod guest;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use plasmavmc_types::{DeviceId, ErrorKind, Explain, ShareSpec};
use sha2::{Digest, Sha256};

pub(crate) use self::again::Remounts;
pub use self::guest::{MountRow, MountState};
pub(crate) use self::guest::{mount_all, rows};
use super::session::Session;
use super::workspace::known;
use crate::config::mount::meets;
use crate::config::{Mount, Project, VmConfig};

/// Why a folder is not shared.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MountError {
    /// There is no such folder, or it may not be looked at.
    #[error("`{}` cannot be mounted", path.display())]
    Unreadable {
        /// The path in the config.
        path: PathBuf,
        /// The system's answer.
        #[source]
        source: io::Error,
    },
    /// It is something else.
    #[error("`{}` cannot be mounted: it is not a folder", path.display())]
    NotAFolder {
        /// The path in the config.
        path: PathBuf,
    },
    /// A link leads out of the project.
    #[error("`{}` cannot be mounted: a link in it leads to `{}`, outside of the project", path.display(), target.display())]
    LeadsOutside {
        /// The path in the config.
        path: PathBuf,
        /// Where it leads.
        target: PathBuf,
    },
    /// It leads to Castra's own files.
    #[error("`{}` cannot be mounted: Castra's own files are in the way, at `{}`", path.display(), target.display())]
    OwnFiles {
        /// The path in the config.
        path: PathBuf,
        /// Where it leads.
        target: PathBuf,
    },
}

impl Explain for MountError {
    fn kind(&self) -> ErrorKind {
        ErrorKind::Preflight
    }

    fn hints(&self) -> Vec<String> {
        match self {
            Self::Unreadable { path, source } if source.kind() == io::ErrorKind::NotFound => {
                vec![format!("make it: `mkdir -p {}`", path.display())]
            }
            Self::Unreadable { path, .. } => vec![format!("look at it: `ls -ld {}`", path.display())],
            Self::NotAFolder { .. } => vec!["mount the folder it is in".to_owned()],
            Self::LeadsOutside { target, .. } => {
                vec![format!("name that folder itself: `host = \"{}\"`", target.display())]
            }
            Self::OwnFiles { .. } => vec!["share a folder of its own, or set `state_dir`".to_owned()],
        }
    }
}

/// The folders of a VM as its backend takes them, or everything that is wrong with them.
pub(crate) fn shares(
    session: &Session,
    project: &Project,
    vm: &VmConfig,
) -> Result<Vec<ShareSpec>, Vec<MountError>> {
    // Every workspace's keys lead into its guests, not only this one's.
    let others = known(&session.dirs).into_iter().map(|known| known.layout.root().to_owned());
    let own = [project.state_root.clone(), session.dirs.castra_home().to_owned()];
    let own: Vec<PathBuf> = own.into_iter().chain(others).map(|path| followed(&path)).collect();
    let project_dir = followed(project.config_dir());
    let (mut shares, mut errors) = (Vec::new(), Vec::new());
    for mount in &vm.mounts {
        match resolve(mount, project.config_dir(), &project_dir, &own) {
            Ok(path) => shares.push(ShareSpec {
                id: tag(&mount.guest),
                path,
                mount_point: mount.guest.clone(),
                read_only: mount.read_only,
            }),
            Err(error) => errors.push(error),
        }
    }
    if errors.is_empty() { Ok(shares) } else { Err(errors) }
}

/// The folder a mount leads to.
fn resolve(
    mount: &Mount,
    named_dir: &Path,
    project_dir: &Path,
    own: &[PathBuf],
) -> Result<PathBuf, MountError> {
    let path = mount.host.clone();
    let unreadable = |source| MountError::Unreadable { path: path.clone(), source };
    let target = fs::canonicalize(&path).map_err(unreadable)?;
    if !fs::metadata(&target).map_err(unreadable)?.is_dir() {
        return Err(MountError::NotAFolder { path });
    }
    if path.starts_with(named_dir) && !target.starts_with(project_dir) {
        return Err(MountError::LeadsOutside { path, target });
    }
    if own.iter().any(|own| meets(&target, own)) {
        return Err(MountError::OwnFiles { path, target });
    }
    Ok(target)
}

/// A path with its links followed, as far as it is there.
fn followed(path: &Path) -> PathBuf {
    let there = path.ancestors().find_map(|part| Some((part, fs::canonicalize(part).ok()?)));
    match there {
        Some((part, real)) => match path.strip_prefix(part) {
            Ok(rest) if !rest.as_os_str().is_empty() => real.join(rest),
            _ => real,
        },
        None => path.to_owned(),
    }
}

/// The tag of the folder that is seen at `guest`: the same at every start, whatever other mounts there are.
pub(crate) fn tag(guest: &str) -> DeviceId {
    let digest = Sha256::digest(guest.as_bytes());
    let hash: String = digest[..6].iter().map(|byte| format!("{byte:02x}")).collect();
    format!("share-{hash}").parse().expect("a letter, and 17 letters, digits and `-`")
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_folder_is_shared_where_its_links_lead_and_nothing_else_is() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        let project = root.join("project");
        for folder in ["project/src", "elsewhere", "state/keys", "home/.castra"] {
            fs::create_dir_all(root.join(folder)).unwrap();
        }
        fs::write(project.join("file"), "").unwrap();
        for (link, target) in
            [("in", "src"), ("out", "../elsewhere"), ("loop", "loop"), ("own", "../state/keys")]
        {
            symlink(target, project.join(link)).unwrap();
        }
        symlink(root.join("state"), root.join("elsewhere/to-state")).unwrap();
        let own = [root.join("state"), root.join("home/.castra")];
        let shared = |path: &str| {
            let mount = Mount { host: root.join(path), guest: "/x".to_owned(), read_only: true };
            resolve(&mount, &project, &project, &own)
        };
        for (path, expected) in
            [("project/in", "project/src"), ("elsewhere", "elsewhere"), ("project", "project")]
        {
            assert_eq!(shared(path).unwrap(), root.join(expected));
        }
        assert!(matches!(shared("project/missing"), Err(MountError::Unreadable { .. })));
        assert!(matches!(shared("project/loop"), Err(MountError::Unreadable { .. })));
        assert!(matches!(shared("project/file"), Err(MountError::NotAFolder { .. })));
        assert!(matches!(shared("project/out"), Err(MountError::LeadsOutside { .. })));
        assert!(matches!(shared("project/own"), Err(MountError::LeadsOutside { .. })));
        for path in ["elsewhere/to-state", "elsewhere/to-state/keys", "home", ""] {
            assert!(matches!(shared(path), Err(MountError::OwnFiles { .. })), "{path}");
        }
    }

    #[test]
    fn a_tag_depends_on_the_place_in_the_guest_alone() {
        assert_eq!(tag("/srv/src").as_str(), tag("/srv/src").as_str());
        assert_ne!(tag("/srv/src"), tag("/srv/src2"));
        // SHA-256 of `/srv/src`, from `printf /srv/src | sha256sum`.
        assert_eq!(tag("/srv/src").as_str(), "share-87eebc4b3abe");
    }

    #[test]
    fn what_is_not_there_yet_is_followed_as_far_as_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        symlink(&root, root.join("link")).unwrap();
        assert_eq!(followed(&root.join("link/a/b")), root.join("a/b"));
        assert_eq!(followed(&root.join("link")), root);
    }
}
