//! The images Castra knows by name: where each publisher keeps them and their digests.
//!
//! Owns: names, aliases, URLs, how each checksum file is written, which firmware boots the image
//! and which user it has. Never does: I/O, or hold a digest: those come from the publisher or from
//! `castra.lock`. The entries are in `entries.rs`. Tests: below.

mod entries;

use std::fmt;
use std::str::FromStr;

use plasmavmc_types::{DiskFormat, Firmware};
use serde::{Deserialize, Serialize};

use super::checksum::ChecksumFormat;
use super::name::ImageName;
pub use entries::{BUILT, PUBLISHED};

/// The name of the image a config gets that names none.
pub const DEFAULT_IMAGE: &str = "alpine";

/// The processor an image is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Arch {
    /// 64-bit x86, also called amd64.
    #[serde(rename = "x86_64")]
    X86_64,
    /// 64-bit Arm, also called arm64.
    Aarch64,
}

/// A processor Castra has no images for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is neither `x86_64` nor `aarch64`")]
pub struct ArchError {
    text: String,
}

impl Arch {
    /// The processor this program was built for; none where no image fits it.
    pub fn host() -> Option<Self> {
        std::env::consts::ARCH.parse().ok()
    }

    /// The name Linux and QEMU use.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::X86_64 => "x86_64",
            Self::Aarch64 => "aarch64",
        }
    }
}

impl fmt::Display for Arch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Arch {
    type Err = ArchError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "x86_64" | "amd64" => Ok(Self::X86_64),
            "aarch64" | "arm64" => Ok(Self::Aarch64),
            _ => Err(ArchError { text: text.chars().take(80).collect() }),
        }
    }
}

/// An image a distribution publishes, in qcow2 format and with cloud-init.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Published {
    /// Its own name, which says the release: `debian-13`.
    pub name: &'static str,
    /// Other names for it, which may move to a newer release: `debian`.
    pub aliases: &'static [&'static str],
    /// What it is, for people.
    pub title: &'static str,
    /// The user cloud-init makes.
    pub default_user: &'static str,
    /// Its file in a workspace's `images/`.
    pub file_name: &'static str,
    /// Where it is, one entry per processor.
    pub sources: &'static [Source],
}

/// Where a published image is for one processor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// The processor.
    pub arch: Arch,
    /// The image.
    pub url: &'static str,
    /// The checksum file.
    pub checksum_url: &'static str,
    /// How the checksum file is written.
    pub checksum: ChecksumFormat,
    /// The firmware that boots the image, the fitter first.
    pub firmware: &'static [Firmware],
}

impl Published {
    /// Where it is for `arch`; none where it is not published for it.
    pub fn source(&self, arch: Arch) -> Option<&'static Source> {
        self.sources.iter().find(|source| source.arch == arch)
    }
}

/// An image `castra image build` makes on this host; never downloaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Built {
    /// Its name in the store.
    pub name: &'static str,
    /// What follows `castra image build`.
    pub target: &'static str,
    /// What it is, for people.
    pub title: &'static str,
    /// The user that Castra's keys are for.
    pub default_user: &'static str,
}

/// An image the catalogue knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Known {
    /// One that is downloaded.
    Published(&'static Published),
    /// One that is built here.
    Built(&'static Built),
}

impl Known {
    /// The user that keys in its seed are for.
    pub const fn default_user(self) -> &'static str {
        match self {
            Self::Published(image) => image.default_user,
            Self::Built(image) => image.default_user,
        }
    }

    /// The name it has in the store.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Published(image) => image.name,
            Self::Built(image) => image.name,
        }
    }
}

/// The image with this name or alias.
pub fn find(name: &str) -> Option<Known> {
    let published = PUBLISHED.iter().find(|image| image.name == name || image.aliases.contains(&name));
    let built = || BUILT.iter().find(|image| image.name == name).map(Known::Built);
    published.map(Known::Published).or_else(built)
}

/// The name an image has in the store: that of the catalogue where `name` is an alias.
pub fn canonical(name: &ImageName) -> ImageName {
    let known = find(name.as_str()).map(|known| known.name().parse());
    known.map_or_else(
        || name.clone(),
        |name| name.expect("the catalogue's names are image names: tested below"),
    )
}

/// The file an image has in a workspace's `images/`.
///
/// Images for another processor than the host's say so, so that both can lie side by side.
pub fn file_name(name: &ImageName, arch: Arch, format: DiskFormat) -> String {
    let known = PUBLISHED.iter().find(|image| image.name == name.as_str());
    let file = known.map_or_else(|| format!("{name}.{format}"), |image| image.file_name.to_owned());
    if Arch::host() == Some(arch) { file } else { format!("{arch}-{file}") }
}

/// Every name of the catalogue, aliases too.
pub fn names() -> impl Iterator<Item = &'static str> {
    let published = PUBLISHED.iter().flat_map(|image| image.aliases.iter().copied().chain([image.name]));
    published.chain(BUILT.iter().map(|image| image.name))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn no_two_images_share_a_name_or_a_file() {
        let all: Vec<_> = names().collect();
        assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), all.len(), "{all:?}");
        let files: BTreeSet<_> = PUBLISHED.iter().map(|image| image.file_name).collect();
        assert_eq!(files.len(), PUBLISHED.len());
        for name in all {
            assert!(name.parse::<ImageName>().is_ok(), "{name}");
            assert!(find(name).is_some(), "{name}");
        }
    }

    #[test]
    fn the_default_is_alpine_in_the_file_automation_looks_for() {
        let Some(Known::Published(image)) = find(DEFAULT_IMAGE) else { panic!("no default image") };
        assert_eq!((image.name, image.file_name), ("alpine-3.23", "alpine-minimal.qcow2"));
    }

    #[test]
    fn every_entry_is_whole() {
        for image in PUBLISHED {
            for arch in [Arch::X86_64, Arch::Aarch64] {
                let source = image.source(arch).unwrap_or_else(|| panic!("{} for {arch}", image.name));
                assert!(source.url.starts_with("https://") && source.checksum_url.starts_with("https://"));
                let arch_names =
                    if arch == Arch::X86_64 { ["x86_64", "amd64"] } else { ["aarch64", "arm64"] };
                assert!(arch_names.iter().any(|name| source.url.contains(name)), "{}", source.url);
                let folder = |url: &'static str| {
                    let path = url.split_once("://").and_then(|(_, rest)| rest.split_once('/')).unwrap().1;
                    path.rsplit_once('/').unwrap().0
                };
                assert_eq!(folder(source.url), folder(source.checksum_url), "a mirror of one has the other");
                assert!(!source.firmware.is_empty());
            }
            let file = image.file_name;
            assert!(file.ends_with(".qcow2") && file.trim_end_matches(".qcow2").parse::<ImageName>().is_ok());
        }
    }

    #[test]
    fn the_page_about_images_lists_the_catalogue() {
        let page = include_str!("../../../../../docs/images.md");
        let row = |name: &str| {
            let begin = format!("| `{name}` |");
            page.lines().find(|line| line.starts_with(&begin)).unwrap_or_else(|| panic!("no row for {name}"))
        };
        for image in PUBLISHED {
            let row = row(image.name);
            for text in image.aliases.iter().chain([&image.default_user]) {
                assert!(row.contains(&format!("`{text}`")), "{row} lacks {text}");
            }
            let firmware = |arch| {
                let names = image.source(arch).unwrap().firmware.iter().map(|firmware| match firmware {
                    Firmware::Bios => "BIOS",
                    Firmware::Uefi => "UEFI",
                });
                names.collect::<Vec<_>>().join(", ")
            };
            let end = format!("| {} | {} |", firmware(Arch::X86_64), firmware(Arch::Aarch64));
            assert!(row.ends_with(&end), "{row} should end in {end}");
        }
        for image in BUILT {
            assert!(row(image.name).contains(&format!("`castra image build {}`", image.target)));
        }
    }
}
