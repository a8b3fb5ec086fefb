//! Each edit of one domain: what it changes, and what it refuses.

use std::fmt::Write as _;

use plasmavmc_types::{DiskFormat, ErrorKind, Explain};

use crate::domain::sample::{WINDOWS, windows};
use crate::domain::{Boot, CpuModel, DomainXml, Edit, EditError, GraphicsKind, Mark, Network, TpmVersion};
use crate::xml::compare::differences;

/// What edits change, one after the other, each of the same domain.
fn changes(edits: &[Edit]) -> String {
    let before = windows();
    let mut text = String::new();
    for edit in edits {
        writeln!(text, "{edit:?}").unwrap();
        match before.edit(std::slice::from_ref(edit)) {
            Ok(after) => {
                for difference in differences(&before, &after) {
                    writeln!(text, "  {difference}").unwrap();
                }
                assert_eq!(after.as_str().matches('\n').count(), after.as_str().lines().count());
            }
            Err(error) => writeln!(text, "  refused: {error}").unwrap(),
        }
    }
    assert!(!text.contains("hunter2"));
    text
}

/// The lines that came and went.
fn lines(edit: &Edit) -> String {
    let after = windows().edit(std::slice::from_ref(edit)).unwrap();
    let (old, new): (Vec<_>, Vec<_>) = (WINDOWS.lines().collect(), after.as_str().lines().collect());
    let gone = old.iter().filter(|line| !new.contains(line)).map(|line| format!("-{line}\n"));
    let came = new.iter().filter(|line| !old.contains(line)).map(|line| format!("+{line}\n"));
    gone.chain(came).collect()
}

fn disk() -> String {
    "vda".to_owned()
}

#[test]
fn the_machine_changes_by_its_own_nodes() {
    insta::assert_snapshot!(changes(&[
        Edit::Title(Some("Windows <11>".to_owned())),
        Edit::Title(None),
        Edit::MemoryKib(4 << 20),
        Edit::Vcpus(2),
        Edit::Vcpus(8),
        Edit::Cpu(CpuModel::HostModel),
        Edit::Cpu(CpuModel::Named("EPYC".to_owned())),
        Edit::Cpu(CpuModel::Unspecified),
        Edit::Firmware { boot: Boot::Uefi, secure_boot: false },
        Edit::Firmware { boot: Boot::Bios, secure_boot: false },
        Edit::Tpm(Some(TpmVersion::V1_2)),
        Edit::Tpm(None),
    ]));
}

#[test]
fn disks_and_drives_change_by_their_own_nodes() {
    insta::assert_snapshot!(changes(&[
        Edit::DiskSource { target: disk(), path: "/images/other.raw".into(), format: DiskFormat::Raw },
        Edit::DiskBus { target: disk(), bus: "sata".to_owned() },
        Edit::DiskBus { target: disk(), bus: "ide".to_owned() },
        Edit::DiskBus { target: disk(), bus: "floppy".to_owned() },
        Edit::AddDisk { bus: "virtio".to_owned(), path: "/images/b&c".into(), format: DiskFormat::Qcow2 },
        Edit::AddCdrom { path: "/isos/virtio.iso".into() },
        Edit::CdromMedium { target: "sda".to_owned(), path: Some("/isos/other.iso".into()) },
        Edit::CdromMedium { target: "sda".to_owned(), path: None },
        Edit::RemoveCdrom { target: "sda".to_owned() },
        Edit::RemoveCdrom { target: disk() },
        Edit::AddCdrom { path: "relative.iso".into() },
    ]));
}

#[test]
fn cards_and_displays_change_by_their_own_nodes() {
    insta::assert_snapshot!(changes(&[
        Edit::NicNetwork { index: 0, network: Network::Bridge("br0".to_owned()) },
        Edit::NicNetwork { index: 0, network: Network::User },
        Edit::NicNetwork { index: 1, network: Network::User },
        Edit::NicMac { index: 0, mac: "52:54:00:00:00:01".parse().unwrap() },
        Edit::AddNic { network: Network::Named("lab".to_owned()), mac: None },
        Edit::RemoveNic { index: 0 },
        Edit::Graphics(Some(GraphicsKind::Vnc)),
        Edit::Graphics(Some(GraphicsKind::Spice)),
        Edit::Graphics(None),
        Edit::Graphics(Some(GraphicsKind::Other("rdp".to_owned()))),
    ]));
}

#[test]
fn an_edit_changes_its_lines_and_keeps_their_look() {
    let mark = Mark { key: "win11".to_owned(), applied: "{\"title\":\"a & b\"}".to_owned() };
    let text = [Edit::MemoryKib(1024), Edit::AddCdrom { path: "/a.iso".into() }, Edit::Mark(Some(mark))]
        .iter()
        .map(lines)
        .collect::<Vec<_>>()
        .join("\n");
    insta::assert_snapshot!(text);
}

#[test]
fn our_note_is_written_read_replaced_and_removed() {
    let mark = |key: &str| Mark { key: key.to_owned(), applied: "{\"a\":\"<&>'\\\"\"}".to_owned() };
    let first = windows().edit(&[Edit::Mark(Some(mark("a")))]).unwrap();
    assert_eq!(first.domain().unwrap().mark, Some(mark("a")));
    let second = first.edit(&[Edit::Mark(Some(mark("b")))]).unwrap();
    assert_eq!(second.domain().unwrap().mark, Some(mark("b")));
    assert_eq!(second.as_str().matches("bkt:vm").count(), 2, "{}", second.as_str());
    assert_eq!(second.edit(&[Edit::Mark(None)]).unwrap().as_str(), WINDOWS);
    // Alone in the metadata, it takes them along.
    let bare = "<domain>\n  <name>a</name>\n  <memory>1</memory>\n</domain>\n";
    let marked = DomainXml::parse(bare).unwrap().edit(&[Edit::Mark(Some(mark("a")))]).unwrap();
    assert_eq!(marked.edit(&[Edit::Mark(None)]).unwrap().as_str(), bare);
}

#[test]
fn what_libvirt_would_ignore_or_lose_is_refused() {
    let refused = |xml: &str, edit: Edit| DomainXml::parse(xml).unwrap().edit(&[edit]).unwrap_err();
    let numa = "<domain><cpu><numa><cell cpus='0' memory='512'/></numa></cpu></domain>";
    assert_eq!(refused(numa, Edit::MemoryKib(1024)), EditError::NumaMemory);
    assert!(matches!(refused(numa, Edit::Vcpus(2)), EditError::VcpusListed { element: "numa" }));
    let topology = "<domain><vcpu>4</vcpu><cpu><topology sockets='2' cores='2' threads='1'/></cpu></domain>";
    assert_eq!(refused(topology, Edit::Vcpus(6)), EditError::Topology { vcpus: 6, topology: 4 });
    let plugged = "<domain><maxMemory unit='MiB'>2</maxMemory><memory>1024</memory></domain>";
    assert_eq!(refused(plugged, Edit::MemoryKib(4096)), EditError::MaxMemory { kib: 4096, max_kib: 2048 });
    let disk = |inner: &str| {
        format!(
            "<domain><devices><disk type='file'>{inner}<target dev='vda' bus='virtio'/></disk></devices></domain>"
        )
    };
    let bus = || Edit::DiskBus { target: "vda".to_owned(), bus: "sata".to_owned() };
    assert!(matches!(refused(&disk("<driver iothread='1'/>"), bus()), EditError::DiskDetail { .. }));
    let source = Edit::DiskSource { target: "vda".to_owned(), path: "/a".into(), format: DiskFormat::Raw };
    assert!(matches!(
        refused(&disk("<source file='/a'><encryption/></source>"), source),
        EditError::DiskDetail { .. }
    ));
    let old = "<domain><os><type arch='x86_64' machine='pc-i440fx-8.2'>hvm</type></os><features><acpi/></features></domain>";
    let secure = Edit::Firmware { boot: Boot::Uefi, secure_boot: true };
    assert!(matches!(refused(old, secure.clone()), EditError::SecureBoot { .. }));
    assert_eq!(refused(&old.replace("<acpi/>", ""), secure), EditError::NoAcpi);
    let passed = "<domain><devices><tpm><backend type='passthrough'/></tpm></devices></domain>";
    let error = refused(passed, Edit::Tpm(None));
    assert!(matches!(error, EditError::TpmNotEmulated { .. }));
    assert_eq!(error.kind(), ErrorKind::Config);
    assert_eq!(error.hints().len(), 1);
    assert!(matches!(
        refused("<domain/>", Edit::Title(Some("a\u{1}".to_owned()))),
        EditError::Unwritable { .. }
    ));
}

#[test]
fn several_edits_happen_together_or_not_at_all() {
    let edits = [Edit::Vcpus(2), Edit::RemoveNic { index: 7 }];
    assert!(windows().edit(&edits).is_err());
    let both = windows().edit(&[Edit::Vcpus(2), Edit::MemoryKib(1024)]).unwrap().fields().unwrap();
    assert_eq!((both.vcpus, both.memory_kib), (2, 1024));
}

#[test]
fn a_domain_that_says_once_things_twice_is_not_edited() {
    for (inside, element) in [
        ("<title/><title>b</title>", "title"),
        ("<memory>1</memory><memory>2</memory>", "memory"),
        ("<cpu><model>a</model><model>b</model></cpu>", "model"),
        ("<devices/><devices/>", "devices"),
    ] {
        let xml = DomainXml::parse(format!("<domain><name>a</name>{inside}</domain>")).unwrap();
        assert_eq!(xml.edit(&[Edit::Title(None)]).unwrap_err(), EditError::Repeated { element });
    }
}
