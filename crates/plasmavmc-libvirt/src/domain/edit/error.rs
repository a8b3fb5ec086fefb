//! Why a change to a domain's XML cannot be made. Tests: with each change.

use std::path::PathBuf;

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
    /// Two disks have one name.
    #[error("there are two disks `{target}`, and no way to tell which is meant")]
    Ambiguous {
        /// Their target.
        target: String,
    },
    /// An element that counts once is there twice.
    #[error(
        "`<{element}>` is there twice; libvirt reads the first, and an edit would bring the second to light"
    )]
    Repeated {
        /// The element.
        element: &'static str,
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
    /// A path is relative, or XML has no way to say it.
    #[error("`{}` is not an absolute path of plain text", path.display().to_string().escape_debug())]
    Path {
        /// The path.
        path: PathBuf,
    },
    /// Features of a processor are listed, which are nothing without a model.
    #[error("`<cpu>` lists features, which need a model")]
    CpuFeatures,
    /// What runs is no machine with firmware.
    #[error("the guest is `{kind}`, which has no firmware")]
    NotHvm {
        /// What `<os><type>` says.
        kind: String,
    },
    /// The machine has no ACPI, which UEFI needs.
    #[error("the VM has no ACPI (`<features><acpi/>`), which UEFI needs on a PC")]
    NoAcpi,
    /// The machine cannot keep UEFI's variables from the guest.
    #[error("secure boot needs a `q35` machine, and this is `{machine}`")]
    SecureBoot {
        /// The machine type.
        machine: String,
    },
    /// The TPM is not emulated.
    #[error("the TPM is not an emulated one: its backend is `{kind}`")]
    TpmNotEmulated {
        /// The type of its backend.
        kind: String,
    },
    /// The disk is not in a file.
    #[error("the disk `{target}` is not in a file: it is of the type `{kind}`")]
    NotAFile {
        /// Its target.
        target: String,
        /// Its type.
        kind: String,
    },
    /// The disk says something that would not hold any more.
    #[error("the disk `{target}` has `{detail}`, and {why}")]
    DiskDetail {
        /// Its target.
        target: String,
        /// What it says.
        detail: String,
        /// Why it would not hold.
        why: &'static str,
    },
    /// There is no such bus in the machine, or it is full.
    #[error("the VM has no bus `{bus}` with room for a disk")]
    Bus {
        /// The bus.
        bus: String,
    },
    /// The card is no card of QEMU's that could be connected to something else.
    #[error("network card {index} is of the type `{kind}`, which cannot be connected to something else")]
    NicKind {
        /// Its place.
        index: usize,
        /// Its type.
        kind: String,
    },
    /// The card says something of its connection that would not hold for another.
    #[error("network card {index} has `<{detail}>`, which belongs to what it is connected to now")]
    NicDetail {
        /// Its place.
        index: usize,
        /// The element.
        detail: String,
    },
    /// A display's password would have to be cut.
    #[error("the display has a password of more than 8 characters, which VNC does not take")]
    LongPassword,
    /// A manifest has no word for it.
    #[error("there is no way to ask for `{what}`")]
    NoWord {
        /// What was asked for.
        what: String,
    },
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
