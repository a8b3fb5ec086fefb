//! Why an image cannot be had, each with the image and where it was looked for.

use std::fmt;
use std::path::PathBuf;

use plasmavmc_types::{ErrorKind, Explain};

use super::catalogue::{self, Arch, Built};
use super::checksum::ChecksumError;
use super::digest::{Digest, Sha512};
use super::download::FetchError;
use super::mirror::MIRROR_VARIABLE;
use super::name::ImageName;
use crate::base::BaseImageError;
use crate::{HostError, LockError};

/// An image that cannot be had, kept or removed. Its `Display` never repeats its source.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImageError {
    /// Neither the catalogue nor the store has it.
    #[error("there is no image `{name}` for {arch}")]
    Unknown {
        /// The name.
        name: ImageName,
        /// The processor.
        arch: Arch,
    },
    /// It is built on this host, and was not.
    #[error("the image `{name}` was not built on this host yet")]
    NotBuilt {
        /// The name.
        name: ImageName,
        /// How it is built.
        target: &'static str,
    },
    /// Its publisher has none for this processor.
    #[error("the image `{name}` is not published for {arch}")]
    NotPublishedFor {
        /// The name.
        name: ImageName,
        /// The processor.
        arch: Arch,
    },
    /// An image of one's own cannot have the name of a published one.
    #[error("`{name}` is the name of a published image")]
    NameTaken {
        /// The name.
        name: ImageName,
    },
    /// Something could not be downloaded.
    #[error("failed to download image `{name}` from `{url}`")]
    Fetch {
        /// The image.
        name: ImageName,
        /// What was fetched, the mirror applied.
        url: String,
        /// Why it failed.
        #[source]
        source: FetchError,
    },
    /// The publisher's checksum file gives no digest.
    #[error("failed to learn the digest of image `{name}` from `{url}`")]
    Checksum {
        /// The image.
        name: ImageName,
        /// The checksum file.
        url: String,
        /// What is wrong with it.
        #[source]
        source: ChecksumError,
    },
    /// The bytes are not those the publisher's checksum file speaks of.
    #[error("image `{name}` from `{url}` does not have the digest its publisher gives: {found}")]
    Mismatch {
        /// The image.
        name: ImageName,
        /// Where the bytes came from.
        url: String,
        /// The digests.
        found: Box<Difference<Digest>>,
    },
    /// The bytes are not those `castra.lock` pins.
    #[error("image `{name}` from `{url}` is not the one castra.lock pins: {found}")]
    PinMismatch {
        /// The image.
        name: ImageName,
        /// Where the bytes came from.
        url: String,
        /// The bytes.
        found: Box<Difference<Content>>,
    },
    /// The store's copy of a local image is damaged, and there is nowhere to get another.
    #[error("the stored image `{name}` was altered: `{}` no longer has digest {sha512}", path.display())]
    Damaged {
        /// The image.
        name: ImageName,
        /// The file.
        path: PathBuf,
        /// The digest it had.
        sha512: Sha512,
    },
    /// An overlay was made on bytes that neither the workspace nor the store has any more.
    #[error("`{}` is not the image any more that an overlay was made on, and the store has those bytes no longer", path.display())]
    BaseLost {
        /// The image.
        name: ImageName,
        /// The workspace's file.
        path: PathBuf,
        /// The digest the overlay needs.
        sha512: Sha512,
    },
    /// A file is no disk image, or a damaged one.
    #[error("`{subject}` cannot be a base image")]
    Unfit {
        /// The file or the URL.
        subject: String,
        /// What is wrong with it.
        #[source]
        source: Box<BaseImageError>,
    },
    /// A file is a disk image whose content is partly in another file.
    #[error("`{subject}` cannot be a base image: it is an overlay on another file")]
    Overlay {
        /// The file or the URL.
        subject: String,
    },
    /// Another command works on the image and does not come to an end.
    #[error("image `{name}` cannot be locked")]
    Lock {
        /// The image.
        name: ImageName,
        /// Who holds it.
        #[source]
        source: LockError,
    },
    /// A file operation failed.
    #[error("the image store cannot be used")]
    Host {
        /// Which, and on what.
        #[from]
        source: HostError,
    },
}

/// What should have come, and what came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Difference<T> {
    /// What should have come.
    pub expected: T,
    /// What came.
    pub actual: T,
}

impl<T: fmt::Display> fmt::Display for Difference<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "expected {}, got {}", self.expected, self.actual)
    }
}

/// The digest and the size of some bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Content {
    /// Their digest; none where their size said enough.
    pub sha512: Option<Sha512>,
    /// Their number.
    pub size_bytes: u64,
}

impl fmt::Display for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.sha512 {
            Some(sha512) => write!(f, "{} bytes with sha512:{sha512}", self.size_bytes),
            None => write!(f, "{} bytes", self.size_bytes),
        }
    }
}

impl Explain for ImageError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Host { source } => source.kind(),
            Self::Lock { source, .. } => source.kind(),
            Self::Unfit { source, .. } => source.kind(),
            _ => ErrorKind::Image,
        }
    }

    fn hints(&self) -> Vec<String> {
        match self {
            Self::Unknown { name, .. } => unknown_hints(name),
            Self::NotBuilt { target, .. } => vec![format!("build it: `castra image build {target}`")],
            Self::NotPublishedFor { .. } => vec![LIST.to_owned()],
            Self::NameTaken { name } => {
                vec![format!("import it under another name, such as `my-{name}`")]
            }
            Self::Fetch { source, .. } => source.hints().into_iter().chain(offline()).collect(),
            Self::Checksum { url, .. } => {
                let look = format!("look at the file with `curl -L {url}`");
                [look].into_iter().chain(offline()).collect()
            }
            Self::Mismatch { .. } => vec![format!(
                "the server or a cache on the way has other bytes: try again later, or name a mirror with `{MIRROR_VARIABLE}`"
            )],
            Self::PinMismatch { name, .. } => vec![format!(
                "publishers replace images under one URL: take today's with `castra image pull {name}`, or get the pinned file from a teammate and `castra image import` it"
            )],
            Self::Damaged { name, .. } => {
                vec![format!("remove it with `castra image rm {name}` and build or import it again")]
            }
            Self::BaseLost { path, sha512, .. } => vec![
                format!(
                    "put an image with SHA-512 {sha512} there: other bytes would destroy the guest's disk"
                ),
                format!("or give the disks on it up: remove their overlays, and `rm {}`", path.display()),
            ],
            Self::Unfit { subject, .. } | Self::Overlay { subject } if subject.contains("://") => {
                vec![LIST.to_owned()]
            }
            Self::Unfit { source, .. } => source.hints(),
            Self::Overlay { subject } => {
                vec![format!("make one that stands alone: `qemu-img convert -O qcow2 {subject} whole.qcow2`")]
            }
            Self::Lock { source, .. } => source.hints(),
            Self::Host { source } => source.hints(),
        }
    }
}

const LIST: &str = "`castra image list` shows the images there are";

/// What can be done without the publisher's server.
fn offline() -> impl Iterator<Item = String> {
    [
        format!("behind a firewall, name a mirror: `{MIRROR_VARIABLE}=https://mirror.example castra up`"),
        "use a disk image you have: `castra up --qcow PATH`".to_owned(),
        "without a network, build a small image: `castra image build tiny`, and set `base_image = \"tiny\"`"
            .to_owned(),
    ]
    .into_iter()
}

fn unknown_hints(name: &ImageName) -> Vec<String> {
    let shared = |other: &str| name.as_str().bytes().zip(other.bytes()).take_while(|(a, b)| a == b).count();
    let near = catalogue::names().filter(|other| shared(other) >= 3).max_by_key(|other| shared(other));
    let near = near.map(|near| format!("did you mean `{near}`? write `base_image = \"{near}\"`"));
    let import = format!("for a file of your own: `castra image import PATH --name {name}`");
    near.into_iter().chain([LIST.to_owned(), import]).collect()
}

impl ImageError {
    /// The error for a name that only the store could have had.
    pub(super) fn absent(name: &ImageName, arch: Arch, built: Option<&'static Built>) -> Self {
        match built {
            Some(built) => Self::NotBuilt { name: name.clone(), target: built.target },
            None => Self::Unknown { name: name.clone(), arch },
        }
    }
}
