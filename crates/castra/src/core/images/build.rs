//! `image build`: makes an image from this host's own packages and takes it into the store.
//!
//! Tests: `tests/it/images.rs`, and the recipes' own in `plasmavmc_host::guest`.

use std::path::Path;

use castra_agent_embed::AGENT;
use plasmavmc_host::FileLock;
use plasmavmc_host::guest::{self, BuildStep, Recipe};
use plasmavmc_host::image::ImageName;
use plasmavmc_host::image::catalogue::BUILT;
use plasmavmc_host::publish::{self, TEMPORARY_PREFIX};
use plasmavmc_hypervisor::EventSink;
use plasmavmc_types::EventKind;

use super::provide::Images;
use super::row::StoredRow;
use super::take::ImageStoredOutcome;
use crate::core::error::Error;
use crate::core::litter;
use crate::core::output::OperationOutput;
use crate::core::recorder::{Observer, Recorder};
use crate::core::session::Session;

/// What `image build` is asked.
#[derive(Debug, Clone)]
pub struct ImageBuildOptions {
    /// What to build.
    pub recipe: Recipe,
}

/// Builds an image and stores it under the catalogue's name for it.
///
/// # Errors
/// [`Error::Build`] names everything the host lacks at once; [`Error::Image`].
pub fn image_build(
    session: &Session,
    options: &ImageBuildOptions,
    observer: &Observer<'_>,
) -> Result<OperationOutput<ImageStoredOutcome>, Error> {
    let images = Images::open(session)?;
    let sink = Recorder::forwarding(observer);
    let name = stored_as(options.recipe);
    let cache = session.cache_dir();
    publish::private_dir(&cache)?;
    // A temporary name: what a killed build leaves is known as litter.
    let file = Temporary(cache.join(format!("{TEMPORARY_PREFIX}{name}-{}.qcow2", std::process::id())));
    let _lock = FileLock::try_acquire(&litter::lock_of(file.path()))?;
    let mut tell = |step: BuildStep| {
        sink.emit(None, EventKind::ImageBuildStep { image: name.to_string(), step: step.to_string() });
    };
    guest::build(options.recipe, AGENT, file.path(), &mut tell)?;
    let image = images.store.import(file.path(), &name, images.arch)?;
    let sha512 = image.sha512.to_string();
    let verified = EventKind::ImageVerified { image: name.to_string(), sha512, size_bytes: image.size_bytes };
    sink.emit(None, verified);
    let stored = StoredRow::of(&image, true);
    Ok(OperationOutput::new(ImageStoredOutcome { name: name.to_string(), stored }))
}

/// The name the catalogue has for the result of a recipe.
fn stored_as(recipe: Recipe) -> ImageName {
    let built = BUILT.iter().find(|built| built.target == recipe.name());
    let name = built.map_or(recipe.name(), |built| built.name);
    name.parse().expect("names of recipes are image names: tested below")
}

/// A file that is removed when dropped.
struct Temporary(std::path::PathBuf);

impl Temporary {
    fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        let _ = publish::remove(&self.0);
        let _ = publish::remove(&litter::lock_of(&self.0));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_recipe_has_its_name_in_the_catalogue() {
        for recipe in Recipe::ALL {
            let name = stored_as(recipe);
            let built = BUILT.iter().find(|built| built.name == name.as_str());
            assert_eq!(built.map(|built| built.target), Some(recipe.name()));
        }
    }
}
