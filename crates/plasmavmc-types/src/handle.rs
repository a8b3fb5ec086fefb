//! What a face holds of a VM that a backend manages.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{VmId, VmName};

/// The short name of a backend, such as `kvm`, `libvirt` or `fake`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct BackendName(&'static str);

impl BackendName {
    /// Names a backend; a constant of the backend's crate.
    pub const fn new(name: &'static str) -> Self {
        Self(name)
    }

    /// The name as text.
    pub const fn as_str(self) -> &'static str {
        self.0
    }
}

impl fmt::Display for BackendName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.0)
    }
}

/// Points at one VM of one backend. Cheap to clone; holds no resource.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct VmHandle {
    /// The VM's identity.
    pub id: VmId,
    /// The VM's name, unique within its backend.
    pub name: VmName,
}
