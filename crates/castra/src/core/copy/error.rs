//! What a copy can fail with beyond what host and guest say themselves.

use std::path::PathBuf;

use plasmavmc_guest::client::ClientError;
use plasmavmc_host::HostError;
use plasmavmc_types::{ErrorKind, Explain};

/// A failed copy.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CopyError {
    /// There is no source.
    #[error("there is nothing to copy")]
    NothingToCopy,
    /// No side is a guest.
    #[error("neither side of the copy is in a VM")]
    BothHere,
    /// Both sides are guests.
    #[error("both sides of the copy are in VMs")]
    BothInGuests,
    /// Sources are in several guests.
    #[error("the sources are in several VMs")]
    SeveralGuests,
    /// A stream has one end.
    #[error("`-` cannot be copied together with other things")]
    StreamAmongOthers,
    /// Several things were to have one name.
    #[error("`{place}` is no directory, so only one file can be copied there")]
    NotADirectory {
        /// The destination.
        place: String,
    },
    /// What comes from a guest is not written through a link that may have come from it.
    #[error("`{place}` is a link that leads out of its directory, to `{}`", target.display())]
    LeadsAway {
        /// The destination.
        place: String,
        /// Where it leads.
        target: PathBuf,
    },
    /// What comes from a stream has no name of its own.
    #[error("`{place}` is a directory, and what comes from standard input has no name")]
    StreamNeedsAName {
        /// The destination.
        place: String,
    },
    /// Only a file can go to a stream.
    #[error("`{place}` is no file, so it cannot go to standard output")]
    NoFileForStream {
        /// The source.
        place: String,
    },
    /// It is neither a file, a directory nor a link.
    #[error("`{place}` is neither a file, a directory nor a link")]
    Special {
        /// The source.
        place: String,
    },
    /// Directories in directories without an end.
    #[error("`{place}` has more than {limit} {what}")]
    TooMuch {
        /// The source.
        place: String,
        /// Of what.
        what: &'static str,
        /// How much is allowed.
        limit: usize,
    },
    /// Some of it lies at a path that is no text.
    #[error("`{}` is not UTF-8, and guests are spoken to in UTF-8", path.display())]
    NotText {
        /// The path.
        path: PathBuf,
    },
    /// The guest does not give it to that user.
    #[error("what was copied cannot be given to `{owner}`: {said}")]
    Owner {
        /// The owner.
        owner: String,
        /// The guest's words.
        said: String,
    },
    /// The host.
    #[error(transparent)]
    Host(#[from] HostError),
    /// The guest.
    #[error(transparent)]
    Guest(ClientError),
}

impl Explain for CopyError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Host(error) => error.kind(),
            Self::Guest(error) => error.kind(),
            _ => ErrorKind::Usage,
        }
    }

    fn hints(&self) -> Vec<String> {
        match self {
            Self::Host(error) => error.hints(),
            Self::Guest(error) => error.hints(),
            Self::BothHere => {
                vec!["write the one in a VM as `<vm>:<path>`: `castra cp notes.txt web:/root/`".to_owned()]
            }
            Self::BothInGuests => {
                vec!["go by way of the host: `castra cp web:/a - | castra cp - db:/a`".to_owned()]
            }
            Self::NotADirectory { .. } => {
                vec!["a destination that ends in `/` is a directory, and made where it is missing".to_owned()]
            }
            Self::LeadsAway { target, .. } => {
                vec![format!("name `{}` itself, where it is meant: a guest can make links", target.display())]
            }
            Self::StreamNeedsAName { place } => {
                let slash = if place.ends_with('/') || place.ends_with(':') { "" } else { "/" };
                vec![format!("give it one: `castra cp - {place}{slash}<name>`")]
            }
            _ => Vec::new(),
        }
    }
}
