//! A plan in a file: made now, reviewed, applied later if the VMs are still what they were.
//!
//! The file carries the machine it was made for and the digest of the XML that each VM's part was made from.
//! It is applied whole or not at all: whoever reviewed it reviewed all of it. Pure, but for reading and writing the file. Tests: below.

use std::fmt;
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use plasmavmc_host::{HostError, IoContext, publish};
use plasmavmc_libvirt::virsh::{Connection, VirshError};
use plasmavmc_types::{ErrorKind, Explain};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::plan::{Decision, Entry, Observation, VmPlan, manifest_id};
use super::stale::{Stale, stale, stale_wish};
use crate::manifest::ManifestFile;

/// What a plan's file says it is.
const FORMAT: &str = "bkt-vm-plan/2";

/// What the plans' files of every version say they are.
const FAMILY: &str = "bkt-vm-plan/";

/// The largest file that is read: a thousand VMs take one MiB.
const MAX_BYTES: u64 = 64 << 20;

/// A plan in a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PlanFile {
    /// `bkt-vm-plan/2`.
    pub format: String,
    /// The machine it was made for: a connection such as `qemu:///system` leads to another one on each.
    pub machine: Machine,
    /// The plan.
    pub plan: VmPlan,
}

/// A machine with a libvirt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Machine {
    /// Its host name, as libvirt tells it.
    pub hostname: String,
    /// The UUID libvirt has of it; none where libvirt has none that lasts.
    pub uuid: Option<String>,
}

impl Machine {
    /// The machine of a connection.
    ///
    /// # Errors
    /// [`VirshError`].
    pub fn of(connection: &Connection) -> Result<Self, VirshError> {
        let reader = connection.reader();
        // A libvirt without privileges may not read it, and makes one up each time it starts.
        let lasts = !reader.uri()?.contains("/session");
        let (hostname, uuid) = reader.machine()?;
        Ok(Self { hostname, uuid: uuid.filter(|_| lasts) })
    }

    /// Whether both are one machine: names are given twice, UUIDs are not.
    fn is(&self, other: &Self) -> bool {
        match (&self.uuid, &other.uuid) {
            (Some(own), Some(other)) => own == other,
            (own, other_uuid) => own == other_uuid && self.hostname == other.hostname,
        }
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`", self.hostname)?;
        self.uuid.as_ref().map_or(Ok(()), |uuid| write!(f, " ({uuid})"))
    }
}

/// Why a plan's file is not applied.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PlanFileError {
    /// It cannot be read or written.
    #[error("the plan's file cannot be used")]
    Host {
        /// Why not.
        #[source]
        source: HostError,
    },
    /// It holds no plan.
    #[error("`{}` holds no plan", path.display())]
    NotAPlan {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: serde_json::Error,
    },
    /// It holds a plan of another version.
    #[error("`{}` holds a plan of the format {format:?}, and this is `{FORMAT}`", path.display())]
    OtherFormat {
        /// The file.
        path: PathBuf,
        /// What it says it is.
        format: String,
    },
    /// The file that a plan is to be written to is something else.
    #[error("`{}` is there and is no plan, so it is not overwritten", path.display())]
    WouldOverwrite {
        /// The file.
        path: PathBuf,
    },
    /// It was made for another libvirt.
    #[error("the plan was made for {made_for}, and this is {here}")]
    OtherUri {
        /// What it was made for.
        made_for: String,
        /// What this is.
        here: String,
    },
    /// It was made for a libvirt of that URI on another machine.
    #[error("the plan was made on the machine {made_for}, and this is {here}")]
    OtherMachine {
        /// What it was made for.
        made_for: Machine,
        /// What this is.
        here: Machine,
    },
    /// VMs are not what they were.
    #[error("the plan is out of date: {}", stale.iter().map(|one| format!("`{}` {}", one.name, one.what)).collect::<Vec<_>>().join(", "))]
    OutOfDate {
        /// The VMs.
        stale: Vec<Stale>,
    },
}

impl PlanFile {
    /// A plan, to be written.
    pub fn new(plan: VmPlan, machine: Machine) -> Self {
        Self { format: FORMAT.to_owned(), machine, plan }
    }

    /// Whether a plan may be written there: nothing is, or a plan of any version.
    ///
    /// # Errors
    /// [`PlanFileError::WouldOverwrite`].
    pub fn may_write(path: &Path) -> Result<(), PlanFileError> {
        match (fs::symlink_metadata(path), Self::read(path)) {
            (Err(_), _) | (Ok(_), Ok(_) | Err(PlanFileError::OtherFormat { .. })) => Ok(()),
            (Ok(_), Err(_)) => Err(PlanFileError::WouldOverwrite { path: path.to_owned() }),
        }
    }

    /// Writes the file whole, readable by this user only.
    ///
    /// # Errors
    /// [`PlanFileError::WouldOverwrite`], [`PlanFileError::Host`].
    pub fn write(&self, path: &Path) -> Result<(), PlanFileError> {
        Self::may_write(path)?;
        let mut text = serde_json::to_vec_pretty(self)
            .map_err(|source| PlanFileError::NotAPlan { path: path.to_owned(), source })?;
        text.push(b'\n');
        publish::write(path, &text).map_err(|source| PlanFileError::Host { source })
    }

    /// Reads the file.
    ///
    /// # Errors
    /// [`PlanFileError`].
    pub fn read(path: &Path) -> Result<Self, PlanFileError> {
        let host = |source| PlanFileError::Host { source };
        let mut text = String::new();
        let file = File::open(path).context("open", path).map_err(host)?;
        file.take(MAX_BYTES).read_to_string(&mut text).context("read", path).map_err(host)?;
        let not_a_plan = |source| PlanFileError::NotAPlan { path: path.to_owned(), source };
        let value: Value = serde_json::from_str(&text).map_err(not_a_plan)?;
        match value.get("format").and_then(Value::as_str) {
            Some(format) if format != FORMAT && format.starts_with(FAMILY) => {
                Err(PlanFileError::OtherFormat { path: path.to_owned(), format: format.to_owned() })
            }
            _ => serde_json::from_value(value).map_err(not_a_plan),
        }
    }

    /// Checks that the plan can be applied: every VM of it is what it was, to the byte of its XML.
    ///
    /// # Errors
    /// [`PlanFileError::OtherUri`]; [`PlanFileError::OtherMachine`]; [`PlanFileError::OutOfDate`] with every
    /// VM that changed.
    pub fn check(&self, observation: &Observation, here: &Machine) -> Result<(), PlanFileError> {
        if self.plan.uri != observation.uri {
            let (made_for, here) = (self.plan.uri.clone(), observation.uri.clone());
            return Err(PlanFileError::OtherUri { made_for, here });
        }
        if !self.machine.is(here) {
            let (made_for, here) = (self.machine.clone(), here.clone());
            return Err(PlanFileError::OtherMachine { made_for, here });
        }
        let stale = stale(&self.plan, observation);
        if stale.is_empty() { Ok(()) } else { Err(PlanFileError::OutOfDate { stale }) }
    }
}

impl PlanFile {
    /// Checks that a manifest still wants what the plan is of. VMs that were planned from another manifest
    /// are none of its business.
    ///
    /// # Errors
    /// [`PlanFileError::OutOfDate`] with every VM of which it wants something else.
    pub fn check_manifest(&self, manifest: &ManifestFile) -> Result<(), PlanFileError> {
        let here = Some(manifest_id(&manifest.path));
        let takes = |entry: &Entry| entry.changes.iter().any(|one| one.decision == Decision::TakeTheirs);
        let is_from = |entry: &&Entry| {
            takes(entry) || entry.applied.as_ref().is_none_or(|applied| applied.manifest == here)
        };
        let mut stale = Vec::new();
        for entry in self.plan.vms.iter().filter(|entry| !entry.is_empty()).filter(is_from) {
            let what = stale_wish(entry, manifest.manifest.vms.get(entry.name.as_str()));
            stale.extend(what.map(|what| Stale { name: entry.name.clone(), what }));
        }
        if stale.is_empty() { Ok(()) } else { Err(PlanFileError::OutOfDate { stale }) }
    }
}

impl Explain for PlanFileError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Host { source } => source.kind(),
            Self::NotAPlan { .. } | Self::OtherFormat { .. } => ErrorKind::Config,
            Self::OtherUri { .. } | Self::OtherMachine { .. } | Self::WouldOverwrite { .. } => {
                ErrorKind::Usage
            }
            Self::OutOfDate { .. } => ErrorKind::Conflict,
        }
    }

    fn hints(&self) -> Vec<String> {
        match self {
            Self::Host { source } => source.hints(),
            Self::NotAPlan { path, .. } | Self::OtherFormat { path, .. } => {
                vec![format!("make it anew: `bkt vm sync --out {}`", path.display())]
            }
            Self::WouldOverwrite { .. } => {
                vec!["name a file that is not there yet: `bkt vm sync --out plan.json`".to_owned()]
            }
            Self::OtherUri { made_for, .. } => {
                vec![format!("apply it there: `bkt vm sync --connect {made_for} --plan FILE`")]
            }
            Self::OtherMachine { .. } => vec![
                "make one for this machine: `bkt vm sync --out FILE`".to_owned(),
                "see what tells them apart: `virsh hostname`, `virsh capabilities`".to_owned(),
            ],
            Self::OutOfDate { .. } => {
                vec!["make it anew and review it: `bkt vm sync --out FILE`".to_owned()]
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::PowerState;
    use super::super::plan::{FileSeen, Files, Options, Seen, plan};
    use super::super::sample::{definition, domain};
    use super::super::stale::disks;
    use super::*;
    use crate::manifest::{VmDefinition, VmManifest};

    fn observation(digest: &str) -> Observation {
        let seen = Seen {
            domain: domain(),
            live: None,
            xml: None,
            kept: None,
            digest: digest.to_owned(),
            state: PowerState::Stopped,
            is_active: false,
            persistent: true,
            autostart: Some(false),
        };
        Observation { uri: "qemu:///system".to_owned(), domains: vec![seen], ..Observation::default() }
    }

    fn made() -> PlanFile {
        let mut manifest = VmManifest::default();
        manifest.vms.insert("web".parse().unwrap(), definition());
        let options = Options { adopt: true, ..Options::default() };
        PlanFile::new(plan(&manifest, &observation("d1"), &options), machine("a", Some("u1")))
    }

    fn machine(hostname: &str, uuid: Option<&str>) -> Machine {
        Machine { hostname: hostname.to_owned(), uuid: uuid.map(str::to_owned) }
    }

    fn check(file: &PlanFile, observation: &Observation) -> Result<(), PlanFileError> {
        file.check(observation, &machine("a", Some("u1")))
    }

    fn what(file: &PlanFile, observation: &Observation) -> String {
        match check(file, observation) {
            Err(PlanFileError::OutOfDate { stale }) => {
                stale.into_iter().map(|one| format!("{} {}", one.name, one.what)).collect()
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_plan_is_applied_to_what_it_was_made_from_and_to_nothing_else() {
        let file = made();
        assert!(check(&file, &observation("d1")).is_ok());
        assert_eq!(what(&file, &observation("d2")), "web was edited");
        let mut renamed = observation("d1");
        renamed.domains[0].domain.name = "web2".to_owned();
        assert_eq!(what(&file, &renamed), "web was renamed to `web2`");
        let mut gone = observation("d1");
        gone.domains.clear();
        assert_eq!(what(&file, &gone), "web is gone");
        let elsewhere = Observation { uri: "qemu:///session".to_owned(), ..observation("d1") };
        assert!(matches!(check(&file, &elsewhere), Err(PlanFileError::OtherUri { .. })));
    }

    #[test]
    fn a_plan_is_for_one_machine_whatever_its_name_is_now() {
        let (file, seen) = (made(), observation("d1"));
        let is_here = |here: &Machine| match file.check(&seen, here) {
            Ok(()) => true,
            Err(PlanFileError::OtherMachine { .. }) => false,
            other => panic!("{other:?}"),
        };
        assert!(is_here(&machine("a", Some("u1"))) && is_here(&machine("renamed", Some("u1"))));
        assert!(!is_here(&machine("a", Some("u2"))) && !is_here(&machine("a", None)));
        let named = |name| PlanFile { machine: machine(name, None), ..made() };
        assert!(named("a").check(&seen, &machine("a", None)).is_ok());
        assert!(named("b").check(&seen, &machine("a", None)).is_err());
    }

    #[test]
    fn a_vm_that_was_started_stopped_or_saved_since_is_not_the_one_that_was_reviewed() {
        let file = made();
        for (state, is_active, expected) in
            [(PowerState::Running, true, "web was started"), (PowerState::Saved, false, "web was saved")]
        {
            let mut now = observation("d1");
            (now.domains[0].state, now.domains[0].is_active) = (state, is_active);
            assert_eq!(what(&file, &now), expected);
        }
    }

    #[test]
    fn a_disk_that_somebody_made_or_took_since_is_not_the_one_that_was_reviewed() {
        let path = PathBuf::from("/images/web.qcow2");
        let mut manifest = VmManifest::default();
        manifest.vms.insert("web".parse().unwrap(), VmDefinition { create_if_missing: true, ..definition() });
        let size = plasmavmc_types::ByteSize::gib(80);
        let disk = FileSeen::Disk { size, format: plasmavmc_types::DiskFormat::Qcow2, length: size };
        let world = |file: &FileSeen| Observation {
            uri: "qemu:///system".to_owned(),
            files: Files::from([(path.clone(), file.clone())]),
            ..Observation::default()
        };
        let made_with = |file: &FileSeen| {
            let plan = plan(&manifest, &world(file), &Options::default());
            assert_eq!(disks(&plan), std::slice::from_ref(&path));
            PlanFile::new(plan, machine("a", Some("u1")))
        };
        let missing = made_with(&FileSeen::Missing);
        assert!(check(&missing, &world(&FileSeen::Missing)).is_ok());
        assert_eq!(what(&missing, &world(&disk)), "web has a disk now that was to be made");
        let there = made_with(&disk);
        assert!(check(&there, &world(&disk)).is_ok());
        assert_eq!(what(&there, &world(&FileSeen::Missing)), "web has lost the disk that was there");
    }

    #[test]
    fn a_plan_survives_its_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("plan.json");
        let file = made();
        file.write(&path).unwrap();
        assert_eq!(PlanFile::read(&path).unwrap(), file);
    }

    #[test]
    fn a_plan_overwrites_a_plan_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("vms.json");
        let file = made();
        for text in
            ["{\"vms\": {}}", "notes", "", "{\"format\": \"other/1\"}", "{\"format\":\"bkt-vm-plan/2\"}"]
        {
            fs::write(&path, text).unwrap();
            let refused = file.write(&path).unwrap_err();
            assert!(matches!(refused, PlanFileError::WouldOverwrite { .. }), "{text}: {refused}");
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
        }
        fs::write(&path, "{\"format\":\"bkt-vm-plan/0\"}").unwrap();
        file.write(&path).unwrap();
        file.write(&path).unwrap();
        assert!(file.write(dir.path()).is_err());
    }

    #[test]
    fn what_is_no_plan_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("plan.json");
        let read = |text: &str| {
            fs::write(&path, text).unwrap();
            PlanFile::read(&path).unwrap_err()
        };
        assert!(matches!(read("{"), PlanFileError::NotAPlan { .. }));
        assert!(matches!(read("{\"format\":\"bkt-vm-plan/2\"}"), PlanFileError::NotAPlan { .. }));
        assert!(matches!(read("{\"format\":\"bkt-vm-plan/1\"}"), PlanFileError::OtherFormat { .. }));
        fs::remove_file(&path).unwrap();
        assert!(matches!(PlanFile::read(&path), Err(PlanFileError::Host { .. })));
    }
}
