//! Fetches the media that a VM's definition names by URL. The only thing of `bkt` that downloads.
//!
//! Each lands beside the VM's disk, under a name made from its URL, where the next sync finds it. Tests: the
//! downloading in `plasmavmc-host`; on the command line in `tests/it`.

use std::path::PathBuf;

use plasmavmc_host::image::file::{FileError, fetch_iso};
use plasmavmc_host::image::{Digest, DownloadPolicy, ImageProgress};
use schemars::JsonSchema;
use serde::Serialize;

use super::fetched_path;
use crate::manifest::{IsoSource, VmDefinition};

/// A medium that is on the host now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct FetchedMedium {
    /// Where it came from.
    pub url: String,
    /// Where it is.
    pub path: PathBuf,
    /// Its SHA-512; none of one that somebody put there without.
    pub sha512: Option<String>,
    /// Its size in bytes where it was fetched now; none where it was there.
    pub size_bytes: Option<u64>,
}

/// The media of a definition that are on the web, each with what it must be and the place it is fetched to.
fn media(definition: &VmDefinition) -> Vec<(String, Option<Digest>, PathBuf)> {
    let sources = definition.iso_sources.iter().flatten();
    sources
        .filter_map(|source| match source {
            IsoSource::Url { url, checksum } => {
                Some((url.clone(), *checksum, fetched_path(&definition.disk_path, url)))
            }
            IsoSource::Path { .. } => None,
        })
        .collect()
}

/// Fetches the media of a definition, one after the other; those that are there are held
/// against what they must be, and not asked for.
///
/// # Errors
/// [`FileError`] of the first that could not be fetched; what was fetched stays.
pub fn fetch(
    definition: &VmDefinition,
    policy: &DownloadPolicy,
    report: &mut dyn FnMut(ImageProgress),
) -> Result<Vec<FetchedMedium>, FileError> {
    let mut fetched = Vec::new();
    for (url, checksum, path) in media(definition) {
        let file = fetch_iso(&url, &path, checksum, policy, report)?;
        let sha512 = file.sha512.map(|digest| digest.to_string());
        fetched.push(FetchedMedium { url, path, sha512, size_bytes: file.size_bytes });
    }
    Ok(fetched)
}
