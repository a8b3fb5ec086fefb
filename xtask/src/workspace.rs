//! The workspace as `cargo metadata` tells it, and what chores have in common.
//!
//! The only file that runs a program. Tests: the chores' own.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;

use plasmavmc_types::{ErrorKind, Explain};
use serde::Deserialize;

/// Something a chore found wrong.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Finding {
    /// Where: a file, a crate.
    pub(crate) place: String,
    /// What is wrong, and what to do about it.
    pub(crate) what: String,
}

impl Finding {
    pub(crate) fn new(place: impl Into<String>, what: impl Into<String>) -> Self {
        Self { place: place.into(), what: what.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.what)
    }
}

/// Why a chore could not look at all.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ChoreError {
    /// A file cannot be read or written.
    #[error("failed to {action} `{}`", path.display())]
    File {
        action: &'static str,
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    /// Cargo could not be run.
    #[error("failed to run `cargo`")]
    Cargo {
        #[source]
        source: std::io::Error,
    },
    /// A command could not be built, or did not write its pages.
    #[error("`cargo run --package {package} -- docs` failed with {status}")]
    Pages { package: &'static str, status: std::process::ExitStatus },
    /// Cargo ran and failed.
    #[error("`cargo metadata` failed: {said}")]
    Metadata { said: String },
    /// Cargo answered something else than metadata.
    #[error("`cargo metadata` answered what is not its format")]
    MetadataFormat {
        #[source]
        source: serde_json::Error,
    },
    /// A TOML file is not what it should be.
    #[error("`{}` is not as expected", path.display())]
    Toml {
        path: PathBuf,
        #[source]
        source: toml::de::Error,
    },
}

impl Explain for ChoreError {
    fn kind(&self) -> ErrorKind {
        ErrorKind::Io
    }
}

/// A package, as `cargo metadata` names its fields.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Package {
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) manifest_path: PathBuf,
    /// None for the packages of this workspace.
    pub(crate) source: Option<String>,
    pub(crate) license: Option<String>,
    pub(crate) dependencies: Vec<Dependency>,
    pub(crate) features: BTreeMap<String, Vec<String>>,
}

/// A dependency of a package.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Dependency {
    pub(crate) name: String,
    pub(crate) kind: Option<DependencyKind>,
    pub(crate) optional: bool,
}

/// What a dependency is for; none in the metadata means for the package itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum DependencyKind {
    Dev,
    Build,
}

impl Dependency {
    /// Whether only tests, benches and examples see it.
    pub(crate) fn is_dev(&self) -> bool {
        self.kind == Some(DependencyKind::Dev)
    }
}

#[derive(Debug, Deserialize)]
struct Metadata {
    packages: Vec<Package>,
    workspace_root: PathBuf,
}

/// This repository.
#[derive(Debug)]
pub(crate) struct Workspace {
    /// Its root directory.
    pub(crate) root: PathBuf,
    /// Its own packages.
    pub(crate) packages: Vec<Package>,
}

impl Workspace {
    pub(crate) fn load() -> Result<Self, ChoreError> {
        let metadata = metadata(&["--no-deps"])?;
        Ok(Self { root: metadata.workspace_root, packages: metadata.packages })
    }
}

/// Every package that is built for the platforms Castra runs on, those of this workspace included.
pub(crate) fn locked_packages() -> Result<Vec<Package>, ChoreError> {
    let platforms = ["x86_64-unknown-linux-gnu", "aarch64-unknown-linux-gnu"];
    let mut args = vec!["--locked"];
    for platform in platforms {
        args.extend(["--filter-platform", platform]);
    }
    Ok(metadata(&args)?.packages)
}

fn metadata(args: &[&str]) -> Result<Metadata, ChoreError> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["metadata", "--format-version", "1"])
        .args(args)
        .output()
        .map_err(|source| ChoreError::Cargo { source })?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        return Err(ChoreError::Metadata { said });
    }
    serde_json::from_slice(&output.stdout).map_err(|source| ChoreError::MetadataFormat { source })
}

/// The text of a file.
pub(crate) fn read(path: &Path) -> Result<String, ChoreError> {
    let error = |source| ChoreError::File { action: "read", path: path.to_owned(), source };
    std::fs::read_to_string(path).map_err(error)
}

/// The files under `dir` whose extension is one of `extensions` (`""` for none), in order, without
/// what is built or hidden.
pub(crate) fn files(dir: &Path, extensions: &[&str]) -> Result<Vec<PathBuf>, ChoreError> {
    let error = |source| ChoreError::File { action: "list", path: dir.to_owned(), source };
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(error)? {
        let path = entry.map_err(error)?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if path.is_symlink() || name.starts_with('.') || name == "target" {
            continue;
        }
        if path.is_dir() {
            found.extend(files(&path, extensions)?);
        } else if extensions.iter().any(|wanted| path.extension().unwrap_or_default() == *wanted) {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A package of this workspace that depends on `dependencies`, `(name, kind, optional)`.
    pub(crate) fn package(name: &str, dependencies: &[(&str, Option<DependencyKind>, bool)]) -> Package {
        let dependency = |(name, kind, optional): &(&str, Option<DependencyKind>, bool)| Dependency {
            name: (*name).to_owned(),
            kind: *kind,
            optional: *optional,
        };
        Package {
            name: name.to_owned(),
            version: "0.1.0".to_owned(),
            manifest_path: PathBuf::new(),
            source: None,
            license: None,
            dependencies: dependencies.iter().map(dependency).collect(),
            features: BTreeMap::new(),
        }
    }
}
