//! Which workspaces a command acts on: from a config, an id, or all that are known.
//!
//! A project has several where its `state_dir` was changed: its VMs may still run in a former one.
//!
//! Reads only. Tests: below, and `tests/it/selection.rs`.

use std::cmp::Reverse;
use std::path::{Path, PathBuf};

use plasmavmc_host::Layout;

use super::error::Error;
use super::output::Diagnostic;
use super::project::{WorkspaceId, config_state_root};
use super::session::Session;
use super::workspace::{KnownWorkspace, Origin, known, of_id};
use crate::config::{self, ConfigError, ConfigOrigin, FILE_NAME, FileError, FileProblem, Lookup, Project};
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
    /// What a person should know about how it was found, where one was meant: that its config is of no
    /// use, and it is taken as its last `up` left it.
    pub note: Option<Diagnostic>,
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
            note: None,
            place: root.canonicalize().unwrap_or_else(|_| root.to_owned()),
            project: Some(project),
        }
    }

    /// A known workspace, with the project its last `up` left.
    pub(crate) fn of_known(session: &Session, workspace: KnownWorkspace) -> Self {
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
            note: None,
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
        self.notes.push(of_no_use(error, if known { Taken::AsLeft } else { Taken::Out }));
    }
}

/// What becomes of a project whose config is of no use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Taken {
    /// It is taken as its last `up` left it.
    AsLeft,
    /// It was never up, and is left out.
    Out,
}

/// That a config is of no use, and where: the place of its first fault as editors and terminals open it.
fn of_no_use(error: &ConfigError, taken: Taken) -> Diagnostic {
    let taken = match taken {
        Taken::AsLeft => "taken as its last `castra up` left it",
        Taken::Out => "left out",
    };
    let (why, hint) = match error {
        ConfigError::Faulty { faults, .. } if !faults.is_empty() => {
            let (first, more) = (&faults[0], faults.len() - 1);
            let at = format!("{}:{}:{}", first.file.display(), first.position.line, first.position.column);
            let more = match more {
                0 => String::new(),
                1 => ", and 1 more fault".to_owned(),
                more => format!(", and {more} more faults"),
            };
            (
                format!("{at}: {}{more}", first.message),
                "`castra up --plan` shows what is wrong with its config",
            )
        }
        ConfigError::NotFound { .. } | ConfigError::File(FileError { problem: FileProblem::Missing, .. }) => {
            (error.to_string(), "put its config back, or end what runs: `castra down`")
        }
        error => (error.to_string(), "`castra up --plan` shows what is wrong with its config"),
    };
    Diagnostic::warning(format!("the project here is {taken}: {why}")).with_hint(hint)
}

/// The workspaces of a project whose config is of no use, the one that was last used first: its VMs may
/// run, and are what its last `up` said. None where it was never up, or the config is somebody else's.
fn left_by_last_up(session: &Session, error: &ConfigError) -> Vec<Target> {
    let named = |path: &Path| -> Option<PathBuf> {
        let path = session.cwd.join(path);
        Some(path.parent()?.canonicalize().ok()?.join(path.file_name()?))
    };
    let configs: Vec<PathBuf> = match error {
        ConfigError::File(FileError { problem: FileProblem::ForeignOwner { .. }, .. }) => Vec::new(),
        ConfigError::Faulty { path, .. } | ConfigError::File(FileError { path, .. }) => {
            named(path).into_iter().collect()
        }
        ConfigError::NotFound { searched_from } => {
            searched_from.ancestors().map(|directory| directory.join(FILE_NAME)).collect()
        }
        _ => Vec::new(),
    };
    let mut known = known(&session.dirs);
    let Some(config) =
        configs.iter().find(|config| known.iter().any(|it| it.record.workspace.config == **config))
    else {
        return Vec::new();
    };
    known.retain(|it| it.record.workspace.config == *config);
    known.sort_by_key(|it| Reverse(it.record.updated_at));
    let taken = |it: KnownWorkspace| {
        // What was made up needs no config.
        let is_made_up = it.record.workspace.origin == Origin::Synthetic;
        let note = (!is_made_up).then(|| of_no_use(error, Taken::AsLeft));
        Target { owner: Owner::Here, note, ..Target::of_known(session, it) }
    };
    known.into_iter().map(taken).collect()
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

/// A project that was named, or found from here.
enum Found {
    /// By its config.
    Project(Box<Project>),
    /// By what its last `up` left: its config is of no use.
    AsLeft(Vec<Target>),
}

fn found(session: &Session, selection: &ProjectSelection) -> Result<Found, Error> {
    let error = match project(session, selection) {
        Ok((project, _)) => return Ok(Found::Project(Box::new(project))),
        Err(Error::Config(error)) => error,
        Err(error) => return Err(error),
    };
    match left_by_last_up(session, &error) {
        left if left.is_empty() => Err(error.into()),
        left => Ok(Found::AsLeft(left)),
    }
}

/// The workspaces a command acts on. A config that is of no use hides no VM: it becomes a note, and its
/// project is what its last `up` left.
///
/// # Errors
/// [`Error::UnknownWorkspace`]; [`Error::Config`] where one project was meant, its config cannot be
/// used, and it was never up.
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
            let here = match found(session, selection)? {
                Found::Project(here) => *here,
                Found::AsLeft(targets) => {
                    let notes = targets.iter().find_map(|target| target.note.clone()).into_iter().collect();
                    return Ok(Selected { targets, notes });
                }
            };
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
        WorkspaceSelection::Project(selection) => match found(session, selection)? {
            Found::Project(project) => Some(Target::of_project(*project)),
            Found::AsLeft(targets) => targets.into_iter().next(),
        },
        other => targets(session, other)?.targets.into_iter().next(),
    };
    first.ok_or_else(|| ConfigError::NotFound { searched_from: session.cwd.clone() }.into())
}
