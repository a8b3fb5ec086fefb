//! An image as lists and outcomes show it. Pure. Tests: below.

use std::path::PathBuf;

use plasmavmc_host::image::{Origin, StoredImage};
use plasmavmc_types::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;

use crate::core::ports::VmRef;

/// One image: of the catalogue, of the store, or of both.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ImageRow {
    /// What `base_image` takes.
    pub name: String,
    /// Other names for it, which may move to a newer release.
    pub aliases: Vec<String>,
    /// What it is, for people; null for an image of one's own.
    pub title: Option<String>,
    /// The processor it is for.
    pub arch: String,
    /// Where it comes from.
    pub source: ImageSource,
    /// Whether the name means these bytes today. Older bytes of the same name stay for the projects
    /// whose castra.lock pins them.
    pub current: bool,
    /// What the store has of it; null where it was never fetched.
    pub stored: Option<StoredRow>,
    /// VMs whose config names it.
    pub used_by: Vec<VmRef>,
}

/// Where an image comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum ImageSource {
    /// A publisher's server.
    Published {
        /// Where it is, or was fetched from.
        url: String,
    },
    /// A file of this host.
    Imported {
        /// The file.
        from: PathBuf,
    },
    /// This host's own packages.
    Built {
        /// What follows `castra image build`; null where this version no longer builds it.
        recipe: Option<String>,
    },
}

/// An image in the store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct StoredRow {
    /// Its file. Only for reading: all workspaces share it.
    pub path: PathBuf,
    /// The SHA-512 of its bytes, in hexadecimal.
    pub sha512: String,
    /// Their number.
    pub size_bytes: u64,
    /// When it was stored.
    #[schemars(with = "String")]
    pub stored_at: Timestamp,
    /// Whether its file is unchanged since its bytes were last compared with the digest.
    pub trusted: bool,
}

impl StoredRow {
    pub(super) fn of(image: &StoredImage, trusted: bool) -> Self {
        Self {
            path: image.path.clone(),
            sha512: image.sha512.to_string(),
            size_bytes: image.size_bytes,
            stored_at: image.stored_at,
            trusted,
        }
    }
}

impl From<&Origin> for ImageSource {
    fn from(origin: &Origin) -> Self {
        match origin {
            Origin::Downloaded { url, .. } => Self::Published { url: url.clone() },
            Origin::Imported { from } => Self::Imported { from: from.clone() },
            _ => Self::Built { recipe: None },
        }
    }
}
