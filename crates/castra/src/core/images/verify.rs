//! `image verify`: compares every byte of stored images with their digests.
//!
//! Tests: `tests/it/images.rs`.

use std::path::PathBuf;

use plasmavmc_host::image::{Check, ImageError, ImageName, StoredImage};
use plasmavmc_hypervisor::EventSink;
use schemars::JsonSchema;
use serde::Serialize;

use super::provide::Images;
use crate::core::error::Error;
use crate::core::output::OperationOutput;
use crate::core::recorder::{Observer, Recorder};
use crate::core::session::Session;

/// What `image verify` is asked.
#[derive(Debug, Clone, Default)]
pub struct ImageVerifyOptions {
    /// Which images; everything the store has where empty.
    pub images: Vec<ImageName>,
}

/// What `image verify` found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ImageVerifyOutcome {
    /// The images it read.
    pub images: Vec<VerifiedImage>,
}

impl ImageVerifyOutcome {
    /// Whether every image has its bytes.
    pub fn all_intact(&self) -> bool {
        self.images.iter().all(|image| image.check == ImageCheck::Intact)
    }
}

/// One image and what reading it showed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct VerifiedImage {
    /// Its name.
    pub name: String,
    /// The processor it is for.
    pub arch: String,
    /// Its file.
    pub path: PathBuf,
    /// The SHA-512 its bytes should have, in hexadecimal.
    pub sha512: String,
    /// What reading it showed.
    pub check: ImageCheck,
}

/// What comparing an image with its digest showed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ImageCheck {
    /// The bytes have their digest.
    Intact,
    /// They have another: the next `up` or `image pull` gets them anew.
    Altered,
    /// The file is gone.
    Missing,
}

/// Reads images whole and compares them with their digests.
///
/// # Errors
/// [`Error::Image`] where the store has nothing of a name, or a file cannot be read. Wrong bytes
/// are part of the outcome.
pub fn image_verify(
    session: &Session,
    options: &ImageVerifyOptions,
    observer: &Observer<'_>,
) -> Result<OperationOutput<ImageVerifyOutcome>, Error> {
    let images = Images::open(session)?;
    let sink = Recorder::forwarding(observer);
    let mut outcome = ImageVerifyOutcome { images: Vec::new() };
    for image in selected(&images, &options.images)? {
        let mut report = |progress: plasmavmc_host::image::ImageProgress| sink.emit(None, progress.into());
        let check = match images.store.verify(&image, &mut report)? {
            Check::Intact => ImageCheck::Intact,
            Check::Altered { .. } => ImageCheck::Altered,
            Check::Missing => ImageCheck::Missing,
        };
        outcome.images.push(VerifiedImage {
            name: image.name.to_string(),
            arch: image.arch.to_string(),
            path: image.path,
            sha512: image.sha512.to_string(),
            check,
        });
    }
    Ok(OperationOutput::new(outcome))
}

fn selected(images: &Images, names: &[ImageName]) -> Result<Vec<StoredImage>, Error> {
    if names.is_empty() {
        return Ok(images.store.list().into_iter().map(|listed| listed.image).collect());
    }
    let named = |name: &ImageName| {
        let unknown = || ImageError::Unknown { name: name.clone(), arch: images.arch };
        images.store.named(name, images.arch).ok_or_else(|| unknown().into())
    };
    names.iter().map(named).collect()
}
