//! Takes an image out of the store.

use std::fs;
use std::os::unix::fs::MetadataExt;

use super::super::catalogue::{self, Arch};
use super::super::download::{DownloadPolicy, peek};
use super::super::error::ImageError;
use super::super::name::ImageName;
use super::record::{self, Record};
use super::{Store, key};
use crate::{HostError, publish};

/// What a removal did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Removed {
    /// Files that were removed.
    pub files: u64,
    /// Bytes the disk has back.
    pub freed_bytes: u64,
    /// Links workspaces have to those files. They keep them and go on working; their bytes are not
    /// back until the workspaces are cleaned.
    pub workspace_links: u64,
}

impl Store {
    /// Removes an image: its name, the bytes it had under that name, now and earlier, and what an
    /// interrupted download left. Bytes another name leads to stay.
    ///
    /// No workspace is harmed: each has a link or a copy of its own.
    ///
    /// # Errors
    /// [`ImageError::Unknown`] where the store has nothing of that name; [`ImageError::Lock`],
    /// [`ImageError::Host`].
    pub fn remove(&self, name: &ImageName, arch: Arch) -> Result<Removed, ImageError> {
        let name = &catalogue::canonical(name);
        let absent = || ImageError::Unknown { name: name.clone(), arch };
        if !self.root.join("locks").exists() {
            return Err(absent());
        }
        let _turn = self.turn(name, arch, &DownloadPolicy::default(), &mut |_| {})?;
        let _naming = self.naming(name)?;
        let had_partial = peek(&self.partial(), &key(name, arch)).is_some();
        self.drop_partial(name, arch)?;
        let mut meant = self.pointed(name, arch).map(|record| record.sha512);
        let had_name = publish::remove(&self.pointer_path(name, arch))?;
        let kept = self.pointers();
        let mut removed = Removed::default();
        for record in record::read_all::<Record>(&self.root.join("records")) {
            let own = (record.name == *name && record.arch == arch)
                || meant.take_if(|sha| *sha == record.sha512).is_some();
            let heir = kept.iter().find(|pointer| pointer.sha512 == record.sha512);
            match heir {
                None if own => self.remove_object(&record, &mut removed)?,
                // Or it would be listed under a name that is gone.
                Some(heir) if own => {
                    record::write(&self.record_path(record.sha512), &record.clone().under(heir))?;
                }
                _ => {}
            }
        }
        if removed.files == 0 && !had_name && !had_partial { Err(absent()) } else { Ok(removed) }
    }

    fn remove_object(&self, record: &Record, removed: &mut Removed) -> Result<(), HostError> {
        let path = self.object(record.sha512);
        let found = fs::symlink_metadata(&path).ok();
        // The bytes first: a record without bytes counts as missing, bytes without one are lost.
        if publish::remove(&path)? {
            removed.files += 1;
            if let Some(found) = found {
                let links = found.nlink().saturating_sub(1);
                removed.workspace_links += links;
                // Blocks of 512 bytes, whatever the file system's own size is.
                removed.freed_bytes += if links == 0 { found.blocks() * 512 } else { 0 };
            }
        }
        publish::remove(&self.record_path(record.sha512)).map(drop)
    }
}
