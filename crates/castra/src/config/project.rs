//! A project as resolved from its `castra.toml`: every default filled in, every path absolute.
//!
//! Owns: the types the operations work with. Never does: know about TOML. A [`Project`] that exists
//! is free of faults: names are unique, host ports and overlays are used once. Tests: the types'
//! own rules below, the rest beside the code that resolves them.

use std::collections::BTreeMap;
use std::fmt;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use plasmavmc_guest::freshness::DEFAULT_WINDOW_MS;
use plasmavmc_host::image::ImageName;
use plasmavmc_host::seed::SeedReader;
use plasmavmc_types::{
    AcceleratorChoice, BootstrapMode, ByteSize, Firmware, Persistence, PortForward, VmName,
};

use crate::core::project::WorkspaceId;

/// A project: what its `castra.toml` says, resolved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Project {
    /// Its name.
    pub name: ProjectName,
    /// The id of its workspace.
    pub workspace_id: WorkspaceId,
    /// Its workspace: an absolute path.
    pub state_root: PathBuf,
    /// Its config: an absolute path. Of a synthetic project, where the config would be.
    pub config_path: PathBuf,
    /// Its VMs, replicas counted out, in the order of the config; at least one.
    pub vms: Vec<VmConfig>,
    /// How long each step of a shutdown may take.
    pub lifecycle: Lifecycle,
    /// How guests are listened to.
    pub channel: Channel,
}

impl Project {
    /// The directory of the config.
    pub fn config_dir(&self) -> &Path {
        self.config_path.parent().unwrap_or(&self.config_path)
    }

    /// The VM of that name, written in any case.
    pub fn vm(&self, name: &str) -> Option<&VmConfig> {
        self.vms.iter().find(|vm| vm.name.as_str().eq_ignore_ascii_case(name))
    }
}

/// One VM of a project.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VmConfig {
    /// Its name, unique in the project whatever the case.
    pub name: VmName,
    /// What its disk begins as.
    pub base_image: BaseImage,
    /// What the guest writes to: an absolute path no other VM of the project uses.
    pub overlay: PathBuf,
    /// Virtual processors, 1 to [`super::limits::MAX_CPUS`].
    pub cpus: NonZeroU32,
    /// Guest memory: whole MiB, at least [`super::limits::MIN_MEMORY`].
    pub memory: ByteSize,
    /// Ports of the host that lead into the guest; no other VM of the project has the same.
    pub port_forwards: Vec<PortForward>,
    /// How guest code is to be run.
    pub accelerator: AcceleratorChoice,
    /// What runs before the boot loader; none for what boots the base image, which the catalogue
    /// knows, and BIOS for every other image.
    pub firmware: Option<Firmware>,
    /// What happens to the overlay when the VM stops.
    pub persistence: Persistence,
    /// Folders of the host that its guest sees, each at a place of its own.
    pub mounts: Vec<Mount>,
    /// What cloud-init finds in its seed.
    pub cloud_init: CloudInit,
    /// How it is set up once its guest answers; none for not at all.
    pub bootstrap: Option<Bootstrap>,
}

/// A folder of the host that a guest sees.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Mount {
    /// The folder: an absolute path whose links were not followed yet.
    pub host: PathBuf,
    /// Where the guest sees it: an absolute path, not `/`.
    pub guest: String,
    /// Whether the guest may not write to it.
    pub read_only: bool,
}

/// What a VM's disk begins as.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum BaseImage {
    /// A file of the host, absolute.
    Path(PathBuf),
    /// An image of the catalogue, or one that was imported or built under that name.
    Catalogue(ImageName),
}

impl BaseImage {
    /// Who reads the cloud-init seed in its guest, as far as its name tells.
    pub fn seed_reader(&self) -> SeedReader {
        match self {
            Self::Path(path) => SeedReader::of_file(path),
            Self::Catalogue(name) => SeedReader::of_image(name),
        }
    }
}

impl fmt::Display for BaseImage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path(path) => write!(f, "{}", path.display()),
            Self::Catalogue(name) => name.fmt(f),
        }
    }
}

/// What cloud-init finds in a VM's seed, beside what Castra writes itself.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CloudInit {
    /// The user-data; none for Castra's own.
    pub user_data: Option<Source>,
    /// The network-config; none for Castra's own.
    pub network_config: Option<Source>,
}

/// How a VM is set up once its guest answers: a script that runs in the guest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bootstrap {
    /// When it runs.
    pub mode: BootstrapMode,
    /// The script, a file of the host: absolute.
    pub script: PathBuf,
    /// What the script works with, a file or directory of the host: absolute.
    pub payload: Option<PathBuf>,
    /// Variables the script and the check find in their environment.
    pub env: BTreeMap<String, String>,
    /// How long each step may take, 1 s to a day.
    pub timeout: Duration,
    /// What tells in the guest whether the script did its work; none where its exit code is enough.
    pub verify: Option<Verify>,
}

/// What tells in a guest whether something is as it should be: exit code 0 is good.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Verify {
    /// A line for the guest's shell.
    Shell(String),
    /// A program and its arguments; at least the program.
    Program(Vec<String>),
}

impl Verify {
    /// Every word of it, in order.
    pub fn words(&self) -> impl Iterator<Item = &str> {
        let words = match self {
            Self::Shell(line) => std::slice::from_ref(line),
            Self::Program(words) => words,
        };
        words.iter().map(String::as_str)
    }
}

/// Where a text comes from.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Source {
    /// The config holds it.
    Inline(String),
    /// A file of the host, absolute; read when the VM starts.
    Path(PathBuf),
}

/// How long each step of a shutdown may take, each 0 to 3600 s; 0 skips the wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lifecycle {
    /// Time the guest gets to power off after the ACPI request.
    ///
    /// Default 20 s: an ordinary cloud image stops its services and powers off in 2 to 8 s; twice
    /// that leaves room for a guest that runs without hardware acceleration.
    pub graceful_shutdown_wait: Duration,
    /// Time the VM's process gets after SIGTERM.
    ///
    /// Default 10 s: QEMU answers SIGTERM by flushing its disks and leaving; the time is for a slow
    /// disk with much to flush.
    pub sigterm_wait: Duration,
    /// Time the VM's process gets to vanish after SIGKILL.
    ///
    /// Default 5 s: the kernel ends the process at once unless it waits for a disk; who waits
    /// longer than that has a broken disk and should be told.
    pub sigkill_wait: Duration,
}

impl Default for Lifecycle {
    fn default() -> Self {
        Self {
            graceful_shutdown_wait: Duration::from_secs(20),
            sigterm_wait: Duration::from_secs(10),
            sigkill_wait: Duration::from_secs(5),
        }
    }
}

/// How guests are listened to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Channel {
    /// How old a guest's last answer may be for it to count as reachable, 3 to 300 s.
    ///
    /// Default 6 s: a guest is asked every 2 s, so one answer may be lost and one late.
    pub freshness_window: Duration,
}

impl Channel {
    /// The window in milliseconds.
    pub fn freshness_window_ms(&self) -> u64 {
        u64::try_from(self.freshness_window.as_millis()).unwrap_or(u64::MAX)
    }
}

impl Default for Channel {
    fn default() -> Self {
        Self { freshness_window: Duration::from_millis(DEFAULT_WINDOW_MS) }
    }
}

/// A project's name: 1 to 63 characters on one line, without `/` and `\`, not only spaces.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ProjectName(String);

/// Why a text is not a [`ProjectName`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProjectNameError {
    /// The text is empty, or spaces only.
    #[error("a project name cannot be empty")]
    Empty,
    /// The text is longer than [`ProjectName::MAX_CHARS`].
    #[error("a project name has at most {max} characters; this one has {chars}", max = ProjectName::MAX_CHARS)]
    TooLong {
        /// Its length in characters.
        chars: usize,
    },
    /// A character that a name cannot hold.
    #[error("a project name cannot hold {found:?}")]
    Character {
        /// The first character that does not fit.
        found: char,
    },
}

impl ProjectName {
    /// The longest name, in characters: what fits a column of a table.
    pub const MAX_CHARS: usize = 63;

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name of a project whose config gives none: its directory's, as far as that is a name.
    pub fn of_directory(directory: &Path) -> Self {
        let name = directory.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        name.parse().unwrap_or_else(|_| Self("project".to_owned()))
    }
}

impl FromStr for ProjectName {
    type Err = ProjectNameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let chars = text.chars().count();
        if text.trim().is_empty() {
            return Err(ProjectNameError::Empty);
        }
        if chars > Self::MAX_CHARS {
            return Err(ProjectNameError::TooLong { chars });
        }
        match text.chars().find(|&c| c.is_control() || matches!(c, '/' | '\\')) {
            Some(found) => Err(ProjectNameError::Character { found }),
            None => Ok(Self(text.to_owned())),
        }
    }
}

impl fmt::Display for ProjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_project_names_are_refused() {
        for name in ["", "   ", "../x", "a/b", "a\\b", "a\nb", "a\0b", "a\u{1b}[31m"] {
            assert!(name.parse::<ProjectName>().is_err(), "{name:?} was accepted");
        }
        assert_eq!("é".repeat(300).parse::<ProjectName>(), Err(ProjectNameError::TooLong { chars: 300 }));
        for name in ["web", "Mein Projekt", "日本", "a, b", "-x"] {
            assert!(name.parse::<ProjectName>().is_ok(), "{name:?} was refused");
        }
    }

    #[test]
    fn every_directory_gives_a_project_name() {
        for (directory, name) in [("/src/web", "web"), ("/", "project"), ("/a\nb", "project")] {
            assert_eq!(ProjectName::of_directory(Path::new(directory)).as_str(), name);
        }
    }
}
