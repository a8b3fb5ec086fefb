//! `metadata/workspace.json`: what `up` writes down of a workspace, for commands that run without
//! its config.

use std::io::Write;
use std::path::{Path, PathBuf};

use plasmavmc_host::{HostError, IoContext, Layout, publish};
use plasmavmc_types::Timestamp;
use serde::{Deserialize, Serialize};

use crate::config::ConfigOrigin;
use crate::core::project::WorkspaceId;
use crate::core::up::WaitFor;

/// The version of the record's form. A reader refuses a newer one.
pub const SCHEMA: u32 = 1;

/// What is known of a workspace without its config.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkspaceRecord {
    /// The version of this form, [`SCHEMA`].
    pub schema: u32,
    /// The workspace.
    pub workspace: Identity,
    /// When `up` first ran.
    pub created_at: Timestamp,
    /// When `up` last ran.
    pub updated_at: Timestamp,
    /// How `up` last ran.
    pub invocation: Invocation,
}

/// Which workspace it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// What `--workspace` takes.
    pub id: WorkspaceId,
    /// The project's name.
    pub project: String,
    /// The workspace's root.
    pub root: PathBuf,
    /// The config it was made from.
    pub config: PathBuf,
    /// Where the config came from.
    pub origin: Origin,
}

/// Where a config came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// A file.
    File,
    /// Nowhere: it was made up because none was found (`--allow-synthetic`).
    Synthetic,
}

impl From<&ConfigOrigin> for Origin {
    fn from(origin: &ConfigOrigin) -> Self {
        match origin {
            ConfigOrigin::Named { .. } | ConfigOrigin::Found { .. } => Self::File,
            ConfigOrigin::Synthetic { .. } => Self::Synthetic,
        }
    }
}

/// How `up` was called.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Invocation {
    /// The version of Castra.
    pub version: String,
    /// `--force` was given.
    pub force: bool,
    /// What `--wait` asked for.
    pub wait: WaitFor,
    /// When bootstraps run: `auto` is the only policy so far.
    pub bootstrap: String,
}

impl WorkspaceRecord {
    /// Reads the record of a workspace; none where it has none.
    ///
    /// # Errors
    /// [`HostError`] where it is there and cannot be read, or is of another form.
    pub fn read(layout: &Layout) -> Result<Option<Self>, HostError> {
        let path = layout.workspace_record();
        let bytes = match std::fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(HostError::Io { action: "read", path, source }),
        };
        Self::parse(&bytes, &path).map(Some)
    }

    fn parse(bytes: &[u8], path: &Path) -> Result<Self, HostError> {
        let malformed = |reason: String| HostError::Malformed {
            path: path.to_owned(),
            expected: "a workspace record",
            reason,
        };
        let record: Self = serde_json::from_slice(bytes).map_err(|error| malformed(error.to_string()))?;
        if record.schema > SCHEMA {
            return Err(malformed(format!("form {} is newer than this castra", record.schema)));
        }
        Ok(record)
    }

    /// Writes the record, whole.
    ///
    /// # Errors
    /// [`HostError`].
    pub fn write(&self, layout: &Layout) -> Result<(), HostError> {
        publish::write(&layout.workspace_record(), &self.text())
    }

    /// Writes the record where there is none; tells whether it did. Of two at once, one does.
    ///
    /// # Errors
    /// [`HostError`].
    pub fn create(&self, layout: &Layout) -> Result<bool, HostError> {
        let path = layout.workspace_record();
        let mut file = publish::temporary(&path)?;
        file.write_all(&self.text()).context("write", &path)?;
        publish::persist_new(file, &path)
    }

    fn text(&self) -> Vec<u8> {
        let mut text = serde_json::to_vec_pretty(self).expect("a record of plain values serialises");
        text.push(b'\n');
        text
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::core::workspace) fn record(id: &str, root: &Path) -> WorkspaceRecord {
        WorkspaceRecord {
            schema: SCHEMA,
            workspace: Identity {
                id: id.parse().unwrap(),
                project: "web".to_owned(),
                root: root.to_owned(),
                config: "/src/web/castra.toml".into(),
                origin: Origin::File,
            },
            created_at: Timestamp::from_unix_millis(1),
            updated_at: Timestamp::from_unix_millis(2),
            invocation: Invocation {
                version: "0.1.0".to_owned(),
                force: false,
                wait: WaitFor::Ssh,
                bootstrap: "auto".to_owned(),
            },
        }
    }

    #[test]
    fn a_record_reads_back_as_written() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::new(dir.path());
        assert_eq!(WorkspaceRecord::read(&layout).unwrap(), None);
        publish::private_dir(&layout.metadata()).unwrap();
        let record = record("web-0123456789ab", dir.path());
        assert!(record.create(&layout).unwrap());
        assert_eq!(WorkspaceRecord::read(&layout).unwrap(), Some(record.clone()));
        let mut other = record.clone();
        other.workspace.project = "other".to_owned();
        assert!(!other.create(&layout).unwrap());
        assert_eq!(WorkspaceRecord::read(&layout).unwrap(), Some(record));
        other.write(&layout).unwrap();
        assert_eq!(WorkspaceRecord::read(&layout).unwrap(), Some(other));
    }

    #[test]
    fn a_record_of_a_newer_castra_is_refused_not_guessed_at() {
        let mut record = record("web-0123456789ab", Path::new("/w"));
        record.schema = SCHEMA + 1;
        let text = serde_json::to_vec(&record).unwrap();
        assert!(WorkspaceRecord::parse(&text, Path::new("x")).is_err());
        assert!(WorkspaceRecord::parse(b"", Path::new("x")).is_err());
    }
}
