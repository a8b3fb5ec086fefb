//! When a change of a field takes effect, or why it is not made.
//!
//! ```text
//!  refused by what the domain is (NUMA cells, a topology, a shrinking disk)  ─► Blocked, no flag helps
//!  dangerous to the guest or its data, and its flag was not given            ─► Blocked, names the flag
//!  a saved state is resumed at the next start                                ─► AfterSavedState
//!  the VM runs: an ISO in a drive that is there, autostart                   ─► Live
//!              everything else                                               ─► NextColdBoot
//!  the VM is stopped                                                         ─► NextStart
//! ```
//!
//! What libvirt can do to a running domain is in its `qemu_hotplug.c`. Pure. Tests: below, a table.

use std::collections::BTreeSet;
use std::fmt;

use plasmavmc_libvirt::domain::Domain;
use plasmavmc_types::ByteSize;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Field;

/// A danger a person can take on, by its flag on the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Danger {
    /// Another firmware, or a TPM that goes: the guest may not boot, and asks for its recovery keys.
    FirmwareChange,
    /// Another disk, or another bus for it: the guest may not find what it boots from.
    DiskChange,
    /// A larger disk: it cannot be made smaller again.
    GrowDisks,
}

impl Danger {
    /// Every danger.
    pub const ALL: [Self; 3] = [Self::FirmwareChange, Self::DiskChange, Self::GrowDisks];

    /// The flag that takes it on.
    pub const fn flag(self) -> &'static str {
        match self {
            Self::FirmwareChange => "--allow-firmware-change",
            Self::DiskChange => "--allow-disk-change",
            Self::GrowDisks => "--grow-disks",
        }
    }
}

/// The dangers that were taken on.
pub type Allowed = BTreeSet<Danger>;

/// What the VM does now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// It is off.
    Stopped,
    /// It runs, or is paused: its devices are there.
    Running,
    /// It is off, and its next start resumes a saved state.
    Saved,
}

/// When a change takes effect.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "when", rename_all = "snake_case")]
pub enum Forecast {
    /// At once.
    Live,
    /// At the VM's next start.
    NextStart,
    /// Once the running VM was powered off and started: a reboot inside the guest is not enough.
    NextColdBoot,
    /// Once the saved state was used up or dropped, and the VM powered off and started.
    AfterSavedState,
    /// Never: the change is not made.
    Blocked {
        /// Why not.
        reason: Blocker,
        /// The danger to take on for it to be made; none where it cannot be made at all.
        danger: Option<Danger>,
    },
}

/// Why a change is not made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Blocker {
    /// NUMA cells give the memory.
    NumaGivesMemory,
    /// Memory can be plugged in, so slots and cells depend on it.
    MemorySlots,
    /// A topology multiplies to another number of processors.
    TopologyGivesVcpus,
    /// Single processors are listed or pinned.
    VcpusListed,
    /// The file is larger than the manifest wants.
    WouldShrinkDisk,
    /// A larger disk cannot be made smaller again.
    DiskGrows,
    /// A disk is not resized under a running guest.
    DiskInUse,
    /// A saved state stands on the disk as it was.
    SavedStateOnDisk,
    /// The file that the disk is to be is missing or no disk image.
    DiskMissing,
    /// The file that the disk is to be is a disk of another VM.
    DiskTaken,
    /// The guest may not find what it boots from.
    DiskChanges,
    /// What the disk is has no word in a manifest, so it is not replaced.
    DiskIsNoFile,
    /// The guest may not boot; the file of its boot entries and keys stays.
    FirmwareChanges,
    /// What is sealed in the TPM goes, such as a key of BitLocker.
    TpmGoes,
    /// The domain has the host's own TPM.
    TpmIsTheHosts,
    /// Its XML has no place for the change.
    Edit {
        /// Why not.
        why: String,
    },
}

impl Forecast {
    /// Whether the change is made.
    pub const fn is_made(&self) -> bool {
        !matches!(self, Self::Blocked { .. })
    }
}

/// What a change meets.
#[derive(Debug, Clone, Copy)]
pub struct Situation<'a> {
    /// The domain as it is.
    pub domain: &'a Domain,
    /// What it does now.
    pub standing: Standing,
    /// The size its disk shows to the guest.
    pub disk_size: Option<ByteSize>,
    /// Whether the change of media needs a drive that is not there.
    pub needs_drive: bool,
    /// Whether the disk that is meant is a file.
    pub disk_is_file: bool,
    /// The dangers that were taken on.
    pub allowed: &'a Allowed,
}

impl Situation<'_> {
    /// When `field` takes the value `to`.
    pub fn forecast(&self, field: Field, to: &Value) -> Forecast {
        match self.blocker(field, to) {
            Some((reason, None)) => Forecast::Blocked { reason, danger: None },
            Some((reason, Some(danger))) if !self.allowed.contains(&danger) => {
                Forecast::Blocked { reason, danger: Some(danger) }
            }
            _ => self.effect(field),
        }
    }

    /// What stands against a change, and the danger to take on where one helps.
    fn blocker(&self, field: Field, to: &Value) -> Option<(Blocker, Option<Danger>)> {
        let facts = &self.domain.facts;
        let firmware = Some(Danger::FirmwareChange);
        match field {
            Field::Memory if facts.numa => Some((Blocker::NumaGivesMemory, None)),
            Field::Memory if facts.memory_slots => Some((Blocker::MemorySlots, None)),
            Field::Vcpus if facts.topology_vcpus.is_some() => Some((Blocker::TopologyGivesVcpus, None)),
            Field::Vcpus if facts.vcpus_listed => Some((Blocker::VcpusListed, None)),
            Field::DiskSizeGb => self.disk_size_blocker(to),
            Field::DiskPath | Field::DiskBus if self.standing == Standing::Saved => {
                Some((Blocker::SavedStateOnDisk, None))
            }
            Field::DiskPath if self.domain.fields.disks.is_empty() => None,
            Field::DiskPath if !self.disk_is_file => Some((Blocker::DiskIsNoFile, None)),
            Field::DiskPath | Field::DiskBus => Some((Blocker::DiskChanges, Some(Danger::DiskChange))),
            Field::Boot | Field::SecureBoot => Some((Blocker::FirmwareChanges, firmware)),
            Field::Tpm => match &self.domain.fields.tpm {
                None => None,
                Some(tpm) if !tpm.emulated => Some((Blocker::TpmIsTheHosts, None)),
                Some(_) => Some((Blocker::TpmGoes, firmware)),
            },
            _ => None,
        }
    }

    fn disk_size_blocker(&self, to: &Value) -> Option<(Blocker, Option<Danger>)> {
        let wanted = to.as_u64().map(ByteSize::gib);
        if wanted < self.disk_size {
            return Some((Blocker::WouldShrinkDisk, None));
        }
        match self.standing {
            Standing::Running => Some((Blocker::DiskInUse, None)),
            Standing::Saved => Some((Blocker::SavedStateOnDisk, None)),
            Standing::Stopped => Some((Blocker::DiskGrows, Some(Danger::GrowDisks))),
        }
    }

    fn effect(&self, field: Field) -> Forecast {
        match (field, self.standing) {
            (Field::Autostart, _) => Forecast::Live,
            (Field::IsoSources, Standing::Running) if !self.needs_drive => Forecast::Live,
            (_, Standing::Running) => Forecast::NextColdBoot,
            (_, Standing::Saved) => Forecast::AfterSavedState,
            (_, Standing::Stopped) => Forecast::NextStart,
        }
    }
}

impl fmt::Display for Forecast {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Live => f.write_str("at once"),
            Self::NextStart => f.write_str("at its next start"),
            Self::NextColdBoot => f.write_str("at its next cold boot"),
            Self::AfterSavedState => f.write_str("once its saved state is gone"),
            Self::Blocked { reason, danger: None } => write!(f, "not made: {reason}"),
            Self::Blocked { reason, danger: Some(danger) } => {
                write!(f, "not made without {}: {reason}", danger.flag())
            }
        }
    }
}

impl fmt::Display for Blocker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NumaGivesMemory => "its memory is that of its NUMA cells",
            Self::MemorySlots => "memory can be plugged into it, and its slots depend on how much it has",
            Self::TopologyGivesVcpus => "its processors are those of its topology",
            Self::VcpusListed => "its processors are listed or pinned one by one",
            Self::WouldShrinkDisk => "the disk is larger than that, and shrinking it would cut off data",
            Self::DiskGrows => "a disk that has grown cannot be made smaller again",
            Self::DiskInUse => "it runs, and its disk is not resized under it",
            Self::SavedStateOnDisk => "its saved state stands on the disk as it is",
            Self::DiskMissing => "there is no disk image of that name",
            Self::DiskTaken => "it is a disk of another VM",
            Self::DiskChanges => "its guest may not find what it boots from",
            Self::DiskIsNoFile => "its disk is not a file, and is not replaced by one",
            Self::FirmwareChanges => {
                "its guest may not boot; the file of its boot entries and keys stays, for whom it fits"
            }
            Self::TpmGoes => "what is sealed in its TPM goes, such as the key of an encrypted disk",
            Self::TpmIsTheHosts => "it has the TPM of the host",
            Self::Edit { why } => why,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::sample::domain;
    use super::*;
    use plasmavmc_libvirt::domain::{Facts, Source, Tpm};
    use serde_json::json;

    fn at(domain: &Domain, standing: Standing, allowed: &[Danger], field: Field, to: &Value) -> Forecast {
        let allowed = allowed.iter().copied().collect();
        let disk_is_file =
            domain.fields.disks.first().is_none_or(|disk| matches!(disk.source, Source::File(_)));
        let disk_size = Some(ByteSize::gib(80));
        Situation { domain, standing, disk_size, needs_drive: false, disk_is_file, allowed: &allowed }
            .forecast(field, to)
    }

    fn blocked(reason: Blocker, danger: Option<Danger>) -> Forecast {
        Forecast::Blocked { reason, danger }
    }

    #[test]
    fn a_plain_change_takes_effect_by_what_the_vm_does() {
        for field in [Field::Title, Field::Memory, Field::Vcpus, Field::CpuModel, Field::Network, Field::Mac]
        {
            for (standing, expected) in [
                (Standing::Stopped, Forecast::NextStart),
                (Standing::Running, Forecast::NextColdBoot),
                (Standing::Saved, Forecast::AfterSavedState),
            ] {
                assert_eq!(at(&domain(), standing, &[], field, &json!(1)), expected, "{field}");
            }
        }
    }

    #[test]
    fn only_media_and_autostart_change_under_a_running_guest() {
        for field in Field::ALL {
            let forecast = at(&domain(), Standing::Running, &Danger::ALL, field, &json!(90));
            let live = matches!(field, Field::IsoSources | Field::Autostart);
            assert_eq!(forecast == Forecast::Live, live, "{field}");
        }
        let mut situation = Situation {
            domain: &domain(),
            standing: Standing::Running,
            disk_size: None,
            needs_drive: true,
            disk_is_file: true,
            allowed: &Allowed::new(),
        };
        assert_eq!(situation.forecast(Field::IsoSources, &json!([])), Forecast::NextColdBoot);
        situation.standing = Standing::Saved;
        assert_eq!(situation.forecast(Field::IsoSources, &json!([])), Forecast::AfterSavedState);
    }

    #[test]
    fn what_may_cost_data_needs_its_flag_and_no_other() {
        use Danger::{DiskChange, FirmwareChange, GrowDisks};
        for (field, to, reason, danger) in [
            (Field::Boot, json!("bios"), Blocker::FirmwareChanges, FirmwareChange),
            (Field::SecureBoot, json!(true), Blocker::FirmwareChanges, FirmwareChange),
            (Field::Tpm, json!("none"), Blocker::TpmGoes, FirmwareChange),
            (Field::DiskPath, json!("/x"), Blocker::DiskChanges, DiskChange),
            (Field::DiskBus, json!("sata"), Blocker::DiskChanges, DiskChange),
            (Field::DiskSizeGb, json!(90), Blocker::DiskGrows, GrowDisks),
        ] {
            let others: Vec<Danger> = Danger::ALL.into_iter().filter(|other| *other != danger).collect();
            let refused = at(&domain(), Standing::Stopped, &others, field, &to);
            assert_eq!(refused, blocked(reason, Some(danger)));
            let taken = at(&domain(), Standing::Stopped, &[danger], field, &to);
            assert_eq!(taken, Forecast::NextStart, "{field}");
        }
    }

    #[test]
    fn no_flag_shrinks_a_disk_or_resizes_it_in_use() {
        for (standing, to, reason) in [
            (Standing::Stopped, 79, Blocker::WouldShrinkDisk),
            (Standing::Running, 79, Blocker::WouldShrinkDisk),
            (Standing::Running, 81, Blocker::DiskInUse),
            (Standing::Saved, 81, Blocker::SavedStateOnDisk),
        ] {
            let forecast = at(&domain(), standing, &Danger::ALL, Field::DiskSizeGb, &json!(to));
            assert_eq!(forecast, blocked(reason, None), "{standing:?} {to}");
        }
        for field in [Field::DiskPath, Field::DiskBus] {
            let forecast = at(&domain(), Standing::Saved, &Danger::ALL, field, &json!("/x"));
            assert_eq!(forecast, blocked(Blocker::SavedStateOnDisk, None));
        }
    }

    #[test]
    fn what_the_domain_computes_is_never_set() {
        let facts = |change: fn(&mut Facts)| {
            let mut odd = domain();
            change(&mut odd.facts);
            odd
        };
        for (odd, field, reason) in [
            (facts(|facts| facts.numa = true), Field::Memory, Blocker::NumaGivesMemory),
            (facts(|facts| facts.memory_slots = true), Field::Memory, Blocker::MemorySlots),
            (facts(|facts| facts.topology_vcpus = Some(2)), Field::Vcpus, Blocker::TopologyGivesVcpus),
            (facts(|facts| facts.vcpus_listed = true), Field::Vcpus, Blocker::VcpusListed),
        ] {
            let forecast = at(&odd, Standing::Stopped, &Danger::ALL, field, &json!(4));
            assert_eq!(forecast, blocked(reason, None));
        }
    }

    #[test]
    fn a_tpm_is_added_freely_and_the_hosts_is_never_taken() {
        let mut without = domain();
        without.fields.tpm = None;
        assert_eq!(at(&without, Standing::Stopped, &[], Field::Tpm, &json!("2.0")), Forecast::NextStart);
        let mut hosts = domain();
        hosts.fields.tpm = Some(Tpm { version: None, emulated: false });
        let forecast = at(&hosts, Standing::Stopped, &Danger::ALL, Field::Tpm, &json!("none"));
        assert_eq!(forecast, blocked(Blocker::TpmIsTheHosts, None));
    }

    #[test]
    fn a_disk_that_is_no_file_is_not_replaced_and_a_missing_one_is_added() {
        let mut odd = domain();
        odd.fields.disks[0].source = Source::Other("block".to_owned());
        let forecast = at(&odd, Standing::Stopped, &Danger::ALL, Field::DiskPath, &json!("/x"));
        assert_eq!(forecast, blocked(Blocker::DiskIsNoFile, None));
        odd.fields.disks.clear();
        assert_eq!(at(&odd, Standing::Stopped, &[], Field::DiskPath, &json!("/x")), Forecast::NextStart);
    }

    #[test]
    fn a_forecast_is_said_in_one_line() {
        let forecast = at(&domain(), Standing::Stopped, &[], Field::DiskSizeGb, &json!(90));
        assert_eq!(
            forecast.to_string(),
            "not made without --grow-disks: a disk that has grown cannot be made smaller again"
        );
        assert_eq!(
            serde_json::to_value(&forecast).unwrap(),
            json!({ "when": "blocked", "reason": "disk_grows", "danger": "grow_disks" })
        );
    }
}
