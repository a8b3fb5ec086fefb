//! Which workspaces a command acts on: from a config, an id, or all that are known.
//!
//! Reads only. Tests: below.

use std::path::PathBuf;

use plasmavmc_host::Layout;

use super::error::Error;
use super::project::{WorkspaceId, config_state_root};
use super::session::Session;
use super::workspace::{KnownWorkspace, find, known};
use crate::config::{self, ConfigError, ConfigOrigin, Lookup, Project};
pub use crate::config::{Discovery, Synthesis};

/// How a project is found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ProjectSelection {
    /// Its config; found by walking up from the current directory where none is given.
    pub config: Option<PathBuf>,
    /// Whether to walk up.
    pub discovery: Discovery,
    /// Whether to make a project up where none is found.
    pub synthesis: Synthesis,
}

/// Which workspaces a command acts on.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum WorkspaceSelection {
    /// Every known one, and the project found from here.
    #[default]
    All,
    /// Every known one, and nothing else (`--skip-discovery`).
    Known,
    /// One project's.
    Project(ProjectSelection),
    /// The one of that id.
    Id(WorkspaceId),
}

impl From<ProjectSelection> for WorkspaceSelection {
    fn from(project: ProjectSelection) -> Self {
        Self::Project(project)
    }
}

/// A workspace to act on.
#[derive(Debug, Clone)]
pub struct Target {
    /// Its id.
    pub id: WorkspaceId,
    /// Where it is.
    pub layout: Layout,
    /// Its config's path.
    pub config: PathBuf,
    /// Its project: from the config, else from the snapshot of the last `up`.
    pub project: Option<Project>,
    /// The project's name where the config is not to be had.
    name: String,
}

impl Target {
    /// The project's name.
    pub fn project_name(&self) -> String {
        self.name.clone()
    }

    /// The workspace of a project.
    pub fn of_project(project: Project) -> Self {
        Self {
            id: project.workspace_id.clone(),
            layout: Layout::new(config_state_root(&project)),
            config: project.config_path.clone(),
            name: project.name.to_string(),
            project: Some(project),
        }
    }

    fn of_known(session: &Session, workspace: KnownWorkspace) -> Self {
        let identity = workspace.record.workspace;
        // A snapshot that is missing or of another version costs the configured waits, no more.
        let snapshot = std::fs::read_to_string(workspace.layout.config_snapshot()).ok();
        Self {
            project: snapshot
                .and_then(|text| config::from_snapshot(&text, &identity.config, &session.dirs).ok()),
            id: identity.id,
            layout: workspace.layout,
            config: identity.config,
            name: identity.project,
        }
    }
}

/// Finds the project a command is about, and where it came from.
///
/// # Errors
/// [`Error::Config`] where none is found or it has faults.
pub fn project(session: &Session, selection: &ProjectSelection) -> Result<(Project, ConfigOrigin), Error> {
    let origin = config::discover(&Lookup {
        current_dir: session.cwd.clone(),
        config: selection.config.clone(),
        discovery: selection.discovery,
        synthesis: selection.synthesis,
    })?;
    Ok((config::load(&origin, &session.dirs)?, origin))
}

/// The project found from the current directory; none where there is none.
fn project_here(session: &Session) -> Result<Option<Project>, Error> {
    match project(session, &ProjectSelection::default()) {
        Ok((project, _)) => Ok(Some(project)),
        Err(Error::Config(ConfigError::NotFound { .. })) => Ok(None),
        Err(error) => Err(error),
    }
}

/// The workspaces a command acts on, in the order of their ids.
///
/// # Errors
/// [`Error::UnknownWorkspace`]; [`Error::Config`] where a config was named and has faults.
pub fn targets(session: &Session, selection: &WorkspaceSelection) -> Result<Vec<Target>, Error> {
    let all = || known(&session.dirs).into_iter().map(|workspace| Target::of_known(session, workspace));
    match selection {
        WorkspaceSelection::Known => Ok(all().collect()),
        WorkspaceSelection::Id(id) => match find(&session.dirs, id) {
            Some(workspace) => Ok(vec![Target::of_known(session, workspace)]),
            None => Err(Error::UnknownWorkspace { id: id.clone() }),
        },
        WorkspaceSelection::Project(selection) => {
            Ok(vec![Target::of_project(project(session, selection)?.0)])
        }
        WorkspaceSelection::All => {
            let mut targets: Vec<Target> = all().collect();
            if let Some(project) = project_here(session)? {
                let here = Target::of_project(project);
                targets.retain(|target| target.id != here.id);
                targets.push(here);
                targets.sort_by(|a, b| a.id.cmp(&b.id));
            }
            Ok(targets)
        }
    }
}

/// The one workspace a command is about: the project's, or the one of that id.
///
/// # Errors
/// As [`targets`]; [`WorkspaceSelection::All`] means the project found from here.
pub fn target(session: &Session, selection: &WorkspaceSelection) -> Result<Target, Error> {
    let one = match selection {
        WorkspaceSelection::All => WorkspaceSelection::Project(ProjectSelection::default()),
        other => other.clone(),
    };
    let mut targets = targets(session, &one)?;
    match targets.pop() {
        Some(target) => Ok(target),
        None => Err(ConfigError::NotFound { searched_from: session.cwd.clone() }.into()),
    }
}
