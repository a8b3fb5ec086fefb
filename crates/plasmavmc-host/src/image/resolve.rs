//! Decides where an image comes from and which bytes it must have. Pure.
//!
//! ```text
//! pinned in castra.lock        the pin's URL and digest, whatever the publisher says today
//! published, not pinned        the catalogue's URL, the digest of the publisher's checksum file
//! built here, or any other     the store, by name
//! ```
//! Called by the store. Tests: below.

use plasmavmc_types::DiskFormat;

use super::catalogue::{self, Arch, Built, Known};
use super::checksum::ChecksumFormat;
use super::error::ImageError;
use super::lockfile::{Lockfile, Pin};
use super::name::ImageName;

/// The image somebody wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// Its name, as the config says it.
    pub name: ImageName,
    /// The processor.
    pub arch: Arch,
    /// What `castra.lock` says about it.
    pub pin: Option<Pin>,
    /// Whether what the store has is good enough.
    pub freshness: Freshness,
}

/// Whether an image the store has under that name is good enough.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Freshness {
    /// It is; the publisher is asked only where the store has none.
    #[default]
    AsStored,
    /// Only if it is what the publisher has today. A pin is left aside.
    Latest,
}

impl Wanted {
    /// The image called `name`, as the store has it, without a pin.
    pub fn new(name: ImageName, arch: Arch) -> Self {
        Self { name, arch, pin: None, freshness: Freshness::AsStored }
    }

    /// The same, with the bytes `lock` pins it to, where it does.
    #[must_use]
    pub fn pinned_by(self, lock: &Lockfile) -> Self {
        let pin = lock.pin(&self.name, self.arch).cloned();
        Self { pin, ..self }
    }

    /// The same, as the publisher has it today.
    #[must_use]
    pub fn latest(self) -> Self {
        Self { freshness: Freshness::Latest, ..self }
    }
}

/// Where an image comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolved {
    /// The name it has in the store.
    pub name: ImageName,
    /// The processor.
    pub arch: Arch,
    /// Where it comes from.
    pub place: Place,
}

/// Where the bytes come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// A URL.
    Web(Web),
    /// Nowhere but the store: it was built or imported.
    Store(Option<&'static Built>),
}

/// An image on a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Web {
    /// The publisher's URL.
    pub url: String,
    /// The format of the file.
    pub format: DiskFormat,
    /// Which bytes it must have.
    pub expected: Expected,
}

/// Which bytes an image must have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expected {
    /// Those of the pin.
    Pinned(Pin),
    /// Those of the publisher's checksum file.
    Published {
        /// The checksum file.
        checksum_url: &'static str,
        /// How it is written.
        format: ChecksumFormat,
    },
}

/// Decides where `wanted` comes from.
///
/// # Errors
/// [`ImageError::NotPublishedFor`] where the catalogue has it, but not for this processor.
pub fn resolve(wanted: &Wanted) -> Result<Resolved, ImageError> {
    let known = catalogue::find(wanted.name.as_str());
    let name = catalogue::canonical(&wanted.name);
    let arch = wanted.arch;
    let pin = wanted.pin.clone().filter(|_| wanted.freshness == Freshness::AsStored);
    if let Some(pin) = pin {
        let url = pin.url.clone();
        let web = Web { url, format: DiskFormat::Qcow2, expected: Expected::Pinned(pin) };
        return Ok(Resolved { name, arch, place: Place::Web(web) });
    }
    let place = match known {
        Some(Known::Published(image)) => {
            let source =
                image.source(arch).ok_or_else(|| ImageError::NotPublishedFor { name: name.clone(), arch })?;
            Place::Web(Web {
                url: source.url.to_owned(),
                format: DiskFormat::Qcow2,
                expected: Expected::Published { checksum_url: source.checksum_url, format: source.checksum },
            })
        }
        Some(Known::Built(built)) => Place::Store(Some(built)),
        None => Place::Store(None),
    };
    Ok(Resolved { name, arch, place })
}

#[cfg(test)]
mod tests {
    use super::super::digest::Sha512;
    use super::*;

    fn wanted(name: &str) -> Wanted {
        Wanted::new(name.parse().unwrap(), Arch::X86_64)
    }

    fn web(wanted: &Wanted) -> (String, Web) {
        match resolve(wanted).unwrap() {
            Resolved { name, place: Place::Web(web), .. } => (name.to_string(), web),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_published_image_comes_from_its_publisher() {
        let (name, web) = web(&wanted("ubuntu-24.04"));
        assert_eq!(name, "ubuntu-24.04");
        assert!(web.url.ends_with("/ubuntu-24.04-server-cloudimg-amd64.img"), "{}", web.url);
        assert!(matches!(web.expected, Expected::Published { .. }));
    }

    #[test]
    fn a_pin_outlives_what_the_publisher_does() {
        let mut lock = Lockfile::default();
        let old = Pin {
            name: "debian".parse().unwrap(),
            arch: Arch::X86_64,
            url: "https://example.org/old.qcow2".into(),
            sha512: Sha512::from_bytes([1; 64]),
            size_bytes: 1,
        };
        lock.set(old.clone());
        let (name, found) = web(&wanted("debian").pinned_by(&lock));
        assert_eq!((name.as_str(), found.url.as_str()), ("debian-13", "https://example.org/old.qcow2"));
        assert_eq!(found.expected, Expected::Pinned(old));
        let (_, found) = web(&wanted("debian").pinned_by(&lock).latest());
        assert!(matches!(found.expected, Expected::Published { .. }), "a pull goes past the pin");
        let (_, found) = web(&wanted("debian-13").pinned_by(&lock));
        assert!(matches!(found.expected, Expected::Published { .. }), "a pin holds for the name as written");
    }

    #[test]
    fn what_no_publisher_has_comes_from_the_store() {
        let place = |name| resolve(&wanted(name)).unwrap().place;
        assert!(matches!(place("tiny"), Place::Store(Some(built)) if built.target == "tiny"));
        assert!(matches!(place("debian-built"), Place::Store(Some(built)) if built.target == "debian"));
        assert_eq!(place("mine"), Place::Store(None));
    }
}
