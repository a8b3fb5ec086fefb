//! `up --broker-only`: the broker without a VM.

use plasmavmc_host::Layout;
use plasmavmc_hypervisor::EventSink;
use plasmavmc_types::EventKind;
use schemars::JsonSchema;
use serde::Serialize;

use super::hold::Hold;
use super::{UpOptions, records};
use crate::core::broker::{Ensured, Stay, ensure};
use crate::core::error::Error;
use crate::core::output::OperationOutput;
use crate::core::project::WorkspaceId;
use crate::core::recorder::{Observer, Recorder};
use crate::core::selection::{ProjectSelection, project};
use crate::core::session::Session;
use crate::core::workspace;

/// What `up --broker-only` did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct BrokerOnlyOutcome {
    /// The workspace.
    #[schemars(with = "String")]
    pub workspace: WorkspaceId,
    /// Its root.
    pub root: std::path::PathBuf,
    /// Its project.
    pub project: String,
    /// Whether a broker serves it now.
    pub served: bool,
}

/// Prepares the project's workspace and starts its broker, and no VM. The broker stays until `down`.
///
/// # Errors
/// [`Error`] where the workspace cannot be prepared.
pub fn broker_only(
    session: &Session,
    selection: &ProjectSelection,
    observer: &Observer<'_>,
) -> Result<OperationOutput<BrokerOnlyOutcome>, Error> {
    let (project, origin) = project(session, selection)?;
    let layout = Layout::new(&project.state_root);
    records::check_owner(session, &project, &layout)?;
    workspace::prepare(&session.dirs, &project.workspace_id, &layout)?;
    let _hold = Hold::take(&layout, &project.workspace_id, 1)?;
    let recorder = Recorder::new(&layout, observer);
    recorder.emit(None, EventKind::WorkspacePrepared { root: layout.root().to_owned() });
    workspace::prune_legacy(&layout, &recorder)?;
    records::write(session, &project, &origin, &UpOptions::default(), &layout)?;
    let ensured = ensure(session, &layout, Stay::UntilDown);
    let value = BrokerOnlyOutcome {
        workspace: project.workspace_id,
        root: layout.root().to_owned(),
        project: project.name.to_string(),
        served: matches!(ensured, Ensured::Served),
    };
    Ok(OperationOutput { value, diagnostics: ensured.diagnostic().into_iter().collect() })
}
