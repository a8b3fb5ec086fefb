//! The single changes that can be made to a domain's XML.
//!
//! Each touches the nodes of its own field and no others. Tests: with the editing.

use std::path::PathBuf;

use plasmavmc_types::{DiskFormat, MacAddr};

use super::{Boot, CpuModel, GraphicsKind, Mark, Network, TpmVersion};

/// One change to a domain's XML.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Edit {
    /// Sets or removes `<title>`.
    Title(Option<String>),
    /// Sets `<memory>`, and `<currentMemory>` where it was equal to it or would now be more.
    MemoryKib(u64),
    /// Sets `<vcpu>`; removes a `current=` that would now be more.
    Vcpus(u32),
    /// Replaces what `<cpu>` says of the model; its topology, NUMA cells and cache stay.
    Cpu(CpuModel),
    /// Changes the firmware: the stored choice of files goes, so that libvirt chooses anew.
    Firmware {
        /// The new kind.
        boot: Boot,
        /// Whether UEFI insists on signed boot loaders.
        secure_boot: bool,
    },
    /// Adds an emulated TPM, changes its version, or removes it.
    Tpm(Option<TpmVersion>),
    /// Points the disk at another file.
    DiskSource {
        /// The disk's target.
        target: String,
        /// The file.
        path: PathBuf,
        /// Its format.
        format: DiskFormat,
    },
    /// Moves the disk to another bus: a new target name, and its old address goes.
    DiskBus {
        /// The disk's target.
        target: String,
        /// The bus.
        bus: String,
    },
    /// Adds a disk on the first free target of its bus.
    AddDisk {
        /// The bus.
        bus: String,
        /// The file.
        path: PathBuf,
        /// Its format.
        format: DiskFormat,
    },
    /// Adds a CD-ROM drive with a medium, on the first free SATA target.
    AddCdrom {
        /// The medium.
        path: PathBuf,
    },
    /// Puts another medium into a drive; none empties it.
    CdromMedium {
        /// The drive's target.
        target: String,
        /// The medium.
        path: Option<PathBuf>,
    },
    /// Removes a drive.
    RemoveCdrom {
        /// The drive's target.
        target: String,
    },
    /// Connects a card to something else, its address, model and place on the bus stay.
    NicNetwork {
        /// The card's place among the cards, from 0.
        index: usize,
        /// What it is connected to.
        network: Network,
    },
    /// Gives a card another address.
    NicMac {
        /// The card's place among the cards, from 0.
        index: usize,
        /// The address.
        mac: MacAddr,
    },
    /// Adds a virtio card.
    AddNic {
        /// What it is connected to.
        network: Network,
        /// Its address; libvirt draws one where there is none.
        mac: Option<MacAddr>,
    },
    /// Removes a card.
    RemoveNic {
        /// The card's place among the cards, from 0.
        index: usize,
    },
    /// Replaces the displays by one of this kind, or none, with what belongs to the old kind alone
    /// (SPICE channels, USB redirection, SPICE audio). Where a display of the kind is there it stays.
    Graphics(Option<GraphicsKind>),
    /// Writes our element into `<metadata>`, in the place of an older one; none removes it.
    Mark(Option<Mark>),
}
