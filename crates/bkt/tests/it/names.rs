//! Names that virsh would take for something else.

use std::num::NonZeroU64;
use std::time::Duration;

use bkt::manifest::Memory;
use bkt::vm::plan::Options;
use bkt::vm::power::{PowerOutcome, StopHow, Target, start, stop};

use crate::lab::{Lab, manifest, names};

#[test]
fn a_vm_named_like_a_number_an_option_or_a_list_is_addressed_and_no_other() {
    let mut lab = Lab::new();
    // Another one runs, whose number in libvirt is the first one's name.
    let bystander = lab.libvirt.name("bystander");
    lab.sync(&manifest(&[(&bystander, lab.small("bystander.qcow2"))]));
    lab.libvirt.virsh(&["start", &bystander]);
    let number = lab.libvirt.virsh(&["domid", &bystander]);
    let prefix = lab.libvirt.prefix().to_owned();
    for (place, name) in [number, format!("--{prefix}all"), format!("{prefix}a,b")].into_iter().enumerate() {
        let name = lab.odd_name(name);
        let mut definition = lab.small(&format!("odd{place}.qcow2"));
        lab.sync(&manifest(&[(&name, definition.clone())]));
        definition.memory = Memory::Mib(NonZeroU64::new(80).unwrap());
        let wish = manifest(&[(&name, definition)]);
        lab.sync(&wish);
        let plan = lab.plan(&wish, &Options { only: Some(names(&wish)), ..Options::default() });
        assert!(plan.is_empty(), "{plan:?}");
        let target =
            Target { name: name.clone(), id: plan.vms[0].id.unwrap(), saved: false, persistent: true };
        assert_eq!(start(&lab.connection, &target).unwrap(), PowerOutcome::Started, "{name}");
        assert_eq!(
            stop(&lab.connection, &target, StopHow::Force, false, &mut |_| {}).unwrap(),
            PowerOutcome::Forced
        );
        let asked = StopHow::Ask { bound: Duration::from_secs(1) };
        assert_eq!(stop(&lab.connection, &target, asked, false, &mut |_| {}).unwrap(), PowerOutcome::WasOff);
        assert_eq!(lab.libvirt.virsh(&["domstate", &bystander]), "running", "{name} was taken for it");
    }
}
