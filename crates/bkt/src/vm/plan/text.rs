//! A plan in words: one line for each thing, which the command line arranges.
//!
//! Tests: with the planning, as snapshots.

use std::fmt;

use plasmavmc_types::{ByteSize, DiskFormat};
use serde_json::Value;

use super::{Action, Change, Decision, DiskStep, Kept, Note, Refusal};
use crate::vm::Absent;
use crate::vm::power::quoted;

/// A field's value for a person.
pub fn shown(value: Option<&Value>) -> String {
    match value {
        None => "?".to_owned(),
        Some(Value::Null) => "none".to_owned(),
        Some(Value::String(text)) => text.clone(),
        Some(Value::Array(values)) if values.is_empty() => "none".to_owned(),
        Some(Value::Array(values)) => {
            values.iter().map(|value| shown(Some(value))).collect::<Vec<_>>().join(", ")
        }
        Some(other) => other.to_string(),
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.field)?;
        let (from, to) = (shown(self.from.as_ref()), shown(Some(&self.to)));
        match self.decision {
            Decision::Make | Decision::Blocked => write!(f, "{from} -> {to}, {}", self.forecast),
            Decision::Leave => write!(f, "{from}, and the manifest has {to}: {}", self.drift),
            Decision::TakeTheirs => write!(f, "{from} goes into the manifest, which has {to}"),
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Keep => f.write_str("keep"),
            Self::Create { .. } => f.write_str("create"),
            Self::Adopt => f.write_str("adopt"),
            Self::Update => f.write_str("update"),
            Self::Prune => f.write_str("undefine; its disks, NVRAM and TPM state stay"),
            Self::Release => f.write_str("let go; it was adopted, and the VM stays as it is"),
            Self::Refuse { refusal } => write!(f, "nothing: {refusal}"),
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotOurs => f.write_str("there is a VM of that name that was not made here"),
            Self::MarkedAs { of } => {
                write!(f, "there is a VM of that name that was `{of}`: it was renamed, or is a copy")
            }
            Self::OtherManifest { manifest } => write!(f, "it is in the hands of {manifest}"),
            Self::Transient => f.write_str("it is transient: its definition goes when it stops"),
            Self::Unreadable { why } => write!(f, "its XML cannot be read: {why}"),
            Self::Renamed { to } => write!(f, "its VM was renamed to `{to}`"),
            Self::DiskMissing { path } => write!(f, "its disk `{}` does not exist", path.display()),
            Self::DiskTaken { path, by } => {
                write!(f, "its disk `{}` is a disk of the VM `{by}`", path.display())
            }
            Self::DiskUnder { path, by } => write!(
                f,
                "its disk `{}` is a disk of the VM `{by}`, which has an overlay on it",
                path.display()
            ),
            Self::DiskUnfit { path, what } => write!(f, "its disk `{}` is {what}", path.display()),
            Self::NoFolder { dir } => write!(f, "the folder `{}` of its disk does not exist", dir.display()),
            Self::MediumGone { path } => write!(f, "its medium `{}` does not exist", path.display()),
            Self::Runs => f.write_str("it left the manifest, and it runs"),
            Self::HasSavedState => f.write_str("it left the manifest, and it has a saved state"),
            Self::Keeps { kept } => write!(f, "it left the manifest, and it has {kept}"),
            Self::Uneditable { why } => write!(f, "its XML cannot be edited: {why}"),
        }
    }
}

impl Refusal {
    /// What a person can do about it, with something to type.
    pub fn hint(&self, name: &str) -> String {
        let name = &quoted(name);
        match self {
            Self::NotOurs | Self::MarkedAs { .. } => {
                format!("see what taking it over would change: `bkt vm sync --adopt --dry-run {name}`")
            }
            Self::OtherManifest { .. } => format!(
                "take it out of one of the two; here it is taken over with `bkt vm sync --adopt {name}`"
            ),
            Self::Transient => "define it with virsh first, so that it stays".to_owned(),
            Self::Unreadable { .. } => format!("see its XML: `virsh dumpxml {name}`"),
            Self::Renamed { to } => format!(
                "rename it in the manifest and take it over: `bkt vm sync --adopt {to}`; or rename the VM back: \
                 `virsh domrename {to} {name}`",
                to = quoted(to)
            ),
            Self::DiskMissing { .. } => "set `\"create_if_missing\": true`, or put the disk there".to_owned(),
            Self::DiskUnder { path, .. } => format!(
                "give `{name}` an overlay of its own: `qemu-img create -f qcow2 -F qcow2 -b {} NEW`",
                quoted(&path.display().to_string())
            ),
            Self::DiskTaken { by, .. } => format!("give `{name}` a disk of its own, or let go of `{by}`"),
            Self::DiskUnfit { .. } => {
                "name the file of a disk image, qcow2 or raw; a link has to lead to one".to_owned()
            }
            Self::NoFolder { dir } => format!("make it: `mkdir -p {}`", quoted(&dir.display().to_string())),
            Self::MediumGone { .. } => "put it there, or take it out of `iso_sources`".to_owned(),
            Self::Runs => format!("stop it first: `bkt vm stop {name}`"),
            Self::HasSavedState => {
                format!("start it, or drop the state: `virsh managedsave-remove {name}`")
            }
            Self::Keeps { kept: Kept::Snapshots } => {
                format!("see which, and delete them first: `virsh snapshot-list {name}`")
            }
            Self::Keeps { kept: Kept::Checkpoints } => {
                format!("see which, and delete them first: `virsh checkpoint-list {name}`")
            }
            Self::Uneditable { .. } => format!("see to it by hand: `virsh edit {name}`"),
        }
    }
}

impl Note {
    /// What a person can do about it, with something to type, where there is something.
    pub fn hint(&self, name: &str) -> Option<String> {
        match self {
            Self::Absent(Absent::NotFetched { .. }) => {
                Some(format!("download it: `bkt vm fetch {}`", quoted(name)))
            }
            Self::DiskGone { path, format, size_gb } => {
                let format = format.unwrap_or(DiskFormat::Qcow2);
                let size = size_gb.map_or_else(|| "SIZE".to_owned(), |size| format!("{size}G"));
                Some(format!(
                    "bring it back, or make an empty one: `qemu-img create -f {format} {} {size}`",
                    quoted(&path.display().to_string())
                ))
            }
            Self::Kept { path } => Some(format!(
                "to have it back as it was: `virsh define {}`",
                quoted(&path.display().to_string())
            )),
            _ => None,
        }
    }

    /// It, and what to do about it, in one line.
    pub fn line(&self, name: &str) -> String {
        match self.hint(name) {
            Some(hint) => format!("{self}; {hint}"),
            None => self.to_string(),
        }
    }
}

impl fmt::Display for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Snapshots => "snapshots",
            Self::Checkpoints => "checkpoints",
        })
    }
}

impl fmt::Display for DiskStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Create { path, size_gb } => {
                write!(f, "make the disk `{}` of {size_gb} GiB", path.display())
            }
            Self::Take { path, format, size_bytes } => {
                let (path, size) = (path.display(), ByteSize::bytes(*size_bytes));
                write!(f, "takes the existing `{path}` ({format}, {size})")
            }
            Self::Grow { path, size_gb, .. } => write!(f, "grow `{}` to {size_gb} GiB", path.display()),
        }
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Absent(Absent::Gone { path }) => {
                write!(f, "the medium `{}` does not exist, and is left out", path.display())
            }
            Self::Absent(Absent::NotFetched { url, .. }) => {
                write!(f, "the medium {url} was not fetched yet, and is left out")
            }
            Self::FetchUnknown { url, vm } => {
                let vm = quoted(vm);
                write!(
                    f,
                    "whether the medium {url} was fetched cannot be known from here; `bkt vm fetch {vm}` does it"
                )
            }
            Self::NotListed { made: true } => {
                f.write_str("it was made from the manifest and is no longer in it; --prune undefines it")
            }
            Self::NotListed { made: false } => {
                f.write_str("it was adopted by the manifest and is no longer in it; --prune lets go of it")
            }
            Self::OtherManifest { manifest } => write!(f, "it is in the hands of {manifest}"),
            Self::Copied { of } => write!(f, "it is a copy of `{of}`, or was renamed, and is left alone"),
            Self::SecureBootGoes => f.write_str(
                "secure_boot goes with it: true -> none; it comes back where the manifest says `\"secure_boot\": true`",
            ),
            Self::SecureBootIsOff => f.write_str(
                "secure_boot comes with it: none -> false, where the manifest does not say `\"secure_boot\": true`",
            ),
            Self::DisplayGoes { password: true } => {
                f.write_str("its old display goes with its port, address and password")
            }
            Self::DisplayGoes { password: false } => f.write_str(
                "its old display goes with its port and address; a password stays with the new one",
            ),
            Self::CardGoes { mac } => write!(f, "its card goes; its address {mac} is kept for the next card"),
            Self::Balloon { mib } => {
                write!(f, "its guest gets {mib} MiB of the memory: its `<currentMemory>` stays")
            }
            Self::DiskGone { path, .. } => write!(f, "its disk `{}` is gone", path.display()),
            Self::Kept { .. } => f.write_str("a VM of this name was here before, and its XML was kept"),
            Self::DiskUnreadable { path } => {
                write!(f, "you may not read its disk `{}`, so its size is not compared", path.display())
            }
            Self::MarkUnreadable => {
                f.write_str("what was applied last cannot be read, so that edits by hand cannot be told")
            }
            Self::CannotSay(unsaid) => write!(f, "{}: {}; {}", unsaid.field, unsaid.found, unsaid.why),
        }
    }
}
