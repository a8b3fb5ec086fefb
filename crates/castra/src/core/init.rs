//! `init`: writes a castra.toml that works as it is.
//!
//! Never replaces a file unless told to, and never follows a symbolic link to one: the new file is
//! written whole beside it and then takes the name, or does not. Tests: below, `tests/it/init.rs`.

use std::collections::BTreeSet;
use std::fs::{self, Permissions};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use plasmavmc_host::{IoContext, publish};
use schemars::JsonSchema;
use serde::Serialize;

use super::error::Error;
use super::output::OperationOutput;
use super::project::{WorkspaceId, default_state_root};
use super::selection::Target;
use super::session::Session;
use super::workspace::known;
use crate::config::{ConfigError, FILE_NAME, FORMAT, ProjectName, starter};
use crate::env::CASTRA_DIR;

/// The port of the host for the first project's SSH server.
pub const FIRST_PORT: u16 = 2222;

/// What `init` is asked.
#[derive(Debug, Clone, Default)]
pub struct InitOptions {
    /// The file to write; `castra.toml` in the current directory where none is given.
    pub config: Option<PathBuf>,
    /// The project's name; its directory's where none is given.
    pub name: Option<ProjectName>,
    /// Whether a file that is there is replaced.
    pub replace: Replace,
}

/// Whether a file that is there is replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Replace {
    /// It stays, and nothing is written.
    #[default]
    No,
    /// It is replaced.
    Yes,
}

/// What `init` wrote, and where state will be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct InitOutcome {
    /// The file.
    pub config: PathBuf,
    /// Whether it replaced another.
    pub replaced: bool,
    /// The project's name.
    pub project: String,
    /// The id of its workspace.
    #[schemars(with = "String")]
    pub id: WorkspaceId,
    /// The port of the host that leads to the VM's SSH server: the first from 2222 that no other known
    /// project has.
    pub ssh_port: u16,
    /// Where VMs, images and logs will be.
    pub workspace: PathBuf,
    /// Where they would be with `state_dir` set to `local_state_dir`.
    pub local_workspace: PathBuf,
    /// The `state_dir` that keeps them beside the config.
    pub local_state_dir: String,
}

/// Writes a starter config.
///
/// # Errors
/// [`Error::Exists`] where a file is there and is not to be replaced; [`Error::Config`] where a
/// directory is; [`Error::Host`] where it cannot be written.
pub fn init(session: &Session, options: &InitOptions) -> Result<OperationOutput<InitOutcome>, Error> {
    let path = session.cwd.join(options.config.as_deref().unwrap_or(Path::new(FILE_NAME)));
    let path = canonical(&path)?;
    let directory = path.parent().unwrap_or(&path);
    let name = options.name.clone().unwrap_or_else(|| ProjectName::of_directory(directory));
    let there = fs::symlink_metadata(&path);
    if let Some(directory) = there.as_ref().ok().filter(|there| there.is_dir()) {
        FORMAT.check_kind(&path, directory).map_err(ConfigError::from)?;
    }
    let id = WorkspaceId::of(&path, &name);
    let ssh_port = free_port(&declared_elsewhere(session, &path));
    write(&path, &starter(&name, ssh_port), options.replace)?;
    let value = InitOutcome {
        replaced: there.is_ok(),
        id,
        ssh_port,
        workspace: default_state_root(&session.dirs, &path, &name),
        local_workspace: directory.join(CASTRA_DIR),
        local_state_dir: CASTRA_DIR.to_owned(),
        project: name.to_string(),
        config: path,
    };
    Ok(OperationOutput::new(value))
}

/// The ports that other known projects declare. Who listens now is not asked: what is written is meant to
/// stay.
fn declared_elsewhere(session: &Session, config: &Path) -> BTreeSet<u16> {
    let others = known(&session.dirs).into_iter().filter(|it| it.record.workspace.config != config);
    let projects = others.filter_map(|it| Target::of_known(session, it).project);
    let forwards = projects.flat_map(|project| project.vms).flat_map(|vm| vm.port_forwards);
    forwards.map(|forward| forward.host.get()).collect()
}

/// The first port from [`FIRST_PORT`] that is not among them; that itself where all are. Pure.
fn free_port(declared: &BTreeSet<u16>) -> u16 {
    (FIRST_PORT..=u16::MAX).find(|port| !declared.contains(port)).unwrap_or(FIRST_PORT)
}

/// The path with its directory made canonical, as the workspace's id is made from it.
fn canonical(path: &Path) -> Result<PathBuf, Error> {
    let directory = path.parent().unwrap_or(path);
    let found = directory.canonicalize().context("find", directory)?;
    Ok(found.join(path.file_name().unwrap_or(FILE_NAME.as_ref())))
}

fn write(path: &Path, text: &str, replace: Replace) -> Result<(), Error> {
    let mut file = publish::temporary(path)?;
    file.write_all(text.as_bytes()).context("write", path)?;
    // A project's config is shared with whoever works on it; what is private is in the workspace.
    file.as_file().set_permissions(Permissions::from_mode(0o644)).context("set the mode of", path)?;
    match replace {
        Replace::Yes => Ok(publish::persist(file, path)?),
        Replace::No if publish::persist_new(file, path)? => Ok(()),
        Replace::No => Err(Error::Exists { path: path.to_owned() }),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::config::{FileError, FileProblem};
    use crate::env::UserDirs;

    fn session(dir: &Path) -> Session {
        let dirs = UserDirs::from_values(Some(dir.join("home").into()), None).unwrap();
        Session::new(dirs, dir)
    }

    #[test]
    fn a_file_that_is_there_stays_unless_told_otherwise() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(FILE_NAME);
        fs::write(&path, "mine").unwrap();
        let mut options = InitOptions::default();
        let error = init(&session(dir.path()), &options).unwrap_err();
        assert!(matches!(error, Error::Exists { .. }));
        assert_eq!(fs::read_to_string(&path).unwrap(), "mine");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "litter is left");
        options.replace = Replace::Yes;
        assert!(init(&session(dir.path()), &options).unwrap().value.replaced);
        assert!(fs::read_to_string(&path).unwrap().contains("[[vms]]"));
    }

    #[test]
    fn a_link_is_replaced_and_what_it_led_to_is_not_written_to() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("elsewhere"), "precious").unwrap();
        symlink("elsewhere", dir.path().join(FILE_NAME)).unwrap();
        symlink("nowhere", dir.path().join("dangling.toml")).unwrap();
        let at = |config: &str, replace| InitOptions { config: Some(config.into()), name: None, replace };
        for config in [FILE_NAME, "dangling.toml"] {
            assert!(init(&session(dir.path()), &at(config, Replace::No)).is_err());
        }
        init(&session(dir.path()), &at(FILE_NAME, Replace::Yes)).unwrap();
        assert_eq!(fs::read_to_string(dir.path().join("elsewhere")).unwrap(), "precious");
        assert!(!dir.path().join("nowhere").exists());
    }

    #[test]
    fn the_first_port_that_nobody_declares_is_taken() {
        assert_eq!(free_port(&BTreeSet::new()), 2222);
        assert_eq!(free_port(&[2222, 2223, 2225].into()), 2224);
        assert_eq!(free_port(&(1..=u16::MAX).collect()), 2222);
    }

    #[test]
    fn a_directory_is_never_replaced() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("d")).unwrap();
        let options = InitOptions { config: Some("d".into()), name: None, replace: Replace::Yes };
        assert!(matches!(
            init(&session(dir.path()), &options),
            Err(Error::Config(ConfigError::File(FileError { problem: FileProblem::NotAFile(_), .. })))
        ));
    }
}
