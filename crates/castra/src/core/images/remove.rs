//! `image rm`: takes images out of the store. Workspaces keep the link or copy they have.
//!
//! Tests: `tests/it/images.rs`.

use plasmavmc_host::image::ImageName;
use schemars::JsonSchema;
use serde::Serialize;

use super::provide::Images;
use crate::core::error::Error;
use crate::core::output::{Diagnostic, OperationOutput};
use crate::core::session::Session;

/// What `image rm` is asked.
#[derive(Debug, Clone)]
pub struct ImageRemoveOptions {
    /// Which images; at least one.
    pub images: Vec<ImageName>,
}

/// What `image rm` removed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ImageRemoveOutcome {
    /// The images.
    pub images: Vec<RemovedImage>,
}

/// An image that is no longer in the store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct RemovedImage {
    /// Its name as given.
    pub name: String,
    /// Bytes the disk has back.
    pub reclaimed_bytes: u64,
    /// Links that workspaces have to its file: they go on working, and keep its bytes on disk.
    pub workspace_links: u64,
}

/// Removes images: the bytes their names mean today, and earlier ones.
///
/// # Errors
/// [`Error::Image`] where the store has nothing of a name. Those named before it are gone.
pub fn image_remove(
    session: &Session,
    options: &ImageRemoveOptions,
) -> Result<OperationOutput<ImageRemoveOutcome>, Error> {
    let images = Images::open(session)?;
    let mut output = OperationOutput::new(ImageRemoveOutcome { images: Vec::new() });
    for name in &options.images {
        let removed = images.store.remove(name, images.arch)?;
        if removed.workspace_links > 0 {
            let message = format!("the bytes of `{name}` stay on disk, because workspaces link to them");
            output
                .diagnostics
                .push(Diagnostic::note(message).with_hint("`castra clean --dry-run` shows them"));
        }
        output.value.images.push(RemovedImage {
            name: name.to_string(),
            reclaimed_bytes: removed.freed_bytes,
            workspace_links: removed.workspace_links,
        });
    }
    Ok(output)
}
