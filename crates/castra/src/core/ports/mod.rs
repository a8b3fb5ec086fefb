//! `ports`: every declared port forward, whether it leads anywhere, and who stands in its way.
//!
//! Reads only. What a live VM forwards is what it was started with; what a stopped one would
//! forward is what its config says now. Tests: `tests/it/ports.rs`; who holds a port is decided in
//! `claim`, which has its own.

mod claim;

use plasmavmc_host::ports::{self as host_ports, Listener};
use plasmavmc_types::{PortForward, VmName};
use schemars::JsonSchema;
use serde::Serialize;

pub(crate) use claim::{Claim, claims_of, holder_of};
pub use claim::{Holder, VmRef};

use self::claim::{Hold, also_declared_by};
use super::error::Error;
use super::observed::{self, ObservedWorkspace};
use super::output::{Diagnostic, OperationOutput};
use super::project::WorkspaceId;
use super::selection::{WorkspaceSelection, targets};
use super::session::Session;
use super::status::Forward;

/// What `ports` is asked.
#[derive(Debug, Clone, Default)]
pub struct PortsOptions {
    /// Which workspaces.
    pub selection: WorkspaceSelection,
}

/// What `ports` found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct PortsOutcome {
    /// The workspaces, in the order of their ids.
    pub workspaces: Vec<WorkspacePorts>,
}

/// The forwards of one workspace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct WorkspacePorts {
    /// The workspace.
    #[schemars(with = "String")]
    pub id: WorkspaceId,
    /// Its project.
    pub project: String,
    /// The forwards of its VMs, in the order of their names and host ports.
    pub forwards: Vec<PortRow>,
}

/// One forward of one VM.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct PortRow {
    /// The VM.
    #[schemars(with = "String")]
    pub vm: VmName,
    /// The forward.
    #[serde(flatten)]
    pub forward: Forward,
    /// Whether it leads into the guest now.
    pub state: PortState,
    /// Who holds the host port; null unless the state is `conflict`.
    pub holder: Option<Holder>,
    /// Stopped VMs of other projects that declare the same host port: only one of them can be up at
    /// a time.
    pub also_declared_by: Vec<VmRef>,
}

/// Whether a forward leads into its guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PortState {
    /// The VM is live and holds the port.
    Active,
    /// The forward is declared and its port is free.
    Free,
    /// Something else holds the port: the VM could not start now.
    Conflict,
}

/// Shows the forwards of the selected workspaces and who stands in their way.
///
/// # Errors
/// [`Error`] where the selection names what does not exist, or the host does not tell who listens.
pub fn ports(session: &Session, options: &PortsOptions) -> Result<OperationOutput<PortsOutcome>, Error> {
    let selected = targets(session, &options.selection)?;
    let wanted = selected.targets.clone();
    let workspaces = observed::everywhere(session, selected.targets)?;
    let listeners = host_ports::listeners()?;
    let claims: Vec<Claim> = workspaces.iter().flat_map(claims_of).collect();
    let value = PortsOutcome { workspaces: Vec::new() };
    let mut output = OperationOutput { value, diagnostics: selected.notes };
    for workspace in &workspaces {
        if let Err(error) = &workspace.vms {
            let message = format!("workspace `{}` cannot be read: {error}", workspace.target.id);
            output.diagnostics.push(Diagnostic::warning(message).with_hint("`castra doctor` looks closer"));
        }
        output.diagnostics.extend(workspace.warnings());
        if wanted.iter().any(|target| target.is_same_place(&workspace.target)) {
            output.value.workspaces.push(rows(workspace, &claims, &listeners));
        }
    }
    Ok(output)
}

fn rows(workspace: &ObservedWorkspace, claims: &[Claim], listeners: &[Listener]) -> WorkspacePorts {
    let root = workspace.target.layout.root();
    let own = claims.iter().filter(|claim| claim.by.root == root);
    WorkspacePorts {
        id: workspace.target.id.clone(),
        project: workspace.target.project_name(),
        forwards: own.map(|claim| row(claim, claims, listeners)).collect(),
    }
}

/// Judges one claim. Pure.
fn row(claim: &Claim, claims: &[Claim], listeners: &[Listener]) -> PortRow {
    let holder = match claim.hold {
        Hold::Held => None,
        Hold::Declared => holder_of(&claim.forward, Some(&claim.by), claims, listeners),
    };
    let state = match (claim.hold, &holder) {
        (Hold::Held, _) => PortState::Active,
        (Hold::Declared, None) => PortState::Free,
        (Hold::Declared, Some(_)) => PortState::Conflict,
    };
    PortRow {
        vm: claim.by.vm.clone(),
        forward: (&claim.forward).into(),
        state,
        holder,
        also_declared_by: also_declared_by(claim, claims),
    }
}

/// Who listens where VM `vm`, which is not live, could not, for people.
///
/// Best effort: where nobody can be named, it says so.
pub(crate) fn holder(session: &Session, forward: &PortForward) -> String {
    let workspaces = observed::everywhere(session, Vec::new()).unwrap_or_default();
    let claims: Vec<Claim> = workspaces.iter().flat_map(claims_of).collect();
    let listeners = host_ports::listeners().unwrap_or_default();
    match holder_of(forward, None, &claims, &listeners) {
        Some(holder) => holder.to_string(),
        // It let go in the meantime, or lives where the host does not let us look.
        None => "something that is already gone or cannot be seen".to_owned(),
    }
}
