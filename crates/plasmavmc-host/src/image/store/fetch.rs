//! Downloads an image, compares it, and only then stores it.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, SystemTime};

use plasmavmc_types::{ByteSize, DiskFormat};

use super::super::checksum;
use super::super::digest::{Algorithm, Digest};
use super::super::download::{
    Cache, Digests, DownloadError, DownloadPolicy, Fetched, Hashed, Job, Part, Report, download, fetch_small,
};
use super::super::error::{Content, Difference, ImageError};
use super::super::lockfile::Pin;
use super::super::mirror::shown;
use super::super::progress::ImageProgress;
use super::super::resolve::{Expected, Resolved, Web};
use super::fit;
use super::record::{self, Facts, Origin, Pointer, Record};
use super::{Store, StoredImage, key};
use crate::base::BaseImageError;
use crate::qcow2::MAGIC;
use crate::{IoContext, failpoint, publish};

/// Which bytes are to come.
enum Goal<'a> {
    Pin(&'a Pin),
    Digest(Digest),
}

impl Store {
    /// Downloads `web`. Bytes that are not the expected ones are dropped and asked for once more,
    /// past every cache: caches with an older file are the common reason.
    pub(super) fn fetch(
        &self,
        resolved: &Resolved,
        web: &Web,
        policy: &DownloadPolicy,
        report: &mut Report<'_>,
    ) -> Result<StoredImage, ImageError> {
        match self.fetch_once(resolved, web, Cache::Allowed, policy, report) {
            Err(error @ (ImageError::Mismatch { .. } | ImageError::PinMismatch { .. })) => {
                report(ImageProgress::Retried {
                    image: resolved.name.to_string(),
                    reason: error.to_string(),
                    wait: Duration::ZERO,
                });
                self.fetch_once(resolved, web, Cache::Bypassed, policy, report)
            }
            outcome => outcome,
        }
    }

    fn fetch_once(
        &self,
        resolved: &Resolved,
        web: &Web,
        cache: Cache,
        policy: &DownloadPolicy,
        report: &mut Report<'_>,
    ) -> Result<StoredImage, ImageError> {
        let goal = match &web.expected {
            Expected::Pinned(pin) => Goal::Pin(pin),
            Expected::Published { checksum_url, format } => {
                let digest = published_digest(resolved, web, (checksum_url, *format), cache, policy, report)?;
                if let Some(image) = self.take_known(digest, resolved, web)? {
                    return Ok(image);
                }
                Goal::Digest(digest)
            }
        };
        let request_url = at_mirror(&web.url, policy);
        let url = shown(&request_url);
        let job = Job {
            image: resolved.name.as_str(),
            url: &request_url,
            shown_url: &url,
            size_bytes: if let Goal::Pin(pin) = &goal { Some(pin.size_bytes) } else { None },
            magic: if web.format == DiskFormat::Qcow2 { &MAGIC } else { &[] },
            digests: match &goal {
                Goal::Digest(digest) if digest.algorithm() == Algorithm::Sha256 => Digests::Both,
                _ => Digests::Sha512,
            },
            cache,
        };
        let mut part = Part::open(&self.partial(), &key(&resolved.name, resolved.arch))?;
        let fetched =
            download(&job, &mut part, policy, report).map_err(|error| explain(error, resolved, &url))?;
        if let Err(error) =
            compare(&fetched, resolved, &url, &goal).and_then(|()| fits(part.path(), web, &url))
        {
            part.discard()?;
            return Err(error);
        }
        failpoint::hit("image-verified");
        let publisher = if let Goal::Digest(digest) = goal { Some(digest) } else { None };
        let facts = Facts {
            name: resolved.name.clone(),
            arch: resolved.arch,
            sha512: fetched.hashed.sha512,
            size_bytes: fetched.size_bytes,
            format: web.format,
            origin: Origin::Downloaded { url: web.url.clone(), publisher, validator: fetched.validator },
        };
        let image = self.install(part.path(), Some(part.note_path()), facts)?;
        report(ImageProgress::Verified {
            image: image.name.to_string(),
            sha512: image.sha512,
            size_bytes: image.size_bytes,
        });
        Ok(image)
    }

    /// Lets the name mean the bytes with this digest, where the store has them already.
    fn take_known(
        &self,
        digest: Digest,
        resolved: &Resolved,
        web: &Web,
    ) -> Result<Option<StoredImage>, ImageError> {
        let Some(record) = self.by_digest(digest) else { return Ok(None) };
        let origin = Origin::Downloaded { url: web.url.clone(), publisher: Some(digest), validator: None };
        self.drop_partial(&resolved.name, resolved.arch)?;
        self.point(&record, resolved, origin)?;
        Ok(Some(self.image(record, &resolved.name)))
    }

    /// The trusted record of the bytes with this digest.
    fn by_digest(&self, digest: Digest) -> Option<Record> {
        let record = match digest {
            Digest::Sha512(sha512) => self.record(sha512),
            Digest::Sha256(_) => record::read_all(&self.root.join("records")).into_iter().find(|record: &Record| {
                matches!(record.origin, Origin::Downloaded { publisher: Some(known), .. } if known == digest)
            }),
        };
        record.filter(|record| self.trusts(record))
    }

    /// Lets the name lead to bytes the store has already, and notes that they come from `origin` too.
    fn point(&self, record: &Record, resolved: &Resolved, origin: Origin) -> Result<(), ImageError> {
        let _naming = self.naming(&resolved.name)?;
        if !matches!(record.origin, Origin::Downloaded { .. }) {
            record::write(&self.record_path(record.sha512), &record.clone().with_origin(origin.clone()))?;
        }
        let path = self.pointer_path(&resolved.name, resolved.arch);
        let there: Option<Pointer> = record::read(&path);
        // What the download of these very bytes told of them, such as their validator, stays true.
        let known =
            there.filter(|pointer| pointer.sha512 == record.sha512).and_then(|pointer| pointer.origin);
        let origin = known.filter(|known| same_download(known, &origin)).unwrap_or(origin);
        let pointer = Pointer::new(resolved.name.clone(), resolved.arch, record.sha512, origin);
        record::write(&path, &pointer)?;
        Ok(())
    }

    /// Gives compared and flushed bytes their final name. The file at `bytes` is theirs until then,
    /// and the one at `note` says what they are a part of.
    pub(super) fn install(
        &self,
        bytes: &Path,
        note: Option<&Path>,
        facts: Facts,
    ) -> Result<StoredImage, ImageError> {
        fs::set_permissions(bytes, Permissions::from_mode(0o444)).context("set the mode of", bytes)?;
        let found = fs::symlink_metadata(bytes).context("measure", bytes)?;
        let record = Record::new(facts, SystemTime::now().into(), &found);
        let _naming = self.naming(&record.name)?;
        record::write(&self.record_path(record.sha512), &record)?;
        failpoint::hit("image-recorded");
        publish::rename(bytes, &self.object(record.sha512))?;
        failpoint::hit("image-published");
        // Before the name: whoever finds bytes without a name cleans up, whoever finds a name does not.
        note.map_or(Ok(false), publish::remove)?;
        let origin = record.origin.clone();
        let pointer = Pointer::new(record.name.clone(), record.arch, record.sha512, origin);
        record::write(&self.pointer_path(&record.name, record.arch), &pointer)?;
        let name = record.name.clone();
        Ok(self.image(record, &name))
    }
}

/// Whether both are downloads from one place.
fn same_download(a: &Origin, b: &Origin) -> bool {
    matches!((a, b), (Origin::Downloaded { url: a, .. }, Origin::Downloaded { url: b, .. }) if a == b)
}

/// Where `url` is asked for.
fn at_mirror(url: &str, policy: &DownloadPolicy) -> String {
    policy.mirror.as_ref().map_or_else(|| url.to_owned(), |mirror| mirror.apply(url))
}

/// Asks the publisher for the digest of its image.
fn published_digest(
    resolved: &Resolved,
    web: &Web,
    (checksum_url, format): (&str, checksum::ChecksumFormat),
    cache: Cache,
    policy: &DownloadPolicy,
    report: &mut Report<'_>,
) -> Result<Digest, ImageError> {
    let url = at_mirror(checksum_url, policy);
    let name = &resolved.name;
    let limit = ByteSize::bytes(checksum::MAX_BYTES as u64);
    let bytes = fetch_small(name.as_str(), &url, limit, cache, policy, report)
        .map_err(|source| ImageError::Fetch { name: name.clone(), url: shown(&url), source })?;
    let file_name = web.url.rsplit_once('/').map_or(web.url.as_str(), |(_, file)| file);
    checksum::parse(&bytes, format)
        .and_then(|file| file.digest_of(file_name))
        .map_err(|source| ImageError::Checksum { name: name.clone(), url: shown(&url), source })
}

/// Whether the bytes are the expected ones.
fn compare(fetched: &Fetched, resolved: &Resolved, url: &str, goal: &Goal<'_>) -> Result<(), ImageError> {
    let Hashed { sha512, sha256 } = fetched.hashed;
    match goal {
        Goal::Pin(pin) if pin.sha512 == sha512 && pin.size_bytes == fetched.size_bytes => Ok(()),
        Goal::Pin(pin) => {
            let actual = Content { sha512: Some(sha512), size_bytes: fetched.size_bytes };
            let expected = Content { sha512: Some(pin.sha512), size_bytes: pin.size_bytes };
            let (name, url) = (resolved.name.clone(), url.to_owned());
            Err(ImageError::PinMismatch { name, url, found: Box::new(Difference { expected, actual }) })
        }
        Goal::Digest(expected) => {
            let actual = match (expected.algorithm(), sha256) {
                (Algorithm::Sha256, Some(sha256)) => Digest::Sha256(sha256),
                _ => Digest::Sha512(sha512),
            };
            if actual == *expected {
                return Ok(());
            }
            let (name, url) = (resolved.name.clone(), url.to_owned());
            let found = Box::new(Difference { expected: *expected, actual });
            Err(ImageError::Mismatch { name, url, found })
        }
    }
}

/// Whether the file is an image that stands alone. A pin of a stranger's may lead to one that is not.
fn fits(path: &Path, web: &Web, url: &str) -> Result<(), ImageError> {
    match fit::inspect(path, url)? {
        format if format == web.format => Ok(()),
        found => {
            let source = BaseImageError::WrongFormat { path: path.to_owned(), stated: web.format, found };
            Err(ImageError::Unfit { subject: url.to_owned(), source: Box::new(source) })
        }
    }
}

fn explain(error: DownloadError, resolved: &Resolved, url: &str) -> ImageError {
    let (name, url) = (resolved.name.clone(), url.to_owned());
    match error {
        DownloadError::Host(source) => source.into(),
        DownloadError::Fetch(source) => ImageError::Fetch { name, url, source },
        // Only a pin says a size.
        DownloadError::Size { expected, actual } => {
            let content = |size_bytes| Content { sha512: None, size_bytes };
            let found = Difference { expected: content(expected), actual: content(actual) };
            ImageError::PinMismatch { name, url, found: Box::new(found) }
        }
    }
}
