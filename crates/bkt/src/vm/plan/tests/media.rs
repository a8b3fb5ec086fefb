//! Media: what a person changed in the drives, and what nobody could look for.

use std::path::Path;

use super::*;

#[test]
fn media_that_somebody_changed_go_into_the_manifest_in_its_own_words() {
    let (kept, later) = ("https://example.org/kept.iso", "https://example.org/later.iso");
    let fetched = crate::vm::fetched_path(Path::new("/images/web.qcow2"), kept);
    let url = |url: &str| IsoSource::Url { url: url.to_owned(), checksum: None };
    let gone = IsoSource::Path { written: "/gone.iso".to_owned(), path: "/gone.iso".into() };
    let definition = VmDefinition { iso_sources: Some(vec![url(kept), gone, url(later)]), ..definition() };
    let files = |world: &mut Observation| {
        let size = ByteSize::mib(1);
        let iso = FileSeen::Disk { size, format: DiskFormat::Raw, length: size };
        for path in [fetched.clone(), "/gone.iso".into()] {
            world.files.insert(path, iso.clone());
        }
        let later = crate::vm::fetched_path(Path::new("/images/web.qcow2"), later);
        world.files.insert(later, FileSeen::Missing);
    };
    let mut with = domain();
    with.fields.cdroms = vec![cdrom("sda", fetched.to_str()), cdrom("sdb", Some("/gone.iso"))];
    let mut first = world(vec![seen(with.clone())]);
    files(&mut first);
    let adopted =
        only(plan(&manifest(definition.clone()), &first, &Options { adopt: true, ..Options::default() }));
    with.mark = Some(adopted.applied.unwrap().to_mark("web"));
    // Somebody takes one medium out and puts another in.
    with.fields.cdroms[1] = cdrom("sdb", Some("/theirs.iso"));
    let mut edited = world(vec![seen(with)]);
    files(&mut edited);
    let options = Options { take_theirs: [Field::IsoSources].into(), ..Options::default() };
    let found = only(plan(&manifest(definition), &edited, &options));
    let change = found.changes.iter().find(|one| one.field == Field::IsoSources).unwrap();
    assert_eq!(change.decision, Decision::TakeTheirs);
    assert_eq!(change.takes, Some(json!([{ "url": kept }, { "path": "/theirs.iso" }, { "url": later }])));
    // Noted as applied, so that the next sync finds nothing.
    let noted = &found.applied.as_ref().unwrap().fields[&Field::IsoSources];
    assert_eq!(noted, &json!([fetched, "/theirs.iso"]));
}

#[test]
fn a_medium_by_url_that_nobody_could_look_for_is_told() {
    let url = "https://example.org/a.iso";
    let definition = VmDefinition {
        iso_sources: Some(vec![IsoSource::Url { url: url.to_owned(), checksum: None }]),
        ..definition()
    };
    let told = |entry: &Entry| entry.notes.iter().map(ToString::to_string).collect::<Vec<_>>();
    let expected = [format!(
        "whether the medium {url} was fetched cannot be known from here; `bkt vm fetch web` does it"
    )];
    let adopt = Options { adopt: true, ..Options::default() };
    assert_eq!(told(&entry(definition.clone(), domain(), &adopt)), expected);
    let new = only(plan(&manifest(definition.clone()), &world(Vec::new()), &Options::default()));
    assert_eq!(told(&new), expected);
    // One that is in a drive was fetched.
    let mut with = domain();
    let path = crate::vm::fetched_path(Path::new("/images/web.qcow2"), url);
    with.fields.cdroms = vec![cdrom("sda", path.to_str())];
    assert!(told(&entry(definition, with, &adopt)).is_empty());
}
