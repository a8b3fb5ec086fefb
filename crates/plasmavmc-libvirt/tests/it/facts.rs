//! What the host's libvirt says it can do.

use castra_testkit::libvirt::{Libvirt, SYSTEM, virsh_ok};
use plasmavmc_libvirt::facts::access::{QemuUser, Reach};
use plasmavmc_libvirt::facts::{self, HostFacts, firmware};
use plasmavmc_libvirt::virsh::Connection;

use crate::fake::Fake;

#[test]
fn the_hosts_facts_are_those_of_its_own_commands() {
    let _lab = Libvirt::system();
    let connection = Connection::new(Some(SYSTEM.to_owned())).unwrap();
    let found = connection.reader().host().unwrap();
    assert!(found.versions.hypervisor.as_deref().unwrap().starts_with("QEMU "), "{:?}", found.versions);
    assert_eq!(found.versions.libvirt, Some(virsh_ok(SYSTEM, &["--version"])));
    let tcg = found.kind("qemu").unwrap();
    assert!(!tcg.host_passthrough && tcg.maximum, "{tcg:?}");
    assert!(found.machines.iter().any(|machine| machine == "q35"));
    assert!(found.machines.contains(tcg.machine.as_ref().unwrap()), "{:?}", tcg.machine);
    let shown = HostFacts::shown_by("qemu");
    let words: Vec<&str> = shown.split(' ').skip(1).collect();
    let text = virsh_ok(SYSTEM, &words);
    assert!(text.contains(tcg.machine.as_deref().unwrap()));
    // `ovmf` and `swtpm` are installed for these tests.
    assert!(tcg.uefi && tcg.secure_boot && tcg.tpm_emulator && facts::swtpm().value, "{tcg:?}");
    let keys = firmware::installed().into_iter().find(|it| it.enrolled_keys && it.runs_on("x86_64"));
    assert!(keys.is_some_and(|it| it.installed && it.secure_boot), "ovmf has one with keys");
}

#[test]
fn a_user_who_may_only_read_is_told_what_is_not_known() {
    let _lab = Libvirt::system();
    // Every connection of this virsh is a reader's.
    let fake = Fake::script("exec virsh -r \"$@\"");
    let connection = Connection::with_virsh(fake.path(), Some(SYSTEM.to_owned())).unwrap();
    let found = connection.reader().host().unwrap();
    assert!(found.kinds.is_empty() && !found.machines.is_empty());
    assert!(found.kinds_unknown.unwrap().contains("read only access"));
}

#[test]
fn a_network_is_seen_with_its_state() {
    let lab = Libvirt::system();
    let file = lab.dir().join("net.xml");
    let name = lab.name("--net 1");
    std::fs::write(&file, format!("<network><name>{name}</name><bridge name='ctnb0'/></network>")).unwrap();
    lab.virsh(&["net-define", &file.to_string_lossy()]);
    let connection = Connection::new(Some(SYSTEM.to_owned())).unwrap();
    let found = connection.reader().networks().unwrap().into_iter().find(|it| it.name == name);
    // Before anything can fail.
    lab.virsh(&["net-undefine", "--network", &name]);
    let found = found.unwrap();
    assert_eq!((found.active, found.autostart, found.bridge.as_deref()), (false, false, Some("ctnb0")));
    assert!(!connection.reader().networks().unwrap().iter().any(|it| it.name == name));
}

#[test]
fn qemus_user_reaches_what_it_can_enter() {
    let lab = Libvirt::system();
    let user = QemuUser::of(SYSTEM).unwrap();
    let file = lab.dir().join("disk");
    std::fs::write(&file, "").unwrap();
    let reach = user.reach(&file);
    assert!(matches!(reach.value, Reach::Readable | Reach::Closed { .. }), "{reach:?}");
    assert_eq!(user.reach(&lab.dir().join("none")).value, Reach::Missing);
    assert!(reach.shown_by.starts_with("sudo namei -l /"));
}
