//! Which edits of a domain's XML make a field take a value.
//!
//! Two fields are not in the XML: autostart, which libvirt keeps beside it, and the disk's size. Pure.
//! Tests: below; what each edit does to the XML is tested where it is made.

use std::path::PathBuf;

use plasmavmc_libvirt::domain::{Boot, CpuModel, Domain, Edit, Fields, GraphicsKind, Network, TpmVersion};
use plasmavmc_types::DiskFormat;
use serde_json::Value;

use super::current::Meant;
use super::{Field, Values, media};

/// The bus of a disk that is added where the manifest names none.
const DEFAULT_BUS: &str = "virtio";

/// The edits that make the fields of `changes` take their values. `format` is that of the file at the
/// `disk_path` to be.
pub fn edits(domain: &Domain, meant: &Meant<'_>, changes: &Values, format: DiskFormat) -> Vec<Edit> {
    let fields = &domain.fields;
    let mut edits = Vec::new();
    for (field, value) in changes {
        match field {
            Field::Title => edits.push(Edit::Title(value.as_str().map(str::to_owned))),
            Field::Memory => {
                edits.extend(value.as_u64().map(|mib| Edit::MemoryKib(mib.saturating_mul(1024))));
            }
            Field::Vcpus => edits.extend(number(value).map(Edit::Vcpus)),
            Field::CpuModel => edits.extend(value.as_str().map(|word| Edit::Cpu(cpu(word)))),
            Field::Tpm => edits.push(Edit::Tpm((value == "2.0").then_some(TpmVersion::V2_0))),
            Field::Graphics => edits.push(Edit::Graphics(value.as_str().and_then(graphics))),
            Field::IsoSources => edits.extend(media::edits(&fields.cdroms, &meant.media(), &paths(value))),
            Field::DiskPath => edits.extend(disk_source(fields, meant, changes, value, format)),
            Field::DiskBus => edits.extend(disk_bus(fields, meant, value)),
            Field::Boot | Field::SecureBoot | Field::Network | Field::Mac => {}
            Field::DiskSizeGb | Field::Autostart => {}
        }
    }
    edits.extend(firmware(fields, changes));
    edits.extend(card(fields, meant, changes));
    edits
}

/// A processor model's meaning.
pub(super) fn cpu(word: &str) -> CpuModel {
    match word {
        "host-passthrough" => CpuModel::HostPassthrough,
        "host-model" => CpuModel::HostModel,
        "maximum" => CpuModel::Maximum,
        model => CpuModel::Named(model.to_owned()),
    }
}

/// A display's meaning.
pub(super) fn graphics(word: &str) -> Option<GraphicsKind> {
    match word {
        "spice" => Some(GraphicsKind::Spice),
        "vnc" => Some(GraphicsKind::Vnc),
        _ => None,
    }
}

/// A network's meaning.
pub(super) fn network(word: &str) -> Option<Network> {
    match word {
        "none" => None,
        "user" => Some(Network::User),
        word => Some(
            word.strip_prefix("bridge:")
                .map_or_else(|| Network::Named(word.to_owned()), |bridge| Network::Bridge(bridge.to_owned())),
        ),
    }
}

/// The paths of a value.
pub(super) fn paths(value: &Value) -> Vec<PathBuf> {
    value.as_array().into_iter().flatten().filter_map(Value::as_str).map(PathBuf::from).collect()
}

fn number(value: &Value) -> Option<u32> {
    u32::try_from(value.as_u64()?).ok()
}

fn disk_source(
    fields: &Fields,
    meant: &Meant<'_>,
    changes: &Values,
    value: &Value,
    format: DiskFormat,
) -> Option<Edit> {
    let path = PathBuf::from(value.as_str()?);
    Some(match meant.disk(fields) {
        Some(disk) => Edit::DiskSource { target: disk.target.clone(), path, format },
        None => {
            let bus = changes.get(&Field::DiskBus).and_then(Value::as_str).unwrap_or(DEFAULT_BUS);
            Edit::AddDisk { bus: bus.to_owned(), path, format }
        }
    })
}

/// A disk that is added is added to its bus.
fn disk_bus(fields: &Fields, meant: &Meant<'_>, value: &Value) -> Option<Edit> {
    let disk = meant.disk(fields)?;
    Some(Edit::DiskBus { target: disk.target.clone(), bus: value.as_str()?.to_owned() })
}

/// One edit for the two fields of the firmware: what is not changed stays, as far as the kind allows.
fn firmware(fields: &Fields, changes: &Values) -> Option<Edit> {
    let (boot, secure) = (changes.get(&Field::Boot), changes.get(&Field::SecureBoot));
    if boot.is_none() && secure.is_none() {
        return None;
    }
    let boot = match boot.and_then(Value::as_str) {
        Some("uefi") => Boot::Uefi,
        Some("bios") => Boot::Bios,
        _ => fields.boot,
    };
    let secure_boot = secure.and_then(Value::as_bool).or(fields.secure_boot).unwrap_or(false);
    Some(Edit::Firmware { boot, secure_boot: secure_boot && boot == Boot::Uefi })
}

/// The edits of our card, for the two fields that are its.
fn card(fields: &Fields, meant: &Meant<'_>, changes: &Values) -> Vec<Edit> {
    let wanted = changes.get(&Field::Network).and_then(Value::as_str);
    let mac = changes.get(&Field::Mac).and_then(|value| value.as_str()?.parse().ok());
    match (meant.nic(fields), wanted) {
        (Some((index, _)), Some("none")) => vec![Edit::RemoveNic { index }],
        (Some((index, _)), _) => {
            let network = wanted.and_then(network).map(|network| Edit::NicNetwork { index, network });
            let mac = mac.map(|mac| Edit::NicMac { index, mac });
            network.into_iter().chain(mac).collect()
        }
        (None, Some(word)) => {
            network(word).map(|network| Edit::AddNic { network, mac }).into_iter().collect()
        }
        (None, None) => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::sample::{cdrom, domain};
    use super::*;
    use serde_json::json;

    fn made(domain: &Domain, changes: &[(Field, Value)]) -> Vec<Edit> {
        let changes = changes.iter().cloned().collect();
        edits(domain, &Meant::default(), &changes, DiskFormat::Qcow2)
    }

    #[test]
    fn each_field_has_its_edit_and_touches_no_other() {
        let mac = "52:54:00:00:00:07".parse().unwrap();
        let network = Network::Bridge("br0".to_owned());
        for (field, value, edit) in [
            (Field::Title, json!("x"), Edit::Title(Some("x".to_owned()))),
            (Field::Title, Value::Null, Edit::Title(None)),
            (Field::Memory, json!(8192), Edit::MemoryKib(8 << 20)),
            (Field::Vcpus, json!(4), Edit::Vcpus(4)),
            (Field::CpuModel, json!("EPYC"), Edit::Cpu(CpuModel::Named("EPYC".to_owned()))),
            (Field::CpuModel, json!("maximum"), Edit::Cpu(CpuModel::Maximum)),
            (Field::Tpm, json!("2.0"), Edit::Tpm(Some(TpmVersion::V2_0))),
            (Field::Tpm, json!("none"), Edit::Tpm(None)),
            (Field::Graphics, json!("vnc"), Edit::Graphics(Some(GraphicsKind::Vnc))),
            (Field::Graphics, json!("none"), Edit::Graphics(None)),
            (Field::Network, json!("bridge:br0"), Edit::NicNetwork { index: 0, network }),
            (Field::Network, json!("none"), Edit::RemoveNic { index: 0 }),
            (Field::Mac, json!("52:54:00:00:00:07"), Edit::NicMac { index: 0, mac }),
            (Field::DiskBus, json!("sata"), Edit::DiskBus { target: "vda".into(), bus: "sata".into() }),
            (Field::SecureBoot, json!(true), Edit::Firmware { boot: Boot::Uefi, secure_boot: true }),
            (Field::Boot, json!("bios"), Edit::Firmware { boot: Boot::Bios, secure_boot: false }),
            (Field::IsoSources, json!(["/a.iso"]), Edit::AddCdrom { path: "/a.iso".into() }),
        ] {
            assert_eq!(made(&domain(), &[(field, value)]), [edit], "{field}");
        }
    }

    #[test]
    fn what_is_beside_the_xml_has_no_edit() {
        assert_eq!(made(&domain(), &[(Field::Autostart, json!(true)), (Field::DiskSizeGb, json!(90))]), []);
    }

    #[test]
    fn a_disk_is_pointed_elsewhere_or_added_where_there_is_none() {
        let (path, format) = (PathBuf::from("/new.qcow2"), DiskFormat::Qcow2);
        let change = (Field::DiskPath, json!("/new.qcow2"));
        let source = Edit::DiskSource { target: "vda".to_owned(), path: path.clone(), format };
        assert_eq!(made(&domain(), std::slice::from_ref(&change)), [source]);
        let mut without = domain();
        without.fields.disks.clear();
        let added = Edit::AddDisk { bus: "sata".to_owned(), path, format };
        assert_eq!(made(&without, &[change, (Field::DiskBus, json!("sata"))]), [added]);
    }

    #[test]
    fn the_two_fields_of_firmware_make_one_edit() {
        let both = [(Field::Boot, json!("uefi")), (Field::SecureBoot, json!(true))];
        assert_eq!(made(&domain(), &both), [Edit::Firmware { boot: Boot::Uefi, secure_boot: true }]);
    }

    #[test]
    fn a_card_is_added_with_its_address_where_there_is_none() {
        let mut without = domain();
        without.fields.nics.clear();
        let mac = Some("52:54:00:00:00:07".parse().unwrap());
        let changes = [(Field::Network, json!("user")), (Field::Mac, json!("52:54:00:00:00:07"))];
        assert_eq!(made(&without, &changes), [Edit::AddNic { network: Network::User, mac }]);
        assert_eq!(made(&without, &[(Field::Network, json!("none"))]), []);
    }

    #[test]
    fn a_medium_goes_into_a_free_drive() {
        let mut with = domain();
        with.fields.cdroms = vec![cdrom("sda", Some("/theirs.iso")), cdrom("sdb", None)];
        let edit = Edit::CdromMedium { target: "sdb".to_owned(), path: Some("/a.iso".into()) };
        assert_eq!(made(&with, &[(Field::IsoSources, json!(["/a.iso"]))]), [edit]);
    }
}
