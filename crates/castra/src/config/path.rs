//! The paths of a config: which text is a path, and which file it means.
//!
//! ```text
//! .castra/x   <state root>/x        (whatever the config's own directory holds)
//! ~/x         <home>/x
//! /x          /x
//! x           <config directory>/x
//! ```
//!
//! `.` and `..` are resolved in the text: config directories are canonical, so that only a `..`
//! behind a symlink inside the given path itself would mean another file. Pure. Tests: below.

use std::path::{Component, Path, PathBuf};

use plasmavmc_source::At;

use super::Environment;
use super::Faults;
use super::limits::{MAX_NAME_BYTES, MAX_PATH_BYTES};
use super::rule::Rule;
use crate::env::CASTRA_DIR;

/// The absolute path of a file that `text` names; its `.castra` is the state root.
pub(super) fn resolve_file(text: &str, key: &'static str, base: &Base<'_>) -> Result<PathBuf, Rule> {
    if text == "~" || text.ends_with('/') || matches!(text.rsplit('/').next(), Some("." | "..")) {
        check(text)?;
        return Err(Rule::DirectoryPath { key, path: text.to_owned() });
    }
    let path = base.resolve(text)?;
    if path == base.state_root { Err(Rule::DirectoryPath { key, path: text.to_owned() }) } else { Ok(path) }
}

/// The absolute path of a file or directory that `text` names; its `.castra` is the state root.
pub(super) fn resolve_any(text: &str, base: &Base<'_>) -> Result<PathBuf, Rule> {
    base.resolve(text)
}

/// What relative paths are relative to.
pub(super) struct Base<'a> {
    pub(super) env: &'a Environment,
    pub(super) state_root: &'a Path,
}

impl Base<'_> {
    fn resolve(&self, text: &str) -> Result<PathBuf, Rule> {
        let given = Path::new(text);
        if let Ok(inside) = given.strip_prefix(CASTRA_DIR) {
            check(text)?;
            let rebased = normalise(&self.state_root.join(inside));
            return if rebased.starts_with(self.state_root) {
                Ok(rebased)
            } else {
                Err(Rule::LeavesWorkspace { path: text.to_owned() })
            };
        }
        resolve_outside(text, self.env)
    }
}

/// The absolute path that `text` names, with no meaning for `.castra`.
pub(super) fn resolve_outside(text: &str, env: &Environment) -> Result<PathBuf, Rule> {
    check(text)?;
    let given = Path::new(text);
    let path = match given.strip_prefix("~") {
        Ok(inside) => {
            let home = env.home.as_deref().ok_or_else(|| Rule::NoHome { path: text.to_owned() })?;
            home.join(inside)
        }
        Err(_) => env.config_dir().join(given),
    };
    let path = normalise(&path);
    let bytes = path.as_os_str().len();
    if bytes > MAX_PATH_BYTES { Err(Rule::LongPath { bytes }) } else { Ok(path) }
}

/// The absolute path in a guest that `text` names, without `.` and `..`.
pub(super) fn resolve_guest(text: &str) -> Result<String, Rule> {
    check(text)?;
    let path = normalise(Path::new(text));
    match path.to_str() {
        Some(clean) if path.is_absolute() && clean != "/" => Ok(clean.to_owned()),
        _ => Err(Rule::MountPoint { path: text.to_owned() }),
    }
}

/// Whether a text can be a path at all.
fn check(text: &str) -> Result<(), Rule> {
    if text.is_empty() {
        return Err(Rule::EmptyPath);
    }
    // A line break or an escape sequence in a path is a slip at best; NUL no file system holds.
    if let Some(found) = text.chars().find(|c| c.is_control()) {
        return Err(Rule::PathCharacter { found });
    }
    let longest = text.split('/').map(str::len).max().unwrap_or_default();
    if longest > MAX_NAME_BYTES || text.len() > MAX_PATH_BYTES {
        return Err(Rule::LongPath { bytes: text.len() });
    }
    Ok(())
}

/// The path without `.` and `..`.
pub(super) fn normalise(path: &Path) -> PathBuf {
    let mut clean = PathBuf::new();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir => {
                clean.pop();
            }
            other => clean.push(other),
        }
    }
    clean
}

/// The workspace that `state_dir` names: a directory that holds nothing but the workspace.
pub(super) fn resolve_state_dir(
    text: &str,
    at: &At,
    env: &Environment,
    faults: &mut Faults<'_>,
) -> Option<PathBuf> {
    let path = match resolve_outside(text, env) {
        Ok(path) => path,
        Err(rule) => {
            faults.push(at, &rule);
            return None;
        }
    };
    let holds = if env.config_path.starts_with(&path) {
        "the config"
    } else if env.home.as_deref().is_some_and(|home| home.starts_with(&path)) {
        "the home directory"
    } else if env.castra_home.starts_with(&path) || env.projects_root().starts_with(&path) {
        "the workspaces of other projects"
    } else {
        return Some(path);
    };
    faults.push(at, &Rule::SharedStateDir { path, holds });
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn env() -> Environment {
        Environment {
            config_path: "/src/web/castra.toml".into(),
            home: Some("/home/me".into()),
            castra_home: "/home/me/.castra".into(),
        }
    }

    fn file(text: &str) -> Result<PathBuf, Rule> {
        let env = env();
        resolve_file(text, "overlay", &Base { env: &env, state_root: Path::new("/state") })
    }

    #[test]
    fn a_castra_prefix_means_the_workspace() {
        for (text, path) in [
            (".castra/devbox-overlay.qcow2", "/state/devbox-overlay.qcow2"),
            (".castra/api/overlay.qcow2", "/state/api/overlay.qcow2"),
            ("./.castra/x", "/src/web/.castra/x"),
            (".castra/a/../b", "/state/b"),
            (".castrax/b", "/src/web/.castrax/b"),
            ("disks/a,b.qcow2", "/src/web/disks/a,b.qcow2"),
            ("../base.qcow2", "/src/base.qcow2"),
            ("~/images/x.qcow2", "/home/me/images/x.qcow2"),
            ("~me/x", "/src/web/~me/x"),
            ("/var/x.qcow2", "/var/x.qcow2"),
        ] {
            assert_eq!(file(text), Ok(path.into()), "{text}");
        }
    }

    #[test]
    fn what_leaves_the_workspace_or_names_no_file_is_refused() {
        for text in [".castra/../x", ".castra/a/../../x", ".castra/../state2/x"] {
            assert_eq!(file(text), Err(Rule::LeavesWorkspace { path: text.into() }), "{text}");
        }
        for text in [".castra", ".castra/", "disks/", ".", "..", "a/..", "/", "~", "~/"] {
            assert!(matches!(file(text), Err(Rule::DirectoryPath { .. })), "{text}: {:?}", file(text));
        }
        assert_eq!(file(""), Err(Rule::EmptyPath));
        assert_eq!(file("a\nb"), Err(Rule::PathCharacter { found: '\n' }));
        assert_eq!(file("a\0b"), Err(Rule::PathCharacter { found: '\0' }));
        assert_eq!(file(&"a".repeat(300)), Err(Rule::LongPath { bytes: 300 }));
        assert!(matches!(file(&"a/".repeat(3000)), Err(Rule::LongPath { .. })));
    }

    proptest! {
        #[test]
        fn a_resolved_path_is_absolute_and_clean(text in "(\\.castra/|~/|/)?[a-z./,~ ]{0,30}") {
            if let Ok(path) = file(&text) {
                prop_assert!(path.is_absolute());
                prop_assert_eq!(normalise(&path), path.clone());
                if text.starts_with(".castra/") {
                    prop_assert!(path.starts_with("/state") && path != Path::new("/state"));
                }
            }
        }
    }
}
