//! What can go wrong between us and libvirt.
//!
//! libvirt's own words are kept, without secrets. Tests: `tests/it/faults.rs`.

use std::time::Duration;

use plasmavmc_host::HostError;
use plasmavmc_types::{ErrorKind, Explain, VmId};

use super::Connection;
use super::parse::{self, Complaint};
use crate::xml::XmlError;

/// A failed question or change. Its `Display` never repeats its source.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VirshError {
    /// virsh is not installed or cannot be run.
    #[error("libvirt cannot be asked")]
    Host {
        /// Why not.
        #[source]
        source: HostError,
    },
    /// Not a URI that virsh could be given.
    #[error("{uri:?} is not a libvirt URI")]
    BadUri {
        /// What was given.
        uri: String,
    },
    /// Nobody answers.
    #[error("no libvirt answers at {uri}: {said}")]
    Unreachable {
        /// Where it was looked for.
        uri: String,
        /// libvirt's words.
        said: String,
    },
    /// This user may not.
    #[error("libvirt at {uri} does not let this user in: {said}")]
    Denied {
        /// Which libvirt.
        uri: String,
        /// libvirt's words.
        said: String,
    },
    /// It took too long: the daemon hangs, or something in it waits for ever.
    #[error("libvirt at {uri} did not {action} within {} s", bound.as_secs())]
    TimedOut {
        /// Which libvirt.
        uri: String,
        /// What it was to do, as an infinitive.
        action: &'static str,
        /// How long it had.
        bound: Duration,
    },
    /// There is no domain with that UUID.
    #[error("libvirt at {uri} has no domain {id}")]
    NoDomain {
        /// Which libvirt.
        uri: String,
        /// The UUID.
        id: VmId,
    },
    /// The XML does not fit libvirt's schema. Nothing was changed.
    #[error("the domain's XML does not fit libvirt's schema: {said}")]
    Invalid {
        /// libvirt's words.
        said: String,
    },
    /// libvirt refused.
    #[error("libvirt did not {action}: {said}")]
    Refused {
        /// What it was to do, as an infinitive.
        action: &'static str,
        /// libvirt's words.
        said: String,
    },
    /// virsh printed something that makes no sense.
    #[error("virsh was asked to {action} and its answer cannot be read: {why}")]
    Garbage {
        /// What it was to do, as an infinitive.
        action: &'static str,
        /// What is wrong.
        why: &'static str,
        /// Which libvirt.
        uri: String,
    },
    /// A domain's XML cannot be read.
    #[error("the XML that libvirt at {uri} has of domain {id} cannot be read")]
    Xml {
        /// Which libvirt.
        uri: String,
        /// The domain.
        id: VmId,
        /// Why not.
        #[source]
        source: XmlError,
    },
}

impl VirshError {
    /// What became of a run of virsh.
    pub(super) fn from_host(
        connection: &Connection,
        action: &'static str,
        bound: Duration,
        error: HostError,
    ) -> Self {
        let uri = connection.shown_uri();
        match error {
            HostError::CommandTimedOut { .. } => Self::TimedOut { uri, action, bound },
            HostError::CommandFailed { stderr, .. } | HostError::CommandEnded { stderr, .. } => {
                let complaints = parse::complaints(&stderr);
                if complaints.is_empty() {
                    let said = parse::without_secrets(stderr.trim());
                    let said = if said.is_empty() { "virsh ended without a word".to_owned() } else { said };
                    return Self::Refused { action, said };
                }
                Self::from_complaints(connection, action, &complaints)
            }
            HostError::CommandWroteTooMuch { .. } => {
                Self::Garbage { action, why: "it is longer than any answer", uri }
            }
            source => Self::Host { source },
        }
    }

    /// What libvirt complained of; at least one complaint.
    pub(super) fn from_complaints(
        connection: &Connection,
        action: &'static str,
        complaints: &[String],
    ) -> Self {
        let uri = connection.shown_uri();
        // The first is virsh's own "failed to …", where libvirt's reason follows.
        let said = complaints.last().cloned().unwrap_or_default();
        match parse::classify(complaints) {
            Complaint::Unreachable => Self::Unreachable { uri, said },
            Complaint::Denied => Self::Denied { uri, said },
            Complaint::Invalid => Self::Invalid { said },
            Complaint::NoDomain | Complaint::Other => Self::Refused { action, said },
        }
    }

    /// The same error, where a missing domain is the one that was addressed.
    pub(super) fn of_domain(self, connection: &Connection, id: VmId) -> Self {
        match self {
            Self::Refused { said, .. }
                if parse::classify(std::slice::from_ref(&said)) == Complaint::NoDomain =>
            {
                Self::NoDomain { uri: connection.shown_uri(), id }
            }
            other => other,
        }
    }
}

impl Explain for VirshError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Host { source } => source.kind(),
            Self::BadUri { .. } | Self::NoDomain { .. } => ErrorKind::Usage,
            Self::Unreachable { .. } | Self::Denied { .. } => ErrorKind::Preflight,
            Self::TimedOut { .. } => ErrorKind::Timeout,
            Self::Invalid { .. } => ErrorKind::Config,
            Self::Refused { .. } | Self::Garbage { .. } | Self::Xml { .. } => ErrorKind::Io,
        }
    }

    fn hints(&self) -> Vec<String> {
        match self {
            Self::Host { source } => source.hints(),
            Self::BadUri { .. } => vec!["give one such as `qemu:///system` or `qemu:///session`".to_owned()],
            Self::Unreachable { uri, .. } => unreachable_hints(uri),
            Self::Denied { uri, .. } if uri.contains("///session") => Vec::new(),
            Self::Denied { .. } => {
                vec!["join the group that may: `sudo usermod -aG libvirt $USER`, then log in again".to_owned()]
            }
            Self::TimedOut { uri, .. } => vec![
                format!("see whether it answers at all: `virsh -r{} list --all`", at(uri)),
                "a daemon that hangs is restarted without harm to running VMs: `sudo systemctl restart libvirtd`"
                    .to_owned(),
            ],
            Self::NoDomain { uri, .. } => {
                vec![format!("`virsh -r{} list --all --uuid --name` shows the domains", at(uri))]
            }
            Self::Garbage { uri, .. } => vec![format!("see what it says: `virsh -r{} list --all`", at(uri))],
            Self::Xml { uri, id, .. } => vec![format!("look at it: `virsh -r{} dumpxml {id}`", at(uri))],
            Self::Invalid { .. } | Self::Refused { .. } => Vec::new(),
        }
    }
}

fn unreachable_hints(uri: &str) -> Vec<String> {
    let start = "start it: `sudo systemctl start libvirtd`, or where there is none, `sudo apt-get install \
                 libvirt-daemon-system`";
    let look = format!("see what virsh itself says: `virsh -r{} list --all`", at(uri));
    if uri.contains("///system") || !uri.contains("://") { vec![start.to_owned(), look] } else { vec![look] }
}

/// The option that names the URI; nothing where virsh chooses it.
fn at(uri: &str) -> String {
    if uri.contains("://") { format!(" -c {uri}") } else { String::new() }
}
