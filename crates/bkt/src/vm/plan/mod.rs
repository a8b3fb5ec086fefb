//! What a sync will do, as a value: shown, saved, reviewed, and applied or not.
//!
//! ```text
//!                        manifest lists it            manifest does not
//!  no such domain        Create, or Refuse            -
//!  domain, our mark      Update, Keep, or Refuse      with --prune: Prune what was made, Release what
//!                                                     was adopted; else a note
//!  domain, the mark of   Adopt with --adopt,          never touched
//!  another manifest      else Refuse
//!  domain, no mark       Adopt with --adopt,          never touched, never listed
//!                        else Refuse
//! ```
//!
//! [`plan`] is one pure function over an [`Observation`]: of libvirt, or of dumps in a folder. Equal input
//! gives an equal plan, byte for byte. Never does: anything. Tests: `tests.rs` beside this.

mod along;
mod blueprint;
mod change;
mod decide;
mod existing;
mod holders;
mod observation;
mod origin;
mod text;
mod trial;

#[cfg(test)]
mod disk_tests;
#[cfg(test)]
mod hands_tests;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::path::PathBuf;

pub use blueprint::Blueprint;
pub use change::{Change, Decision};
pub use decide::{disks_to_look_at, files_to_look_at, plan};
pub use existing::{drawn_mac, new_disk_format, pending};
pub use observation::{
    FileSeen, Files, Ground, Grounds, Host, Kept, Observation, Seen, Unreadable, disk_file, is_here,
};
pub use origin::manifest_id;
use plasmavmc_types::{DiskFormat, VmId};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
pub use text::shown;

use super::applied::Applied;
use super::{Absent, Allowed, Field, Forecast, Standing, Unsaid};

/// What a person allowed and asked for beside the manifest.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Options {
    /// Only these VMs; none for all of them.
    pub only: Option<BTreeSet<String>>,
    /// Whether VMs of the manifest's names that we did not make become ours.
    pub adopt: bool,
    /// Whether VMs that left the manifest are undefined.
    pub prune: bool,
    /// The dangers that were taken on.
    pub allowed: Allowed,
    /// Whether the manifest wins where someone edited a VM.
    pub keep_mine: bool,
    /// The fields in which the VM wins where someone edited it.
    pub take_theirs: BTreeSet<Field>,
    /// The manifest, as [`manifest_id`] names it; none where it has no place.
    pub manifest: Option<String>,
}

/// What a sync will do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct VmPlan {
    /// The libvirt connection, as libvirt itself names it.
    pub uri: String,
    /// Every VM of the manifest, and those with our mark that left it, in the order of their names.
    pub vms: Vec<Entry>,
}

/// What becomes of one VM.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Entry {
    /// Its name.
    pub name: String,
    /// Its UUID; none of one that is not there.
    #[schemars(with = "Option<String>")]
    pub id: Option<VmId>,
    /// What it does now; none of one that is not there.
    pub standing: Option<Standing>,
    /// What is done.
    #[serde(flatten)]
    pub action: Action,
    /// The fields in which it differs from the manifest.
    pub changes: Vec<Change>,
    /// What is done to its disk.
    pub disk: Option<DiskStep>,
    /// The fields in which it runs with other values than it will after its next cold boot.
    pub pending: Vec<Field>,
    /// What else a person should know.
    pub notes: Vec<Note>,
    /// The digest of the XML the plan was made from: it is applied to no other.
    pub digest: Option<String>,
    /// What is noted in the domain as applied.
    #[schemars(with = "Option<serde_json::Value>")]
    pub applied: Option<Applied>,
}

/// What is done to a VM.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "action", rename_all = "snake_case")]
pub enum Action {
    /// It is as the manifest wants it, or what differs is not touched.
    Keep,
    /// It is made.
    Create {
        /// What is made.
        blueprint: Blueprint,
    },
    /// It becomes ours, with everything it has.
    Adopt,
    /// Some of its fields are changed, or what is noted in it.
    Update,
    /// It is undefined; its disks, NVRAM and TPM state stay.
    Prune,
    /// It is let go of: what is noted in it goes, and the VM stays as it is.
    Release,
    /// Nothing is done, for a reason that a person has to resolve.
    Refuse {
        /// The reason.
        refusal: Refusal,
    },
}

/// Why nothing is done to a VM.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "reason", rename_all = "snake_case")]
pub enum Refusal {
    /// There is a VM of that name that we did not make.
    NotOurs,
    /// What is noted in it is that of another VM: it was renamed, or is a copy.
    MarkedAs {
        /// The other VM's name.
        of: String,
    },
    /// It is in the hands of another manifest.
    OtherManifest {
        /// The other manifest.
        manifest: String,
    },
    /// Its definition goes when it stops; changing it would make it stay.
    Transient,
    /// Its XML cannot be read.
    Unreadable {
        /// Why not.
        why: String,
    },
    /// The VM that we made under this name has another one now.
    Renamed {
        /// Its name now.
        to: String,
    },
    /// Its disk is missing and is not to be made.
    DiskMissing {
        /// The disk.
        path: PathBuf,
    },
    /// Another VM has the disk.
    DiskTaken {
        /// The disk.
        path: PathBuf,
        /// The other VM.
        by: String,
    },
    /// It lies under a disk of another VM, which breaks where it is written to.
    DiskUnder {
        /// The disk.
        path: PathBuf,
        /// The other VM.
        by: String,
    },
    /// What is in the disk's place is no disk image.
    DiskUnfit {
        /// The disk.
        path: PathBuf,
        /// What it is.
        what: String,
    },
    /// Its disk is to be made in a folder that is not there.
    NoFolder {
        /// The folder.
        dir: PathBuf,
    },
    /// A new VM's installer is missing.
    MediumGone {
        /// The medium.
        path: PathBuf,
    },
    /// It is to go, and it runs.
    Runs,
    /// It is to go, and has a saved state that would go with it.
    HasSavedState,
    /// It is to go, and libvirt keeps something of it that would go with it.
    Keeps {
        /// What.
        kept: Kept,
    },
    /// Its XML has no place for what is to be noted in it.
    Uneditable {
        /// Why not.
        why: String,
    },
}

/// What is done to a disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "step", rename_all = "snake_case")]
pub enum DiskStep {
    /// An empty qcow2 is made.
    Create {
        /// The file.
        path: PathBuf,
        /// Its size in GiB.
        size_gb: u64,
    },
    /// A disk that is there becomes the VM's.
    Take {
        /// The file.
        path: PathBuf,
        /// Its format.
        format: DiskFormat,
        /// The size it shows to the guest, in bytes.
        size_bytes: u64,
    },
    /// A disk is made larger.
    Grow {
        /// The file.
        path: PathBuf,
        /// Its size in bytes.
        from_bytes: u64,
        /// Its size in GiB after that.
        size_gb: u64,
    },
}

/// What a person should know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "note", rename_all = "snake_case")]
pub enum Note {
    /// A medium is listed and not at hand.
    Absent(Absent),
    /// Nobody could look whether a medium that the manifest names by URL was fetched.
    FetchUnknown {
        /// The URL.
        url: String,
        /// The VM.
        vm: String,
    },
    /// The VM has our mark and left the manifest.
    NotListed {
        /// Whether it was made here; else it was adopted.
        made: bool,
    },
    /// The VM is in the hands of another manifest.
    OtherManifest {
        /// The other manifest.
        manifest: String,
    },
    /// A copy of one of our VMs, mark and all; it is not ours.
    Copied {
        /// The VM it is a copy of.
        of: String,
    },
    /// Secure boot, which is on, goes with UEFI.
    SecureBootGoes,
    /// UEFI comes without secure boot, because the manifest does not ask for it.
    SecureBootIsOff,
    /// A display goes with what was set for it.
    DisplayGoes {
        /// Whether its password goes too.
        password: bool,
    },
    /// A card goes; the next one gets its address.
    CardGoes {
        /// The address.
        mac: String,
    },
    /// The guest gets less than the memory.
    Balloon {
        /// How much, in MiB.
        mib: u64,
    },
    /// Its disk's file is gone, and is not made anew: it had something in it.
    DiskGone {
        /// The file.
        path: PathBuf,
        /// The format the VM reads it in.
        format: Option<DiskFormat>,
        /// The size that is wanted, in GiB.
        size_gb: Option<u64>,
    },
    /// There is no VM of that name any more, and its XML was kept.
    Kept {
        /// The file.
        path: PathBuf,
    },
    /// Its disk's size cannot be read by this user.
    DiskUnreadable {
        /// The file.
        path: PathBuf,
    },
    /// What was applied last cannot be read, so that edits by hand cannot be told.
    MarkUnreadable,
    /// A field that is wanted has a value for which a manifest has no word.
    CannotSay(Unsaid),
}

impl VmPlan {
    /// Whether applying it does nothing.
    pub fn is_empty(&self) -> bool {
        self.vms.iter().all(Entry::is_empty)
    }

    /// Whether something differs from the manifest that applying it leaves as it is.
    pub fn leaves_something(&self) -> bool {
        self.vms.iter().any(Entry::leaves_something)
    }

    /// Whether a VM runs with other values than it will after its next cold boot.
    pub fn is_pending(&self) -> bool {
        self.vms.iter().any(|entry| !entry.pending.is_empty())
    }

    /// Whether something is pending, or will be once the plan was applied.
    pub fn waits(&self) -> bool {
        self.vms.iter().any(Entry::waits)
    }

    /// Notes that a VM is off by now: nothing waits for that any more.
    pub fn is_off(&mut self, id: VmId) {
        for entry in self.vms.iter_mut().filter(|entry| entry.id == Some(id)) {
            entry.standing = Some(Standing::Stopped);
            entry.pending.clear();
            for change in entry.changes.iter_mut().filter(|one| one.forecast == Forecast::NextColdBoot) {
                change.forecast = Forecast::NextStart;
            }
        }
    }

    /// The fields in which the VM wins, with the values that go into the manifest.
    pub fn taken(&self) -> Vec<(&str, &Change)> {
        let taken =
            |entry: &Entry| entry.changes.iter().any(|change| change.decision == Decision::TakeTheirs);
        let entries = self.vms.iter().filter(|entry| taken(entry));
        entries
            .flat_map(|entry| entry.changes.iter().map(|change| (entry.name.as_str(), change)))
            .filter(|(_, change)| change.decision == Decision::TakeTheirs)
            .collect()
    }
}

impl Note {
    /// Whether it is something that a person has to settle.
    pub const fn is_a_difference(&self) -> bool {
        matches!(self, Self::DiskGone { .. })
    }
}

impl Entry {
    /// Whether nothing is done.
    pub fn is_empty(&self) -> bool {
        matches!(self.action, Action::Keep | Action::Refuse { .. })
    }

    /// Whether something differs from the manifest that is left as it is.
    pub fn leaves_something(&self) -> bool {
        let left = |change: &Change| matches!(change.decision, Decision::Leave | Decision::Blocked);
        matches!(self.action, Action::Refuse { .. })
            || self.changes.iter().any(left)
            || self.notes.iter().any(Note::is_a_difference)
    }

    /// Whether something is pending, or will be once the changes were made.
    pub fn waits(&self) -> bool {
        let is_late =
            |one: &Change| matches!(one.forecast, Forecast::NextColdBoot | Forecast::AfterSavedState);
        !self.pending.is_empty() || self.made().any(is_late)
    }

    /// The changes that are made.
    pub fn made(&self) -> impl Iterator<Item = &Change> {
        self.changes.iter().filter(|change| change.decision == Decision::Make)
    }
}
