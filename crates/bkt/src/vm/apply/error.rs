//! Why a plan was not applied, or not all of it.

use plasmavmc_host::disk_image::DiskImageError;
use plasmavmc_host::{HostError, LockError};
use plasmavmc_libvirt::domain::{EditError, RenderError};
use plasmavmc_libvirt::virsh::VirshError;
use plasmavmc_libvirt::xml::XmlError;
use plasmavmc_types::{ErrorKind, Explain};

use super::Unproved;

/// A VM to which the plan was not applied. Its `Display` never repeats its source.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ApplyError {
    /// Someone else applies something to this libvirt.
    #[error("another sync is under way")]
    Lock {
        /// Who holds the lock.
        #[source]
        source: LockError,
    },
    /// libvirt could not be asked, or refused.
    #[error("libvirt did not take it")]
    Virsh {
        /// Why.
        #[source]
        source: VirshError,
    },
    /// A file of ours could not be written.
    #[error("nothing was changed")]
    Host {
        /// Why.
        #[source]
        source: HostError,
    },
    /// The disk could not be made or grown.
    #[error("its disk is not as planned")]
    Disk {
        /// Why.
        #[source]
        source: DiskImageError,
    },
    /// The VM changed since the plan was made.
    #[error("the VM changed since the plan was made: {what}")]
    Changed {
        /// What is otherwise.
        what: &'static str,
    },
    /// The XML has no place for the change.
    #[error("its XML cannot be edited")]
    Edit {
        /// Why not.
        #[source]
        source: EditError,
    },
    /// The new VM has no XML.
    #[error("it cannot be written as XML")]
    Render {
        /// Why not.
        #[source]
        source: RenderError,
    },
    /// The domain's XML cannot be read.
    #[error("its XML cannot be read")]
    Xml {
        /// Why not.
        #[source]
        source: XmlError,
    },
    /// libvirt made another VM than was planned, so it was undefined again.
    #[error("libvirt made something else than was planned ({}), so it was undefined again", what.join("; "))]
    NotMade {
        /// What came out otherwise.
        what: Vec<String>,
    },
    /// libvirt took a definition that could not be proved to be the planned one.
    #[error("it is not proved to be as planned")]
    Unproved {
        /// What was defined, and what the VM is now.
        #[source]
        source: Box<Unproved>,
    },
}

macro_rules! from_source {
    ($($source:ty => $variant:ident),+) => {
        $(impl From<$source> for ApplyError {
            fn from(source: $source) -> Self {
                Self::$variant { source }
            }
        })+
    };
}

from_source!(LockError => Lock, VirshError => Virsh, HostError => Host, DiskImageError => Disk,
    EditError => Edit, RenderError => Render, XmlError => Xml);

impl Explain for ApplyError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Lock { source } => source.kind(),
            Self::Virsh { source } => source.kind(),
            Self::Host { source } => source.kind(),
            Self::Disk { source } => source.kind(),
            Self::Changed { .. } => ErrorKind::Conflict,
            Self::Edit { source } => source.kind(),
            Self::Render { source } => source.kind(),
            Self::Unproved { source } => source.kind(),
            Self::Xml { .. } | Self::NotMade { .. } => ErrorKind::Io,
        }
    }

    fn hints(&self) -> Vec<String> {
        match self {
            Self::Lock { source } => source.hints(),
            Self::Virsh { source } => source.hints(),
            Self::Host { source } => source.hints(),
            Self::Disk { source } => source.hints(),
            Self::Edit { source } => source.hints(),
            Self::Render { source } => source.hints(),
            Self::Xml { .. } | Self::NotMade { .. } => Vec::new(),
            Self::Changed { .. } => vec!["look again, then apply: `bkt vm sync --dry-run`".to_owned()],
            Self::Unproved { source } => source.hints(),
        }
    }
}
