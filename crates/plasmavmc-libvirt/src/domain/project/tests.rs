//! What a domain's XML says.

use crate::domain::sample::windows;
use crate::domain::{Boot, DomainXml, Source, TpmVersion};
use crate::xml::XmlError;

#[test]
fn a_domain_says_what_a_manifest_can_say_and_what_a_plan_must_heed() {
    insta::assert_debug_snapshot!(windows().domain().unwrap());
}

#[test]
fn what_every_domain_has_is_missed_by_its_name() {
    let parse = |text: &str| DomainXml::parse(text).unwrap().domain().unwrap_err();
    assert_eq!(parse("<domain/>"), XmlError::Missing { path: "name" });
    assert_eq!(parse("<domain><name>a</name></domain>"), XmlError::Missing { path: "uuid" });
    let id = "<domain><name>a</name><uuid>0a1b2c3d-0000-4000-8000-000000000001</uuid>";
    assert_eq!(parse(&format!("{id}</domain>")), XmlError::Missing { path: "memory" });
    assert_eq!(
        parse(&format!("{id}<memory unit='cups'>2</memory></domain>")).to_string(),
        "`memory` is `2 cups`, which is not a size such as `8` with the unit `GiB`"
    );
    assert!(matches!(
        parse("<domain><name>a</name><uuid>1</uuid></domain>"),
        XmlError::Value { path: "uuid", .. }
    ));
}

#[test]
fn memory_comes_from_the_numa_cells_where_they_say_it() {
    let fields = |text: &str| DomainXml::parse(text).unwrap().fields().unwrap();
    let cells = "<cell memory='1' unit='GiB'/><cell memory='1024'/>";
    let domain = format!("<domain><memory>1</memory><cpu><numa>{cells}</numa></cpu></domain>");
    assert_eq!(fields(&domain).memory_kib, (1 << 20) + 1024);
    assert_eq!(fields("<domain><memory unit='MiB'>2</memory></domain>").memory_kib, 2048);
}

#[test]
fn the_firmware_is_told_by_what_is_asked_for_or_stored() {
    let os = |inner: &str| {
        let xml = format!("<domain><memory>1</memory>{inner}</domain>");
        let fields = DomainXml::parse(xml).unwrap().fields().unwrap();
        (fields.boot, fields.secure_boot)
    };
    let feature = |name: &str, enabled: &str| {
        os(&format!(
            "<os firmware='efi'><firmware><feature enabled='{enabled}' name='{name}'/></firmware></os>"
        ))
    };
    assert_eq!(os(""), (Boot::Bios, None));
    assert_eq!(os("<os firmware='efi'/>"), (Boot::Uefi, None));
    assert_eq!(os("<os><loader type='pflash'>/a</loader></os>"), (Boot::Uefi, None));
    assert_eq!(os("<os><loader type='pflash' secure='no'>/a</loader></os>"), (Boot::Uefi, Some(false)));
    assert_eq!(os("<os><loader type='rom'>/bios.bin</loader></os>"), (Boot::Bios, None));
    assert_eq!(feature("enrolled-keys", "yes"), (Boot::Uefi, Some(true)));
    assert_eq!(feature("enrolled-keys", "no"), (Boot::Uefi, Some(false)));
    assert_eq!(feature("secure-boot", "no"), (Boot::Uefi, Some(false)));
    assert_eq!(feature("secure-boot", "yes"), (Boot::Uefi, None));
}

#[test]
fn what_libvirt_would_fill_in_is_read_as_if_it_had() {
    let domain = "<domain><memory>1</memory><os><type arch='ARCH'>hvm</type></os><devices>\
        <disk type='block' device='cdrom'><target dev='hdc'/></disk>\
        <disk type='file'><source file='/a'/><target dev='sdaa'/></disk>\
        <disk type='file'><source file='/b'/><target dev='sdb'/></disk>\
        <disk type='file' device='floppy'><target dev='fda'/></disk>\
        <disk type='block' device='lun'><source dev='/dev/sg0'/><target dev='sdc'/></disk>\
        <interface type='network'><source network='a'/></interface><interface type='direct'/>\
        <tpm><backend type='emulator'/></tpm></devices></domain>";
    let read = |arch: &str| DomainXml::parse(domain.replace("ARCH", arch)).unwrap();
    let fields = read("x86_64").fields().unwrap();
    let disks: Vec<_> = fields.disks.iter().map(|disk| (disk.target.as_str(), disk.bus.as_deref())).collect();
    assert_eq!(disks, [("sdb", Some("scsi")), ("sdaa", Some("scsi"))]);
    assert_eq!((&fields.cdroms[0].source, fields.cdroms[0].bus.as_deref()), (&Source::Empty, Some("ide")));
    assert_eq!(fields.nics.len(), 2);
    assert_eq!(fields.tpm.unwrap().version, Some(TpmVersion::V1_2));
    assert_eq!(read("aarch64").fields().unwrap().tpm.unwrap().version, Some(TpmVersion::V2_0));
    assert_eq!(read("x86_64").facts().unwrap().others, [("floppy".to_owned(), 1), ("lun".to_owned(), 1)]);
}

#[test]
fn an_attribute_of_another_namespace_is_not_libvirts() {
    let xml = "<domain xmlns:a='u' a:type='x'><memory a:unit='GiB'>1</memory><a:title>no</a:title></domain>";
    let xml = DomainXml::parse(xml).unwrap();
    assert_eq!((xml.fields().unwrap().memory_kib, xml.fields().unwrap().title), (1, None));
    assert_eq!(xml.facts().unwrap().kind, "");
    assert_eq!(xml.facts().unwrap().foreign, ["u"]);
}
