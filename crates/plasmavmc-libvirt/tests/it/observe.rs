//! What is observed of the domains of a real libvirt.

use std::process::Command;

use castra_testkit::libvirt::{Libvirt, SYSTEM};
use plasmavmc_libvirt::domain::DomainXml;
use plasmavmc_libvirt::virsh::{Connection, DomainState, Observed};
use plasmavmc_types::VmId;

use crate::fake::Fake;

fn connection() -> Connection {
    Connection::new(Some(SYSTEM.to_owned())).unwrap()
}

/// The domains of this test among all that are observed: other tests share the daemon.
fn ours(lab: &Libvirt, observed: Vec<Observed>) -> Vec<Observed> {
    observed.into_iter().filter(|domain| domain.name.starts_with(lab.prefix())).collect()
}

#[test]
fn a_domain_is_observed_as_it_is() {
    let lab = Libvirt::system();
    let id: VmId = lab.define(&lab.small_domain("a")).parse().unwrap();
    let connection = connection();
    let observe = || ours(&lab, connection.reader().observe().unwrap()).pop().unwrap();
    let off = observe();
    assert_eq!((off.id, off.name.as_str()), (id, lab.name("a").as_str()));
    assert_eq!((off.state, off.live), (DomainState::ShutOff, None));
    assert!(off.persistent && !off.autostart && !off.managed_save);
    assert!(off.inactive.as_str().contains("machine='pc-q35-"), "{}", off.inactive.as_str());

    lab.virsh(&["autostart", &id.to_string()]);
    lab.virsh(&["start", &id.to_string()]);
    let running = observe();
    assert_eq!((running.state, running.reason.as_str()), (DomainState::Running, "booted"));
    assert!(running.autostart);
    let live = running.live.unwrap();
    let numbered = |xml: &DomainXml| xml.as_str().starts_with("<domain type='qemu' id='");
    assert!(numbered(&live) && !numbered(&running.inactive));

    lab.virsh(&["suspend", &id.to_string()]);
    assert_eq!((observe().state, observe().reason.as_str()), (DomainState::Paused, "user"));
    lab.virsh(&["destroy", &id.to_string()]);
    assert_eq!((observe().state, observe().reason.as_str()), (DomainState::ShutOff, "destroyed"));
    assert_eq!(connection.reader().observe_one(id).unwrap().unwrap(), observe());
    assert_eq!(connection.reader().inactive(id).unwrap().unwrap(), observe().inactive);
    assert_eq!(connection.shown_uri(), SYSTEM);
}

#[test]
fn a_transient_domain_is_told_from_a_defined_one() {
    let lab = Libvirt::system();
    let file = lab.dir().join("t.xml");
    std::fs::write(&file, lab.small_domain("t")).unwrap();
    lab.virsh(&["create", &file.to_string_lossy()]);
    let found = ours(&lab, connection().reader().observe().unwrap()).pop().unwrap();
    assert!(!found.persistent && found.live.is_some());
}

#[test]
fn names_that_look_like_something_else_are_only_names() {
    let lab = Libvirt::system();
    let hostile = ["1", "--all", "a,b", "with space", "quo'te\"s", "$(id)", ";list", "virsh > ", "é"];
    let prefix = lab.prefix().to_owned();
    for name in hostile {
        let escaped = name.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
        let file = lab.dir().join("define.xml");
        std::fs::write(&file, lab.small_domain("X").replace(&lab.name("X"), &format!("{prefix}{escaped}")))
            .unwrap();
        lab.virsh(&["define", &file.to_string_lossy()]);
    }
    let found = ours(&lab, connection().reader().observe().unwrap());
    let mut names: Vec<&str> = found.iter().map(|it| it.name.strip_prefix(&prefix).unwrap()).collect();
    let mut expected = hostile.to_vec();
    names.sort_unstable();
    expected.sort_unstable();
    assert_eq!(names, expected);
}

/// Names that are whole, such as `1`: on a daemon that is this test's alone.
#[test]
fn a_domain_named_like_an_id_or_an_option_is_addressed_by_its_uuid() {
    let daemon = castra_testkit::libvirt::PrivateDaemon::start();
    // Its domains live for as long as somebody is connected.
    let _held = daemon.hold();
    let connection = Connection::new(Some(daemon.uri())).unwrap();
    let mut ids = Vec::new();
    for name in ["1", "--all", "a,b"] {
        let id = VmId::generate();
        let xml = format!(
            "<domain type='test'><name>{name}</name><uuid>{id}</uuid><memory>65536</memory><os><type>hvm</type></os></domain>"
        );
        let xml = DomainXml::parse(xml).unwrap();
        connection.writer().define(&xml, false).unwrap();
        ids.push(id);
    }
    // The domain with the number 1 is another one: the driver's own.
    connection.writer().start(ids[0]).unwrap();
    connection.writer().destroy(ids[0], false).unwrap();
    let observed = connection.reader().observe().unwrap();
    let names: Vec<&str> = observed.iter().map(|domain| domain.name.as_str()).collect();
    assert_eq!(names, ["--all", "1", "a,b", "test"]);
    let running: Vec<_> = observed.iter().filter(|it| it.state == DomainState::Running).collect();
    assert_eq!(running.iter().map(|it| it.name.as_str()).collect::<Vec<_>>(), ["test"]);
    for id in ids {
        connection.writer().undefine_keeping(id).unwrap();
        assert_eq!(connection.reader().observe_one(id).unwrap(), None);
    }
}

#[test]
fn all_domains_take_one_virsh_that_may_only_read() {
    let lab = Libvirt::system();
    lab.define(&lab.small_domain("a"));
    lab.define(&lab.small_domain("b"));
    let fake = Fake::counting();
    let connection = Connection::with_virsh(fake.path(), Some(SYSTEM.to_owned())).unwrap();
    assert_eq!(ours(&lab, connection.reader().observe().unwrap()).len(), 2);
    assert_eq!(fake.calls(), [format!("-q -r -c {SYSTEM}")]);
    connection.reader().uri().unwrap();
    assert_eq!(fake.calls().len(), 1, "the URI was told along with the domains");
}

#[test]
fn a_domain_that_goes_meanwhile_is_left_out() {
    let lab = Libvirt::system();
    lab.define(&lab.small_domain("stays"));
    let gone = lab.define(&lab.small_domain("goes"));
    // Undefined between the list and the dump, by a virsh that is told of it.
    let fake = Fake::undefining(SYSTEM, &gone);
    let connection = Connection::with_virsh(fake.path(), Some(SYSTEM.to_owned())).unwrap();
    let found = ours(&lab, connection.reader().observe().unwrap());
    assert_eq!(found.iter().map(|it| it.name.clone()).collect::<Vec<_>>(), [lab.name("stays")]);
}

#[test]
fn observing_leaves_no_trace_in_the_history_of_a_persons_virsh() {
    let lab = Libvirt::system();
    let home = lab.dir().join("home");
    std::fs::create_dir(&home).unwrap();
    // As a program that is given another home: this one's environment is shared by all tests.
    let virsh = Fake::with_env(&[("HOME", &home), ("XDG_CACHE_HOME", &home.join("cache"))]);
    let connection = Connection::with_virsh(virsh.path(), Some(SYSTEM.to_owned())).unwrap();
    connection.reader().observe().unwrap();
    let left = Command::new("find").arg(&home).arg("-type").arg("f").output().unwrap();
    assert_eq!(String::from_utf8_lossy(&left.stdout), "");
}
