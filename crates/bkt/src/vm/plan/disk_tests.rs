//! What becomes of a disk that is there, of one that is gone, and of one that is none.

use std::path::PathBuf;

use plasmavmc_types::{ByteSize, DiskFormat};
use serde_json::json;

use super::tests::{applied, manifest, only, refusal, seen, world};
use super::*;
use crate::vm::sample::definition;

const WEB: &str = "/images/web.qcow2";

/// The plan for a new VM of 80 GiB on what is at `path`.
fn made(path: &str, file: FileSeen, grounds: Grounds) -> Entry {
    let mut wish = definition();
    (wish.disk_path, wish.create_if_missing) = (path.into(), true);
    let mut observation = Observation { grounds, ..world(Vec::new()) };
    observation.files.insert(path.into(), file);
    only(plan(&manifest(wish), &observation, &Options::default()))
}

fn image(format: DiskFormat, size: ByteSize) -> FileSeen {
    let length = if format == DiskFormat::Raw { size } else { ByteSize::mib(1) };
    FileSeen::Disk { size, format, length }
}

#[test]
fn a_disk_that_is_there_is_taken_as_it_is_and_can_grow_after() {
    let fifteen = image(DiskFormat::Qcow2, ByteSize::gib(15));
    let entry = made(WEB, fifteen.clone(), Grounds::new());
    let step = entry.disk.clone().unwrap();
    assert_eq!(step.to_string(), "takes the existing `/images/web.qcow2` (qcow2, 15 GiB)");
    let noted = entry.applied.unwrap();
    assert_eq!(noted.fields[&Field::DiskSizeGb], json!(15));
    let mut there = crate::vm::sample::domain();
    there.mark = Some(noted.to_mark("web"));
    let mut observation = world(vec![seen(there)]);
    observation.files.insert(WEB.into(), fifteen);
    let next = only(plan(&manifest(definition()), &observation, &Options::default()));
    assert_eq!((next.changes.len(), next.changes[0].field), (1, Field::DiskSizeGb));
    assert!(!next.changes[0].drift.is_drift(), "nobody edited it: {:?}", next.changes);
}

#[test]
fn a_size_that_nobody_knows_is_not_noted_as_applied() {
    for file in [FileSeen::Unreadable, image(DiskFormat::Qcow2, ByteSize::mib(1025))] {
        let noted = made(WEB, file, Grounds::new()).applied.unwrap();
        assert_eq!(noted.fields.get(&Field::DiskSizeGb), None);
    }
}

#[test]
fn what_is_no_disk_image_is_no_disk() {
    let raw = |bytes| image(DiskFormat::Raw, ByteSize::bytes(bytes));
    for (path, file) in [
        (WEB, raw(1500)),
        (WEB, raw(512 * 2047)),
        (WEB, raw((1 << 20) + 1)),
        ("/etc/image", raw(1 << 30)),
        ("/usr/lib/image", raw(1 << 30)),
    ] {
        let refused = made(path, file, Grounds::new());
        assert!(matches!(refusal(&refused), Refusal::DiskUnfit { .. }), "{path}: {refused:?}");
    }
    for file in [raw(1 << 20), image(DiskFormat::Qcow2, ByteSize::mib(1))] {
        assert!(matches!(made(WEB, file, Grounds::new()).action, Action::Create { .. }));
    }
    let ground = Ground { real: "/etc/image".into(), file: None, has_folder: true, under: [].into() };
    let linked = made(WEB, raw(1 << 30), Grounds::from([(WEB.into(), ground)]));
    assert!(matches!(refusal(&linked), Refusal::DiskUnfit { .. }), "a link leads out: {linked:?}");
}

#[test]
fn a_folder_that_is_missing_is_told_by_the_plan() {
    let ground = Ground { real: WEB.into(), file: None, has_folder: false, under: [].into() };
    let refused = made(WEB, FileSeen::Missing, Grounds::from([(WEB.into(), ground)]));
    assert_eq!(refusal(&refused), &Refusal::NoFolder { dir: PathBuf::from("/images") });
    assert_eq!(refusal(&refused).hint("web"), "make it: `mkdir -p /images`");
}

#[test]
fn a_disk_that_is_gone_is_a_difference_with_a_way_out() {
    let mut wish = definition();
    wish.create_if_missing = true;
    let mut observation = world(vec![seen(applied(&wish))]);
    observation.files.insert(WEB.into(), FileSeen::Missing);
    let made = plan(&manifest(wish.clone()), &observation, &Options::default());
    assert!(made.is_empty() && made.leaves_something(), "{made:?}");
    assert_eq!(
        made.vms[0].notes[0].line("web"),
        "its disk `/images/web.qcow2` is gone; bring it back, or make an empty one: \
         `qemu-img create -f qcow2 /images/web.qcow2 80G`"
    );
    assert!(!crate::vm::status::status(&manifest(wish), &observation, None).is_clean());
}

#[test]
fn a_medium_that_was_never_fetched_names_what_fetches_it() {
    let url = "https://example.org/a.iso".to_owned();
    let note = Note::Absent(Absent::NotFetched { url, path: "/images/a.iso".into() });
    assert!(note.line("web").ends_with("; download it: `bkt vm fetch web`"), "{}", note.line("web"));
    assert!(!note.is_a_difference());
}
