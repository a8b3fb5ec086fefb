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
use plasmavmc_host::image::{ImageName, Lockfile};
use plasmavmc_hypervisor::EventSink;

use super::in_use::Bases;
use crate::config::{BaseImage, Project, VmConfig};
use crate::core::backend;
use crate::core::error::Error;
use crate::core::images::{Images, Shelf};
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
        let dir = Layout::new(&project.state_root).images();
        for vm in vms {
            match &vm.base_image {
                BaseImage::Path(path) => {
                    found.files.insert(path.clone(), BaseFile::inspect(path, None)?);
                }
                BaseImage::Catalogue(name) => {
                    let at_hand = images.at_hand(name, &lock, &dir)?;
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
    /// [`Error::Image`], [`Error::ImagesDiffer`], [`Error::Lockfile`], [`Error::BaseImage`].
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
        let overlays = project.vms.iter().map(|vm| vm.overlay.as_path());
        let bases = Bases::of(overlays, layout, &*backend::observer(layout))?;
        let shelf = Shelf {
            dir: &layout.images(),
            lock_path: &project.config_dir().join(LOCKFILE_NAME),
            in_use: &|file| bases.contain(file),
        };
        let names: Vec<&ImageName> = self.named.keys().collect();
        let paths = Images::open(session)?.provide(&names, &shelf, sink)?;
        for (file, path) in self.named.values_mut().zip(paths) {
            *file = Some(BaseFile::inspect(&path, None)?.with_digest_beside());
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
