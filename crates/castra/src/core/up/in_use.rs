//! Which files the overlays of a workspace lie on, so that their bytes have to stay.
//!
//! An overlay's own header says it, whatever the config calls the image today; the VM's record says
//! it too. Asked are the VMs of the config, those that have a record, and every file among the
//! overlays. Reads only. Tests: below.

use std::path::{Path, PathBuf};

use plasmavmc_host::overlay::{self, Content};
use plasmavmc_host::{Layout, publish};
use plasmavmc_hypervisor::{Observe, block_on};

use crate::core::error::Error;

/// What the overlays of a workspace lie on.
#[derive(Debug, Default)]
pub(super) struct Bases {
    files: Vec<PathBuf>,
    /// Some overlay may lie on anything: it, or its VM's record, cannot be read.
    any: bool,
}

impl Bases {
    /// Asks every overlay that is there, those at the paths `configured` among them.
    ///
    /// # Errors
    /// [`Error`] where the workspace cannot be read.
    pub(super) fn of<'a>(
        configured: impl Iterator<Item = &'a Path>,
        layout: &Layout,
        backend: &dyn Observe,
    ) -> Result<Self, Error> {
        let mut bases = Self::default();
        configured.for_each(|overlay| bases.ask(overlay));
        for vm in block_on(backend.list_vms())? {
            let Ok(spec) = block_on(backend.get_spec(&vm)) else {
                bases.any = true;
                continue;
            };
            for disk in spec.disks.iter().filter(|disk| !disk.read_only && disk.path.exists()) {
                bases.ask(&disk.path);
                bases.files.extend(disk.backing.iter().map(|backing| backing.path.clone()));
            }
        }
        for entry in std::fs::read_dir(layout.overlays()).into_iter().flatten().flatten() {
            let name = entry.file_name();
            if !name.as_encoded_bytes().starts_with(publish::TEMPORARY_PREFIX.as_bytes()) {
                bases.ask(&entry.path());
            }
        }
        Ok(bases)
    }

    fn ask(&mut self, overlay: &Path) {
        // A pipe would not answer.
        if !overlay.is_file() {
            return;
        }
        match overlay::content(overlay) {
            Ok(Content::Over(base)) => self.files.push(base),
            Ok(Content::Alone | Content::NoDisk) => {}
            Err(_) => self.any = true,
        }
    }

    /// Whether an overlay lies on `file`, or may.
    pub(super) fn contain(&self, file: &Path) -> bool {
        self.any || self.files.iter().any(|base| overlay::same_file(base, file))
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use plasmavmc_host::base::BaseImage;
    use plasmavmc_host::overlay::{Existing, prepare};

    use super::*;
    use crate::core::backend;

    #[test]
    fn an_overlay_nobody_speaks_of_keeps_its_image_too() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::new(dir.path());
        fs::create_dir(layout.images()).unwrap();
        let [image, other] = ["debian.raw", "other.raw"].map(|name| layout.images().join(name));
        for path in [&image, &other] {
            let mut disk = vec![0; 4096];
            disk[510..512].copy_from_slice(&[0x55, 0xaa]);
            fs::write(path, disk).unwrap();
        }
        let base = BaseImage::inspect(&image, None).unwrap();
        prepare(&layout.overlay(&"gone".parse().unwrap()), &base, None, Existing::Refuse).unwrap();
        fs::write(layout.overlays().join("notes.txt"), "no overlay").unwrap();
        let bases = Bases::of(std::iter::empty(), &layout, &*backend::observer(&layout)).unwrap();
        assert!(bases.contain(&image) && !bases.contain(&other), "{bases:?}");
    }
}
