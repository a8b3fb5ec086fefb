//! What changes along with a field, or does not, and has no row of its own.
//!
//! Pure. Tests: below.

use plasmavmc_libvirt::domain::{Boot, Domain};

use super::{Change, Decision, Note};
use crate::vm::{Field, Meant};

/// What a person should know of the changes of a domain, also of those that wait for a flag.
pub(super) fn notes(changes: &[Change], domain: &Domain, meant: &Meant<'_>) -> Vec<Note> {
    let is_meant = |change: &&Change| matches!(change.decision, Decision::Make | Decision::Blocked);
    changes.iter().filter(is_meant).filter_map(|change| note(change, domain, meant)).collect()
}

fn note(change: &Change, domain: &Domain, meant: &Meant<'_>) -> Option<Note> {
    let fields = &domain.fields;
    match change.field {
        Field::Boot => {
            let before = fields.boot == Boot::Uefi && fields.secure_boot == Some(true);
            match change.to.as_str() {
                // The row of `secure_boot` says it.
                Some("uefi")
                    if meant.wanted.is_some_and(|wanted| wanted.contains_key(&Field::SecureBoot)) =>
                {
                    None
                }
                Some("uefi") => Some(Note::SecureBootIsOff),
                _ => before.then_some(Note::SecureBootGoes),
            }
        }
        Field::Graphics if !fields.graphics.is_empty() => {
            Some(Note::DisplayGoes { password: change.to == "none" })
        }
        Field::Memory => {
            let (balloon, to) = (domain.facts.memory_current_kib?, change.to.as_u64()?.saturating_mul(1024));
            (balloon < to).then_some(Note::Balloon { mib: balloon / 1024 })
        }
        Field::Network if change.to == "none" => {
            let mac = meant.nic(fields).and_then(|(_, nic)| nic.mac);
            mac.map(|mac| Note::CardGoes { mac: mac.to_string() })
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::Options;
    use super::super::tests::{applied, entry};
    use super::*;
    use crate::manifest::{BootChoice, GraphicsChoice, Memory, VmDefinition};
    use crate::vm::sample::definition;
    use crate::vm::{Applied, Danger};

    fn said(wish: VmDefinition, there: Domain) -> Vec<String> {
        let allowed = [Danger::FirmwareChange].into();
        let entry = entry(wish, there, &Options { allowed, ..Options::default() });
        entry.notes.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn secure_boot_that_changes_with_the_firmware_is_told() {
        let mut there = applied(&definition());
        there.fields.secure_boot = Some(true);
        let bios = VmDefinition { boot: BootChoice::Bios, ..definition() };
        let told = said(bios.clone(), there.clone());
        assert!(told[0].starts_with("secure_boot goes with it: true -> none"), "{told:?}");
        there.fields.boot = Boot::Bios;
        there.fields.secure_boot = None;
        let mut mark = Applied::read(there.mark.as_ref().unwrap()).unwrap();
        mark.fields.insert(Field::Boot, "bios".into());
        there.mark = Some(mark.to_mark("web"));
        let told = said(definition(), there.clone());
        assert!(told[0].starts_with("secure_boot comes with it: none -> false"), "{told:?}");
        let asked = VmDefinition { secure_boot: Some(true), ..definition() };
        assert_eq!(said(asked, there), [] as [&str; 0]);
    }

    #[test]
    fn what_goes_with_a_display_or_a_card_is_told() {
        let vnc = VmDefinition { graphics: GraphicsChoice::Vnc, ..definition() };
        let told = said(vnc, applied(&definition()));
        assert_eq!(
            told,
            ["its old display goes with its port and address; a password stays with the new one"]
        );
        let none = VmDefinition { graphics: GraphicsChoice::None, ..definition() };
        assert_eq!(
            said(none, applied(&definition())),
            ["its old display goes with its port, address and password"]
        );
        let off = VmDefinition { network: "none".parse().unwrap(), ..definition() };
        let told = said(off, applied(&definition()));
        assert!(told[0].contains("is kept for the next card"), "{told:?}");
    }

    #[test]
    fn memory_that_the_guest_does_not_get_is_told() {
        let mut there = applied(&definition());
        there.facts.memory_current_kib = Some(1 << 20);
        let more = VmDefinition { memory: Memory::Gib(4.try_into().unwrap()), ..definition() };
        let told = said(more, there.clone());
        assert_eq!(told, ["its guest gets 1024 MiB of the memory: its `<currentMemory>` stays"]);
        let less = VmDefinition { memory: Memory::Gib(1.try_into().unwrap()), ..definition() };
        assert_eq!(said(less, there), [] as [&str; 0]);
    }
}
