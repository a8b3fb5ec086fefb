//! The files under the disks of a domain, as far as its XML tells them (`<backingStore>`).
//!
//! libvirt fills them in while a domain runs, or where somebody wrote them down. Tests: below.

use std::path::PathBuf;

use roxmltree::Node;

use super::document::{DomainXml, root};
use super::project::{devices, source_of};
use crate::domain::Source;
use crate::xml::{XmlError, child};

/// How many files lie under a disk at most: as many as libvirt follows itself.
const MAX_DEPTH: usize = 200;

impl DomainXml {
    /// Each disk that is a file and has others under it, with those, the nearest first.
    ///
    /// # Errors
    /// [`XmlError`] where the XML is no domain.
    pub fn backing_files(&self) -> Result<Vec<(PathBuf, Vec<PathBuf>)>, XmlError> {
        let document = self.tree()?;
        let chain = |disk: Node<'_, '_>| {
            let Source::File(top) = source_of(disk) else { return None };
            let stores =
                std::iter::successors(child(disk, "backingStore"), |store| child(*store, "backingStore"));
            let files = stores.take(MAX_DEPTH).filter_map(|store| match source_of(store) {
                Source::File(path) => Some(path),
                Source::Empty | Source::Other(_) => None,
            });
            let files: Vec<PathBuf> = files.collect();
            (!files.is_empty()).then_some((top, files))
        };
        Ok(devices(root(&document)?, "disk").filter_map(chain).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_under_a_disk_is_told_and_what_is_none_is_passed_over() {
        let xml = "<domain><devices>\
            <disk type='file'><source file='/d/top'/>\
            <backingStore type='file'><format type='qcow2'/><source file='/d/mid'/>\
            <backingStore type='block'><source dev='/dev/x'/>\
            <backingStore type='file'><source file='/d/base'/><backingStore/></backingStore>\
            </backingStore></backingStore></disk>\
            <disk type='file'><source file='/d/alone'/><backingStore/></disk>\
            <disk type='file' device='cdrom'/></devices></domain>";
        let found = DomainXml::parse(xml).unwrap().backing_files().unwrap();
        assert_eq!(found, [("/d/top".into(), vec!["/d/mid".into(), "/d/base".into()])]);
    }
}
