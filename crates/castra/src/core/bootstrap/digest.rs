//! What a bootstrap's digest is made of: all that decides what it does in a guest, and nothing else.
//!
//! ```text
//! script (bytes) · payload (paths, modes, links, bytes, in order) · env · verify · base image
//! ```
//!
//! Each part goes into the hash with its length, so no two bootstraps run into each other. When a
//! bootstrap runs and how long it may take decide nothing it does. Tests: below.

use std::fs::{self, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use plasmavmc_host::IoContext;
use plasmavmc_types::BootstrapDigest;
use sha2::{Digest, Sha256};

use super::inputs::{EntryKind, InputError, Inputs, Shape, open};
use crate::config::{Bootstrap, Verify};

/// The first part of every hash: another way of making it has another number.
const FORMAT: &str = "castra bootstrap 1";
/// The most bytes of the file beside an image that are read: a digest, a name and white space.
const MAX_SIDECAR: u64 = 4096;

/// What tells one base image from another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BaseIdentity(String);

impl BaseIdentity {
    /// The identity of the image at `path`: its SHA-512, where it is one of the workspace's `images`
    /// and Castra wrote that beside it; else its size and the time of its last change, since reading
    /// gigabytes at every start would cost more than what a bootstrap saves.
    ///
    /// # Errors
    /// [`InputError`] where there is no such file.
    pub(crate) fn of(path: &Path, images: &Path) -> Result<Self, InputError> {
        let noted = if path.starts_with(images) { noted_digest(path) } else { None };
        match noted {
            Some(digest) => Ok(Self(format!("sha512:{digest}"))),
            None => Ok(Self::of_metadata(&fs::metadata(path).context("look at", path)?)),
        }
    }

    /// The identity of no image at all.
    pub(crate) fn none() -> Self {
        Self("none".to_owned())
    }

    fn of_metadata(meta: &Metadata) -> Self {
        Self(format!("file:{}:{}.{:09}", meta.len(), meta.mtime(), meta.mtime_nsec()))
    }
}

/// The digest in the file beside an image.
fn noted_digest(path: &Path) -> Option<String> {
    let mut sidecar = path.as_os_str().to_owned();
    sidecar.push(".sha512");
    let mut text = String::new();
    fs::File::open(&sidecar).ok()?.take(MAX_SIDECAR).read_to_string(&mut text).ok()?;
    text.split_whitespace().next().filter(|word| is_sha512(word)).map(str::to_owned)
}

fn is_sha512(word: &str) -> bool {
    word.len() == 128 && word.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// The digest of a bootstrap on a base image. Reads the script and every file of the payload.
///
/// # Errors
/// [`InputError`] where one of them cannot be read.
pub(crate) fn digest(
    bootstrap: &Bootstrap,
    inputs: &Inputs,
    base: &BaseIdentity,
) -> Result<BootstrapDigest, InputError> {
    let mut parts = Parts::new();
    parts.add("script", &content(&inputs.script)?);
    if let Some(payload) = &inputs.payload {
        parts.add("payload", if payload.shape == Shape::File { b"file" } else { b"directory" });
        for entry in &payload.entries {
            parts.add("path", entry.path.as_bytes());
            match &entry.kind {
                EntryKind::Directory => parts.add("directory", &entry.mode.to_le_bytes()),
                EntryKind::Link(target) => parts.add("link", target.as_bytes()),
                EntryKind::File => {
                    parts.add("file", &entry.mode.to_le_bytes());
                    parts.add("bytes", &content(&payload.source(entry))?);
                }
            }
        }
    }
    for (name, value) in &bootstrap.env {
        parts.add("name", name.as_bytes());
        parts.add("value", value.as_bytes());
    }
    match &bootstrap.verify {
        None => {}
        Some(Verify::Shell(line)) => parts.add("shell", line.as_bytes()),
        Some(Verify::Program(words)) => words.iter().for_each(|word| parts.add("word", word.as_bytes())),
    }
    parts.add("base", base.0.as_bytes());
    Ok(parts.finish())
}

/// A hash of labelled parts.
struct Parts(Sha256);

impl Parts {
    fn new() -> Self {
        let mut parts = Self(Sha256::new());
        parts.add("format", FORMAT.as_bytes());
        parts
    }

    fn add(&mut self, label: &str, bytes: &[u8]) {
        for field in [label.as_bytes(), bytes] {
            self.0.update((field.len() as u64).to_le_bytes());
            self.0.update(field);
        }
    }

    fn finish(self) -> BootstrapDigest {
        BootstrapDigest::from_bytes(self.0.finalize().into())
    }
}

/// The SHA-256 of a file's content.
fn content(path: &Path) -> Result<[u8; 32], InputError> {
    let (mut file, mut hash) = (open(path)?, Sha256::new());
    let mut block = vec![0; 64 * 1024];
    loop {
        match file.read(&mut block) {
            Ok(0) => return Ok(hash.finalize().into()),
            Ok(count) => hash.update(&block[..count]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error).context("read", path).map_err(InputError::from),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use proptest::prelude::*;

    use super::super::inputs::tests::{bootstrap, project};
    use super::*;

    fn base(text: &str) -> BaseIdentity {
        BaseIdentity(text.to_owned())
    }

    fn of(bootstrap: &Bootstrap) -> BootstrapDigest {
        digest(bootstrap, &Inputs::look(bootstrap).unwrap(), &base("b")).unwrap()
    }

    #[test]
    fn everything_that_decides_what_a_bootstrap_does_changes_its_digest() {
        let dir = project();
        let at = |name: &str| dir.path().join(name);
        let config = bootstrap(dir.path(), Some("dist"));
        let mut seen = vec![of(&config)];
        let mut differs = |what: &str, config: &Bootstrap| {
            let digest = of(config);
            assert!(!seen.contains(&digest), "{what} changes nothing");
            seen.push(digest);
        };
        let env = |pairs: &[(&str, &str)]| {
            pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
        };
        differs("another variable", &Bootstrap { env: env(&[("PORT", "81")]), ..config.clone() });
        differs("a name that was a value", &Bootstrap { env: env(&[("PORT8", "0")]), ..config.clone() });
        let shell = |line: &str| Some(Verify::Shell(line.to_owned()));
        differs("a check", &Bootstrap { verify: shell("true"), ..config.clone() });
        let program = Some(Verify::Program(vec!["true".to_owned()]));
        differs("a check of another kind", &Bootstrap { verify: program, ..config.clone() });
        differs("no payload", &Bootstrap { payload: None, ..config.clone() });
        differs("one file of it", &Bootstrap { payload: Some(at("dist/bin.conf")), ..config.clone() });
        fs::write(at("bootstrap.sh"), "echo ho\n").unwrap();
        differs("another script", &config);
        fs::write(at("dist/bin.conf"), "cone").unwrap();
        differs("another byte", &config);
        fs::set_permissions(at("dist/bin.conf"), fs::Permissions::from_mode(0o640)).unwrap();
        differs("another mode", &config);
        fs::rename(at("dist/bin.conf"), at("dist/web.conf")).unwrap();
        differs("another name", &config);
        fs::remove_file(at("dist/link")).unwrap();
        std::os::unix::fs::symlink("web.conf", at("dist/link")).unwrap();
        differs("another link", &config);
        fs::create_dir(at("dist/more")).unwrap();
        differs("another directory", &config);
        let inputs = Inputs::look(&config).unwrap();
        assert_ne!(digest(&config, &inputs, &base("c")).unwrap(), of(&config));
    }

    #[test]
    fn what_decides_nothing_changes_nothing() {
        let dir = project();
        let config = bootstrap(dir.path(), Some("dist"));
        let before = of(&config);
        let other = Bootstrap {
            mode: plasmavmc_types::BootstrapMode::Always,
            timeout: std::time::Duration::from_secs(9),
            ..config.clone()
        };
        assert_eq!(of(&other), before);
        // Written again, byte for byte: only its time is another.
        fs::write(dir.path().join("dist/bin.conf"), "conf").unwrap();
        assert_eq!(of(&config), before);
    }

    #[test]
    fn a_base_image_is_known_by_its_digest_or_by_its_size_and_time() {
        let dir = tempfile::tempdir().unwrap();
        let image = dir.path().join("a.qcow2");
        fs::write(&image, "x").unwrap();
        let of = |images: &Path| BaseIdentity::of(&image, images);
        let by_time = of(dir.path()).unwrap();
        assert!(by_time.0.starts_with("file:1:"), "{by_time:?}");
        let sidecar = dir.path().join("a.qcow2.sha512");
        fs::write(&sidecar, format!("{}  a.qcow2\n", "ab".repeat(64))).unwrap();
        assert_eq!(of(dir.path()).unwrap(), base(&format!("sha512:{}", "ab".repeat(64))));
        assert_eq!(of(Path::new("/w/images")).unwrap(), by_time, "a file nobody checked was believed");
        fs::write(&sidecar, "half").unwrap();
        assert_eq!(of(dir.path()).unwrap(), by_time);
        assert!(BaseIdentity::of(&dir.path().join("none"), dir.path()).is_err());
    }

    proptest! {
        #[test]
        fn parts_never_run_into_each_other(a: Vec<u8>, b: Vec<u8>, c: Vec<u8>, d: Vec<u8>) {
            let of = |one: &[u8], two: &[u8]| {
                let mut parts = Parts::new();
                parts.add("a", one);
                parts.add("b", two);
                parts.finish()
            };
            prop_assert_eq!(of(&a, &b) == of(&c, &d), (&a, &b) == (&c, &d));
        }
    }
}
