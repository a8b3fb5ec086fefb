//! Why a change to a domain's XML cannot be made. Tests: with each change.

use plasmavmc_types::{ErrorKind, Explain};

use crate::xml::XmlError;

/// Why a change cannot be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EditError {
    /// The device is not there.
    #[error("there is no {device} `{which}`")]
    NoSuchDevice {
        /// What it is: disk, drive, network card.
        device: &'static str,
        /// Its target or place.
        which: String,
    },
    /// The memory follows from the NUMA cells.
    #[error("the memory is the sum of what the NUMA cells have; libvirt would ignore another")]
    NumaMemory,
    /// The memory is more than can be plugged in.
    #[error("{kib} KiB are more than the {max_kib} KiB of `<maxMemory>`")]
    MaxMemory {
        /// What was asked for.
        kib: u64,
        /// The most there may be.
        max_kib: u64,
    },
    /// The processors follow from the topology.
    #[error("the CPU topology multiplies to {topology} processors, so there cannot be {vcpus}")]
    Topology {
        /// What was asked for.
        vcpus: u32,
        /// What the topology says.
        topology: u32,
    },
    /// Single processors are named.
    #[error("`<{element}>` names processors one by one, so their number cannot be changed")]
    VcpusListed {
        /// The element that does.
        element: &'static str,
    },
    /// XML has no way to say a character.
    #[error("`{}` has a character that XML cannot hold", text.escape_debug())]
    Unwritable {
        /// The text.
        text: String,
    },
    /// Not there yet.
    #[error("this change cannot be made yet")]
    NotYet,
    /// What came out of a change cannot be read: a fault of ours.
    #[error("the change did not give a domain's XML")]
    Xml(#[from] XmlError),
}

impl Explain for EditError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Xml(_) => ErrorKind::Internal,
            _ => ErrorKind::Config,
        }
    }

    fn hints(&self) -> Vec<String> {
        vec!["make the change by hand: `virsh edit NAME`".to_owned()]
    }
}
