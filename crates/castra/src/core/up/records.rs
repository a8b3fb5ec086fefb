//! What `up` writes down of the project, for commands that run without its config, and what it
//! forgets of VMs the config no longer has.
//!
//! A workspace is one project's: what another has in it, disks above all, is not touched. A VM that
//! has a disk to be kept is never forgotten, for without its record nobody could tell what the disk
//! is. Tests: `tests/it/kept.rs`.

use std::path::Path;

use plasmavmc_host::{FileLock, Layout, overlay, publish};
use plasmavmc_hypervisor::{EventSink, HypervisorBackend, block_on};
use plasmavmc_types::{DiskSpec, Persistence, VmHandle};

use super::{Force, UpOptions};
use crate::config::{self, ConfigOrigin, Project};
use crate::core::down::discard_disposable;
use crate::core::error::Error;
use crate::core::output::Diagnostic;
use crate::core::session::Session;
use crate::core::workspace::{Identity, Invocation, SCHEMA, WorkspaceRecord};

/// Fails where the workspace is another project's. Reads only.
///
/// # Errors
/// [`Error::ForeignWorkspace`].
pub(super) fn check_owner(session: &Session, project: &Project, layout: &Layout) -> Result<(), Error> {
    // A record that cannot be read names nobody.
    let Some(record) = WorkspaceRecord::read(layout).ok().flatten() else { return Ok(()) };
    let config = record.workspace.config;
    if overlay::same_file(&config, &project.config_path) || !config.exists() {
        return Ok(());
    }
    // It may have gone elsewhere since; one with faults has not said so.
    let moved = config::load(&ConfigOrigin::Named { path: config.clone() }, &session.dirs)
        .is_ok_and(|other| !overlay::same_file(&other.state_root, layout.root()));
    if moved { Ok(()) } else { Err(Error::ForeignWorkspace { root: layout.root().to_owned(), config }) }
}

/// Writes the workspace's record and the snapshot of its config.
///
/// # Errors
/// [`Error::ForeignWorkspace`] where another project was faster; [`Error::Host`].
pub(super) fn write(
    session: &Session,
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
            bootstrap: options.bootstrap.to_string(),
        },
    };
    if !layout.workspace_record().exists() && record.create(layout)? {
        return Ok(publish::write(&layout.config_snapshot(), config::to_snapshot(project).as_bytes())?);
    }
    check_owner(session, project, layout)?;
    record.write(layout)?;
    Ok(publish::write(&layout.config_snapshot(), config::to_snapshot(project).as_bytes())?)
}

/// Forgets stopped VMs the config no longer has, and points out those that live or have a disk that
/// stays.
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
        // Another `up`, or `clean`, may have forgotten it meanwhile.
        if !layout.vm_record(&vm.name).exists() {
            continue;
        }
        match forget(project, layout, backend, vm, sink) {
            Ok(note) => notes.extend(note),
            // What the config has is up: one VM it no longer has must not make that a failure.
            Err(error) => notes.push(Diagnostic::failure("castra.toml no longer has it", &error)),
        }
    }
    Ok(notes)
}

/// Forgets a stopped VM and discards what is disposable; says why where it does not.
fn forget(
    project: &Project,
    layout: &Layout,
    backend: &dyn HypervisorBackend,
    vm: &VmHandle,
    sink: &dyn EventSink,
) -> Result<Option<Diagnostic>, Error> {
    let name = &vm.name;
    let status = block_on(backend.get_status(vm))?;
    if status.state.is_live() {
        let text = format!("VM `{name}` still runs although castra.toml no longer has it");
        let stop = format!("stop it: `castra down {name} --workspace {}`", project.workspace_id);
        return Ok(Some(Diagnostic::warning(text).with_hint(stop)));
    }
    let disks = block_on(backend.get_spec(vm))?.disks;
    if let Some(kept) = disks.iter().find(|disk| is_kept(disk)) {
        let path = kept.path.display();
        let text = format!("castra.toml no longer has VM `{name}`, and its persistent disk stays: {path}");
        return Ok(Some(Diagnostic::note(text).with_hint(format!("to lose it for good: `rm {path}`"))));
    }
    discard_disposable(layout.root(), name, &disks, status.stop_reason.as_ref(), sink)?;
    block_on(backend.delete_vm(vm))?;
    Ok(None)
}

/// Whether there is a disk that was made to be kept.
fn is_kept(disk: &DiskSpec) -> bool {
    !disk.read_only && disk.persistence == Persistence::Persistent && disk.path.symlink_metadata().is_ok()
}

/// Whether the file at `path` is a VM's disk that was made to be kept.
pub(super) fn keeps(disks: &[DiskSpec], path: &Path) -> bool {
    disks.iter().any(|disk| is_kept(disk) && overlay::same_file(&disk.path, path))
}
