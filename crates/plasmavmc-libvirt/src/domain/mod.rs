//! A libvirt domain in the terms of a manifest.
//!
//! Owns: the types. [`Fields`] is what a manifest can say, [`Facts`] what decides whether a change is
//! possible, [`Mark`] what we wrote into the domain's metadata. Never does: keep the XML; an edit works
//! on the text that was dumped. Pure.

mod change;
mod document;
mod facts;
mod fields;
mod mark;

pub use change::Edit;
pub use document::DomainXml;
pub use facts::{Facts, Loader};
pub use fields::{
    Boot, Cdrom, CpuModel, Disk, Fields, Graphics, GraphicsKind, Network, Nic, Source, Tpm, TpmVersion,
};
pub use mark::{Mark, NAMESPACE};

use plasmavmc_types::VmId;

/// One domain, read from its XML.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Domain {
    /// Its name. Freer than a [`plasmavmc_types::VmName`]: libvirt forbids little.
    pub name: String,
    /// Its UUID, by which alone it is addressed.
    pub id: VmId,
    /// What a manifest can say of it.
    pub fields: Fields,
    /// What a manifest cannot say, and a change must heed.
    pub facts: Facts,
    /// What we noted in it, where we manage it.
    pub mark: Option<Mark>,
}
