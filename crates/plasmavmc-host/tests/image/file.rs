//! One ISO from the web, put where a person wants it.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use plasmavmc_host::image::file::{Authority, FileError, digest_beside, fetch_iso};
use plasmavmc_host::image::{Digest, DownloadPolicy, ImageProgress};
use tempfile::TempDir;

use crate::lab::{ETAG, sha512};
use crate::server::{Answer, Seen, Server};

/// The bytes of an ISO image, as far as anyone looks.
fn iso(len: usize) -> Arc<Vec<u8>> {
    let mut bytes: Vec<u8> = (0..len).map(|at| u8::try_from(at % 251).unwrap()).collect();
    bytes[0x8001..0x8006].copy_from_slice(b"CD001");
    Arc::new(bytes)
}

fn policy() -> DownloadPolicy {
    let wait = Duration::from_millis(5);
    DownloadPolicy { tries: 2, first_wait: wait, longest_wait: wait, ..DownloadPolicy::default() }
}

/// A folder with a place for the file, and what a server there answers.
struct Place {
    server: Server,
    dir: TempDir,
}

impl Place {
    fn new(answer: impl Fn(&Seen) -> Option<Answer> + Send + Sync + 'static) -> Self {
        Self { server: Server::start(answer), dir: tempfile::tempdir().unwrap() }
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("virtio-win.iso")
    }

    fn fetch(&self) -> (Result<(), FileError>, Vec<ImageProgress>) {
        self.fetch_as(None)
    }

    fn fetch_as(&self, checksum: Option<Digest>) -> (Result<(), FileError>, Vec<ImageProgress>) {
        let mut reports = Vec::new();
        let url = format!("{}/virtio-win.iso", self.server.base());
        let result = fetch_iso(&url, &self.path(), checksum, &policy(), &mut |report| reports.push(report));
        (result.map(drop), reports)
    }
}

#[test]
fn an_iso_is_whole_readable_and_known_by_its_digest_and_is_fetched_once() {
    let bytes = iso(200_000);
    let served = bytes.clone();
    let place = Place::new(move |seen| Some(Answer::file(seen, &served, ETAG)));
    let (result, reports) = place.fetch();
    result.unwrap();
    assert_eq!(fs::read(place.path()).unwrap(), *bytes);
    assert_eq!(fs::metadata(place.path()).unwrap().permissions().mode() & 0o777, 0o644);
    let beside = fs::read_to_string(digest_beside(&place.path())).unwrap();
    assert_eq!(beside, format!("{}  virtio-win.iso\n", sha512(&bytes)));
    assert!(matches!(reports.last(), Some(ImageProgress::Verified { size_bytes: 200_000, .. })));
    let asked = place.server.seen().len();
    place.fetch().0.unwrap();
    assert_eq!(place.server.seen().len(), asked, "it asked again");
    // Nothing of the work is left.
    assert_eq!(names(&place), ["virtio-win.iso", "virtio-win.iso.sha512"]);
}

fn names(place: &Place) -> Vec<String> {
    let entries = fs::read_dir(place.dir.path()).unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn sha256(bytes: &[u8]) -> Digest {
    use sha2::Digest as _;
    let hex: String = sha2::Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}").parse().unwrap()
}

#[test]
fn only_what_has_the_digest_asked_for_is_ever_there() {
    let bytes = iso(100_000);
    let served = bytes.clone();
    let place = Place::new(move |seen| Some(Answer::file(seen, &served, ETAG)));
    let error = place.fetch_as(Some(sha256(b"other"))).0.unwrap_err();
    let FileError::OtherDigest { mismatch, .. } = &error else { panic!("{error:?}") };
    assert_eq!((&mismatch.authority, mismatch.actual), (&Authority::Asker, sha256(&bytes)));
    assert!(!place.path().exists() && !digest_beside(&place.path()).exists());
    place.fetch_as(Some(sha256(&bytes))).0.unwrap();
    // One that was fetched under another promise is held against this one.
    let error = place.fetch_as(Some(sha256(b"other"))).0.unwrap_err();
    assert!(matches!(error, FileError::Changed { .. }), "{error:?}");
    assert_eq!(fs::read(place.path()).unwrap(), *bytes, "it is left as it is");
}

#[test]
fn an_iso_that_changed_since_it_was_fetched_is_told() {
    let bytes = iso(100_000);
    let place = Place::new(move |seen| Some(Answer::file(seen, &bytes, ETAG)));
    place.fetch().0.unwrap();
    fs::File::options().write(true).open(place.path()).unwrap().set_len(1000).unwrap();
    let error = place.fetch().0.unwrap_err();
    let FileError::Changed { path, mismatch } = &error else { panic!("{error:?}") };
    assert_eq!(
        (path, &mismatch.authority),
        (&place.path(), &Authority::Beside(digest_beside(&place.path())))
    );
    // Without a word of what it must be it is its owner's.
    fs::remove_file(digest_beside(&place.path())).unwrap();
    place.fetch().0.unwrap();
}

#[test]
fn a_broken_download_is_gone_on_with() {
    let bytes = iso(200_000);
    let place = Place::new(move |seen| {
        let answer = Answer::file(seen, &bytes, ETAG);
        Some(if seen.nth == 0 { answer.cut(100_000) } else { answer })
    });
    place.fetch().0.unwrap();
    assert!(place.server.seen().iter().any(|seen| seen.range().is_some_and(|from| from > 0)));
}

#[test]
fn what_is_not_what_the_file_beside_says_is_never_there() {
    let bytes = iso(100_000);
    let place = Place::new(move |seen| Some(Answer::file(seen, &bytes, ETAG)));
    fs::write(digest_beside(&place.path()), format!("{}  x\n", sha512(b"other"))).unwrap();
    let error = place.fetch().0.unwrap_err();
    assert!(matches!(error, FileError::OtherDigest { .. }), "{error:?}");
    assert!(!place.path().exists());
    fs::write(digest_beside(&place.path()), "no digest\n").unwrap();
    assert!(matches!(place.fetch().0.unwrap_err(), FileError::NoDigest { .. }));
}

#[test]
fn a_log_in_page_is_no_iso() {
    let place = Place::new(|_| Some(Answer::text("<html>log in</html>")));
    let error = place.fetch().0.unwrap_err();
    assert!(matches!(error, FileError::NotAnIso { .. }), "{error:?}");
    assert!(!place.path().exists() && !digest_beside(&place.path()).exists());
}
