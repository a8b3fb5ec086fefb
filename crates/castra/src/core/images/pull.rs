//! `image pull`: gets images from their publishers, and pins them where the project uses them.
//!
//! Named images are got as their publishers have them today; without a name, those of the project
//! are got as `castra.lock` pins them. Tests: `tests/it/images.rs`.

use std::path::PathBuf;

use plasmavmc_host::image::{Arch, ImageName, Lockfile, Place, Wanted, lockfile, resolve};
use schemars::JsonSchema;
use serde::Serialize;

use super::list::catalogue_names;
use super::provide::{Images, pin};
use super::row::StoredRow;
use super::stored_name;
use crate::config::ConfigError;
use crate::core::error::Error;
use crate::core::output::OperationOutput;
use crate::core::recorder::{Observer, Recorder};
use crate::core::selection::{ProjectSelection, Target, project};
use crate::core::session::Session;

/// What `image pull` is asked.
#[derive(Debug, Clone, Default)]
pub struct ImagePullOptions {
    /// Which images, as their publishers have them today. Where empty: those of the project, as
    /// its castra.lock pins them.
    pub images: Vec<ImageName>,
    /// The project whose castra.lock is kept. Without one, nothing is pinned.
    pub project: ProjectSelection,
}

/// What `image pull` got.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ImagePullOutcome {
    /// The images.
    pub images: Vec<PulledImage>,
    /// The lock file, where it changed.
    pub lockfile: Option<PathBuf>,
}

/// An image that is now in the store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct PulledImage {
    /// Its name in the store.
    pub name: String,
    /// The image.
    #[serde(flatten)]
    pub stored: StoredRow,
}

/// Gets images and pins them.
///
/// # Errors
/// [`Error::Image`], [`Error::Lockfile`]; [`Error::Config`] where no image is named and no project
/// is found, or its config has faults. What was got before a failure stays.
pub fn image_pull(
    session: &Session,
    options: &ImagePullOptions,
    observer: &Observer<'_>,
) -> Result<OperationOutput<ImagePullOutcome>, Error> {
    let images = Images::open(session)?;
    let sink = Recorder::forwarding(observer);
    let target = find_project(session, options)?;
    let lock_path =
        target.as_ref().and_then(|target| Some(target.config.parent()?.join(lockfile::FILE_NAME)));
    let lock = lock_path.as_deref().map_or_else(|| Ok(Lockfile::default()), Lockfile::load)?;
    let mut outcome = ImagePullOutcome { images: Vec::new(), lockfile: None };
    for job in jobs(options, target.as_ref(), &lock, images.arch)? {
        let image = images.ensure(&job.wanted, &sink)?;
        if let Some(path) = &lock_path
            && pin(&job.pins, &image, path)?
        {
            outcome.lockfile = Some(path.clone());
        }
        let stored = StoredRow::of(&image, true);
        outcome.images.push(PulledImage { name: image.name.to_string(), stored });
    }
    Ok(OperationOutput::new(outcome))
}

/// The project whose lock file is kept. Only a pull without a name needs one.
fn find_project(session: &Session, options: &ImagePullOptions) -> Result<Option<Target>, Error> {
    match project(session, &options.project) {
        Ok((project, _)) => Ok(Some(Target::of_project(project))),
        Err(Error::Config(ConfigError::NotFound { .. } | ConfigError::NotNamed))
            if !options.images.is_empty() =>
        {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// One image to get, and the names it is to be pinned under.
#[derive(Debug, PartialEq, Eq)]
struct Job {
    wanted: Wanted,
    pins: Vec<Wanted>,
}

/// What is to be got. Pure.
fn jobs(
    options: &ImagePullOptions,
    target: Option<&Target>,
    lock: &Lockfile,
    arch: Arch,
) -> Result<Vec<Job>, Error> {
    if options.images.is_empty() {
        let mut names: Vec<&ImageName> = target.into_iter().flat_map(catalogue_names).collect();
        names.sort();
        names.dedup();
        let pinned = |name: &ImageName| Wanted::new(name.clone(), arch).pinned_by(lock);
        return Ok(names
            .into_iter()
            .map(|name| Job { wanted: pinned(name), pins: vec![pinned(name)] })
            .collect());
    }
    let latest = |name: &ImageName| Wanted::new(name.clone(), arch).latest();
    let job = |name: &ImageName| {
        let own = Wanted::new(name.clone(), arch);
        Ok(match resolve(&own)?.place {
            Place::Web(_) => {
                let used = target.into_iter().flat_map(catalogue_names);
                let same = used.filter(|other| stored_name(other) == stored_name(name));
                Job { wanted: own.latest(), pins: same.map(latest).collect() }
            }
            // There is no publisher to ask: what the store has is the latest.
            Place::Store(_) => Job { wanted: own, pins: Vec::new() },
        })
    };
    options.images.iter().map(job).collect()
}

#[cfg(test)]
mod tests {
    use plasmavmc_host::image::Freshness;

    use super::*;

    fn options(names: &[&str]) -> ImagePullOptions {
        let images = names.iter().map(|name| name.parse().unwrap()).collect();
        ImagePullOptions { images, ..ImagePullOptions::default() }
    }

    #[test]
    fn a_named_image_is_asked_of_its_publisher_and_a_built_one_of_the_store() {
        let jobs = jobs(&options(&["debian", "tiny"]), None, &Lockfile::default(), Arch::X86_64).unwrap();
        let freshness: Vec<_> = jobs.iter().map(|job| job.wanted.freshness).collect();
        assert_eq!(freshness, [Freshness::Latest, Freshness::AsStored]);
        assert!(jobs.iter().all(|job| job.pins.is_empty()), "nothing is pinned without a project");
    }
}
