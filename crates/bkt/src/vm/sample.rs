//! A plain domain and the definition that fits it, for the tests beside it.

use std::collections::BTreeSet;
use std::num::{NonZeroU32, NonZeroU64};

use plasmavmc_libvirt::domain::{
    Boot, Cdrom, CpuModel, Disk, Domain, Facts, Fields, Graphics, GraphicsKind, Network, Nic, Source, Tpm,
    TpmVersion,
};
use plasmavmc_types::{DiskFormat, MacAddr};

use crate::manifest::{BootChoice, GraphicsChoice, Memory, TpmChoice, VmDefinition};

/// A domain of which a manifest can say everything.
pub(crate) fn domain() -> Domain {
    Domain {
        name: "web".to_owned(),
        id: "0198c7a0-0000-7000-8000-000000000001".parse().unwrap(),
        fields: Fields {
            title: Some("A web server".to_owned()),
            memory_kib: 2 << 20,
            vcpus: 2,
            cpu: CpuModel::HostPassthrough,
            boot: Boot::Uefi,
            secure_boot: Some(false),
            tpm: Some(Tpm { version: Some(TpmVersion::V2_0), emulated: true }),
            disks: vec![Disk {
                target: "vda".to_owned(),
                bus: Some("virtio".to_owned()),
                source: Source::File("/images/web.qcow2".into()),
                format: Some(DiskFormat::Qcow2),
            }],
            cdroms: Vec::new(),
            nics: vec![nic("default", 1)],
            graphics: vec![Graphics { kind: GraphicsKind::Spice }],
        },
        facts: Facts { kind: "kvm".to_owned(), ..Facts::default() },
        mark: None,
    }
}

/// A card on a network; `direct` is one that a manifest has no word for.
pub(crate) fn nic(network: &str, last: u8) -> Nic {
    let network = match network {
        "direct" => Network::Other("direct".to_owned()),
        name => Network::Named(name.to_owned()),
    };
    Nic { network, mac: Some(MacAddr::from_seed([0, 0, last])), model: Some("virtio".to_owned()) }
}

/// A CD-ROM drive.
pub(crate) fn cdrom(target: &str, medium: Option<&str>) -> Cdrom {
    let source = medium.map_or(Source::Empty, |path| Source::File(path.into()));
    Cdrom { target: target.to_owned(), bus: Some("sata".to_owned()), source }
}

/// The definition that fits [`domain`].
pub(crate) fn definition() -> VmDefinition {
    VmDefinition {
        title: None,
        memory: Memory::Gib(NonZeroU64::new(2).unwrap()),
        vcpus: NonZeroU32::new(2).unwrap(),
        cpu_model: None,
        disk_path: "/images/web.qcow2".into(),
        disk_size_gb: NonZeroU64::new(80).unwrap(),
        disk_bus: None,
        create_if_missing: false,
        boot: BootChoice::Uefi,
        secure_boot: None,
        tpm: TpmChoice::V2_0,
        network: "default".parse().unwrap(),
        mac: None,
        graphics: GraphicsChoice::Spice,
        iso_sources: None,
        autostart: None,
        unmanaged_fields: BTreeSet::new(),
    }
}
