//! Turns failures of virsh into the port's errors, with their hints.

use plasmavmc_hypervisor::Error;
use plasmavmc_types::{ErrorKind, Explain, VmName};

use super::LibvirtBackend;
use crate::virsh::VirshError;

/// A failure on behalf of one VM, while doing `action` (an infinitive).
pub(super) fn during(vm: &VmName, action: &'static str) -> impl Fn(VirshError) -> Error + use<> {
    let vm = vm.clone();
    move |source| match source {
        VirshError::NoDomain { .. } => Error::UnknownVm { vm: vm.clone() },
        VirshError::TimedOut { action, bound, .. } => {
            Error::Unresponsive { vm: vm.clone(), what: action, bound }
        }
        source => Error::Backend {
            vm: vm.clone(),
            action,
            kind: source.kind(),
            hints: source.hints(),
            source: Box::new(source),
        },
    }
}

/// A failure of the backend as a whole, while doing `action` (an infinitive).
pub(super) fn host<E>(action: &'static str) -> impl Fn(E) -> Error + use<E>
where
    E: Explain + Send + Sync + 'static,
{
    move |source| Error::Host {
        backend: LibvirtBackend::NAME.as_str(),
        action,
        kind: source.kind(),
        hints: source.hints(),
        source: Box::new(source),
    }
}

/// A domain is in the way, or its own record cannot be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum DomainFault {
    /// A domain of that name is somebody else's.
    #[error("libvirt has a domain of that name which Castra did not make")]
    NameTaken,
    /// A VM of that name has another identity.
    #[error("libvirt has a VM of Castra's of that name with another UUID")]
    OtherIdentity,
    /// A domain of that UUID is somebody else's, or has another name.
    #[error("libvirt has domain `{name}` with the UUID of this VM")]
    IdTaken {
        /// Its name.
        name: String,
    },
    /// Our element holds no spec.
    #[error("what Castra noted in the domain's metadata cannot be read: {reason}")]
    Unreadable {
        /// Why not.
        reason: String,
    },
}

impl Explain for DomainFault {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Unreadable { .. } => ErrorKind::Io,
            _ => ErrorKind::Conflict,
        }
    }

    fn hints(&self) -> Vec<String> {
        match self {
            Self::NameTaken | Self::IdTaken { .. } => {
                vec!["rename the VM, or the domain: `virsh domrename OLD NEW`".to_owned()]
            }
            Self::OtherIdentity => vec!["delete the other one first".to_owned()],
            Self::Unreadable { .. } => vec!["look at it: `virsh dumpxml --inactive NAME`".to_owned()],
        }
    }
}

/// A fault of the domain itself.
pub(super) fn domain(vm: &VmName, action: &'static str, source: DomainFault) -> Error {
    let (kind, hints) = (source.kind(), source.hints());
    Error::Backend { vm: vm.clone(), action, kind, hints, source: Box::new(source) }
}
