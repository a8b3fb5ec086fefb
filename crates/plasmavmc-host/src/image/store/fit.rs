//! Whether a file is fit to be a base for everybody: a whole disk image that needs no other file.
//!
//! A name in the store means the same bytes in every workspace, and an image that lies on another
//! file would mean different ones. Tests: `crates/plasmavmc-host/tests/image/local.rs`.

use std::fs::{self, File};
use std::path::Path;

use plasmavmc_types::DiskFormat;

use super::super::error::ImageError;
use crate::IoContext;
use crate::base::{BaseImage, read_header};

/// The format of the image at `path`, which came from `subject`.
///
/// # Errors
/// [`ImageError::Unfit`], [`ImageError::Overlay`], [`ImageError::Host`].
pub(super) fn inspect(path: &Path, subject: &str) -> Result<DiskFormat, ImageError> {
    // What lies under an image is not even looked at: a stranger's may name any file of this host.
    if fs::metadata(path).is_ok_and(|found| found.is_file()) {
        let file = File::open(path).context("open", path)?;
        if read_header(&file).context("read", path)?.is_ok_and(|header| header.backing.is_some()) {
            return Err(ImageError::Overlay { subject: subject.to_owned() });
        }
    }
    let image = BaseImage::inspect(path, None)
        .map_err(|source| ImageError::Unfit { subject: subject.to_owned(), source: Box::new(source) })?;
    Ok(image.file().format)
}
