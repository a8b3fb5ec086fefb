//! What every command works with: the session, its voice, and which project it is about.

use std::path::PathBuf;
use std::time::Duration;

use plasmavmc_cli::{Detail, Voice, current_dir};
use plasmavmc_host::image::MIRROR_VARIABLE;
use plasmavmc_term::{OutputFormat, Width};
use plasmavmc_types::VmName;
use serde::Serialize;

use super::args::{GlobalArgs, ReachArgs};
use super::error::CliError;
use super::events::EventView;
use crate::core::broker::BrokerProgram;
use crate::core::guest::{BOOT_WAIT, DEFAULT_WAIT, GuestSelection};
use crate::core::output::{Diagnostic, OperationOutput, Severity};
use crate::core::project::WorkspaceId;
use crate::core::selection::{Discovery, ProjectSelection, Synthesis, WorkspaceSelection};
use crate::core::session::Session;
use crate::env::{CASTRA_QEMU, TERM, UserDirs};

/// How an answer is to be laid out.
#[derive(Debug, Clone, Copy)]
pub(crate) struct View {
    pub(crate) width: Width,
    pub(crate) detail: Detail,
}

/// What every command works with.
pub(crate) struct Face<'a> {
    pub(crate) session: Session,
    pub(crate) voice: &'a Voice,
    config: Option<PathBuf>,
    discovery: Discovery,
}

impl<'a> Face<'a> {
    /// The face of this process.
    pub(crate) fn new(args: &GlobalArgs, session: Session, voice: &'a Voice) -> Self {
        let discovery = if args.skip_discovery { Discovery::Skip } else { Discovery::Search };
        Self { session, voice, config: args.config.clone(), discovery }
    }

    /// The config that was named.
    pub(crate) fn config(&self) -> Option<PathBuf> {
        self.config.clone()
    }

    /// The project a command is about.
    pub(crate) fn project(&self, synthesis: Synthesis) -> ProjectSelection {
        ProjectSelection { config: self.config.clone(), discovery: self.discovery, synthesis }
    }

    /// The workspaces a command is about.
    pub(crate) fn workspaces(&self, workspace: Option<&WorkspaceId>) -> WorkspaceSelection {
        match (workspace, &self.config, self.discovery) {
            (Some(id), ..) => WorkspaceSelection::Id(id.clone()),
            (None, Some(_), _) => WorkspaceSelection::Project(self.project(Synthesis::Deny)),
            (None, None, Discovery::Skip) => WorkspaceSelection::Known,
            (None, None, Discovery::Search) => WorkspaceSelection::All,
        }
    }

    /// The one workspace a command is about.
    pub(crate) fn workspace(&self, workspace: Option<&WorkspaceId>) -> WorkspaceSelection {
        match workspace {
            Some(id) => WorkspaceSelection::Id(id.clone()),
            None => WorkspaceSelection::Project(self.project(Synthesis::Deny)),
        }
    }

    /// The guest a command is about.
    pub(crate) fn guest(
        &self,
        workspace: Option<&WorkspaceId>,
        vm: Option<VmName>,
        reach: &ReachArgs,
    ) -> GuestSelection {
        let wait = reach.wait.map_or(DEFAULT_WAIT, Duration::from_secs);
        // Whoever says how long waits no longer.
        let boot_wait = if reach.wait.is_some() { Duration::ZERO } else { BOOT_WAIT };
        GuestSelection { workspace: self.workspace(workspace), vm, wait, boot_wait }
    }

    /// How answers are laid out.
    pub(crate) const fn view(&self) -> View {
        View { width: self.voice.out.width(), detail: self.voice.detail }
    }

    /// Shows events as they happen; names of `vms` are given a column.
    pub(crate) fn watch(&self, vms: &[VmName]) -> EventView<'_> {
        match self.voice.format {
            OutputFormat::Json => EventView::json(&self.voice.out),
            OutputFormat::Human => {
                EventView::people(self.voice.err.timeline(self.voice.progress_mode(), vms))
            }
        }
    }

    /// Gives the answer of an operation: as one line of JSON, or as text with what is worth knowing
    /// beside it.
    pub(crate) fn answer<T: Serialize>(
        &self,
        output: &OperationOutput<T>,
        render: impl FnOnce(&T, View) -> String,
    ) -> Result<(), CliError> {
        if self.voice.format == OutputFormat::Human {
            self.diagnose_all(&output.diagnostics);
        }
        Ok(self.voice.answer(output, |output| render(&output.value, self.view()))?)
    }

    /// The answer as one text with what is worth knowing, where both share a picture.
    pub(crate) fn picture<T>(
        &self,
        output: &OperationOutput<T>,
        render: impl FnOnce(&T, View) -> String,
    ) -> String {
        let notes = output.diagnostics.iter().map(|diagnostic| format!("{}\n", diagnostic.message));
        render(&output.value, self.view()) + &notes.collect::<String>()
    }

    /// Tells a person what is worth knowing.
    pub(crate) fn diagnose_all(&self, diagnostics: &[Diagnostic]) {
        for diagnostic in diagnostics {
            self.diagnose(diagnostic);
        }
    }

    fn diagnose(&self, diagnostic: &Diagnostic) {
        match diagnostic.severity {
            Severity::Note if self.voice.detail == Detail::Quiet => return,
            Severity::Note => self.voice.err.say(&format!("note: {}", diagnostic.message)),
            Severity::Warning => self.voice.err.warn(&diagnostic.message),
        }
        if let Some(hint) = &diagnostic.hint {
            self.voice.err.hint(hint);
        }
    }
}

/// What the terminal calls itself; programs in guests are told.
pub(crate) fn terminal_name() -> String {
    std::env::var(TERM).ok().filter(|name| !name.is_empty()).unwrap_or_else(|| "xterm".to_owned())
}

/// The program that is the broker: the small one installed beside this one, else this one.
fn broker_beside(castra: PathBuf) -> PathBuf {
    let small = castra.with_file_name("castra-broker");
    if small.is_file() { small } else { castra }
}

/// What this process's environment says, read here and nowhere else.
///
/// # Errors
/// [`CliError`] where it says nothing usable.
pub(crate) fn session() -> Result<Session, CliError> {
    let cwd = current_dir()?;
    let set = |name| std::env::var_os(name).filter(|value| !value.is_empty());
    let qemu = set(CASTRA_QEMU).map(|path| cwd.join(path));
    let mirror = set(MIRROR_VARIABLE).map(|mirror| mirror.to_string_lossy().into_owned());
    // A program whose own path is not known goes without a broker, as a library does.
    let broker = std::env::current_exe().ok().map(|castra| BrokerProgram { program: broker_beside(castra) });
    Ok(Session { dirs: UserDirs::from_process()?, cwd, qemu, broker, mirror })
}
