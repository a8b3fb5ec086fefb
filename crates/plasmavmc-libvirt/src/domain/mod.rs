//! A libvirt domain in the terms of a manifest.
//!
//! Owns: the XML as it was dumped ([`DomainXml`]), what it means ([`Fields`] is what a manifest can say,
//! [`Facts`] what decides whether a change is possible, [`Mark`] what we wrote into its metadata), the
//! changes that can be made to it ([`Edit`]), a new VM's XML ([`NewVm`]), and the proof that a change did
//! what was planned and no more ([`unplanned`]). Never does: render a VM anew that exists. Pure.

mod chain;
mod change;
mod document;
mod edit;
mod facts;
mod fields;
mod mark;
mod project;
mod proof;
mod render;
#[cfg(test)]
mod sample;

pub use change::Edit;
pub use document::DomainXml;
pub use edit::EditError;
pub use facts::{Facts, Loader};
pub use fields::{
    Boot, Cdrom, CpuModel, Disk, Fields, Graphics, GraphicsKind, Network, Nic, Source, Tpm, TpmVersion,
};
pub use mark::{Mark, NAMESPACE};
pub use proof::unplanned;
pub use render::{NewDisk, NewVm, RenderError, render};

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
