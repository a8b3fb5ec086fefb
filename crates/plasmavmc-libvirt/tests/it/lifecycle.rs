//! Changing domains of a real libvirt.

use castra_testkit::libvirt::{Libvirt, SYSTEM};
use plasmavmc_libvirt::domain::DomainXml;
use plasmavmc_libvirt::virsh::{Connection, DomainState, VirshError};
use plasmavmc_types::VmId;

fn connection() -> Connection {
    Connection::new(Some(SYSTEM.to_owned())).unwrap()
}

fn with_uuid(xml: &str, id: VmId) -> DomainXml {
    DomainXml::parse(xml.replacen("<memory", &format!("<uuid>{id}</uuid><memory"), 1)).unwrap()
}

#[test]
fn a_domain_is_defined_started_frozen_reset_and_ended() {
    let lab = Libvirt::system();
    let connection = connection();
    let (reader, writer) = (connection.reader(), connection.writer());
    let id = VmId::generate();
    writer.define(&with_uuid(&lab.small_domain("a"), id), true).unwrap();
    let state = || reader.state(id).unwrap().unwrap();
    assert_eq!(state().0, DomainState::ShutOff);
    writer.set_autostart(id, true).unwrap();
    assert!(reader.observe_one(id).unwrap().unwrap().autostart);
    writer.set_autostart(id, false).unwrap();
    assert!(!reader.observe_one(id).unwrap().unwrap().autostart);
    writer.start(id).unwrap();
    writer.suspend(id).unwrap();
    assert_eq!(state(), (DomainState::Paused, "user".to_owned()));
    writer.resume(id).unwrap();
    writer.reset(id).unwrap();
    writer.shutdown(id).unwrap();
    assert!(matches!(writer.start(id), Err(VirshError::Refused { .. })), "it runs");
    writer.destroy(id, true).unwrap();
    assert_eq!(state(), (DomainState::ShutOff, "destroyed".to_owned()));
    assert!(matches!(writer.destroy(id, false), Err(VirshError::Refused { .. })), "nothing runs");
    writer.undefine_keeping(id).unwrap();
    assert_eq!(reader.state(id).unwrap(), None);
}

#[test]
fn xml_that_does_not_fit_the_schema_is_told_from_xml_that_libvirt_refuses() {
    let lab = Libvirt::system();
    let writer_of = connection();
    let writer = writer_of.writer();
    let id = VmId::generate();
    let good = lab.small_domain("a");
    writer.define(&with_uuid(&good, id), true).unwrap();
    let before = writer_of.reader().inactive(id).unwrap();

    let odd = with_uuid(&good.replace("<devices>", "<frobnicate/><devices>"), id);
    let error = writer.define(&odd, true).unwrap_err();
    assert!(matches!(error, VirshError::Invalid { .. }), "{error:?}");
    assert!(error.to_string().contains("frobnicate"), "{error}");
    let refused = with_uuid(&good.replace("type='qemu'", "type='xen'"), id);
    for validate in [true, false] {
        let error = writer.define(&refused, validate).unwrap_err();
        assert!(matches!(error, VirshError::Refused { .. }), "{error:?}");
    }
    // Another domain's name.
    lab.define(&lab.small_domain("b"));
    let error = writer.define(&with_uuid(&lab.small_domain("b"), id), true).unwrap_err();
    assert!(matches!(error, VirshError::Refused { .. }), "{error:?}");
    assert_eq!(writer_of.reader().inactive(id).unwrap(), before, "the old definition is whole");
}

#[test]
fn a_password_is_read_by_a_writer_only_and_survives_a_definition() {
    let lab = Libvirt::system();
    let connection = connection();
    let id = VmId::generate();
    let vnc = "<devices><graphics type='vnc' port='-1' passwd='hunter2'/>";
    let xml = lab.small_domain("a").replace("<devices>", vnc);
    connection.writer().define(&with_uuid(&xml, id), true).unwrap();
    assert!(!connection.reader().inactive(id).unwrap().unwrap().as_str().contains("hunter2"));
    let whole = connection.writer().with_secrets(id).unwrap();
    assert!(whole.as_str().contains("passwd='hunter2'"));
    connection.writer().define(&whole, true).unwrap();
    assert_eq!(connection.writer().with_secrets(id).unwrap(), whole);
}

#[test]
fn a_medium_is_put_in_changed_and_taken_out() {
    let lab = Libvirt::system();
    let connection = connection();
    let id = VmId::generate();
    let drive = "<devices><disk type='file' device='cdrom'><target dev='sda' bus='sata'/><readonly/></disk>";
    let xml = lab.small_domain("a").replace("<devices>", drive);
    connection.writer().define(&with_uuid(&xml, id), true).unwrap();
    let media = ["a, b.iso", "--eject.iso"].map(|name| lab.dir().join(name));
    let shows = |live: bool| {
        let seen = connection.reader().observe_one(id).unwrap().unwrap();
        let xml = if live { seen.live.unwrap() } else { seen.inactive };
        media.iter().position(|medium| xml.as_str().contains(&format!("file='{}'", medium.display())))
    };
    for (index, medium) in media.iter().enumerate() {
        std::fs::write(medium, vec![0; 4096]).unwrap();
        connection.writer().change_media(id, "sda", Some(medium), false).unwrap();
        assert_eq!(shows(false), Some(index));
    }
    connection.writer().start(id).unwrap();
    connection.writer().change_media(id, "sda", None, false).unwrap();
    assert_eq!((shows(false), shows(true)), (None, Some(1)));
    // A drive that is empty in the definition already is emptied in the guest, too.
    connection.writer().change_media(id, "sda", None, true).unwrap();
    assert_eq!((shows(false), shows(true)), (None, None));
    connection.writer().change_media(id, "sda", Some(&media[0]), true).unwrap();
    assert_eq!((shows(false), shows(true)), (None, Some(0)));
}

#[test]
fn a_domain_is_forgotten_and_its_firmware_variables_stay() {
    let lab = Libvirt::system();
    let connection = connection();
    let id = VmId::generate();
    let vars = lab.dir().join("vars.fd");
    std::fs::write(&vars, "precious").unwrap();
    let xml = lab.small_domain("a").replace("<os>", "<os firmware='efi'>");
    let nvram = format!("</type><nvram>{}</nvram></os>", vars.display());
    connection.writer().define(&with_uuid(&xml.replace("</type></os>", &nvram), id), true).unwrap();
    connection.writer().undefine_keeping(id).unwrap();
    assert_eq!(std::fs::read_to_string(&vars).unwrap(), "precious");
}
