//! What the backend keeps of a VM: its definition, the run it is in, why the last one ended.
//!
//! One file a VM, `metadata/vms/<vm>.json`, private and published whole. It holds the intent of a
//! launch before the launch: whoever finds a record with a run looks for that run's process, so a
//! crash at any step leaves nothing that cannot be found. Tests: below.

use std::fs;
use std::io;
use std::path::Path;

use plasmavmc_host::process::BootId;
use plasmavmc_host::{HostError, IoContext, Layout, publish};
use plasmavmc_types::{Accelerator, RunToken, StopReason, Timestamp, VmHandle, VmName, VmSpec};
use serde::{Deserialize, Serialize};

/// The form of record this program writes. A reader refuses a higher one: an older program would
/// lose what it does not know.
const SCHEMA: u32 = 1;

/// A VM as the backend keeps it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Record {
    schema: u32,
    /// What the VM shall be.
    pub(crate) spec: VmSpec,
    /// QEMU's machine type, with its version: the guest finds the same hardware after an upgrade
    /// of QEMU.
    pub(crate) machine: String,
    /// The run that was launched and whose end nobody has written down yet.
    pub(crate) run: Option<Run>,
    /// Why the last run that is written down ended.
    pub(crate) last_stop: Option<StopReason>,
}

/// One run of a VM.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Run {
    /// Stands on the process's command line.
    pub(crate) token: RunToken,
    /// The boot of the host it belongs to.
    pub(crate) boot_id: BootId,
    /// What runs its guest code.
    pub(crate) accelerator: Accelerator,
    /// When it was launched.
    pub(crate) launched_at: Timestamp,
    /// Whether this program sent it SIGKILL: nothing else would tell.
    pub(crate) killed: bool,
    /// How long the log of its console was: what comes after is this run's. None where an older version
    /// launched it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) console_start: Option<u64>,
}

impl Record {
    /// The record of a VM that never ran.
    pub(crate) fn new(spec: VmSpec, machine: String) -> Self {
        Self { schema: SCHEMA, spec, machine, run: None, last_stop: None }
    }

    /// Reads a VM's record; none where it has none.
    pub(crate) fn load(layout: &Layout, vm: &VmName) -> Result<Option<Self>, HostError> {
        let path = layout.vm_record(vm);
        match fs::read(&path) {
            Ok(bytes) => Self::parse(&path, &bytes).map(Some),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).context("read", &path),
        }
    }

    fn parse(path: &Path, bytes: &[u8]) -> Result<Self, HostError> {
        let malformed =
            |reason| HostError::Malformed { path: path.to_owned(), expected: "a VM record", reason };
        let record: Self = serde_json::from_slice(bytes).map_err(|error| malformed(error.to_string()))?;
        if record.schema > SCHEMA {
            return Err(malformed(format!("a newer version wrote it (schema {})", record.schema)));
        }
        Ok(record)
    }

    /// Publishes the record.
    pub(crate) fn save(&self, layout: &Layout) -> Result<(), HostError> {
        let path = layout.vm_record(&self.spec.name);
        publish::private_dir_below(layout.root(), &layout.vm_records())?;
        let text = serde_json::to_vec_pretty(self).map_err(io::Error::from).context("encode", &path)?;
        publish::write(&path, &text)
    }

    /// The VM.
    pub(crate) fn handle(&self) -> VmHandle {
        VmHandle { id: self.spec.id, name: self.spec.name.clone() }
    }
}

/// The names of all VMs that have a record, sorted.
pub(crate) fn names(layout: &Layout) -> Result<Vec<VmName>, HostError> {
    let dir = layout.vm_records();
    let entries = match fs::read_dir(&dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error).context("list", &dir),
    };
    let mut names = Vec::new();
    for entry in entries {
        let file = entry.context("list", &dir)?.file_name();
        // Anything else here, such as a temporary file, is not a record.
        let name = file.to_str().and_then(|name| name.strip_suffix(".json")?.parse().ok());
        names.extend(name);
    }
    names.sort();
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;
    use plasmavmc_hypervisor::conformance::small_spec;

    #[test]
    fn a_spec_of_an_earlier_version_has_no_shares() {
        let spec = r#"{"id":"01890a5d-ac96-774b-bcce-b302099a8057","name":"web",
            "resources":{"cpus":1,"memory":67108864},"machine":"q35","firmware":"bios",
            "accelerator":"tcg","disks":[],"networks":[]}"#;
        let spec: VmSpec = serde_json::from_str(spec).unwrap();
        assert_eq!(spec.shares, []);
        assert!(!serde_json::to_string(&spec).unwrap().contains("shares"));
    }

    fn sample() -> Record {
        let mut record = Record::new(small_spec("web"), "pc-q35-10.0".to_owned());
        record.run = Some(Run {
            token: RunToken::generate(),
            boot_id: BootId::from_uuid(uuid::Uuid::nil()),
            accelerator: Accelerator::Tcg,
            launched_at: Timestamp::from_unix_millis(1_767_225_600_000),
            killed: false,
            console_start: None,
        });
        record.last_stop = Some(StopReason::Failed { message: "out of luck".to_owned() });
        record
    }

    #[test]
    fn a_record_survives_its_file() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::new(dir.path());
        let record = sample();
        assert_eq!(Record::load(&layout, &record.spec.name).unwrap(), None);
        record.save(&layout).unwrap();
        assert_eq!(Record::load(&layout, &record.spec.name).unwrap(), Some(record));
    }

    #[test]
    fn a_record_of_a_newer_version_is_refused_not_misread() {
        let newer = Record { schema: SCHEMA + 1, ..sample() };
        let error = Record::parse(Path::new("/w/r.json"), &serde_json::to_vec(&newer).unwrap()).unwrap_err();
        assert_eq!(error.to_string(), "`/w/r.json` is not a VM record: a newer version wrote it (schema 2)");
        assert!(Record::parse(Path::new("/w/r.json"), b"{").is_err());
    }

    #[test]
    fn only_records_are_listed() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::new(dir.path());
        assert!(names(&layout).unwrap().is_empty());
        publish::private_dir(&layout.vm_records()).unwrap();
        for file in ["web.json", "api-0.json", ".castra-tmp-x", "notes.txt", ".json", "-x.json"] {
            fs::write(layout.vm_records().join(file), "").unwrap();
        }
        let found: Vec<String> = names(&layout).unwrap().iter().map(ToString::to_string).collect();
        assert_eq!(found, ["api-0", "web"]);
    }
}
