//! A definition that does not come out as planned is taken back, and what the VM is then is told truly: real
//! libvirt behind a virsh that does something else than it was asked to.

use std::fs;
use std::num::NonZeroU64;
use std::os::unix::fs::PermissionsExt;

use bkt::manifest::{Memory, VmManifest};
use bkt::vm::apply::{ApplyError, Now, Trouble, Unproved};
use bkt::vm::plan::Options;
use bkt::vm::sync::execute;
use castra_testkit::libvirt::SYSTEM;
use plasmavmc_libvirt::virsh::Connection;
use plasmavmc_types::Explain;

use crate::lab::{Lab, manifest, names};

/// Puts a device that nobody asked for into what is defined.
const ADD: &str =
    "sed 's#</devices>#<watchdog model=\"i6300esb\" action=\"poweroff\"/></devices>#' | exec virsh \"$@\"";

/// What a virsh of the test's own does in the place of the real one; what is empty it leaves to that.
#[derive(Default)]
struct Lies {
    /// At the first definition.
    define: &'static str,
    /// At every later one.
    restore: &'static str,
    /// At every dump after the first definition.
    dump: &'static str,
}

/// What became of a VM that was to have 80 MiB, and its XML before and after.
fn synced(lab: &Lab, name: &str, lies: &Lies) -> (Unproved, String, String) {
    let mut definition = lab.small(&format!("{name}.qcow2"));
    lab.sync(&manifest(&[(name, definition.clone())]));
    let before = lab.inactive(name);
    definition.memory = Memory::Mib(NonZeroU64::new(80).unwrap());
    let wish = manifest(&[(name, definition)]);
    let options = Options { only: Some(names(&wish)), ..Options::default() };
    let error = failure(lab, &wish, &options, lies);
    let ApplyError::Unproved { source } = error else { panic!("{error:?}") };
    assert!(source.defined.contains("memory: 64 -> 80"), "{source}");
    let text = source.to_string();
    assert!(text.contains(&source.backup.display().to_string()), "{text}");
    let kept = fs::read_to_string(&source.backup).unwrap();
    assert!(kept.contains("<memory unit='KiB'>65536</memory>"), "{kept}");
    let after = lab.inactive(name);
    // libvirt lists controllers anew; each keeps its index and its address.
    let sorted = |xml: String| {
        let mut lines: Vec<&str> = xml.lines().collect();
        lines.sort_unstable();
        lines.join("\n")
    };
    (*source, sorted(before), sorted(after))
}

fn failure(lab: &Lab, wish: &VmManifest, options: &Options, lies: &Lies) -> ApplyError {
    let or_real = |lie: &'static str| if lie.is_empty() { "exec virsh \"$@\"" } else { lie };
    let [define, restore, dump] = [lies.define, lies.restore, lies.dump].map(or_real);
    let flag = lab.path("defined");
    let flag = flag.display();
    let script = format!(
        "#!/bin/sh\ncase \" $* \" in\n*' define '*) if [ -e {flag} ]; then {restore}; else : > {flag}; {define}; fi ;;\n\
         *' dumpxml '*) if [ -e {flag} ]; then {dump}; else exec virsh \"$@\"; fi ;;\n\
         *) exec virsh \"$@\" ;;\nesac\n"
    );
    let program = lab.path("virsh");
    fs::write(&program, script).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let connection = Connection::with_virsh(program, Some(SYSTEM.to_owned())).unwrap();
    let plan = lab.plan(wish, options);
    let report = execute(&plan, wish, options, &connection, &lab.state(), &mut |_, _| {}).unwrap();
    let (_, error) = report.failed.into_iter().next().expect("it was lied to");
    error
}

#[test]
fn a_change_that_nobody_planned_is_rolled_back_and_the_vm_is_what_it_was() {
    let lab = Lab::new();
    let name = lab.libvirt.name("rolled");
    let (unproved, before, after) = synced(&lab, &name, &Lies { define: ADD, ..Lies::default() });
    assert!(matches!(unproved.now, Now::Before), "{unproved}");
    assert!(
        matches!(&unproved.trouble, Trouble::Unplanned(what) if what[0].contains("watchdog")),
        "{unproved}"
    );
    assert_eq!(before, after);
}

#[test]
fn an_old_definition_that_does_not_come_back_as_it_was_is_not_called_restored() {
    let lab = Lab::new();
    let name = lab.libvirt.name("half");
    let (unproved, _, after) = synced(&lab, &name, &Lies { define: ADD, restore: ADD, ..Lies::default() });
    assert!(matches!(&unproved.now, Now::NotQuiteBefore(what) if what[0].contains("watchdog")), "{unproved}");
    assert!(after.contains("i6300esb"), "{after}");
    // What is told to be typed makes it what it was.
    let backup = unproved.backup.display().to_string();
    assert!(unproved.hints().concat().contains(&format!("`virsh -c {SYSTEM} define {backup}`")));
    lab.libvirt.virsh(&["define", &backup]);
    assert!(!lab.inactive(&name).contains("i6300esb"));
}

#[test]
fn an_old_definition_that_is_not_taken_back_leaves_the_new_one_and_says_so() {
    let lab = Lab::new();
    let name = lab.libvirt.name("stuck");
    let refuse = "echo 'error: internal error: no' >&2; exit 1";
    let (unproved, _, after) = synced(&lab, &name, &Lies { define: ADD, restore: refuse, ..Lies::default() });
    assert!(matches!(unproved.now, Now::Defined(_)), "{unproved}");
    assert!(unproved.to_string().contains("has the new definition"), "{unproved}");
    assert!(after.contains("i6300esb") && after.contains(">81920</memory>"), "{after}");
    assert!(unproved.hints().concat().contains(" define "), "{:?}", unproved.hints());
}

#[test]
fn a_definition_that_cannot_be_read_again_is_taken_back_and_not_called_proved() {
    let lab = Lab::new();
    let name = lab.libvirt.name("blind");
    let blind = "echo 'error: internal error: no' >&2; exit 1";
    let (unproved, before, after) = synced(&lab, &name, &Lies { dump: blind, ..Lies::default() });
    assert!(matches!((&unproved.trouble, &unproved.now), (Trouble::Unread(_), Now::Unread(_))), "{unproved}");
    assert!(unproved.to_string().contains("could not be read"), "{unproved}");
    assert_eq!(before, after);
}
