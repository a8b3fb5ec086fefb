//! A domain's XML: whatever it says is read within bounds, and an edit of it does what it names, or says
//! why not.

use plasmavmc_libvirt::domain::{
    Boot, CpuModel, DomainXml, Edit, EditError, GraphicsKind, Mark, Network, TpmVersion, unplanned,
};
use plasmavmc_libvirt::xml::XmlError;
use plasmavmc_libvirt::xml::compare::differences;
use plasmavmc_types::DiskFormat;

/// A domain is kept byte for byte; an edit leaves a domain, and a second one of the same finds its work done.
pub fn check(bytes: &[u8]) {
    let Ok(text) = str::from_utf8(bytes) else { return };
    let xml = match DomainXml::parse(text) {
        Ok(xml) => xml,
        Err(error) => {
            // One line that names a place, whatever the text.
            assert!(!error.to_string().contains('\n'), "{error}");
            return;
        }
    };
    assert_eq!(xml.as_str(), text);
    assert_eq!(differences(&xml, &xml), []);
    assert_eq!(unplanned(&xml, &xml, &xml), []);
    let _ = (xml.domain(), xml.facts());
    for edit in edits() {
        let edited = match xml.edit(std::slice::from_ref(&edit)) {
            Ok(edited) => edited,
            // What comes out of an edit is a domain: anything else is a fault of the edit.
            Err(EditError::Xml(
                XmlError::Missing { .. }
                | XmlError::Value { .. }
                | XmlError::TooLarge { .. }
                | XmlError::Limit { .. },
            )) => continue,
            Err(EditError::Xml(error)) => panic!("{edit:?}: {error:?}"),
            Err(_) => continue,
        };
        let _ = (differences(&xml, &edited), unplanned(&xml, &edited, &edited));
        settles(&edit, &edited);
    }
}

fn settles(edit: &Edit, edited: &DomainXml) {
    match edit {
        Edit::Title(_)
        | Edit::MemoryKib(_)
        | Edit::Vcpus(_)
        | Edit::Cpu(_)
        | Edit::Graphics(_)
        | Edit::Mark(_) => {
            let again = edited.edit(std::slice::from_ref(edit)).expect("it was made once");
            assert_eq!(again.as_str(), edited.as_str(), "{edit:?}");
        }
        _ => {}
    }
    match (edit, edited.fields()) {
        (Edit::MemoryKib(kib), Ok(fields)) => assert_eq!(fields.memory_kib, *kib),
        (Edit::Vcpus(count), Ok(fields)) => assert_eq!(fields.vcpus, *count),
        (Edit::Title(title), Ok(fields)) => assert_eq!(fields.title, *title),
        _ => {}
    }
}

fn edits() -> Vec<Edit> {
    let target = || "vda".to_owned();
    vec![
        Edit::Title(Some("a <title>".to_owned())),
        Edit::Title(None),
        Edit::MemoryKib(8 << 20),
        Edit::Vcpus(7),
        Edit::Cpu(CpuModel::Named("EPYC".to_owned())),
        Edit::Cpu(CpuModel::Unspecified),
        Edit::Firmware { boot: Boot::Uefi, secure_boot: true },
        Edit::Firmware { boot: Boot::Bios, secure_boot: false },
        Edit::Tpm(Some(TpmVersion::V2_0)),
        Edit::Tpm(None),
        Edit::DiskSource { target: target(), path: "/a&b".into(), format: DiskFormat::Qcow2 },
        Edit::DiskBus { target: target(), bus: "sata".to_owned() },
        Edit::AddDisk { bus: "virtio".to_owned(), path: "/c".into(), format: DiskFormat::Raw },
        Edit::AddCdrom { path: "/d.iso".into() },
        Edit::CdromMedium { target: "sda".to_owned(), path: Some("/e.iso".into()) },
        Edit::CdromMedium { target: "sda".to_owned(), path: None },
        Edit::RemoveCdrom { target: "sda".to_owned() },
        Edit::NicNetwork { index: 0, network: Network::Bridge("br0".to_owned()) },
        Edit::NicNetwork { index: 0, network: Network::User },
        Edit::AddNic { network: Network::Named("default".to_owned()), mac: None },
        Edit::RemoveNic { index: 0 },
        Edit::Graphics(Some(GraphicsKind::Spice)),
        Edit::Graphics(Some(GraphicsKind::Vnc)),
        Edit::Graphics(None),
        Edit::Mark(Some(Mark { key: "k".to_owned(), applied: "{}".to_owned() })),
        Edit::Mark(None),
    ]
}
