//! What happens while an image is got, told through a callback.
//!
//! The variants mirror the image events of `plasmavmc_types`, so that a face maps them with
//! [`EventKind::from`]. Tests: `crates/plasmavmc-host/tests/image`.

use std::time::Duration;

use plasmavmc_types::EventKind;

use super::digest::Sha512;

/// One thing that happened to an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ImageProgress {
    /// A download begins or resumes.
    Started {
        /// The image's name.
        image: String,
        /// Where it comes from, the mirror applied.
        url: String,
        /// Bytes already on disk from an earlier try.
        resumed_bytes: u64,
        /// The full size, where the server tells it.
        total_bytes: Option<u64>,
    },
    /// A download goes on, here or in another command this one waits for.
    Progress {
        /// The image's name.
        image: String,
        /// Bytes on disk.
        done_bytes: u64,
        /// The full size, where the server tells it.
        total_bytes: Option<u64>,
    },
    /// A try failed and another follows.
    Retried {
        /// The image's name.
        image: String,
        /// Why the try failed.
        reason: String,
        /// Time until the next try.
        wait: Duration,
    },
    /// The bytes were compared with their digest and have their final name.
    Verified {
        /// The image's name.
        image: String,
        /// Their SHA-512.
        sha512: Sha512,
        /// Their number.
        size_bytes: u64,
    },
}

impl From<ImageProgress> for EventKind {
    fn from(progress: ImageProgress) -> Self {
        match progress {
            ImageProgress::Started { image, url, resumed_bytes, total_bytes } => {
                Self::ImageDownloadStarted { image, url, resumed_bytes, total_bytes }
            }
            ImageProgress::Progress { image, done_bytes, total_bytes } => {
                Self::ImageDownloadProgress { image, done_bytes, total_bytes }
            }
            ImageProgress::Retried { image, reason, wait } => {
                let wait_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
                Self::ImageDownloadRetried { image, reason, wait_ms }
            }
            ImageProgress::Verified { image, sha512, size_bytes } => {
                Self::ImageVerified { image, sha512: sha512.to_string(), size_bytes }
            }
        }
    }
}
