//! Which workspaces a command acts on: from a config, an id, or all that are known.
//!
//! A project has several where its `state_dir` was changed: its VMs may still run in a former one.
//!
//! Reads only. Tests: below, and `tests/it/selection.rs`.

use std::path::{Path, PathBuf};

use plasmavmc_host::Layout;

use super::error::Error;
use super::output::Diagnostic;
use super::project::{WorkspaceId, config_state_root};
use super::session::Session;
use super::workspace::{KnownWorkspace, known, of_id};
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

/// Whose a workspace is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owner {
    /// The project that was named, or found from the current directory.
    Here,
    /// Another project.
    Elsewhere,
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
    /// Whose it is.
    pub owner: Owner,
    /// The project's name where the config is not to be had.
    name: String,
    /// Its root without symbolic links.
    place: PathBuf,
}

impl Target {
    /// The project's name.
    pub fn project_name(&self) -> String {
        self.name.clone()
    }

    /// Whether both are the same directory.
    pub fn is_same_place(&self, other: &Self) -> bool {
        self.place == other.place
    }

    /// The workspace of a project.
    pub fn of_project(project: Project) -> Self {
        let root = config_state_root(&project);
        Self {
            id: project.workspace_id.clone(),
            layout: Layout::new(root),
            config: project.config_path.clone(),
            name: project.name.to_string(),
            owner: Owner::Here,
            place: root.canonicalize().unwrap_or_else(|_| root.to_owned()),
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
            place: workspace.layout.root().to_owned(),
            layout: workspace.layout,
            config: identity.config,
            owner: Owner::Elsewhere,
            name: identity.project,
        }
    }

    /// Whether it is where the project of `current` was, or is.
    fn is_former_place_of(&self, current: &Self) -> bool {
        self.id == current.id && self.config == current.config
    }
}

/// The workspaces a command acts on.
#[derive(Debug, Clone)]
pub struct Selected {
    /// They, in the order of their ids; of one id, the project's current one or the one that was last
    /// used first.
    pub targets: Vec<Target>,
    /// What a person should know about the choice.
    pub notes: Vec<Diagnostic>,
}

impl Selected {
    fn new(targets: Vec<Target>) -> Self {
        Self { targets, notes: Vec::new() }
    }

    /// Puts the project found from here among them, before its former places.
    fn add_here(&mut self, project: Project) {
        let here = Target::of_project(project);
        self.targets.retain(|target| !target.is_same_place(&here));
        for target in self.targets.iter_mut().filter(|target| target.is_former_place_of(&here)) {
            target.owner = Owner::Here;
        }
        self.targets.insert(0, here);
        self.targets.sort_by(|a, b| a.id.cmp(&b.id));
    }

    /// Takes the project found from here, whose config is of no use, as its last `up` left it.
    fn without_config(&mut self, config: Option<&Path>, error: &ConfigError) {
        let mut known = false;
        for target in self.targets.iter_mut().filter(|target| Some(target.config.as_path()) == config) {
            (target.owner, known) = (Owner::Here, true);
        }
        let taken = if known { "taken as its last `castra up` left it" } else { "left out" };
        let note = Diagnostic::warning(format!("the project here is {taken}: {error}"));
        self.notes.push(note.with_hint("`castra up --plan` shows what is wrong with its config"));
    }
}

/// Finds the project a command is about, and where it came from.
///
/// # Errors
/// [`Error::Config`] where none is found or it has faults.
pub fn project(session: &Session, selection: &ProjectSelection) -> Result<(Project, ConfigOrigin), Error> {
    let origin = discover(session, selection)?;
    Ok((config::load(&origin, &session.dirs)?, origin))
}

fn discover(session: &Session, selection: &ProjectSelection) -> Result<ConfigOrigin, ConfigError> {
    config::discover(&Lookup {
        current_dir: session.cwd.clone(),
        config: selection.config.clone(),
        discovery: selection.discovery,
        synthesis: selection.synthesis,
    })
}

/// The workspaces a command acts on. Where all are meant, a config here that has faults hides no
/// VM: it becomes a note.
///
/// # Errors
/// [`Error::UnknownWorkspace`]; [`Error::Config`] where one project was meant and its config cannot
/// be used.
pub fn targets(session: &Session, selection: &WorkspaceSelection) -> Result<Selected, Error> {
    let all = |known: Vec<KnownWorkspace>| -> Vec<Target> {
        known.into_iter().map(|workspace| Target::of_known(session, workspace)).collect()
    };
    match selection {
        WorkspaceSelection::Known => Ok(Selected::new(all(known(&session.dirs)))),
        WorkspaceSelection::Id(id) => match of_id(&session.dirs, id) {
            known if known.is_empty() => Err(Error::UnknownWorkspace { id: id.clone() }),
            known => Ok(Selected::new(all(known))),
        },
        WorkspaceSelection::Project(selection) => {
            let here = project(session, selection)?.0;
            let mut selected = Selected::new(all(of_id(&session.dirs, &here.workspace_id)));
            selected.add_here(here);
            selected.targets.retain(|target| target.owner == Owner::Here);
            Ok(selected)
        }
        WorkspaceSelection::All => {
            let mut selected = Selected::new(all(known(&session.dirs)));
            match discover(session, &ProjectSelection::default()) {
                Ok(origin) => match config::load(&origin, &session.dirs) {
                    Ok(project) => selected.add_here(project),
                    Err(error) => selected.without_config(Some(origin.path()), &error),
                },
                Err(ConfigError::NotFound { .. }) => {}
                Err(error) => selected.without_config(None, &error),
            }
            Ok(selected)
        }
    }
}

/// The one workspace a command is about: the project's, or the one of that id that was last used.
///
/// # Errors
/// As [`targets`]; [`WorkspaceSelection::All`] means the project found from here.
pub fn target(session: &Session, selection: &WorkspaceSelection) -> Result<Target, Error> {
    let one = match selection {
        WorkspaceSelection::All => &WorkspaceSelection::Project(ProjectSelection::default()),
        other => other,
    };
    let first = match one {
        WorkspaceSelection::Project(selection) => Some(Target::of_project(project(session, selection)?.0)),
        other => targets(session, other)?.targets.into_iter().next(),
    };
    first.ok_or_else(|| ConfigError::NotFound { searched_from: session.cwd.clone() }.into())
}
