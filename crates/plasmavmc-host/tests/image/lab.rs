//! A store in a directory of its own, a publisher to fill it from, and what they are asked.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use plasmavmc_host::image::{
    Arch, DownloadPolicy, ImageError, ImageProgress, Sha256, Sha512, Store, StoredImage, Wanted,
};
use sha2::Digest;
use tempfile::TempDir;

use crate::server::{Answer, Seen, Server};

/// The validator of every file the publisher has.
pub(crate) const ETAG: &str = "\"v1\"";

/// A store and a policy that does not make tests wait.
pub(crate) struct Lab {
    pub(crate) dir: TempDir,
    pub(crate) store: Store,
    pub(crate) policy: DownloadPolicy,
}

impl Lab {
    pub(crate) fn new(server: &Server) -> Self {
        Self::at(&server.base())
    }

    pub(crate) fn at(mirror: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::new(dir.path().join("store"));
        Self { dir, store, policy: policy(mirror) }
    }

    /// Wants an image and collects what was reported.
    pub(crate) fn ensure(&self, wanted: &Wanted) -> (Result<StoredImage, ImageError>, Vec<ImageProgress>) {
        let mut reports = Vec::new();
        let outcome = self.store.ensure(wanted, &self.policy, &mut |report| reports.push(report));
        (outcome, reports)
    }

    /// Files with final names: what a crash or a failure must never leave half.
    pub(crate) fn finals(&self) -> Vec<PathBuf> {
        finals(&self.store)
    }

    pub(crate) fn partials(&self) -> Vec<PathBuf> {
        files(&self.store.root().join("partial"))
    }
}

pub(crate) fn finals(store: &Store) -> Vec<PathBuf> {
    files(&store.root().join("sha512"))
}

pub(crate) fn files(dir: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(dir) else { return Vec::new() };
    let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
}

pub(crate) fn policy(mirror: &str) -> DownloadPolicy {
    DownloadPolicy {
        mirror: Some(mirror.parse().unwrap()),
        tries: 3,
        first_wait: Duration::from_millis(1),
        longest_wait: Duration::from_millis(20),
        connect: Duration::from_secs(5),
        stall: Duration::from_millis(400),
        patience: Duration::from_secs(20),
        report_every: Duration::ZERO,
        ..DownloadPolicy::default()
    }
}

pub(crate) fn wanted(name: &str) -> Wanted {
    Wanted::new(name.parse().unwrap(), Arch::X86_64)
}

/// Bytes of the header and tables of [`image`].
const TABLES: usize = 1536;

/// The bytes of an image: a small qcow2 that holds no guest data, then bytes that differ everywhere
/// and with `seed`, which the format allows.
pub(crate) fn image(bytes: usize, seed: u64) -> Arc<Vec<u8>> {
    let mut image = vec![0; TABLES];
    let mut put = |at: usize, value: &[u8]| image[at..at + value.len()].copy_from_slice(value);
    put(0, b"QFI\xfb\0\0\0\x03");
    // Clusters of 512 bytes, a disk of 32 KiB, one L1 entry, one cluster of the refcount table.
    put(20, &9_u32.to_be_bytes());
    put(24, &32_768_u64.to_be_bytes());
    put(36, &1_u32.to_be_bytes());
    put(40, &1024_u64.to_be_bytes());
    put(48, &512_u64.to_be_bytes());
    put(56, &1_u32.to_be_bytes());
    put(96, &4_u32.to_be_bytes());
    put(100, &104_u32.to_be_bytes());
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    while image.len() < bytes {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        image.extend_from_slice(&state.to_le_bytes());
    }
    image.truncate(bytes);
    Arc::new(image)
}

/// The bytes of an overlay on a file that every Linux host has.
pub(crate) fn overlay(bytes: usize) -> Arc<Vec<u8>> {
    let mut overlay = image(bytes, 1).to_vec();
    let name = b"/etc/passwd";
    overlay[8..16].copy_from_slice(&200_u64.to_be_bytes());
    overlay[16..20].copy_from_slice(&(name.len() as u32).to_be_bytes());
    overlay[200..200 + name.len()].copy_from_slice(name);
    Arc::new(overlay)
}

pub(crate) fn sha512(bytes: &[u8]) -> Sha512 {
    Sha512::from_bytes(sha2::Sha512::digest(bytes).into())
}

pub(crate) fn sha256(bytes: &[u8]) -> Sha256 {
    Sha256::from_bytes(sha2::Sha256::digest(bytes).into())
}

/// What a publisher in order answers: every kind of checksum file, and the image.
pub(crate) fn publisher(seen: &Seen, image: &Arc<Vec<u8>>) -> Answer {
    checksums(&seen.path, image).unwrap_or_else(|| Answer::file(seen, image, ETAG))
}

/// The checksum file at `path`, where it is one.
pub(crate) fn checksums(path: &str, image: &[u8]) -> Option<Answer> {
    let (folder, file) = path.rsplit_once('/').unwrap_or_default();
    let text = if file.ends_with(".sha512") {
        sha512(image).to_string()
    } else if file == "SHA512SUMS" {
        let release = if folder.contains("bookworm") { "12" } else { "13" };
        format!("{}  debian-{release}-genericcloud-amd64.qcow2\n", sha512(image))
    } else if file == "SHA256SUMS" {
        let release = if folder.contains("noble") { "24.04" } else { "26.04" };
        format!("{} *ubuntu-{release}-server-cloudimg-amd64.img\n", sha256(image))
    } else if file.ends_with("-CHECKSUM") {
        let line = format!("SHA256 (Fedora-Cloud-Base-Generic-44-1.7.x86_64.qcow2) = {}", sha256(image));
        format!(
            "-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA256\n\n{line}\n-----BEGIN PGP SIGNATURE-----\n\nxx\n-----END PGP SIGNATURE-----\n"
        )
    } else {
        return None;
    };
    Some(Answer::text(&text))
}
