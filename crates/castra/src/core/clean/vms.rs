//! Which VMs a workspace has, and which of them live: by every trace they leave, not by one.
//!
//! A record can be lost and a pidfile damaged; the lock that QEMU inherits and holds for as long as
//! it lives cannot lie. Reads only. Tests: `tests/it/clean.rs`.

use std::fs;
use std::io;
use std::path::Path;

use plasmavmc_host::{FileLock, HostError, IoContext, Layout};
use plasmavmc_hypervisor::{Observe, block_on};
use plasmavmc_types::{DiskSpec, VmHandle, VmName};

use crate::core::error::Error;

/// A VM that left a trace in a workspace.
#[derive(Debug, Clone)]
pub(super) struct Vm {
    pub(super) name: VmName,
    /// Whether a process runs it, or may: what cannot be told counts as live.
    pub(super) live: bool,
    /// Its disks; none where its definition is missing or cannot be read.
    pub(super) disks: Option<Vec<DiskSpec>>,
}

/// Every VM that left a trace, in the order of their names.
///
/// # Errors
/// [`Error`] where a directory or a lock cannot be read.
pub(super) fn vms(layout: &Layout, backend: &dyn Observe) -> Result<Vec<Vm>, Error> {
    let recorded = block_on(backend.list_vms())?;
    let traced = names(layout)?.into_iter().filter(|name| recorded.iter().all(|vm| vm.name != *name));
    let untold = traced.map(|name| {
        let live = holds_live_lock(layout, &name)?;
        Ok(Vm { name, live, disks: None })
    });
    let told = recorded.iter().map(|vm| Ok(recorded_vm(layout, backend, vm)?));
    let mut vms = told.chain(untold).collect::<Result<Vec<_>, Error>>()?;
    vms.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(vms)
}

fn recorded_vm(layout: &Layout, backend: &dyn Observe, vm: &VmHandle) -> Result<Vm, HostError> {
    let observed = block_on(backend.get_status(vm)).is_ok_and(|status| status.state.is_live());
    let live = observed || holds_live_lock(layout, &vm.name)?;
    let disks = block_on(backend.get_spec(vm)).ok().map(|spec| spec.disks);
    Ok(Vm { name: vm.name.clone(), live, disks })
}

/// Whether some process holds the lock that only a VM's process holds for long.
fn holds_live_lock(layout: &Layout, vm: &VmName) -> Result<bool, HostError> {
    let path = layout.live_lock(vm);
    // Asking makes the file, and looking must not.
    if !path.exists() {
        return Ok(false);
    }
    match FileLock::try_acquire(&path) {
        Ok(lock) => Ok(lock.is_none()),
        Err(plasmavmc_host::LockError::Host { source }) => Err(source),
        Err(_) => Ok(true),
    }
}

/// The names that files in the workspace begin with, where only a VM's begin so. A VM's lock counts: who
/// holds it may be about to make all the rest.
fn names(layout: &Layout) -> Result<Vec<VmName>, HostError> {
    let legacy = crate::core::workspace::legacy(layout);
    let mut names = Vec::new();
    let places = [
        (layout.root().to_owned(), &[".pid", ".qmp", ".serial"][..]),
        (layout.vm_records(), &[".json"][..]),
        (layout.overlays(), &[".qcow2"][..]),
        (layout.locks(), &[".live", ".lock"][..]),
    ];
    for (dir, suffixes) in places {
        // No VM can be called as the broker's lock is.
        let not_of_vms = |path: &std::path::PathBuf| legacy.contains(path) || *path == layout.broker_lock();
        for path in entries(&dir)?.into_iter().filter(|path| !not_of_vms(path)) {
            let file = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            let stem = suffixes.iter().find_map(|suffix| file.strip_suffix(suffix));
            names.extend(stem.and_then(|stem| stem.parse::<VmName>().ok()));
        }
    }
    names.sort();
    names.dedup();
    Ok(names)
}

/// What is in a directory, in the order of the names; nothing where it does not exist or is not one
/// itself. A symbolic link is not followed: it may lead to what is none of ours.
pub(super) fn entries(dir: &Path) -> Result<Vec<std::path::PathBuf>, HostError> {
    match fs::symlink_metadata(dir) {
        Ok(meta) if meta.is_dir() => {}
        Ok(_) => return Ok(Vec::new()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error).context("inspect", dir),
    }
    let found: io::Result<Vec<_>> =
        fs::read_dir(dir).and_then(|entries| entries.map(|entry| entry.map(|entry| entry.path())).collect());
    let mut paths = found.context("list", dir)?;
    paths.sort();
    Ok(paths)
}
