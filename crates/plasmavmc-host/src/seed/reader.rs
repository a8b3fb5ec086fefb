//! Who reads a seed in a guest, and what of a user's user-data it takes.
//!
//! Most images have cloud-init, which takes everything. Alpine publishes images with tiny-cloud
//! beside those with cloud-init, and the tiny guest reads for itself; both skip what they do not
//! know without a word. So a user is told here, before the guest ever starts. Pure. Tests: below.

use std::fmt;
use std::path::Path;

use crate::image::ImageName;
use crate::image::catalogue::{self, Known};

/// The program that reads a seed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SeedReader {
    /// cloud-init, or one that nothing is known of.
    CloudInit,
    /// Alpine's tiny-cloud.
    TinyCloud,
    /// The image `castra image build tiny` makes.
    TinyGuest,
}

/// What a reader would skip.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ignored {
    /// The whole document, which begins like this.
    Kind(String),
    /// These keys.
    Keys(Vec<String>),
}

/// The keys of a `#cloud-config` that tiny-cloud takes: its manual page cloud-config(5). The host's
/// name is not among them: it takes that from meta-data, where Castra writes it.
const TINY_CLOUD: &[&str] = &[
    "user",
    "users",
    "groups",
    "ssh_authorized_keys",
    "bootcmd",
    "write_files",
    "ntp",
    "package_update",
    "package_upgrade",
    "packages",
    "runcmd",
];

/// The tiny guest takes every `ssh_authorized_keys`, also those of `users`.
const TINY_GUEST: &[&str] = &["ssh_authorized_keys", "users"];

impl SeedReader {
    /// The reader in an image that goes by a name.
    pub fn of_image(name: &ImageName) -> Self {
        match catalogue::find(name.as_str()) {
            Some(Known::Built(built)) if built.target.starts_with("tiny") => Self::TinyGuest,
            // Alpine's entries are the ones with cloud-init: their files say so.
            _ => Self::CloudInit,
        }
    }

    /// The reader in an image that is a file, as far as its name tells: Alpine's are called
    /// `nocloud_alpine-<version>-<arch>-<firmware>-tiny-r<n>.qcow2`.
    pub fn of_file(path: &Path) -> Self {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if name.contains("alpine-") && name.contains("-tiny-") { Self::TinyCloud } else { Self::CloudInit }
    }

    /// The keys of a `#cloud-config` it takes; none where it takes all.
    pub const fn taken(self) -> Option<&'static [&'static str]> {
        match self {
            Self::CloudInit => None,
            Self::TinyCloud => Some(TINY_CLOUD),
            Self::TinyGuest => Some(TINY_GUEST),
        }
    }

    /// What it would skip of a user's user-data; none where it takes all of it.
    pub fn ignored(self, user_data: &[u8]) -> Option<Ignored> {
        let taken = self.taken()?;
        let text = user_data.trim_ascii_start();
        let is = |start: &[u8]| text.starts_with(start);
        // Compressed, a script or in Alpine's own words: nothing to see inside, or nothing to skip.
        let as_a_whole = is(b"#!") || is(b"#alpine-config") || is(b"\x1f\x8b");
        if text.is_empty() || (as_a_whole && self == Self::TinyCloud) {
            return None;
        }
        let text = String::from_utf8_lossy(text);
        if !text.starts_with("#cloud-config") {
            let first = text.lines().next().unwrap_or_default();
            return Some(Ignored::Kind(first.chars().take(40).collect()));
        }
        let mut keys: Vec<String> = text
            .lines()
            .filter_map(top_level_key)
            .filter(|key| !taken.contains(key))
            .map(str::to_owned)
            .collect();
        keys.dedup();
        (!keys.is_empty()).then_some(Ignored::Keys(keys))
    }
}

/// The key of a YAML line that stands at the edge; what is nested is indented, or begins with `-`.
fn top_level_key(line: &str) -> Option<&str> {
    let (key, rest) = line.split_once(':')?;
    let key = key.trim_end().trim_matches(['"', '\'']);
    let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    let is_key = key.starts_with(|c: char| c.is_ascii_alphanumeric()) && key.chars().all(is_name);
    (is_key && (rest.is_empty() || rest.starts_with(char::is_whitespace))).then_some(key)
}

impl fmt::Display for SeedReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::CloudInit => "cloud-init",
            Self::TinyCloud => "tiny-cloud",
            Self::TinyGuest => "the tiny guest",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(reader: SeedReader, text: &str) -> Vec<String> {
        match reader.ignored(text.as_bytes()) {
            None => Vec::new(),
            Some(Ignored::Keys(keys)) => keys,
            Some(Ignored::Kind(kind)) => panic!("{text:?} is refused as a whole: {kind}"),
        }
    }

    #[test]
    fn what_a_reader_takes_is_let_through_and_the_rest_is_named() {
        let text = "#cloud-config\n# a comment: with a colon\nusers:\n- name: me\n  shell: /bin/sh\n\
                    runcmd:\n  - echo hi: there\nswap:\n  size: 1G\n\"hostname\": web\nhttp://x\n";
        assert_eq!(keys(SeedReader::CloudInit, text), [""; 0]);
        assert_eq!(keys(SeedReader::TinyCloud, text), ["swap", "hostname"]);
        assert_eq!(keys(SeedReader::TinyGuest, text), ["runcmd", "swap", "hostname"]);
    }

    #[test]
    fn a_document_of_another_kind_is_refused_where_it_would_be_skipped() {
        let refused =
            |reader: SeedReader, text: &[u8]| matches!(reader.ignored(text), Some(Ignored::Kind(_)));
        for (text, tiny_cloud, tiny_guest) in [
            (&b"#!/bin/sh\necho"[..], false, true),
            (b"#alpine-config\napk: {}\n", false, true),
            (b"\x1f\x8b\x08\0", false, true),
            (b"## template: jinja\n#cloud-config\n", true, true),
            (b"Content-Type: multipart/mixed\n", true, true),
            (b"", false, false),
            (b"#cloud-config\n", false, false),
        ] {
            let shown = String::from_utf8_lossy(text);
            assert_eq!(refused(SeedReader::TinyCloud, text), tiny_cloud, "tiny-cloud: {shown}");
            assert_eq!(refused(SeedReader::TinyGuest, text), tiny_guest, "tiny: {shown}");
            assert!(SeedReader::CloudInit.ignored(text).is_none(), "{shown}");
        }
    }

    #[test]
    fn images_are_told_apart_by_what_the_catalogue_and_their_publisher_say() {
        let named = |name: &str| SeedReader::of_image(&name.parse().unwrap());
        for name in ["alpine", "alpine-3.23", "debian", "ubuntu", "mine"] {
            assert_eq!(named(name), SeedReader::CloudInit, "{name}");
        }
        assert_eq!(named("tiny"), SeedReader::TinyGuest);
        for image in catalogue::PUBLISHED.iter().flat_map(|image| image.sources) {
            assert_eq!(SeedReader::of_file(Path::new(image.url)), SeedReader::CloudInit, "{}", image.url);
        }
        let file = |name: &str| SeedReader::of_file(&Path::new("/images").join(name));
        assert_eq!(file("nocloud_alpine-3.23.4-x86_64-bios-tiny-r0.qcow2"), SeedReader::TinyCloud);
        assert_eq!(file("nocloud_alpine-3.23.4-x86_64-bios-cloudinit-r0.qcow2"), SeedReader::CloudInit);
        assert_eq!(file("my-tiny-debian.qcow2"), SeedReader::CloudInit);
    }
}
