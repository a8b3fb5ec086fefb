//! The planning, over every relation of a manifest and a domain.

mod media;

use std::collections::BTreeMap;

use plasmavmc_libvirt::domain::{Domain, Network};
use plasmavmc_types::{ByteSize, DiskFormat};
use serde_json::{Value, json};

use super::*;
use crate::manifest::{IsoSource, VmDefinition, VmManifest};
use crate::vm::sample::{cdrom, definition, domain, nic};
use crate::vm::{Danger, Forecast, PowerState};
use plasmavmc_engine::Drift;

/// A manifest of one VM, `web`.
pub(super) fn manifest(definition: VmDefinition) -> VmManifest {
    VmManifest { uri: None, vms: BTreeMap::from([("web".parse().unwrap(), definition)]) }
}

/// A stopped domain, defined and known.
pub(super) fn seen(domain: Domain) -> Seen {
    Seen {
        domain,
        live: None,
        xml: None,
        kept: None,
        digest: "d1".to_owned(),
        state: PowerState::Stopped,
        is_active: false,
        persistent: true,
        autostart: Some(false),
    }
}

/// What is seen of these domains, whose disk has 80 GiB.
pub(super) fn world(domains: Vec<Seen>) -> Observation {
    let (size, length) = (ByteSize::gib(80), ByteSize::mib(1));
    let disk = FileSeen::Disk { size, format: DiskFormat::Qcow2, length };
    let files = Files::from([("/images/web.qcow2".into(), disk)]);
    Observation { uri: "qemu:///system".to_owned(), domains, files, ..Observation::default() }
}

/// The domain as it is after the definition was applied to it.
pub(super) fn applied(definition: &VmDefinition) -> Domain {
    let observation = world(vec![seen(domain())]);
    let options = Options { adopt: true, ..Options::default() };
    let plan = plan(&manifest(definition.clone()), &observation, &options);
    let mark = plan.vms[0].applied.as_ref().expect("it is adopted").to_mark("web");
    Domain { mark: Some(mark), ..domain() }
}

pub(super) fn only(plan: VmPlan) -> Entry {
    assert_eq!(plan.vms.len(), 1, "{plan:?}");
    plan.vms.into_iter().next().unwrap()
}

pub(super) fn entry(definition: VmDefinition, domain: Domain, options: &Options) -> Entry {
    entry_of(definition, seen(domain), options)
}

pub(super) fn entry_of(definition: VmDefinition, seen: Seen, options: &Options) -> Entry {
    only(plan(&manifest(definition), &world(vec![seen]), options))
}

pub(super) fn refusal(entry: &Entry) -> &Refusal {
    match &entry.action {
        Action::Refuse { refusal } => refusal,
        other => panic!("it was not refused: {other:?}"),
    }
}

#[test]
fn a_vm_that_is_as_wanted_is_kept_and_the_plan_is_empty() {
    let entry = entry(definition(), applied(&definition()), &Options::default());
    assert_eq!((&entry.action, &entry.changes[..], &entry.notes[..]), (&Action::Keep, &[][..], &[][..]));
}

#[test]
fn a_vm_that_we_did_not_make_needs_a_word_and_shows_what_would_change() {
    let mut wish = definition();
    wish.vcpus = 4.try_into().unwrap();
    let refused = entry(wish.clone(), domain(), &Options::default());
    assert_eq!(refusal(&refused), &Refusal::NotOurs);
    assert_eq!(refused.changes[0].field, Field::Vcpus);
    let adopted = entry(wish, domain(), &Options { adopt: true, ..Options::default() });
    assert_eq!(adopted.action, Action::Adopt);
    assert_eq!(adopted.changes, refused.changes);
    assert_eq!(adopted.changes[0].drift, Drift::ManifestChanged);
}

#[test]
fn a_change_of_the_manifest_is_made_and_an_edit_by_hand_is_left() {
    let mut wish = definition();
    let mut there = applied(&wish);
    there.fields.memory_kib = 4 << 20;
    wish.vcpus = 4.try_into().unwrap();
    let entry = entry(wish, there, &Options::default());
    let told: Vec<_> = entry.changes.iter().map(|one| (one.field, one.drift, one.decision)).collect();
    assert_eq!(
        told,
        [
            (Field::Memory, Drift::EditedByHand, Decision::Leave),
            (Field::Vcpus, Drift::ManifestChanged, Decision::Make),
        ]
    );
    assert_eq!(entry.action, Action::Update);
    let after = entry.applied.unwrap().fields;
    assert_eq!((&after[&Field::Memory], &after[&Field::Vcpus]), (&json!(2048), &json!(4)));
}

#[test]
fn an_edit_by_hand_is_settled_by_either_side() {
    let mut there = applied(&definition());
    there.fields.memory_kib = 4 << 20;
    let mine = Options { keep_mine: true, ..Options::default() };
    let kept = entry(definition(), there.clone(), &mine);
    assert_eq!(kept.changes[0].decision, Decision::Make);
    let theirs = Options { take_theirs: [Field::Memory].into(), ..Options::default() };
    let plan = plan(&manifest(definition()), &world(vec![seen(there)]), &theirs);
    let taken: Vec<_> = plan.taken().into_iter().map(|(name, one)| (name, one.from.clone())).collect();
    assert_eq!(taken, [("web", Some(json!(4096)))]);
    let entry = only(plan);
    assert_eq!(entry.applied.unwrap().fields[&Field::Memory], json!(4096));
    assert_eq!(entry.action, Action::Update);
}

#[test]
fn what_both_changed_is_a_conflict_and_what_both_changed_alike_is_noted() {
    let mut wish = definition();
    let mut there = applied(&wish);
    there.fields.vcpus = 8;
    wish.vcpus = 4.try_into().unwrap();
    let conflict = entry(wish.clone(), there.clone(), &Options::default());
    assert_eq!((conflict.changes[0].drift, conflict.changes[0].decision), (Drift::Conflict, Decision::Leave));
    wish.vcpus = 8.try_into().unwrap();
    let alike = entry(wish, there, &Options::default());
    assert_eq!((&alike.changes[..], &alike.action), (&[][..], &Action::Update));
    assert_eq!(alike.applied.unwrap().fields[&Field::Vcpus], json!(8));
}

#[test]
fn what_is_unmanaged_is_left_and_not_told() {
    let mut wish = definition();
    wish.unmanaged_fields.insert(Field::Memory);
    let mut there = applied(&wish);
    there.fields.memory_kib = 4 << 20;
    assert_eq!(entry(wish, there, &Options::default()).action, Action::Keep);
}

#[test]
fn a_danger_is_blocked_until_it_is_taken_on_and_goes_on_being_told() {
    let mut wish = definition();
    let there = applied(&wish);
    wish.boot = crate::manifest::BootChoice::Bios;
    let blocked = entry(wish.clone(), there.clone(), &Options::default());
    assert_eq!(blocked.action, Action::Keep);
    assert_eq!(blocked.changes[0].decision, Decision::Blocked);
    assert!(blocked.leaves_something() && blocked.is_empty());
    assert_eq!(blocked.applied.as_ref().unwrap().fields[&Field::Boot], json!("uefi"));
    let allowed = Options { allowed: [Danger::FirmwareChange].into(), ..Options::default() };
    assert_eq!(entry(wish, there, &allowed).changes[0].decision, Decision::Make);
}

#[test]
fn a_disk_grows_where_that_is_allowed_and_never_shrinks() {
    let mut wish = definition();
    let there = applied(&wish);
    wish.disk_size_gb = 100.try_into().unwrap();
    let grow = Options { allowed: [Danger::GrowDisks].into(), ..Options::default() };
    let path: PathBuf = "/images/web.qcow2".into();
    assert_eq!(
        entry(wish.clone(), there.clone(), &grow).disk,
        Some(DiskStep::Grow { path, from_bytes: 80 << 30, size_gb: 100 })
    );
    assert_eq!(entry(wish.clone(), there.clone(), &Options::default()).disk, None);
    wish.disk_size_gb = 79.try_into().unwrap();
    let shrink = entry(wish, there, &grow);
    assert_eq!((shrink.changes[0].decision, shrink.disk), (Decision::Blocked, None));
}

#[test]
fn a_disk_never_grows_because_of_the_size_of_another() {
    let mut wish = definition();
    let there = applied(&wish);
    wish.disk_size_gb = 100.try_into().unwrap();
    wish.disk_path = "/images/new.qcow2".into();
    let mut observation = world(vec![seen(there.clone())]);
    observation.files.insert("/images/new.qcow2".into(), FileSeen::Missing);
    let plan_with = |wish: &VmDefinition, allowed: &[Danger]| {
        let options = Options { allowed: allowed.iter().copied().collect(), ..Options::default() };
        only(plan(&manifest(wish.clone()), &observation, &options))
    };
    let blocked = plan_with(&wish, &[Danger::GrowDisks]);
    assert_eq!((blocked.changes[0].decision, blocked.disk.clone()), (Decision::Blocked, None));
    // Nothing was done, so nothing is noted as done.
    let mark = |entry: &Entry| entry.applied.clone().unwrap().fields;
    assert_eq!(mark(&blocked)[&Field::DiskPath], json!("/images/web.qcow2"));
    assert_eq!(mark(&blocked)[&Field::DiskSizeGb], json!(80));
    let dangers = [Danger::GrowDisks, Danger::DiskChange];
    let missing = plan_with(&wish, &dangers);
    assert_eq!((missing.changes[0].decision, missing.disk.clone()), (Decision::Blocked, None));
    assert_eq!(mark(&missing)[&Field::DiskPath], json!("/images/web.qcow2"));
    wish.create_if_missing = true;
    let path: PathBuf = "/images/new.qcow2".into();
    let made = plan_with(&wish, &dangers);
    assert_eq!(made.disk, Some(DiskStep::Create { path, size_gb: 100 }));
    assert_eq!(mark(&made)[&Field::DiskSizeGb], json!(100));
}

#[test]
fn files_of_this_machine_say_nothing_of_another() {
    assert!(is_here("qemu:///system") && is_here("qemu+unix:///system?socket=/x"));
    assert!(!is_here("qemu+ssh://server/system"));
    let mut observation = world(Vec::new());
    observation.uri = "qemu+ssh://server/system".to_owned();
    observation.files = Files::new();
    let mut wish = definition();
    wish.create_if_missing = true;
    let refused = only(plan(&manifest(wish.clone()), &observation, &Options::default()));
    assert!(matches!(refusal(&refused), Refusal::DiskUnfit { .. }), "{refused:?}");
    wish.create_if_missing = false;
    let entry = only(plan(&manifest(wish), &observation, &Options::default()));
    assert!(matches!(entry.action, Action::Create { .. }) && entry.disk.is_none(), "{entry:?}");
}

#[test]
fn a_disk_that_nobody_can_read_is_told_once_and_not_compared() {
    let mut observation = world(vec![seen(domain())]);
    observation.files.insert("/images/web.qcow2".into(), FileSeen::Unreadable);
    let adopt = Options { adopt: true, ..Options::default() };
    let first = only(plan(&manifest(definition()), &observation, &adopt));
    assert_eq!(first.changes, []);
    assert!(matches!(first.notes[..], [Note::DiskUnreadable { .. }]), "{:?}", first.notes);
    let applied = first.applied.unwrap();
    assert_eq!(applied.fields.get(&Field::DiskSizeGb), None);
    observation.domains[0].domain.mark = Some(applied.to_mark("web"));
    let second = only(plan(&manifest(definition()), &observation, &adopt));
    assert_eq!((second.action, &second.notes[..]), (Action::Keep, &[][..]));
}

#[test]
fn a_new_vm_gets_what_the_manifest_leaves_open_written_out() {
    let mut observation = world(Vec::new());
    observation.host = Some(Host {
        kind: "qemu".to_owned(),
        emulator: None,
        arch: "x86_64".to_owned(),
        cpu_model: "maximum".to_owned(),
        enrolled_keys: true,
    });
    let made = only(plan(&manifest(definition()), &observation, &Options::default()));
    let Action::Create { blueprint } = &made.action else { panic!("{made:?}") };
    assert_eq!(blueprint.kind, "qemu");
    for (field, value) in [
        (Field::SecureBoot, json!(true)),
        (Field::CpuModel, json!("maximum")),
        (Field::DiskBus, json!("virtio")),
        (Field::Memory, json!(2048)),
    ] {
        assert_eq!(blueprint.values[&field], value, "{field}");
    }
    // What was filled in is not managed.
    assert_eq!(made.applied.unwrap().fields.get(&Field::SecureBoot), None);
    let mut plain = definition();
    plain.tpm = crate::manifest::TpmChoice::None;
    let made = only(plan(&manifest(plain), &observation, &Options::default()));
    let Action::Create { blueprint } = &made.action else { panic!("{made:?}") };
    assert_eq!(blueprint.values[&Field::SecureBoot], json!(false));
}

#[test]
fn a_new_disk_is_made_only_where_the_manifest_says_so() {
    let mut observation = world(Vec::new());
    let path = PathBuf::from("/images/web.qcow2");
    observation.files.insert(path.clone(), FileSeen::Missing);
    let missing = only(plan(&manifest(definition()), &observation, &Options::default()));
    assert_eq!(refusal(&missing), &Refusal::DiskMissing { path: path.clone() });
    let mut wish = definition();
    wish.create_if_missing = true;
    let made = only(plan(&manifest(wish.clone()), &observation, &Options::default()));
    assert_eq!(made.disk, Some(DiskStep::Create { path: path.clone(), size_gb: 80 }));
    let what = "a symbolic link".to_owned();
    observation.files.insert(path.clone(), FileSeen::NotPlain { what: what.clone() });
    let link = only(plan(&manifest(wish), &observation, &Options::default()));
    assert_eq!(refusal(&link), &Refusal::DiskUnfit { path, what });
}

#[test]
fn a_disk_of_another_vm_is_not_given_to_a_second_one() {
    let mut other = domain();
    other.name = "other".to_owned();
    let found = only(plan(&manifest(definition()), &world(vec![seen(other)]), &Options::default()));
    let taken = Refusal::DiskTaken { path: "/images/web.qcow2".into(), by: "other".to_owned() };
    assert_eq!(refusal(&found), &taken);
}

#[test]
fn a_vm_that_was_renamed_is_not_made_again() {
    let mut renamed = applied(&definition());
    renamed.name = "web2".to_owned();
    let found = only(plan(&manifest(definition()), &world(vec![seen(renamed)]), &Options::default()));
    assert_eq!(refusal(&found), &Refusal::Renamed { to: "web2".to_owned() });
    assert!(refusal(&found).hint("web").contains("`bkt vm sync --adopt web2`"));
}

#[test]
fn an_iso_that_has_gone_blocks_a_new_vm_and_no_other() {
    let mut wish = definition();
    let path = PathBuf::from("/iso/win.iso");
    wish.iso_sources = Some(vec![IsoSource::Path { written: "/iso/win.iso".to_owned(), path: path.clone() }]);
    let mut observation = world(Vec::new());
    observation.files.insert(path.clone(), FileSeen::Missing);
    let new = only(plan(&manifest(wish.clone()), &observation, &Options::default()));
    assert_eq!(refusal(&new), &Refusal::MediumGone { path: path.clone() });
    observation.domains = vec![seen(applied(&definition()))];
    let there = only(plan(&manifest(wish.clone()), &observation, &Options::default()));
    assert_eq!(there.changes, []);
    assert_eq!(there.notes, [Note::Absent(Absent::Gone { path })]);
    // One that is in a drive stays there.
    observation.domains[0].domain.fields.cdroms = vec![cdrom("sda", Some("/iso/win.iso"))];
    let in_drive = only(plan(&manifest(wish), &observation, &Options::default()));
    assert_eq!((&in_drive.changes[..], &in_drive.notes[..]), (&[][..], &[][..]));
}

#[test]
fn only_what_is_ours_and_stopped_is_pruned_and_only_when_asked() {
    let none = VmManifest::default();
    let asked = Options { prune: true, ..Options::default() };
    let mut ours = seen(applied(&definition()));
    let mark = Applied { made: true, ..Applied::read(ours.domain.mark.as_ref().unwrap()).unwrap() };
    ours.domain.mark = Some(mark.to_mark("web"));
    assert_eq!(only(plan(&none, &world(vec![ours.clone()]), &asked)).action, Action::Prune);
    let unasked = only(plan(&none, &world(vec![ours.clone()]), &Options::default()));
    assert_eq!((unasked.action, &unasked.notes[..]), (Action::Keep, &[Note::NotListed { made: true }][..]));
    let running = Seen { state: PowerState::Running, is_active: true, ..ours.clone() };
    assert_eq!(refusal(&only(plan(&none, &world(vec![running]), &asked))), &Refusal::Runs);
    let saved = Seen { state: PowerState::Saved, ..ours.clone() };
    assert_eq!(refusal(&only(plan(&none, &world(vec![saved]), &asked))), &Refusal::HasSavedState);
    assert_eq!(plan(&none, &world(vec![seen(domain())]), &asked).vms, [], "it is not ours");
    let mut copy = ours;
    copy.domain.name = "web-clone".to_owned();
    let copy = only(plan(&none, &world(vec![copy]), &asked));
    assert_eq!((copy.action, &copy.notes[..]), (Action::Keep, &[Note::Copied { of: "web".to_owned() }][..]));
}

#[test]
fn a_transient_vm_is_left_alone() {
    let transient = Seen { persistent: false, is_active: true, ..seen(domain()) };
    let options = Options { adopt: true, prune: true, ..Options::default() };
    let found = only(plan(&manifest(definition()), &world(vec![transient]), &options));
    assert_eq!(refusal(&found), &Refusal::Transient);
}

#[test]
fn a_running_vm_tells_when_and_what_is_pending() {
    let mut wish = definition();
    let there = applied(&wish);
    let mut live = there.clone();
    live.fields.memory_kib = 1 << 20;
    live.fields.cdroms = vec![cdrom("sda", Some("/theirs.iso"))];
    let running = Seen { live: Some(live), state: PowerState::Running, is_active: true, ..seen(there) };
    wish.vcpus = 4.try_into().unwrap();
    let found = only(plan(&manifest(wish), &world(vec![running]), &Options::default()));
    assert_eq!(found.changes[0].forecast, Forecast::NextColdBoot);
    assert_eq!(found.pending, [Field::Memory, Field::IsoSources]);
}

#[test]
fn a_card_that_comes_and_goes_keeps_its_address() {
    let mut wish = definition();
    wish.network = "none".parse().unwrap();
    let mac = domain().fields.nics[0].mac;
    let without = entry(wish.clone(), applied(&definition()), &Options::default());
    assert_eq!(without.applied.as_ref().unwrap().nic, mac);
    let mut there = applied(&definition());
    there.mark = Some(without.applied.unwrap().to_mark("web"));
    there.fields.nics.clear();
    let still = entry(wish, there.clone(), &Options::default());
    assert_eq!((still.action, still.applied.unwrap().nic), (Action::Keep, mac));
    assert_eq!(entry(definition(), there.clone(), &Options::default()).applied.unwrap().nic, mac);
    // Where none is known, it is always the same one.
    let applied = Applied { nic: None, ..Applied::read(there.mark.as_ref().unwrap()).unwrap() };
    there.mark = Some(applied.to_mark("web"));
    let drawn = entry(definition(), there.clone(), &Options::default()).applied.unwrap().nic;
    assert_eq!(drawn, Some(drawn_mac(there.id)));
}

#[test]
fn a_second_card_in_front_of_ours_is_someone_elses() {
    let mut there = applied(&definition());
    there.fields.nics.insert(0, nic("theirs", 9));
    assert_eq!(entry(definition(), there.clone(), &Options::default()).action, Action::Keep);
    there.fields.nics[1].network = Network::User;
    assert_eq!(entry(definition(), there, &Options::default()).changes[0].field, Field::Network);
}

#[test]
fn a_mark_that_cannot_be_read_is_told_and_written_anew() {
    let mut there = applied(&definition());
    there.mark.as_mut().unwrap().applied = "{".to_owned();
    let found = entry(definition(), there, &Options::default());
    assert_eq!((found.action, &found.notes[..]), (Action::Update, &[Note::MarkUnreadable][..]));
}

#[test]
fn a_plan_survives_its_file_and_is_the_same_every_time() {
    let mut wish = definition();
    wish.create_if_missing = true;
    wish.title = Some(None);
    let mut observation = world(vec![seen(domain())]);
    observation.domains[0].domain.name = "other".to_owned();
    observation.domains[0].domain.fields.disks.clear();
    observation.files.insert("/images/web.qcow2".into(), FileSeen::Missing);
    let make = || plan(&manifest(wish.clone()), &observation, &Options::default());
    let text = serde_json::to_string(&make()).unwrap();
    assert_eq!(serde_json::to_string(&make()).unwrap(), text);
    assert_eq!(serde_json::from_str::<VmPlan>(&text).unwrap(), make());
    let json: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(json["vms"][0]["action"], "create");
}

#[test]
fn a_change_is_said_in_one_line() {
    let mut wish = definition();
    let mut there = applied(&wish);
    there.fields.title = None;
    wish.title = Some(Some("Web".to_owned()));
    wish.boot = crate::manifest::BootChoice::Bios;
    there.fields.vcpus = 8;
    let found = entry(wish, there, &Options::default());
    let lines: Vec<String> = found.changes.iter().map(ToString::to_string).collect();
    assert_eq!(
        lines,
        [
            "title: none -> Web, at its next start",
            "vcpus: 8, and the manifest has 2: edited by hand",
            "boot: uefi -> bios, not made without --allow-firmware-change: its guest may not boot; the file of \
             its boot entries and keys stays, for whom it fits",
        ]
    );
}

#[test]
fn only_the_vms_that_were_named_are_in_the_plan() {
    let options = Options { only: Some(["db".to_owned()].into()), prune: true, ..Options::default() };
    assert_eq!(plan(&manifest(definition()), &world(vec![seen(domain())]), &options).vms, []);
}
