//! A plan in a file: made now, reviewed, applied later if the VMs are still what they were.
//!
//! The file carries the digest of the XML that each VM's part was made from. It is applied whole or not at
//! all: whoever reviewed it reviewed all of it. Pure, but for reading and writing the file. Tests: below.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use plasmavmc_host::{HostError, IoContext, publish};
use plasmavmc_types::{ErrorKind, Explain};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::plan::{Action, Observation, Seen, VmPlan};

/// What a plan's file says it is.
const FORMAT: &str = "bkt-vm-plan/1";

/// The largest file that is read: a thousand VMs take one MiB.
const MAX_BYTES: u64 = 64 << 20;

/// A plan in a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PlanFile {
    /// `bkt-vm-plan/1`.
    pub format: String,
    /// The plan.
    pub plan: VmPlan,
}

/// One VM that is not what it was when the plan was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Stale {
    /// The VM.
    pub name: String,
    /// What is otherwise.
    pub what: String,
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
    /// It was made for another libvirt.
    #[error("the plan was made for {made_for}, and this is {here}")]
    OtherUri {
        /// What it was made for.
        made_for: String,
        /// What this is.
        here: String,
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
    pub fn new(plan: VmPlan) -> Self {
        Self { format: FORMAT.to_owned(), plan }
    }

    /// Writes the file whole, readable by this user only.
    ///
    /// # Errors
    /// [`PlanFileError::Host`].
    pub fn write(&self, path: &Path) -> Result<(), PlanFileError> {
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
        let value: serde_json::Value = serde_json::from_str(&text).map_err(not_a_plan)?;
        match value.get("format").and_then(serde_json::Value::as_str) {
            Some(format) if format != FORMAT => {
                Err(PlanFileError::OtherFormat { path: path.to_owned(), format: format.to_owned() })
            }
            _ => serde_json::from_value(value).map_err(not_a_plan),
        }
    }

    /// Checks that the plan can be applied: every VM of it is what it was, to the byte of its XML.
    ///
    /// # Errors
    /// [`PlanFileError::OtherUri`]; [`PlanFileError::OutOfDate`] with every VM that changed.
    pub fn check(&self, observation: &Observation) -> Result<(), PlanFileError> {
        if self.plan.uri != observation.uri {
            let (made_for, here) = (self.plan.uri.clone(), observation.uri.clone());
            return Err(PlanFileError::OtherUri { made_for, here });
        }
        let stale = stale(&self.plan, observation);
        if stale.is_empty() { Ok(()) } else { Err(PlanFileError::OutOfDate { stale }) }
    }
}

/// The VMs of a plan to which it can no longer be applied.
pub fn stale(plan: &VmPlan, observation: &Observation) -> Vec<Stale> {
    let by_id: BTreeMap<_, &Seen> = observation.domains.iter().map(|seen| (seen.domain.id, seen)).collect();
    let is_named = |name: &str| observation.domains.iter().any(|seen| seen.domain.name == name);
    let mut stale = Vec::new();
    for entry in plan.vms.iter().filter(|entry| !entry.is_empty()) {
        let what = match (entry.id, &entry.action) {
            (_, Action::Create { .. }) if is_named(&entry.name) => Some("exists now".to_owned()),
            (_, Action::Create { .. }) => None,
            (Some(id), _) => match by_id.get(&id) {
                None => Some("is gone".to_owned()),
                Some(seen) if seen.domain.name != entry.name => {
                    Some(format!("was renamed to `{}`", seen.domain.name))
                }
                Some(seen) if Some(&seen.digest) != entry.digest.as_ref() => Some("was edited".to_owned()),
                Some(_) => None,
            },
            (None, _) => Some("has no UUID in the plan".to_owned()),
        };
        stale.extend(what.map(|what| Stale { name: entry.name.clone(), what }));
    }
    stale
}

impl Explain for PlanFileError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Host { source } => source.kind(),
            Self::NotAPlan { .. } | Self::OtherFormat { .. } => ErrorKind::Config,
            Self::OtherUri { .. } => ErrorKind::Usage,
            Self::OutOfDate { .. } => ErrorKind::Conflict,
        }
    }

    fn hints(&self) -> Vec<String> {
        match self {
            Self::Host { source } => source.hints(),
            Self::NotAPlan { path, .. } | Self::OtherFormat { path, .. } => {
                vec![format!("make it anew: `bkt vm sync --out {}`", path.display())]
            }
            Self::OtherUri { made_for, .. } => {
                vec![format!("apply it there: `bkt vm sync --connect {made_for} --plan FILE`")]
            }
            Self::OutOfDate { .. } => {
                vec!["make it anew and review it: `bkt vm sync --out FILE`".to_owned()]
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::PowerState;
    use super::super::plan::{Options, plan};
    use super::super::sample::{definition, domain};
    use super::*;
    use crate::manifest::VmManifest;

    fn observation(digest: &str) -> Observation {
        let seen = Seen {
            domain: domain(),
            live: None,
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
        PlanFile::new(plan(&manifest, &observation("d1"), &options))
    }

    fn what(file: &PlanFile, observation: &Observation) -> String {
        match file.check(observation) {
            Err(PlanFileError::OutOfDate { stale }) => {
                stale.into_iter().map(|one| format!("{} {}", one.name, one.what)).collect()
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_plan_is_applied_to_what_it_was_made_from_and_to_nothing_else() {
        let file = made();
        assert!(file.check(&observation("d1")).is_ok());
        assert_eq!(what(&file, &observation("d2")), "web was edited");
        let mut renamed = observation("d1");
        renamed.domains[0].domain.name = "web2".to_owned();
        assert_eq!(what(&file, &renamed), "web was renamed to `web2`");
        let mut gone = observation("d1");
        gone.domains.clear();
        assert_eq!(what(&file, &gone), "web is gone");
        let elsewhere = Observation { uri: "qemu:///session".to_owned(), ..observation("d1") };
        assert!(matches!(file.check(&elsewhere), Err(PlanFileError::OtherUri { .. })));
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
    fn what_is_no_plan_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("plan.json");
        let read = |text: &str| {
            std::fs::write(&path, text).unwrap();
            PlanFile::read(&path).unwrap_err()
        };
        assert!(matches!(read("{"), PlanFileError::NotAPlan { .. }));
        assert!(matches!(read("{\"format\":\"bkt-vm-plan/1\"}"), PlanFileError::NotAPlan { .. }));
        assert!(matches!(read("{\"format\":\"bkt-vm-plan/2\"}"), PlanFileError::OtherFormat { .. }));
        std::fs::remove_file(&path).unwrap();
        assert!(matches!(PlanFile::read(&path), Err(PlanFileError::Host { .. })));
    }
}
