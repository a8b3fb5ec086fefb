//! Where the workspaces of projects are, and what they are called.
//!
//! ```text
//! <castra home>/projects/<slug>-<hash>     unless [project] state_dir says otherwise
//! ```
//!
//! `<slug>` is the project's name made safe for a path, `<hash>` tells two checkouts of one project
//! apart. Pure: nothing here touches a file. Tests: below.

use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::config::{Project, ProjectName};
use crate::env::UserDirs;

/// The longest slug, in bytes: with the hash it stays a name people can read in a table.
const SLUG_MAX_LEN: usize = 40;

/// How many hexadecimal digits of the hash a workspace's name holds: 48 bits, so that a user with a
/// thousand projects of one name meets a collision with a chance below one in 10^8.
const HASH_LEN: usize = 12;

/// What a project is called where its name has no letter or digit of ASCII.
const FALLBACK_SLUG: &str = "project";

/// The id of a workspace, `<slug>-<hash>`: what `--workspace` takes.
///
/// Depends on the project's name and the directory of its config alone, so it stays the same when
/// `state_dir` moves the workspace. Lower-case letters, digits and `-`: safe as a file name.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct WorkspaceId(String);

/// A text that is not a workspace id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{}` is not a workspace id: a name, `-` and {HASH_LEN} hexadecimal digits", text.escape_debug())]
pub struct WorkspaceIdError {
    /// The text as given.
    pub text: String,
}

impl WorkspaceId {
    /// The id of the project called `name` whose config is at `config_path`, an absolute path whose
    /// directory is canonical (as [`crate::config::discover`] makes it).
    pub fn of(config_path: &Path, name: &ProjectName) -> Self {
        let directory = config_path.parent().unwrap_or(config_path);
        let digest = Sha256::digest(directory.as_os_str().as_bytes());
        let mut hash: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        hash.truncate(HASH_LEN);
        Self(format!("{}-{hash}", slug(name.as_str())))
    }

    /// The project's name in a form that is safe anywhere: the id without its hash.
    pub fn slug(&self) -> &str {
        &self.0[..self.0.len() - HASH_LEN - 1]
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The directory that holds the workspace of every project without a `state_dir`.
pub fn default_projects_root(dirs: &UserDirs) -> PathBuf {
    dirs.castra_home().join("projects")
}

/// The workspace of a project without a `state_dir`.
pub fn default_state_root(dirs: &UserDirs, config_path: &Path, name: &ProjectName) -> PathBuf {
    default_projects_root(dirs).join(WorkspaceId::of(config_path, name).as_str())
}

/// The workspace of a project: its `state_dir`, or its directory under [`default_projects_root`].
pub fn config_state_root(project: &Project) -> &Path {
    &project.state_root
}

/// A name made safe for a path: lower-case ASCII letters and digits, everything else one `-`.
fn slug(name: &str) -> String {
    let mut slug = String::new();
    for c in name.chars() {
        if c.is_ascii_alphanumeric() {
            slug.push(c.to_ascii_lowercase());
        } else if !slug.is_empty() && !slug.ends_with('-') {
            slug.push('-');
        }
    }
    slug.truncate(SLUG_MAX_LEN);
    let slug = slug.trim_end_matches('-');
    if slug.is_empty() { FALLBACK_SLUG.to_owned() } else { slug.to_owned() }
}

impl FromStr for WorkspaceId {
    type Err = WorkspaceIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let fits =
            |part: &str| part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        let hex = |part: &str| part.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        match text.rsplit_once('-') {
            Some((slug, hash))
                if (1..=SLUG_MAX_LEN).contains(&slug.len())
                    && fits(slug)
                    && !slug.starts_with('-')
                    && hash.len() == HASH_LEN
                    && hex(hash) =>
            {
                Ok(Self(text.to_owned()))
            }
            _ => Err(WorkspaceIdError { text: text.to_owned() }),
        }
    }
}

impl TryFrom<String> for WorkspaceId {
    type Error = WorkspaceIdError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<WorkspaceId> for String {
    fn from(id: WorkspaceId) -> Self {
        id.0
    }
}

impl fmt::Display for WorkspaceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn id(directory: &str, name: &str) -> WorkspaceId {
        WorkspaceId::of(&Path::new(directory).join("castra.toml"), &name.parse().unwrap())
    }

    #[test]
    fn a_slug_is_always_one_safe_path_component() {
        for (name, expected) in [
            ("My Project", "my-project"),
            ("..a..b..", "a-b"),
            ("  x  ", "x"),
            ("日本", "project"),
            ("é1", "1"),
            (&"ab ".repeat(20), "ab-ab-ab-ab-ab-ab-ab-ab-ab-ab-ab-ab-ab-a"),
        ] {
            assert_eq!(slug(name), expected, "{name:?}");
        }
    }

    #[test]
    fn two_checkouts_of_one_project_have_two_workspaces() {
        assert_eq!(id("/src/a", "web"), id("/src/a", "web"));
        assert_ne!(id("/src/a", "web"), id("/src/b", "web"));
        // SHA-256 of `/src/a`, from `printf /src/a | sha256sum`.
        assert_eq!(id("/src/a", "Web App").as_str(), "web-app-3213ad7c2b80");
        assert_eq!(id("/src/a", "Web App").slug(), "web-app");
    }

    #[test]
    fn the_default_workspace_is_under_the_projects_root() {
        let dirs = UserDirs::from_values(None, Some("/home/me".into())).unwrap();
        let root = default_state_root(&dirs, Path::new("/src/a/castra.toml"), &"web".parse().unwrap());
        assert_eq!(root.parent(), Some(Path::new("/home/me/.castra/projects")));
        assert_eq!(root.file_name().and_then(|n| n.to_str()), Some(id("/src/a", "web").as_str()));
    }

    #[test]
    fn what_is_not_an_id_is_refused() {
        for text in [
            "",
            "web",
            "../x-0123456789ab",
            "-0123456789ab",
            "web-0123456789AB",
            "web-123",
            "a/b-0123456789ab",
        ] {
            assert!(text.parse::<WorkspaceId>().is_err(), "{text:?} was accepted");
        }
    }

    proptest! {
        #[test]
        fn every_project_has_an_id_that_parses(name in "\\PC{1,63}", directory in "/\\PC{0,40}") {
            if let Ok(name) = name.parse::<ProjectName>() {
                let id = WorkspaceId::of(&Path::new(&directory).join("castra.toml"), &name);
                prop_assert_eq!(id.as_str().parse::<WorkspaceId>(), Ok(id.clone()));
            }
        }
    }
}
