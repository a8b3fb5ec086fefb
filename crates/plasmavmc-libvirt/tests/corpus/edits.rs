//! An edit changes the nodes of its field, and nothing else, in every domain there is.

use std::collections::BTreeMap;

use plasmavmc_libvirt::domain::{
    Boot, CpuModel, Domain, DomainXml, Edit, EditError, Fields, GraphicsKind, Mark, Network, Source,
    TpmVersion,
};
use plasmavmc_libvirt::xml::compare::differences;
use plasmavmc_types::DiskFormat;

use crate::{corpus, domains, each};

/// An edit, where its differences may be, and what it makes of the fields.
struct Case {
    edit: Edit,
    places: Vec<String>,
    expected: Option<Fields>,
}

fn case(edit: Edit, places: &[&str], change: impl FnOnce(&mut Fields), fields: &Fields) -> Case {
    let mut expected = fields.clone();
    change(&mut expected);
    let places = places.iter().map(|place| format!("/domain/{place}")).collect();
    Case { edit, places, expected: Some(expected) }
}

/// One edit of every kind, each to a value that the domain does not have.
fn cases(fields: &Fields) -> Vec<Case> {
    let mark = Mark { key: "a<b".to_owned(), applied: "{\"title\":\"'&\"}".to_owned() };
    let mut cases = vec![
        case(
            Edit::Title(Some("a <new> & 'better' one".to_owned())),
            &["title"],
            |fields| {
                fields.title = Some("a <new> & 'better' one".to_owned());
            },
            fields,
        ),
        case(
            Edit::MemoryKib(fields.memory_kib + 1024),
            &["memory", "currentMemory"],
            |fields| {
                fields.memory_kib += 1024;
            },
            fields,
        ),
        case(
            Edit::Vcpus(fields.vcpus + 1),
            &["vcpu", "cpu/topology/@cores"],
            |fields| fields.vcpus += 1,
            fields,
        ),
        case(
            Edit::Cpu(CpuModel::Named("EPYC".to_owned())),
            &["cpu"],
            |fields| {
                fields.cpu = CpuModel::Named("EPYC".to_owned());
            },
            fields,
        ),
        case(
            Edit::Cpu(CpuModel::HostPassthrough),
            &["cpu"],
            |fields| fields.cpu = CpuModel::HostPassthrough,
            fields,
        ),
        case(Edit::Mark(Some(mark)), &["metadata"], |_| {}, fields),
        case(
            Edit::AddDisk { bus: "virtio".to_owned(), path: "/x y".into(), format: DiskFormat::Qcow2 },
            &["devices/disk", "devices"],
            |_| {},
            fields,
        ),
        case(Edit::AddCdrom { path: "/x&y.iso".into() }, &["devices/disk", "devices"], |_| {}, fields),
        case(
            Edit::AddNic { network: Network::User, mac: Some("52:54:00:00:00:99".parse().unwrap()) },
            &["devices/interface", "devices"],
            |_| {},
            fields,
        ),
    ];
    cases[6].expected = None;
    cases[7].expected = None;
    cases[8].expected = None;
    cases.extend(firmware(fields));
    cases.extend(devices(fields));
    cases
}

fn firmware(fields: &Fields) -> Vec<Case> {
    let (boot, secure) =
        if fields.boot == Boot::Uefi { (Boot::Bios, None) } else { (Boot::Uefi, Some(false)) };
    let version = match fields.tpm.as_ref().and_then(|tpm| tpm.version) {
        Some(TpmVersion::V2_0) => TpmVersion::V1_2,
        _ => TpmVersion::V2_0,
    };
    let mut tpm = case(Edit::Tpm(Some(version)), &["devices/tpm", "devices"], |_| {}, fields);
    tpm.expected = None;
    let places = ["os/firmware", "os/@firmware", "os/loader", "os/nvram", "features/smm"];
    let mut uefi = case(
        Edit::Firmware { boot, secure_boot: false },
        &places,
        |fields| {
            fields.boot = boot;
            fields.secure_boot = secure;
        },
        fields,
    );
    // Other architectures have no such features.
    if boot == Boot::Uefi {
        uefi.expected = None;
    }
    vec![tpm, uefi, case(Edit::Tpm(None), &["devices/tpm", "devices"], |fields| fields.tpm = None, fields)]
}

fn devices(fields: &Fields) -> Vec<Case> {
    let mut cases = Vec::new();
    if let Some((i, disk)) = fields.disks.iter().enumerate().next_back() {
        let place = [format!("devices/disk[{}]/", disk.target), "devices/disk/".to_owned()];
        let place: Vec<&str> = place.iter().map(String::as_str).collect();
        let edit = Edit::DiskSource {
            target: disk.target.clone(),
            path: "/new's".into(),
            format: DiskFormat::Qcow2,
        };
        cases.push(case(
            edit,
            &place,
            |fields| {
                fields.disks[i].source = Source::File("/new's".into());
                fields.disks[i].format = Some(DiskFormat::Qcow2);
            },
            fields,
        ));
        let bus = if disk.bus.as_deref() == Some("virtio") { "sata" } else { "virtio" };
        let edit = Edit::DiskBus { target: disk.target.clone(), bus: bus.to_owned() };
        let mut moved = case(edit, &["devices/disk"], |_| {}, fields);
        moved.expected = None;
        cases.push(moved);
    }
    if let Some((i, drive)) = fields.cdroms.iter().enumerate().next_back() {
        let place = [format!("devices/disk[{}]/", drive.target), "devices/disk/".to_owned()];
        let place: Vec<&str> = place.iter().map(String::as_str).collect();
        let medium = |path: Option<&str>| Edit::CdromMedium {
            target: drive.target.clone(),
            path: path.map(Into::into),
        };
        cases.push(case(
            medium(Some("/new.iso")),
            &place,
            |fields| {
                fields.cdroms[i].source = Source::File("/new.iso".into());
            },
            fields,
        ));
        cases.push(case(medium(None), &place, |fields| fields.cdroms[i].source = Source::Empty, fields));
        cases.push(case(
            Edit::RemoveCdrom { target: drive.target.clone() },
            &["devices/disk"],
            |fields| {
                fields.cdroms.remove(i);
            },
            fields,
        ));
    }
    if let Some(last) = fields.nics.len().checked_sub(1) {
        let network = Network::Bridge("br-new".to_owned());
        cases.push(case(
            Edit::NicNetwork { index: last, network: network.clone() },
            &["devices/interface"],
            |fields| {
                fields.nics[last].network = network;
            },
            fields,
        ));
        let mac = "52:54:00:00:00:99".parse().unwrap();
        cases.push(case(
            Edit::NicMac { index: last, mac },
            &["devices/interface"],
            |fields| {
                fields.nics[last].mac = Some(mac);
            },
            fields,
        ));
        cases.push(case(
            Edit::RemoveNic { index: last },
            &["devices/interface"],
            |fields| {
                fields.nics.remove(last);
            },
            fields,
        ));
    }
    let places = [
        "devices/graphics",
        "devices/channel",
        "devices/redirdev",
        "devices/redirfilter",
        "devices/smartcard",
        "devices/audio",
        "devices/video",
        "devices/serial",
        "devices/parallel",
        "devices/console",
        "devices",
    ];
    for kind in [Some(GraphicsKind::Vnc), Some(GraphicsKind::Spice), None] {
        let mut display = case(Edit::Graphics(kind), &places, |_| {}, fields);
        display.expected = None;
        cases.push(display);
    }
    cases
}

#[test]
fn an_edit_changes_the_nodes_of_its_field_and_nothing_else() {
    let Some(tests) = corpus() else { return };
    let domains = domains(&tests);
    let outcomes = each(&domains, |(name, xml)| {
        let fields = xml.fields().ok()?;
        Some(cases(&fields).iter().map(|case| check(name, xml, case)).collect::<Vec<_>>())
    });
    let mut counts: BTreeMap<&str, (u32, u32)> = BTreeMap::new();
    for (kind, done) in outcomes.iter().flatten() {
        let count = counts.entry(kind).or_default();
        if *done { count.0 += 1 } else { count.1 += 1 }
    }
    assert!(domains.len() > 2500, "{}", domains.len());
    for (kind, (done, refused)) in &counts {
        eprintln!("{kind}: {done} edited, {refused} refused");
        // Disks in files are fewer than those elsewhere, and cards of the host's own cannot be moved.
        assert!(*done >= 200, "{kind}: {done} edited, {refused} refused");
    }
}

/// Whether it was made; what was made is as it should be.
fn check(name: &str, xml: &DomainXml, case: &Case) -> (&'static str, bool) {
    let debug = format!("{:?}", case.edit);
    let kind = kind(&case.edit);
    let edited = match xml.edit(std::slice::from_ref(&case.edit)) {
        Ok(edited) => edited,
        Err(EditError::Xml(error)) if !matches!(error, plasmavmc_libvirt::xml::XmlError::Missing { .. }) => {
            panic!("{name}: {debug}: {error:?}")
        }
        Err(_) => return (kind, false),
    };
    for difference in differences(xml, &edited) {
        let path = &difference.path;
        assert!(
            case.places.iter().any(|place| path.starts_with(place.as_str()))
                && !(path == "/domain/devices" && difference.before.is_some() && difference.after.is_some()),
            "{name}: {debug}: {difference}"
        );
    }
    let comments = |text: &str| text.matches("<!--").count();
    assert!(comments(edited.as_str()) <= comments(xml.as_str()), "{name}: {debug}");
    if let Some(expected) = &case.expected {
        assert_eq!(edited.fields().as_ref(), Ok(expected), "{name}: {debug}");
    }
    if let Edit::Mark(mark) = &case.edit
        && let Ok(domain) = edited.domain()
    {
        assert_eq!(domain.mark, *mark, "{name}");
    }
    // Once is enough: the same again finds nothing to do, where it names what there is.
    if !matches!(
        case.edit,
        Edit::AddDisk { .. }
            | Edit::AddCdrom { .. }
            | Edit::AddNic { .. }
            | Edit::RemoveNic { .. }
            | Edit::RemoveCdrom { .. }
            | Edit::DiskBus { .. }
    ) {
        let again = edited
            .edit(std::slice::from_ref(&case.edit))
            .unwrap_or_else(|error| panic!("{name}: {debug}: {error}"));
        assert_eq!(again.as_str(), edited.as_str(), "{name}: {debug} twice");
    }
    (kind, true)
}

fn kind(edit: &Edit) -> &'static str {
    match edit {
        Edit::Title(_) => "title",
        Edit::MemoryKib(_) => "memory",
        Edit::Vcpus(_) => "vcpus",
        Edit::Cpu(_) => "cpu",
        Edit::Firmware { .. } => "firmware",
        Edit::Tpm(_) => "tpm",
        Edit::DiskSource { .. } => "disk source",
        Edit::DiskBus { .. } => "disk bus",
        Edit::AddDisk { .. } => "add disk",
        Edit::AddCdrom { .. } => "add cdrom",
        Edit::CdromMedium { .. } => "medium",
        Edit::RemoveCdrom { .. } => "remove cdrom",
        Edit::NicNetwork { .. } => "network",
        Edit::NicMac { .. } => "mac",
        Edit::AddNic { .. } => "add nic",
        Edit::RemoveNic { .. } => "remove nic",
        Edit::Graphics(_) => "graphics",
        Edit::Mark(_) => "mark",
    }
}

/// The edits that ask for what is there.
fn idle(domain: &Domain) -> Vec<Edit> {
    let fields = &domain.fields;
    let mut edits = vec![
        Edit::Title(fields.title.clone()),
        Edit::MemoryKib(fields.memory_kib),
        Edit::Vcpus(fields.vcpus),
        Edit::Cpu(fields.cpu.clone()),
        Edit::Mark(domain.mark.clone()),
    ];
    if fields.boot == Boot::Bios || fields.secure_boot.is_some() {
        edits.push(Edit::Firmware { boot: fields.boot, secure_boot: fields.secure_boot.unwrap_or_default() });
    }
    for disk in &fields.disks {
        if let Some(bus) = &disk.bus {
            edits.push(Edit::DiskBus { target: disk.target.clone(), bus: bus.clone() });
        }
    }
    for drive in &fields.cdroms {
        let path = match &drive.source {
            Source::File(path) => Some(path.clone()),
            Source::Empty => None,
            Source::Other(_) => continue,
        };
        edits.push(Edit::CdromMedium { target: drive.target.clone(), path });
    }
    for (index, nic) in fields.nics.iter().enumerate() {
        edits.push(Edit::NicNetwork { index, network: nic.network.clone() });
        edits.extend(nic.mac.map(|mac| Edit::NicMac { index, mac }));
    }
    edits
}

#[test]
fn an_edit_that_asks_for_what_is_there_changes_no_byte() {
    let Some(tests) = corpus() else { return };
    let count = each(&domains(&tests), |(name, xml)| {
        let domain = xml.domain().ok()?;
        for edit in idle(&domain) {
            match xml.edit(std::slice::from_ref(&edit)) {
                Ok(same) => assert_eq!(same.as_str(), xml.as_str(), "{name}: {edit:?}"),
                // A relative path in a test's drive is not one that could be asked for.
                Err(EditError::Path { .. } | EditError::Ambiguous { .. }) => {}
                Err(error) => panic!("{name}: {edit:?}: {error}"),
            }
        }
        Some(())
    })
    .len();
    assert!(count > 2000, "{count}");
}
