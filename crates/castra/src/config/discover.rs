//! Finds the config of a command, and loads it.
//!
//! ```text
//! --config PATH          that file                                  Named
//! (nothing)              castra.toml here, or in a directory above  Found
//! --allow-synthetic      none of both: a project of one VM          Synthetic
//! ```
//!
//! The search goes up to the root of the file system. Above the current directory it takes only
//! configs of the user or of root: in a shared directory such as `/tmp` anybody could put one that
//! every project below it would run. Reads only. Tests: below.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::error::ConfigError;
use super::{Environment, FILE_NAME, Project, parse, parse_bytes, read, template};
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
        let path = lookup.current_dir.join(config);
        return match read::look(&path)? {
            Some(_) => Ok(ConfigOrigin::Named { path: canonical(&path)? }),
            None => Err(ConfigError::Missing { path: config.clone() }),
        };
    }
    if lookup.discovery == Discovery::Search
        && let Some(path) = search(&lookup.current_dir)?
    {
        return Ok(ConfigOrigin::Found { path });
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

/// The nearest config at or above `from`.
fn search(from: &Path) -> Result<Option<PathBuf>, ConfigError> {
    let user = rustix::process::geteuid().as_raw();
    for directory in from.ancestors() {
        let path = directory.join(FILE_NAME);
        let Some(metadata) = read::look(&path)? else { continue };
        let path = canonical(&path)?;
        let owner = metadata.uid();
        return if directory == from || is_trusted(owner, user) {
            Ok(Some(path))
        } else {
            Err(ConfigError::ForeignOwner { path, owner })
        };
    }
    Ok(None)
}

/// Whether a config that was not asked for may be used.
fn is_trusted(owner: u32, user: u32) -> bool {
    owner == user || owner == 0
}

/// The path with its directory made canonical; the last name stays, be it a symlink or not there.
fn canonical(path: &Path) -> Result<PathBuf, ConfigError> {
    let directory = path.parent().unwrap_or(path);
    let found =
        fs::canonicalize(directory).map_err(|source| ConfigError::from_io("resolve", directory, source))?;
    let path = found.join(path.file_name().unwrap_or(FILE_NAME.as_ref()));
    if path.to_str().is_some() { Ok(path) } else { Err(ConfigError::NotUtf8 { path }) }
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
            let bytes = read::read(path)?;
            (parse_bytes(&bytes, &env), bytes)
        }
    };
    parsed.map_err(|faults| ConfigError::Faulty {
        path: env.config_path,
        text: String::from_utf8_lossy(&bytes).into_owned(),
        faults,
    })
}
