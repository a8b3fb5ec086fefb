//! In whose hands a VM is, and what follows from it.

use super::tests::{applied, entry, manifest, only, refusal, seen, world};
use super::*;
use crate::manifest::VmManifest;
use crate::vm::PowerState;
use crate::vm::sample::{definition, domain};
use plasmavmc_libvirt::domain::Domain;

/// What a run with this manifest asks for.
fn of(path: &str) -> Options {
    Options { manifest: Some(format!("host:{path}")), ..Options::default() }
}

/// The domain with the mark of the plan of the entry.
fn marked(entry: &Entry) -> Domain {
    Domain { mark: Some(entry.applied.as_ref().unwrap().to_mark("web")), ..domain() }
}

/// The domain as the manifest at that path made it.
fn made_from(path: &str) -> Domain {
    let mut wish = definition();
    wish.create_if_missing = true;
    let mut observation = world(Vec::new());
    observation.files.insert("/images/web.qcow2".into(), FileSeen::Missing);
    marked(&only(plan(&manifest(wish), &observation, &of(path))))
}

#[test]
fn what_was_made_is_undefined_and_what_was_adopted_is_let_go_of() {
    let nothing = VmManifest::default();
    let prune = Options { prune: true, ..of("/a") };
    let pruned = |domain: Domain| only(plan(&nothing, &world(vec![seen(domain)]), &prune)).action;
    assert_eq!(pruned(made_from("/a")), Action::Prune);
    let adopted = entry(definition(), domain(), &Options { adopt: true, ..of("/a") });
    assert_eq!(pruned(marked(&adopted)), Action::Release);
    let unasked = only(plan(&nothing, &world(vec![seen(marked(&adopted))]), &of("/a")));
    assert_eq!((unasked.action, &unasked.notes[..]), (Action::Keep, &[Note::NotListed { made: false }][..]));
    // It stays what it was through every update.
    let mut wish = definition();
    wish.vcpus = 4.try_into().unwrap();
    assert!(entry(wish.clone(), made_from("/a"), &of("/a")).applied.unwrap().made);
    assert!(!entry(wish, marked(&adopted), &of("/a")).applied.unwrap().made);
}

#[test]
fn a_running_vm_is_let_go_of_and_not_undefined() {
    let nothing = VmManifest::default();
    let prune = Options { prune: true, ..of("/a") };
    let running = |domain| Seen { state: PowerState::Running, is_active: true, ..seen(domain) };
    let adopted = entry(definition(), domain(), &Options { adopt: true, ..of("/a") });
    let left = |domain| only(plan(&nothing, &world(vec![running(domain)]), &prune));
    assert_eq!(left(marked(&adopted)).action, Action::Release);
    assert_eq!(refusal(&left(made_from("/a"))), &Refusal::Runs);
}

#[test]
fn a_vm_of_another_manifest_is_never_pruned_and_not_called_left() {
    let nothing = VmManifest::default();
    let observation = world(vec![seen(made_from("/a"))]);
    assert_eq!(plan(&nothing, &observation, &of("/b")).vms, []);
    assert_eq!(plan(&nothing, &observation, &Options { prune: true, ..of("/b") }).vms, []);
    let named = Options { only: Some(["web".to_owned()].into()), prune: true, ..of("/b") };
    let refused = only(plan(&nothing, &observation, &named));
    assert_eq!(refusal(&refused), &Refusal::OtherManifest { manifest: "/a".to_owned() });
}

#[test]
fn a_vm_of_two_manifests_changes_hands_with_a_word_alone() {
    let mut wish = definition();
    wish.vcpus = 4.try_into().unwrap();
    let refused = entry(wish.clone(), made_from("/a"), &of("/b"));
    assert_eq!(refusal(&refused), &Refusal::OtherManifest { manifest: "/a".to_owned() });
    assert_eq!(refusal(&refused).to_string(), "it is in the hands of /a");
    assert!(refusal(&refused).hint("web").contains("`bkt vm sync --adopt web`"));
    let adopted = entry(wish.clone(), made_from("/a"), &Options { adopt: true, ..of("/b") });
    let after = adopted.applied.clone().unwrap();
    assert_eq!((adopted.action, adopted.changes[0].decision), (Action::Adopt, Decision::Make));
    assert_eq!((after.manifest.as_deref(), after.made), (Some("host:/b"), true));
    let there = Domain { mark: Some(after.to_mark("web")), ..made_from("/a") };
    assert!(matches!(refusal(&entry(wish, there, &of("/a"))), Refusal::OtherManifest { .. }));
}

#[test]
fn a_mark_that_names_no_manifest_takes_the_one_that_lists_its_vm() {
    let mut there = made_from("/a");
    let old = Applied {
        manifest: None,
        made: false,
        ..entry(definition(), there.clone(), &of("/a")).applied.unwrap()
    };
    there.mark = Some(old.to_mark("web"));
    let noted = entry(definition(), there.clone(), &of("/b"));
    assert_eq!((noted.action, noted.applied.unwrap().manifest.as_deref()), (Action::Update, Some("host:/b")));
    let nothing = VmManifest::default();
    let prune = Options { prune: true, ..of("/b") };
    assert_eq!(plan(&nothing, &world(vec![seen(there.clone())]), &prune).vms, [], "nobody knows whose it is");
    let named = Options { only: Some(["web".to_owned()].into()), ..prune };
    assert_eq!(only(plan(&nothing, &world(vec![seen(there)]), &named)).action, Action::Release);
}

#[test]
fn a_vm_whose_new_name_is_in_the_manifest_is_told_from_one_that_nobody_made_and_is_taken_with_a_word() {
    let mut renamed = applied(&definition());
    renamed.mark.as_mut().unwrap().key = "old".to_owned();
    let refused = entry(definition(), renamed.clone(), &Options::default());
    assert_eq!(refusal(&refused), &Refusal::MarkedAs { of: "old".to_owned() });
    assert!(refusal(&refused).hint("web").contains("--adopt"));
    let adopted = entry(definition(), renamed, &Options { adopt: true, ..Options::default() });
    assert_eq!((adopted.action, &adopted.changes[..]), (Action::Adopt, &[][..]));
}
