//! Compares stored bytes with their digest.

use std::fs;
use std::io;

use super::super::catalogue::{self, Arch};
use super::super::digest::Sha512;
use super::super::download::{Digests, DownloadPolicy, Report, hash_file};
use super::super::error::ImageError;
use super::super::name::ImageName;
use super::super::progress::ImageProgress;
use super::super::resolve::{Place, Resolved};
use super::record::{self, Record};
use super::{Store, StoredImage};
use crate::{HostError, IoContext, publish};

/// What comparing an image's bytes showed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Check {
    /// They have their digest.
    Intact,
    /// They have another one. The image is no longer trusted: the next `up` or `pull` replaces it.
    Altered {
        /// The digest they have now.
        actual: Sha512,
        /// Their number.
        size_bytes: u64,
    },
    /// The file is gone.
    Missing,
}

impl Store {
    /// Reads all bytes of an image and compares them with its digest.
    ///
    /// # Errors
    /// [`ImageError::Lock`] where something else works on the image; [`ImageError::Host`].
    pub fn verify(&self, image: &StoredImage, report: &mut Report<'_>) -> Result<Check, ImageError> {
        let _turn = self.turn(&image.name, image.arch, &DownloadPolicy::default(), report)?;
        let Some(record) = self.record(image.sha512) else { return Ok(Check::Missing) };
        let check = self.compare_stored(&record)?;
        self.note(record, check)?;
        if check == Check::Intact {
            report(verified(&image.name, image.sha512, image.size_bytes));
        }
        Ok(check)
    }

    /// Gives the image of `record` if its bytes are right, comparing them where there is doubt.
    /// Wrong bytes that can be downloaded again are removed.
    pub(super) fn recheck(
        &self,
        record: Record,
        resolved: &Resolved,
        report: &mut Report<'_>,
    ) -> Result<Option<StoredImage>, ImageError> {
        if self.trusts(&record) {
            return Ok(Some(self.image(record, &resolved.name)));
        }
        let sha512 = record.sha512;
        let path = self.object(sha512);
        let check = self.compare_stored(&record)?;
        self.note(record.clone(), check)?;
        match (check, &resolved.place) {
            (Check::Intact, _) => {
                report(verified(&resolved.name, sha512, record.size_bytes));
                Ok(Some(self.image(record, &resolved.name)))
            }
            (Check::Altered { .. } | Check::Missing, Place::Web(_)) => {
                publish::remove(&path)?;
                Ok(None)
            }
            (Check::Altered { .. }, Place::Store(_)) => {
                Err(ImageError::Damaged { name: resolved.name.clone(), path, sha512 })
            }
            (Check::Missing, Place::Store(_)) => Ok(None),
        }
    }

    fn compare_stored(&self, record: &Record) -> Result<Check, HostError> {
        let path = self.object(record.sha512);
        match fs::symlink_metadata(&path) {
            Ok(found) if found.is_file() => {}
            Ok(_) => return Ok(Check::Missing),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Check::Missing),
            Err(error) => return Err(error).context("open", &path),
        }
        let (hashed, size_bytes) = hash_file(&path, Digests::Sha512)?;
        if hashed.sha512 == record.sha512 {
            Ok(Check::Intact)
        } else {
            Ok(Check::Altered { actual: hashed.sha512, size_bytes })
        }
    }

    /// Writes down what a comparison showed, where that is news.
    fn note(&self, record: Record, check: Check) -> Result<(), ImageError> {
        let path = self.object(record.sha512);
        let trusts = self.trusts(&record);
        let noted = match check {
            Check::Intact if trusts => return Ok(()),
            Check::Intact => record.trusting(&fs::symlink_metadata(&path).context("measure", &path)?),
            Check::Altered { .. } => record.distrusting(),
            Check::Missing => return Ok(()),
        };
        let _naming = self.naming(&noted.name)?;
        record::write(&self.record_path(noted.sha512), &noted)?;
        Ok(())
    }

    /// The image a name leads to, trusted or not: what `image verify` is asked about.
    pub fn named(&self, name: &ImageName, arch: Arch) -> Option<StoredImage> {
        let name = catalogue::canonical(name);
        let record = self.pointed(&name, arch)?;
        Some(self.image(record, &name))
    }
}

fn verified(name: &ImageName, sha512: Sha512, size_bytes: u64) -> ImageProgress {
    ImageProgress::Verified { image: name.to_string(), sha512, size_bytes }
}
