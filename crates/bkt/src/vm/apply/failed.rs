//! The failure of one VM, by its name. Tests: below.

use plasmavmc_types::{ErrorKind, Explain};

use super::ApplyError;
use crate::vm::power::quoted;

/// A VM that is not as planned.
#[derive(Debug, thiserror::Error)]
#[error("`{name}` was not synced")]
pub struct NotApplied {
    name: String,
    #[source]
    source: ApplyError,
}

impl NotApplied {
    /// The failure of the VM of that name.
    pub const fn new(name: String, source: ApplyError) -> Self {
        Self { name, source }
    }
}

impl Explain for NotApplied {
    fn kind(&self) -> ErrorKind {
        self.source.kind()
    }

    /// Who found the fault may know the XML alone, and says `NAME` where the VM's name belongs.
    fn hints(&self) -> Vec<String> {
        let named = format!(" {}`", quoted(&self.name));
        self.source.hints().into_iter().map(|hint| hint.replace(" NAME`", &named)).collect()
    }
}

#[cfg(test)]
mod tests {
    use plasmavmc_libvirt::domain::EditError;

    use super::*;

    #[test]
    fn a_failure_names_its_vm_and_what_can_be_typed() {
        let source = ApplyError::Edit { source: EditError::NumaMemory };
        let error = NotApplied::new("a b".to_owned(), source);
        assert_eq!(error.to_string(), "`a b` was not synced");
        let hints = error.hints().join("\n");
        assert!(hints.contains("`virsh edit 'a b'`") && !hints.contains("NAME"), "{hints}");
    }
}
