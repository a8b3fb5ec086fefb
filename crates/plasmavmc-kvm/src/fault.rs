//! Turns failures of the host and of QMP into the port's errors, with their hints.

use plasmavmc_host::{HostError, LockError};
use plasmavmc_hypervisor::Error;
use plasmavmc_types::{ErrorKind, Explain, VmName};

use crate::backend::KvmBackend;
use crate::offer::OfferError;
use crate::qmp::QmpError;

impl Explain for QmpError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Timeout { .. } => ErrorKind::Timeout,
            _ => ErrorKind::Io,
        }
    }
}

/// A failure on behalf of one VM, while doing `action` (an infinitive).
pub(crate) fn during<E>(vm: &VmName, action: &'static str) -> impl Fn(E) -> Error + use<E>
where
    E: Explain + Send + Sync + 'static,
{
    let vm = vm.clone();
    move |source| Error::Backend {
        vm: vm.clone(),
        action,
        kind: source.kind(),
        hints: source.hints(),
        source: Box::new(source),
    }
}

/// A VM's record could not be read.
pub(crate) fn record(vm: &VmName) -> impl Fn(HostError) -> Error + use<> {
    let vm = vm.clone();
    move |source| {
        // One hint, in that order: a VM that runs is out of sight once its record was moved away.
        let then = |hint| format!("if it runs, stop it first: `castra down` needs no record; then {hint}");
        let hints = source.hints().into_iter().map(then).collect();
        let kind = source.kind();
        Error::Backend { vm: vm.clone(), action: "read its record", kind, hints, source: Box::new(source) }
    }
}

/// A failure of the backend as a whole, while doing `action` (an infinitive).
pub(crate) fn host<E>(action: &'static str) -> impl Fn(E) -> Error + use<E>
where
    E: Explain + Send + Sync + 'static,
{
    move |source| Error::Host {
        backend: KvmBackend::NAME.as_str(),
        action,
        kind: source.kind(),
        hints: source.hints(),
        source: Box::new(source),
    }
}

/// QEMU could not be asked what it offers.
pub(crate) fn offer(source: OfferError) -> Error {
    host("use QEMU")(source)
}

/// A VM's lock could not be taken.
pub(crate) fn lock(vm: &VmName) -> impl Fn(LockError) -> Error + use<> {
    during(vm, "lock it against a second start")
}
