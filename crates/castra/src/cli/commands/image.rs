//! `castra image`: base images.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use plasmavmc_cli::one_of;
use plasmavmc_host::guest::Recipe;
use plasmavmc_host::image::ImageName;
use plasmavmc_term::exit::{OK, exit_code};
use plasmavmc_types::ErrorKind;

use crate::cli::error::CliError;
use crate::cli::face::Face;
use crate::cli::render;
use crate::core::images::{
    ImageBuildOptions, ImageImportOptions, ImagePullOptions, ImageRemoveOptions, ImageVerifyOptions,
    image_build, image_import, image_list, image_pull, image_remove, image_verify,
};
use crate::core::selection::Synthesis;

const EXAMPLES: &str = "\
Examples:
  castra image list                  what there is, and what is here already
  castra image pull                  the images of the project here, as castra.lock pins them
  castra image pull debian           the newest one its publisher has
  castra image build tiny            a small bootable one from this host's own packages
  castra image import disk.qcow2 --name mine

Images are kept once for all projects, are verified before they are used, and are never written to.";

/// Base images: list, pull, import, build, remove, verify
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct ImageArgs {
    #[command(subcommand)]
    command: ImageCommand,
}

#[derive(Debug, Subcommand)]
enum ImageCommand {
    /// List the images of the catalogue and those that are here
    List,
    /// Get images from their publishers and verify them
    ///
    /// Named images are got as their publishers have them today, and castra.lock is brought up to
    /// date; without a name, those of the project are got as castra.lock pins them.
    Pull {
        /// Which images
        #[arg(value_name = "IMAGE")]
        images: Vec<ImageName>,
    },
    /// Take a disk image of one's own
    Import {
        /// The file: qcow2 or raw
        #[arg(value_name = "PATH")]
        path: PathBuf,
        /// What `base_image` shall call it
        #[arg(long)]
        name: ImageName,
    },
    /// Build an image from this host's own packages
    Build {
        /// Which one
        #[arg(value_name = "RECIPE", value_parser = one_of(Recipe::ALL.map(|recipe| (recipe.name(), recipe))))]
        recipe: Recipe,
    },
    /// Remove images; workspaces keep the ones they use
    Rm {
        /// Which images
        #[arg(value_name = "IMAGE", required = true)]
        images: Vec<ImageName>,
    },
    /// Compare every byte with its checksum
    ///
    /// Exits with 5 where an image is not what it should be.
    Verify {
        /// Which images; everything that is here where none is named
        #[arg(value_name = "IMAGE")]
        images: Vec<ImageName>,
    },
}

pub(super) fn run(args: &ImageArgs, face: &Face) -> Result<u8, CliError> {
    let session = &face.session;
    let events = face.watch(&[]);
    let observer = |event: &plasmavmc_types::Event| events.show(event);
    match &args.command {
        ImageCommand::List => face.answer(&image_list(session)?, render::images)?,
        ImageCommand::Pull { images } => {
            let project = face.project(Synthesis::Deny);
            let options = ImagePullOptions { images: images.clone(), project };
            face.answer(&image_pull(session, &options, &observer)?, render::pulled)?;
        }
        ImageCommand::Import { path, name } => {
            let options = ImageImportOptions { path: session.cwd.join(path), name: name.clone() };
            face.answer(&image_import(session, &options)?, render::stored)?;
        }
        ImageCommand::Build { recipe } => {
            let options = ImageBuildOptions { recipe: *recipe };
            face.answer(&image_build(session, &options, &observer)?, render::stored)?;
        }
        ImageCommand::Rm { images } => {
            let options = ImageRemoveOptions { images: images.clone() };
            face.answer(&image_remove(session, &options)?, render::removed)?;
        }
        ImageCommand::Verify { images } => {
            let options = ImageVerifyOptions { images: images.clone() };
            let output = image_verify(session, &options, &observer)?;
            face.answer(&output, render::verified)?;
            if !output.value.all_intact() {
                return Ok(exit_code(ErrorKind::Image));
            }
        }
    }
    Ok(OK)
}
