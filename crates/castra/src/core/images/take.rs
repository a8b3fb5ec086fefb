//! `image import`: takes a disk image of one's own into the store. Tests: `tests/it/images.rs`.

use std::path::PathBuf;

use plasmavmc_host::image::ImageName;
use schemars::JsonSchema;
use serde::Serialize;

use super::provide::Images;
use super::row::StoredRow;
use crate::core::error::Error;
use crate::core::output::OperationOutput;
use crate::core::session::Session;

/// What `image import` is asked.
#[derive(Debug, Clone)]
pub struct ImageImportOptions {
    /// The qcow2 or raw image; relative to the directory the command runs in. It stays as it is.
    pub path: PathBuf,
    /// The name `base_image` shall take. Not one the catalogue has.
    pub name: ImageName,
}

/// An image that is now in the store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ImageStoredOutcome {
    /// What `base_image` takes.
    pub name: String,
    /// The image.
    #[serde(flatten)]
    pub stored: StoredRow,
}

/// Copies an image into the store, where every project finds it by name.
///
/// # Errors
/// [`Error::Image`]: a file that is no image or needs other files, or a name the catalogue has.
pub fn image_import(
    session: &Session,
    options: &ImageImportOptions,
) -> Result<OperationOutput<ImageStoredOutcome>, Error> {
    let images = Images::open(session)?;
    let image = images.store.import(&session.cwd.join(&options.path), &options.name, images.arch)?;
    let stored = StoredRow::of(&image, true);
    Ok(OperationOutput::new(ImageStoredOutcome { name: image.name.to_string(), stored }))
}
