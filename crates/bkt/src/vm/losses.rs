//! What of a domain no field of a manifest speaks of.
//!
//! All of it stays in the domain: a sync edits fields and nothing else. It is told because a VM that is made
//! anew from the manifest would lack it. Pure. Tests: below.

use plasmavmc_libvirt::domain::{Domain, Facts, Fields, Source};

use super::capture::Loss;

/// The machine types that a new VM may have: `q35`, with or without its version.
fn is_ours(machine: &str) -> bool {
    machine == "q35" || machine.starts_with("pc-q35-")
}

/// What a VM that is made anew would lack, or have otherwise.
pub(super) fn beyond_fields(domain: &Domain) -> Vec<Loss> {
    let mut losses = Losses(Vec::new());
    losses.devices(&domain.fields);
    losses.drives(&domain.fields);
    losses.facts(&domain.facts);
    losses.0
}

struct Losses(Vec<Loss>);

impl Losses {
    fn push(&mut self, found: impl Into<String>, why: &str) {
        self.0.push(Loss { field: None, found: found.into(), why: why.to_owned() });
    }

    fn more(&mut self, what: &str, count: usize) {
        if count > 1 {
            self.push(format!("{count} {what}"), "a manifest's VM has one");
        }
    }

    fn devices(&mut self, fields: &Fields) {
        self.more("disks", fields.disks.len());
        self.more("network cards", fields.nics.len());
        self.more("displays", fields.graphics.len());
        for model in fields.nics.iter().filter_map(|nic| nic.model.as_deref()) {
            if model != "virtio" {
                self.push(format!("a network card of model `{model}`"), "a new VM gets a virtio card");
            }
        }
        if fields.disks.first().is_some_and(|disk| disk.format.is_none()) {
            self.push("a disk whose format is not stated", "a new VM's disk has its format stated");
        }
    }

    fn drives(&mut self, fields: &Fields) {
        for drive in &fields.cdroms {
            let target = &drive.target;
            match &drive.source {
                Source::Empty => {
                    self.push(format!("the empty drive `{target}`"), "a new VM's drives have media");
                }
                Source::Other(kind) => {
                    let found = format!("a medium of type `{kind}` in the drive `{target}`");
                    self.push(found, "a manifest's media are files and URLs");
                }
                Source::File(_) => {}
            }
            if let Some(bus) = drive.bus.as_deref().filter(|bus| *bus != "sata") {
                self.push(
                    format!("the drive `{target}` on the bus `{bus}`"),
                    "a new VM's drives are on SATA",
                );
            }
        }
    }

    fn facts(&mut self, facts: &Facts) {
        let none = "a manifest has no word for it";
        if let Some(machine) = facts.machine.as_deref().filter(|machine| !is_ours(machine)) {
            self.push(format!("the machine type `{machine}`"), "a new VM has `q35`");
        }
        if let Some(arch) = facts.arch.as_deref().filter(|arch| *arch != "x86_64") {
            self.push(format!("the architecture `{arch}`"), none);
        }
        for (kind, count) in &facts.others {
            self.push(format!("{count} of `{kind}`"), none);
        }
        for namespace in &facts.foreign {
            self.push(format!("elements of the namespace `{namespace}`"), none);
        }
        for (found, is_there) in [
            ("NUMA cells", facts.numa),
            ("a CPU topology", facts.topology_vcpus.is_some()),
            ("processors that are not all on", facts.vcpus_current.is_some()),
            ("processors that are listed or pinned", facts.vcpus_listed),
            ("a balloon below its memory", facts.memory_current_kib.is_some()),
            ("memory that can be plugged in", facts.memory_slots),
        ] {
            if is_there {
                self.push(found, none);
            }
        }
        if facts.has_secrets {
            self.push("a password of its display", "a manifest holds no secrets");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::sample::{cdrom, domain, nic};
    use super::*;

    fn found(change: impl Fn(&mut Domain)) -> Vec<String> {
        let mut domain = domain();
        change(&mut domain);
        beyond_fields(&domain).into_iter().map(|loss| loss.found).collect()
    }

    #[test]
    fn a_plain_vm_loses_nothing() {
        assert_eq!(found(|_| {}), Vec::<String>::new());
        assert_eq!(found(|vm| vm.facts.machine = Some("pc-q35-7.2".to_owned())), Vec::<String>::new());
    }

    #[test]
    fn everything_beyond_is_told() {
        assert_eq!(found(|vm| vm.fields.nics.push(nic("x", 2))), ["2 network cards"]);
        assert_eq!(
            found(|vm| vm.fields.nics[0].model = Some("e1000e".to_owned())),
            ["a network card of model `e1000e`"]
        );
        assert_eq!(found(|vm| vm.fields.disks[0].format = None), ["a disk whose format is not stated"]);
        assert_eq!(found(|vm| vm.fields.cdroms.push(cdrom("sda", None))), ["the empty drive `sda`"]);
        assert_eq!(
            found(|vm| vm.facts.machine = Some("pc-i440fx-7.2".to_owned())),
            ["the machine type `pc-i440fx-7.2`"]
        );
        assert_eq!(found(|vm| vm.facts.others.push(("hostdev".to_owned(), 2))), ["2 of `hostdev`"]);
        assert_eq!(found(|vm| vm.facts.numa = true), ["NUMA cells"]);
        assert_eq!(found(|vm| vm.facts.has_secrets = true), ["a password of its display"]);
    }
}
