//! What a domain's XML says, in the terms of a manifest.
//!
//! Reads XML as libvirt reads it: what it fills in when a domain is defined (the format of a disk, its
//! bus, the version of a TPM) is read as if it had been filled in already, so that a domain projects to
//! the same fields before and after. Never does: guess what depends on the host. Tests: in `tests.rs`; the corpus test compares libvirt's own inputs with what it makes of them.

mod devices;
mod facts;
mod fields;
#[cfg(test)]
mod tests;
mod units;

pub(crate) use devices::{devices, disk_bus, network_of, source_of, target_of};
pub(crate) use facts::topology;
pub(crate) use fields::{boot_of, cpu_model_of, is_x86, memory_of, secure_boot_of, vcpus_of};
pub(crate) use units::memory_kib;
use units::number;

use roxmltree::Node;

use super::document::root;
use super::{Domain, DomainXml, Facts, Fields, mark};
use crate::xml::{XmlError, child, text};

impl DomainXml {
    /// What it says, in the terms of a manifest.
    ///
    /// # Errors
    /// Says what is missing or cannot be read, of what every domain that libvirt knows has: a name, a
    /// UUID, memory.
    pub fn domain(&self) -> Result<Domain, XmlError> {
        let document = self.tree()?;
        let root = root(&document)?;
        let name = required(root, "name")?;
        let id = required(root, "uuid")?;
        let id = id.parse().map_err(|_| XmlError::Value { path: "uuid", text: id, expected: "a UUID" })?;
        Ok(Domain {
            name,
            id,
            fields: fields::fields(root)?,
            facts: facts::facts(root),
            mark: mark::read(root),
        })
    }

    /// The fields alone, which XML that was not defined yet has too.
    ///
    /// # Errors
    /// Says what is missing or cannot be read: the memory, the number of processors.
    pub fn fields(&self) -> Result<Fields, XmlError> {
        fields::fields(root(&self.tree()?)?)
    }

    /// The facts alone.
    ///
    /// # Errors
    /// None, as the text was parsed once.
    pub fn facts(&self) -> Result<Facts, XmlError> {
        Ok(facts::facts(root(&self.tree()?)?))
    }
}

fn required(root: Node<'_, '_>, name: &'static str) -> Result<String, XmlError> {
    child(root, name).map(text).filter(|text| !text.is_empty()).ok_or(XmlError::Missing { path: name })
}
