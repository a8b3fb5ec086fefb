//! Finds the config of a command, and loads it.
//!
//! ```text
//! --config PATH          that file                                  Named
//! (nothing)              castra.toml here, or in a directory above  Found
//! --allow-synthetic      none of both: a project of one VM          Synthetic
//! ```
//!
//! How far the search goes, whose config it takes and that nothing is waited for is
//! [`plasmavmc_source`]'s. Reads only. Tests: below.

use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::error::ConfigError;
use super::{Environment, FILE_NAME, FORMAT, Project, parse, parse_bytes, template};
use crate::env::UserDirs;

/// What a command was told about its config.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lookup {
    /// The current directory, absolute.
    pub current_dir: PathBuf,
    /// The config that was named; relative to the current directory.
    pub config: Option<PathBuf>,
    /// Whether one is searched for where none was named.
    pub discovery: Discovery,
    /// Whether a project is made up where there is none.
    pub synthesis: Synthesis,
}

/// Whether a config is searched for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Discovery {
    /// In the current directory and those above it.
    #[default]
    Search,
    /// Not at all (`--skip-discovery`).
    Skip,
}

/// Whether a project is made up where there is no config.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Synthesis {
    /// A missing config is an error.
    #[default]
    Deny,
    /// A missing config is a project of one VM (`--allow-synthetic`).
    Allow,
}

/// Where a project comes from. Paths are absolute and their directory is canonical.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "origin", rename_all = "snake_case")]
pub enum ConfigOrigin {
    /// The config was named.
    Named {
        /// It.
        path: PathBuf,
    },
    /// The config was found.
    Found {
        /// It.
        path: PathBuf,
    },
    /// There is none: the project is made up.
    Synthetic {
        /// Where the config would be.
        path: PathBuf,
    },
}

impl ConfigOrigin {
    /// The config; of a made up project, where it would be.
    pub fn path(&self) -> &Path {
        match self {
            Self::Named { path } | Self::Found { path } | Self::Synthetic { path } => path,
        }
    }
}

/// Finds the config of a command.
///
/// # Errors
/// [`ConfigError`] where there is none, or where what is there is not one.
pub fn discover(lookup: &Lookup) -> Result<ConfigOrigin, ConfigError> {
    if let Some(config) = &lookup.config {
        let path = FORMAT.named(&lookup.current_dir, config)?;
        return Ok(ConfigOrigin::Named { path: canonical(&path)? });
    }
    if lookup.discovery == Discovery::Search
        && let Some(path) = FORMAT.nearest(&lookup.current_dir)?
    {
        return Ok(ConfigOrigin::Found { path: canonical(&path)? });
    }
    match (lookup.synthesis, lookup.discovery) {
        (Synthesis::Allow, _) => {
            Ok(ConfigOrigin::Synthetic { path: canonical(&lookup.current_dir.join(FILE_NAME))? })
        }
        (Synthesis::Deny, Discovery::Skip) => Err(ConfigError::NotNamed),
        (Synthesis::Deny, Discovery::Search) => {
            Err(ConfigError::NotFound { searched_from: lookup.current_dir.clone() })
        }
    }
}

/// The path with its directory made canonical; the last name stays, be it a symlink or not there.
fn canonical(path: &Path) -> Result<PathBuf, ConfigError> {
    let directory = path.parent().unwrap_or(path);
    let found = fs::canonicalize(directory).map_err(|source| FORMAT.failed("resolve", directory, source))?;
    let path = found.join(path.file_name().unwrap_or(FILE_NAME.as_ref()));
    let is_plain = path.to_str().is_some_and(|text| !text.contains(char::is_control));
    if is_plain { Ok(path) } else { Err(ConfigError::UnusablePath { path }) }
}

/// Reads and resolves a config that was found, or makes up the project.
///
/// # Errors
/// [`ConfigError`] where it cannot be read or has faults.
pub fn load(origin: &ConfigOrigin, dirs: &UserDirs) -> Result<Project, ConfigError> {
    let env = Environment::new(origin.path(), dirs);
    let (parsed, bytes) = match origin {
        ConfigOrigin::Synthetic { .. } => {
            (parse(template::SYNTHETIC, &env), template::SYNTHETIC.as_bytes().to_vec())
        }
        ConfigOrigin::Named { path } | ConfigOrigin::Found { path } => {
            let bytes = FORMAT.read(path)?;
            (parse_bytes(&bytes, &env), bytes)
        }
    };
    parsed.map_err(|faults| ConfigError::Faulty {
        path: env.config_path,
        text: String::from_utf8_lossy(&bytes).into_owned(),
        faults,
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::config::{FaultCode, FileError, FileProblem, NotAFile};

    /// A directory to search in, canonical.
    fn place() -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = fs::canonicalize(dir.path()).unwrap();
        fs::create_dir_all(path.join("a/b")).unwrap();
        (dir, path)
    }

    fn lookup(current_dir: &Path) -> Lookup {
        Lookup {
            current_dir: current_dir.to_owned(),
            config: None,
            discovery: Discovery::Search,
            synthesis: Synthesis::Deny,
        }
    }

    fn named(current_dir: &Path, config: &str) -> Lookup {
        Lookup { config: Some(config.into()), ..lookup(current_dir) }
    }

    fn problem<T: std::fmt::Debug>(result: Result<T, ConfigError>) -> FileProblem {
        match result {
            Err(ConfigError::File(FileError { problem, .. })) => problem,
            other => panic!("{other:?}"),
        }
    }

    fn write(path: &Path, text: &str) {
        fs::write(path, text).unwrap();
    }

    #[test]
    fn the_nearest_config_is_found() {
        let (_dir, root) = place();
        write(&root.join(FILE_NAME), "");
        let found = |from: &Path| discover(&lookup(from)).unwrap();
        assert_eq!(found(&root.join("a/b")), ConfigOrigin::Found { path: root.join(FILE_NAME) });
        write(&root.join("a").join(FILE_NAME), "");
        assert_eq!(found(&root.join("a/b")), ConfigOrigin::Found { path: root.join("a").join(FILE_NAME) });
        assert_eq!(found(&root), ConfigOrigin::Found { path: root.join(FILE_NAME) });
    }

    #[test]
    fn a_named_config_is_taken_as_it_is() {
        let (_dir, root) = place();
        write(&root.join("other.toml"), "");
        let expected = ConfigOrigin::Named { path: root.join("other.toml") };
        assert_eq!(discover(&named(&root.join("a"), "../other.toml")).unwrap(), expected);
        let skipping = Lookup { discovery: Discovery::Skip, ..named(&root, "other.toml") };
        assert_eq!(discover(&skipping).unwrap(), expected);
        for missing in ["x.toml", "x/y.toml", "other.toml/x"] {
            let problem = problem(discover(&named(&root, missing)));
            assert!(matches!(problem, FileProblem::Missing), "{missing}: {problem:?}");
        }
    }

    #[test]
    fn a_directory_as_config_says_what_is_in_it() {
        let (_dir, root) = place();
        let holds = |expected| match problem(discover(&named(&root, "a"))) {
            FileProblem::NotAFile(NotAFile::Directory { holds_one }) => assert_eq!(holds_one, expected),
            other => panic!("{other:?}"),
        };
        holds(false);
        write(&root.join("a").join(FILE_NAME), "");
        holds(true);
        fs::create_dir(root.join("a/b").join(FILE_NAME)).unwrap();
        assert!(matches!(problem(discover(&lookup(&root.join("a/b")))), FileProblem::NotAFile(_)));
    }

    #[test]
    fn without_a_config_the_answer_is_as_asked_for() {
        let (_dir, root) = place();
        let from = root.join("a");
        let ask = |discovery, synthesis| discover(&Lookup { discovery, synthesis, ..lookup(&from) });
        let synthetic = ConfigOrigin::Synthetic { path: from.join(FILE_NAME) };
        assert!(matches!(ask(Discovery::Search, Synthesis::Deny), Err(ConfigError::NotFound { .. })));
        assert!(matches!(ask(Discovery::Skip, Synthesis::Deny), Err(ConfigError::NotNamed)));
        assert_eq!(ask(Discovery::Search, Synthesis::Allow).unwrap(), synthetic);
        write(&root.join(FILE_NAME), "");
        assert_eq!(ask(Discovery::Skip, Synthesis::Allow).unwrap(), synthetic);
        assert!(matches!(ask(Discovery::Search, Synthesis::Allow), Ok(ConfigOrigin::Found { .. })));
    }

    #[test]
    fn the_workspace_belongs_to_where_the_link_is() {
        let (_dir, root) = place();
        write(&root.join("shared.toml"), "");
        symlink("../shared.toml", root.join("a").join(FILE_NAME)).unwrap();
        symlink("a", root.join("way")).unwrap();
        let expected = ConfigOrigin::Found { path: root.join("a").join(FILE_NAME) };
        assert_eq!(discover(&lookup(&root.join("way"))).unwrap(), expected);
    }

    #[test]
    fn a_directory_that_no_text_can_name_is_refused() {
        let (_dir, root) = place();
        let odd = root.join("a\nb");
        fs::create_dir(&odd).unwrap();
        write(&odd.join(FILE_NAME), "");
        assert!(matches!(discover(&lookup(&odd)), Err(ConfigError::UnusablePath { .. })));
    }

    #[test]
    fn what_is_loaded_is_a_project_or_its_faults_with_the_text() {
        let (_dir, root) = place();
        let dirs = UserDirs::from_values(None, Some(root.clone().into())).unwrap();
        let origin = ConfigOrigin::Named { path: root.join(FILE_NAME) };
        assert!(matches!(problem(load(&origin, &dirs)), FileProblem::Missing));
        write(origin.path(), "[[vms]]\nname = \"a\"\n");
        assert_eq!(load(&origin, &dirs).unwrap().vms.len(), 1);
        fs::write(origin.path(), b"cpus = 1 # \xff\n").unwrap();
        let Err(ConfigError::Faulty { text, faults, .. }) = load(&origin, &dirs) else { panic!("no faults") };
        assert_eq!((text.as_str(), faults[0].code), ("cpus = 1 # \u{fffd}\n", FaultCode::NotUtf8));
    }

    #[test]
    fn a_made_up_project_is_one_vm_with_ssh() {
        let (_dir, root) = place();
        let dirs = UserDirs::from_values(None, Some(root.clone().into())).unwrap();
        let project = load(&ConfigOrigin::Synthetic { path: root.join("a/castra.toml") }, &dirs).unwrap();
        assert_eq!((project.name.as_str(), project.vms.len()), ("a", 1));
        let vm = &project.vms[0];
        assert_eq!(
            (vm.name.as_str(), vm.port_forwards[0].host.get(), vm.port_forwards[0].guest.get()),
            ("devbox", 2222, 22)
        );
        assert!(!root.join("a/castra.toml").exists(), "loading wrote a file");
    }
}
