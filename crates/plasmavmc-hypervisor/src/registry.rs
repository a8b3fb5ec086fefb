//! The backends of this process, by name.

use std::collections::BTreeMap;
use std::sync::Arc;

use plasmavmc_types::BackendName;

use crate::HypervisorBackend;

/// The backends a face has composed, by name. Only a face chooses one.
#[derive(Clone, Default)]
pub struct HypervisorRegistry {
    backends: BTreeMap<BackendName, Arc<dyn HypervisorBackend>>,
}

impl HypervisorRegistry {
    /// An empty registry.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a backend under its own name; returns the one it replaces.
    pub fn register(&mut self, backend: Arc<dyn HypervisorBackend>) -> Option<Arc<dyn HypervisorBackend>> {
        self.backends.insert(backend.name(), backend)
    }

    /// The backend of that name.
    pub fn get(&self, name: &str) -> Option<&Arc<dyn HypervisorBackend>> {
        self.backends.iter().find(|(known, _)| known.as_str() == name).map(|(_, backend)| backend)
    }

    /// The names of all backends, sorted.
    pub fn names(&self) -> impl Iterator<Item = BackendName> {
        self.backends.keys().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::FakeBackend;

    #[test]
    fn a_backend_is_found_by_its_own_name() {
        let mut registry = HypervisorRegistry::new();
        assert!(registry.register(Arc::new(FakeBackend::new())).is_none());
        assert!(registry.get("fake").is_some() && registry.get("kvm").is_none());
        assert!(registry.register(Arc::new(FakeBackend::new())).is_some());
        assert_eq!(registry.names().count(), 1);
    }
}
