//! The composition root: the one place that chooses the backend of the project face.
//!
//! Three strengths of the same thing: reading, changing what exists, and launching. Only the last
//! needs QEMU to be found and its accelerators to be proven, so `status` and `down` work on a host
//! that has lost its QEMU. Tests: `tests/it`.

use std::path::PathBuf;
use std::sync::Arc;

use plasmavmc_host::Layout;
use plasmavmc_host::accelerator::{Freshness, Verdict, prove};
use plasmavmc_host::qemu::{self, GuestArch};
use plasmavmc_hypervisor::{EventSink, HypervisorBackend, Observe};
use plasmavmc_kvm::{KvmBackend, KvmConfig};
use plasmavmc_types::{EventKind, VmName};

use super::error::Error;
use super::session::Session;

/// The reading half, for a workspace.
pub(crate) fn observer(layout: &Layout) -> Box<dyn Observe> {
    Box::new(without_qemu(layout))
}

/// Changes VMs that exist: stops and deletes, but cannot start.
pub(crate) fn writer(layout: &Layout) -> Box<dyn HypervisorBackend> {
    Box::new(without_qemu(layout))
}

fn without_qemu(layout: &Layout) -> KvmBackend<'static> {
    let config = KvmConfig { layout: layout.clone(), qemu: PathBuf::new(), accelerators: Vec::new() };
    KvmBackend::new(config, Arc::new(Silent))
}

/// Starts VMs.
pub(crate) struct Launcher<'s> {
    /// The backend.
    pub(crate) backend: Box<dyn HypervisorBackend + 's>,
    /// Which accelerators work here, and why.
    pub(crate) verdict: Verdict,
}

/// Finds QEMU, proves its accelerators, and makes a backend whose launches are told to `sink`.
///
/// # Errors
/// [`Error::Qemu`] where there is no QEMU.
pub(crate) fn launcher<'s>(
    session: &Session,
    layout: &Layout,
    sink: &'s dyn EventSink,
) -> Result<Launcher<'s>, Error> {
    let arch = GuestArch::of_host().unwrap_or(GuestArch::X86_64);
    let qemu = qemu::locate(arch, session.qemu.as_deref())?;
    let verdict = prove(&qemu, &session.cache_dir(), Freshness::UseCache)?.verdict;
    let accelerators = verdict.order.iter().map(|choice| choice.accelerator).collect();
    let config = KvmConfig { layout: layout.clone(), qemu: qemu.path().to_owned(), accelerators };
    let backend = Box::new(KvmBackend::new(config, Arc::new(Forward(sink))));
    Ok(Launcher { backend, verdict })
}

/// Hands events on to a sink that is borrowed.
struct Forward<'s>(&'s dyn EventSink);

impl EventSink for Forward<'_> {
    fn emit(&self, vm: Option<&VmName>, kind: EventKind) {
        self.0.emit(vm, kind);
    }
}

/// For a backend that launches nothing and so has nothing to tell.
struct Silent;

impl EventSink for Silent {
    fn emit(&self, _vm: Option<&VmName>, _kind: EventKind) {}
}
