//! `castra.toml`: found, read, and resolved into a [`Project`], with every fault at once.
//!
//! ```text
//! discover ─► load ─► syntax ─► walk ─► replica ─► check ─► Project
//!  (I/O)      (I/O)   └────────── pure: parse_bytes ──────┘ or every Fault
//! ```
//!
//! Owns: the format, its limits, its rules and its JSON Schema. Never does: print, write a file, or
//! look at a base image.
//!
//! ```
//! use castra::config::{Environment, parse};
//! use castra::env::UserDirs;
//!
//! let dirs = UserDirs::from_values(None, Some("/home/me".into()))?;
//! let env = Environment::new("/src/web/castra.toml", &dirs);
//!
//! let project = parse("[[vms]]\nname = \"api\"\ncount = 2\n", &env).expect("no faults");
//! assert_eq!(project.vms[1].name.as_str(), "api-1");
//!
//! let faults = parse("[[vms]]\nnmae = \"api\"\n", &env).expect_err("two faults");
//! assert_eq!(faults[1].suggestion.as_deref(), Some("did you mean `name`?"));
//! # Ok::<(), castra::env::EnvError>(())
//! ```
//!
//! Tests: beside each part, and `tests/config`.

mod bootstrap;
mod check;
mod code;
mod discover;
mod document;
mod error;
mod forward;
pub mod limits;
pub(crate) mod mount;
mod path;
mod project;
mod reference;
mod replica;
mod resolve;
mod rule;
mod schema;
mod snapshot;
mod syntax;
mod template;
mod vm;
mod walk;

use std::path::{Path, PathBuf};

pub use code::FaultCode;
pub use discover::{ConfigOrigin, Discovery, Lookup, Synthesis, discover, load};
pub use error::ConfigError;
pub use plasmavmc_source::{FileError, FileProblem, NotAFile, Position, Related, Span};
pub use project::{
    BaseImage, Bootstrap, Channel, CloudInit, Lifecycle, Mount, Project, ProjectName, ProjectNameError,
    Source, Verify, VmConfig,
};
pub use reference::reference_markdown;
pub use resolve::{parse, parse_bytes};
pub use schema::schema;
pub use snapshot::{from_snapshot, to_snapshot};
pub use template::starter;

use plasmavmc_source::Format;

use crate::env::UserDirs;

/// The name of a config.
pub const FILE_NAME: &str = "castra.toml";

/// What a config is among the files people write.
pub(crate) static FORMAT: Format =
    Format { noun: "config", place: FILE_NAME, option: "--config", max_bytes: limits::MAX_FILE_BYTES };

/// One fault of a config.
pub type Fault = plasmavmc_source::Fault<FaultCode>;

/// The faults of a config found so far.
type Faults<'a> = plasmavmc_source::Faults<'a, rule::Rule>;

/// What a config means beside its text: where it stands, and whose it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Environment {
    /// The config: an absolute path whose directory is canonical.
    pub config_path: PathBuf,
    /// What `~` means.
    pub home: Option<PathBuf>,
    /// The directory of Castra's own files, absolute.
    pub castra_home: PathBuf,
}

impl Environment {
    /// The environment of the config at `config_path`, an absolute path whose directory is canonical.
    pub fn new(config_path: impl Into<PathBuf>, dirs: &UserDirs) -> Self {
        Self {
            config_path: config_path.into(),
            home: dirs.home().map(Path::to_owned),
            castra_home: dirs.castra_home().to_owned(),
        }
    }

    /// The directory of the config.
    pub fn config_dir(&self) -> &Path {
        self.config_path.parent().unwrap_or(&self.config_path)
    }

    fn projects_root(&self) -> PathBuf {
        self.castra_home.join("projects")
    }
}
