//! The base images of a project: files of the host, or images of the catalogue.
//!
//! [`BaseImages::locate`] reads only, so that a missing or broken file stops `up` before anything
//! was made; [`BaseImages::fetch`] downloads what is missing and links it into the workspace.
//! Tests: `tests/it/images.rs`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use plasmavmc_engine::ImageState;
use plasmavmc_host::Layout;
use plasmavmc_host::base::BaseImage as BaseFile;
use plasmavmc_host::image::{BaseInUse, ImageName, Lockfile};
use plasmavmc_hypervisor::EventSink;

use crate::config::{BaseImage, Project, VmConfig};
use crate::core::error::Error;
use crate::core::images::Images;
use crate::core::session::Session;

/// The name of the file beside castra.toml that pins images.
const LOCKFILE_NAME: &str = "castra.lock";

/// Where the base image of each VM is, as far as that is known.
pub(crate) struct BaseImages {
    /// Files that were inspected.
    files: BTreeMap<PathBuf, BaseFile>,
    /// Images of the catalogue; none while they are not at hand.
    named: BTreeMap<ImageName, Option<BaseFile>>,
    /// Used for every VM instead of its own.
    instead: Option<PathBuf>,
}

impl BaseImages {
    /// Looks where the images of `vms` are, and inspects those that are files.
    ///
    /// # Errors
    /// [`Error::BaseImage`] where a file is missing or cannot carry an overlay.
    pub(crate) fn locate(
        session: &Session,
        project: &Project,
        vms: &[&VmConfig],
        instead: Option<&Path>,
    ) -> Result<Self, Error> {
        let mut found = Self { files: BTreeMap::new(), named: BTreeMap::new(), instead: None };
        if let Some(path) = instead {
            let path = session.cwd.join(path);
            found.files.insert(path.clone(), BaseFile::inspect(&path, None)?);
            found.instead = Some(path);
            return Ok(found);
        }
        let images = Images::open(session)?;
        let lock = Lockfile::load(&project.config_dir().join(LOCKFILE_NAME))?;
        for vm in vms {
            match &vm.base_image {
                BaseImage::Path(path) => {
                    found.files.insert(path.clone(), BaseFile::inspect(path, None)?);
                }
                BaseImage::Catalogue(name) => {
                    let at_hand = images.at_hand(name, &lock)?;
                    let usable = at_hand.map(|path| BaseFile::inspect(&path, None)).transpose()?;
                    found.named.insert(name.clone(), usable);
                }
            }
        }
        Ok(found)
    }

    /// Whether the image of a VM is at hand.
    pub(crate) fn state(&self, vm: &VmConfig) -> ImageState {
        if self.at_hand(vm).is_some() { ImageState::Ready } else { ImageState::Missing }
    }

    /// Fetches what is missing, links every named image into the workspace, and pins what was
    /// fetched for the first time.
    ///
    /// # Errors
    /// [`Error::Image`], [`Error::Lockfile`], [`Error::BaseImage`].
    pub(crate) fn fetch(
        &mut self,
        session: &Session,
        project: &Project,
        layout: &Layout,
        sink: &dyn EventSink,
    ) -> Result<(), Error> {
        if self.named.is_empty() {
            return Ok(());
        }
        let images = Images::open(session)?;
        let lock_path = project.config_dir().join(LOCKFILE_NAME);
        for (name, file) in &mut self.named {
            let in_use = in_use(project, name);
            let path = images.provide(name, &lock_path, &layout.images(), in_use, sink)?;
            *file = Some(BaseFile::inspect(&path, None)?);
        }
        Ok(())
    }

    /// The image of a VM; none where it has to be fetched first.
    pub(crate) fn at_hand(&self, vm: &VmConfig) -> Option<&BaseFile> {
        match (&self.instead, &vm.base_image) {
            (Some(path), _) | (None, BaseImage::Path(path)) => self.files.get(path),
            (None, BaseImage::Catalogue(name)) => self.named.get(name)?.as_ref(),
        }
    }

    /// The image of a VM, after [`Self::fetch`].
    ///
    /// # Panics
    /// Where the VM is not one of those the images were located for.
    pub(super) fn base(&self, vm: &VmConfig) -> &BaseFile {
        self.at_hand(vm).expect("every image was located and fetched before its VM is started")
    }
}

/// Whether an overlay lies on the workspace's copy of an image, so that its bytes must stay.
fn in_use(project: &Project, name: &ImageName) -> BaseInUse {
    let lies_on = |vm: &&VmConfig| matches!(&vm.base_image, BaseImage::Catalogue(base) if base == name);
    let in_use = project.vms.iter().filter(lies_on).any(|vm| vm.overlay.exists());
    if in_use { BaseInUse::Yes } else { BaseInUse::No }
}
