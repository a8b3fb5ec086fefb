//! `castra.lock`: the exact bytes of each image a project boots, so that a team boots the same.
//!
//! ```toml
//! version = 1
//!
//! [[image]]
//! name = "debian"          # as `base_image` says it
//! arch = "x86_64"
//! url = "https://…"        # the publisher's; a mirror is applied when it is fetched
//! sha512 = "…"
//! size = 339738624         # bytes
//! ```
//!
//! Owns: its text form, which depends on its content alone, and reading and writing the file.
//! Never does: fetch. Tests: below.

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use plasmavmc_types::{ErrorKind, Explain};
use serde::{Deserialize, Serialize};

use super::catalogue::Arch;
use super::digest::Sha512;
use super::name::ImageName;
use crate::{HostError, IoContext, publish};

/// The file's name, beside `castra.toml`.
pub const FILE_NAME: &str = "castra.lock";

/// The version of the format this program reads and writes.
pub const VERSION: u32 = 1;

/// The largest lock file that is read: thousands of pins.
const MAX_BYTES: u64 = 1 << 20;

const HEADER: &str = "\
# Written by castra: the exact images this project boots. Commit it.
# To take a publisher's newer image, run `castra image pull <name>`.
";

/// The bytes an image must have.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pin {
    /// The name, as the config says it.
    pub name: ImageName,
    /// The processor.
    pub arch: Arch,
    /// The publisher's URL.
    pub url: String,
    /// The digest of its bytes.
    pub sha512: Sha512,
    /// Their number.
    #[serde(rename = "size")]
    pub size_bytes: u64,
}

/// The pins of a project.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Lockfile {
    pins: BTreeMap<(ImageName, Arch), Pin>,
}

/// Why a lock file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LockfileError {
    /// It is not TOML, or not a lock file.
    #[error("the image lock is not well-formed")]
    Syntax {
        /// Where and why.
        #[source]
        source: Box<toml::de::Error>,
    },
    /// A newer Castra wrote it.
    #[error("the image lock has version {found}; this castra knows version {VERSION}")]
    Version {
        /// Its version.
        found: u32,
    },
    /// It pins one image twice.
    #[error("the image lock pins `{name}` for {arch} twice")]
    Twice {
        /// The image.
        name: ImageName,
        /// The processor.
        arch: Arch,
    },
    /// A URL in it is not one that is fetched.
    #[error("the image lock has `{}`, which is not an http or https URL", url.escape_debug())]
    Url {
        /// The URL.
        url: String,
    },
    /// The file cannot be read or written.
    #[error("the image lock cannot be used")]
    Host {
        /// What went wrong with the file.
        #[source]
        source: HostError,
    },
}

impl Explain for LockfileError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Host { source } => source.kind(),
            Self::Syntax { .. } | Self::Version { .. } | Self::Twice { .. } | Self::Url { .. } => {
                ErrorKind::Config
            }
        }
    }

    fn hints(&self) -> Vec<String> {
        match self {
            Self::Host { source } => source.hints(),
            Self::Version { .. } => vec!["use the version of castra that wrote castra.lock".to_owned()],
            Self::Syntax { .. } | Self::Twice { .. } | Self::Url { .. } => {
                vec!["restore castra.lock, or delete it: `castra up` pins the images anew".to_owned()]
            }
        }
    }
}

#[derive(Deserialize)]
struct AnyVersion {
    version: u32,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    version: u32,
    #[serde(default, rename = "image", skip_serializing_if = "Vec::is_empty")]
    images: Vec<Pin>,
}

impl Lockfile {
    /// Reads the text of a lock file.
    ///
    /// # Errors
    /// [`LockfileError`], all but `Host`.
    pub fn parse(text: &str) -> Result<Self, LockfileError> {
        let syntax = |source| LockfileError::Syntax { source: Box::new(source) };
        // The version comes first: a newer format may have fields this program rejects.
        let found = toml::from_str::<AnyVersion>(text).map_err(syntax)?.version;
        if found != VERSION {
            return Err(LockfileError::Version { found });
        }
        let document: Document = toml::from_str(text).map_err(syntax)?;
        let mut lock = Self::default();
        for pin in document.images {
            if !(pin.url.starts_with("https://") || pin.url.starts_with("http://")) {
                return Err(LockfileError::Url { url: pin.url.chars().take(200).collect() });
            }
            if let Some(old) = lock.set(pin) {
                return Err(LockfileError::Twice { name: old.name, arch: old.arch });
            }
        }
        Ok(lock)
    }

    /// Its text: a header, then the pins by name and processor.
    pub fn to_text(&self) -> String {
        let document = Document { version: VERSION, images: self.pins.values().cloned().collect() };
        let body = toml::to_string(&document).expect("names, digests and numbers are TOML values");
        format!("{HEADER}{body}")
    }

    /// What an image is pinned to.
    pub fn pin(&self, name: &ImageName, arch: Arch) -> Option<&Pin> {
        self.pins.get(&(name.clone(), arch))
    }

    /// Every pin, by name and processor.
    pub fn pins(&self) -> impl Iterator<Item = &Pin> {
        self.pins.values()
    }

    /// Pins an image; gives back what it was pinned to.
    pub fn set(&mut self, pin: Pin) -> Option<Pin> {
        self.pins.insert((pin.name.clone(), pin.arch), pin)
    }

    /// Unpins an image; gives back what it was pinned to.
    pub fn unset(&mut self, name: &ImageName, arch: Arch) -> Option<Pin> {
        self.pins.remove(&(name.clone(), arch))
    }

    /// Reads the lock file at `path`; an empty one where there is none.
    ///
    /// # Errors
    /// [`LockfileError`].
    pub fn load(path: &Path) -> Result<Self, LockfileError> {
        let host = |source| LockfileError::Host { source };
        let size = match fs::metadata(path) {
            Ok(found) => found.len(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => return Err(error).context("open", path).map_err(host),
        };
        if size > MAX_BYTES {
            let reason = format!("it has {size} bytes; the limit is {MAX_BYTES}");
            return Err(host(HostError::Malformed {
                path: path.to_owned(),
                expected: "an image lock",
                reason,
            }));
        }
        Self::parse(&fs::read_to_string(path).context("read", path).map_err(host)?)
    }

    /// Writes the lock file to `path`, whole. Like the config beside it, it is for everybody to read.
    ///
    /// # Errors
    /// [`LockfileError::Host`].
    pub fn save(&self, path: &Path) -> Result<(), LockfileError> {
        self.write(path).map_err(|source| LockfileError::Host { source })
    }

    fn write(&self, path: &Path) -> Result<(), HostError> {
        let mut file = publish::temporary(path)?;
        file.write_all(self.to_text().as_bytes()).context("write", path)?;
        file.as_file().set_permissions(Permissions::from_mode(0o644)).context("set the mode of", path)?;
        publish::persist(file, path)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pin(name: &str, arch: Arch, byte: u8) -> Pin {
        Pin {
            name: name.parse().unwrap(),
            arch,
            url: format!("https://example.org/{name}.qcow2"),
            sha512: Sha512::from_bytes([byte; 64]),
            size_bytes: 7,
        }
    }

    #[test]
    fn its_text_depends_on_its_pins_alone() {
        let pins = [pin("b", Arch::X86_64, 1), pin("a", Arch::Aarch64, 2), pin("a", Arch::X86_64, 3)];
        let mut one = Lockfile::default();
        let mut other = Lockfile::default();
        for pin in &pins {
            one.set(pin.clone());
        }
        for pin in pins.iter().rev() {
            other.set(pin.clone());
        }
        let text = one.to_text();
        assert_eq!(text, other.to_text());
        assert_eq!(Lockfile::parse(&text).unwrap(), one);
        assert!(
            text.starts_with("# Written by castra") && text.contains("\n[[image]]\nname = \"a\"\n"),
            "{text}"
        );
    }

    #[test]
    fn what_is_not_a_lock_file_says_why() {
        let text = |pins: &[Pin]| {
            let one = |pin: &Pin| format!("[[image]]\n{}", toml::to_string(pin).unwrap());
            format!("version = 1\n{}", pins.iter().map(one).collect::<String>())
        };
        assert!(Lockfile::parse(&text(&[pin("a", Arch::X86_64, 1)])).is_ok());
        let twice = text(&[pin("a", Arch::X86_64, 1), pin("a", Arch::X86_64, 2)]);
        assert!(matches!(Lockfile::parse(&twice), Err(LockfileError::Twice { .. })));
        let file = Pin { url: "file:///etc/shadow".into(), ..pin("a", Arch::X86_64, 1) };
        assert!(matches!(Lockfile::parse(&text(&[file])), Err(LockfileError::Url { .. })));
        let newer = "version = 2\nnew = true\n";
        assert!(matches!(Lockfile::parse(newer), Err(LockfileError::Version { found: 2 })));
        for wrong in ["", "version = 1\nother = 1", "version = 1\n[[image]]\nname = \"../x\"", "version ="] {
            assert!(matches!(Lockfile::parse(wrong), Err(LockfileError::Syntax { .. })), "{wrong}");
        }
    }

    #[test]
    fn a_missing_file_pins_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(FILE_NAME);
        assert_eq!(Lockfile::load(&path).unwrap(), Lockfile::default());
        let mut lock = Lockfile::default();
        lock.set(pin("a", Arch::X86_64, 1));
        lock.save(&path).unwrap();
        assert_eq!(Lockfile::load(&path).unwrap(), lock);
        assert!(
            matches!(Lockfile::load(dir.path()), Err(LockfileError::Host { .. })),
            "a directory was read"
        );
    }

    proptest! {
        #[test]
        fn no_text_breaks_the_parser(text in ".{0,200}") {
            let _ = Lockfile::parse(&text);
        }

        #[test]
        fn every_pin_survives_its_text_form(name in "[a-z0-9][a-z0-9._-]{0,20}", size: u32, rest in "[ -~]{0,20}") {
            let pin = Pin { url: format!("https://x/{rest}"), size_bytes: size.into(), ..pin(&name, Arch::X86_64, 9) };
            let mut lock = Lockfile::default();
            lock.set(pin);
            prop_assert_eq!(Lockfile::parse(&lock.to_text()).unwrap(), lock);
        }
    }
}
