//! What `up` writes down of the project, for commands that run without its config, and what it
//! forgets of VMs the config no longer has.

use plasmavmc_host::{FileLock, Layout, publish};
use plasmavmc_hypervisor::{EventSink, HypervisorBackend, block_on};
use plasmavmc_types::VmHandle;

use super::{Force, UpOptions};
use crate::config::{self, ConfigOrigin, Project};
use crate::core::down::discard_disposable;
use crate::core::error::Error;
use crate::core::output::Diagnostic;
use crate::core::workspace::{Identity, Invocation, SCHEMA, WorkspaceRecord};

/// Writes the workspace's record and the snapshot of its config.
pub(super) fn write(
    project: &Project,
    origin: &ConfigOrigin,
    options: &UpOptions,
    layout: &Layout,
) -> Result<(), Error> {
    let now = std::time::SystemTime::now().into();
    // A record that cannot be read is replaced: all it knew is in the config.
    let earlier = WorkspaceRecord::read(layout).ok().flatten();
    let record = WorkspaceRecord {
        schema: SCHEMA,
        workspace: Identity {
            id: project.workspace_id.clone(),
            project: project.name.to_string(),
            root: layout.root().to_owned(),
            config: project.config_path.clone(),
            origin: origin.into(),
        },
        created_at: earlier.map_or(now, |earlier| earlier.created_at),
        updated_at: now,
        invocation: Invocation {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            force: options.force == Force::Yes,
            wait: options.wait,
            bootstrap: "auto".to_owned(),
        },
    };
    record.write(layout)?;
    Ok(publish::write(&layout.config_snapshot(), config::to_snapshot(project).as_bytes())?)
}

/// Forgets stopped VMs the config no longer has, and points out those that live.
pub(super) fn forget_removed(
    project: &Project,
    layout: &Layout,
    backend: &dyn HypervisorBackend,
    sink: &dyn EventSink,
) -> Result<Vec<Diagnostic>, Error> {
    let known = block_on(backend.list_vms())?;
    let mut notes = Vec::new();
    for vm in known.iter().filter(|vm| project.vm(vm.name.as_str()).is_none()) {
        // Whoever holds the lock is starting or stopping it: then it is not ours to forget.
        let Some(_lock) = FileLock::try_acquire(&layout.vm_lock(&vm.name))? else { continue };
        let forgotten = match forget(backend, vm, sink) {
            Ok(forgotten) => forgotten,
            // What the config has is up: one VM it no longer has must not make that a failure.
            Err(error) => {
                notes.push(Diagnostic::failure("castra.toml no longer has it", &error));
                continue;
            }
        };
        if !forgotten {
            let text = format!("VM `{}` still runs although castra.toml no longer has it", vm.name);
            let stop = format!("stop it: `castra down {} --workspace {}`", vm.name, project.workspace_id);
            notes.push(Diagnostic::warning(text).with_hint(stop));
        }
    }
    Ok(notes)
}

/// Forgets a stopped VM and discards what is disposable; false where it lives.
fn forget(backend: &dyn HypervisorBackend, vm: &VmHandle, sink: &dyn EventSink) -> Result<bool, Error> {
    let status = block_on(backend.get_status(vm))?;
    if status.state.is_live() {
        return Ok(false);
    }
    let spec = block_on(backend.get_spec(vm))?;
    discard_disposable(&vm.name, &spec.disks, status.stop_reason.as_ref(), sink)?;
    block_on(backend.delete_vm(vm))?;
    Ok(true)
}
