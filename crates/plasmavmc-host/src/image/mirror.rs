//! A mirror: another server that has the publishers' files under the same paths.
//!
//! Pure: rewrites URLs. The face reads the variable and hands the value in. Tests: below.

use std::fmt;
use std::str::FromStr;

use plasmavmc_types::{ErrorKind, Explain};

/// The environment variable that names a mirror.
///
/// Its value is a base URL (`http://` or `https://`, with or without a path). It takes the place of
/// the scheme and host of every image and checksum URL: with `https://mirror.example/castra`,
/// `https://cloud.debian.org/images/x` is fetched from `https://mirror.example/castra/images/x`.
/// Without a pin in `castra.lock` the checksum file comes from the mirror too, so a mirror is
/// trusted as the publisher is.
pub const MIRROR_VARIABLE: &str = "CASTRA_IMAGE_MIRROR";

/// The base URL of a mirror, without a slash at its end.
#[derive(Clone, PartialEq, Eq)]
pub struct Mirror(String);

impl fmt::Debug for Mirror {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Mirror({self})")
    }
}

/// Why a text is not a [`Mirror`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{}` is not a base URL such as `https://mirror.example/castra`", shown(text).escape_debug())]
pub struct MirrorError {
    text: String,
}

impl Explain for MirrorError {
    fn kind(&self) -> ErrorKind {
        ErrorKind::Usage
    }

    fn hints(&self) -> Vec<String> {
        vec![format!("give it a URL, or leave it out: `unset {MIRROR_VARIABLE}`")]
    }
}

impl Mirror {
    /// Where the mirror has the file at `url`.
    pub fn apply(&self, url: &str) -> String {
        format!("{}{}", self.0, path_of(url))
    }
}

/// A URL as it may be shown and kept: without the user and password a mirror's may hold.
pub(super) fn shown(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    format!("{scheme}://{host}{path}")
}

/// The path and what follows it: all of a URL after its host.
fn path_of(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    rest.find('/').map_or("", |slash| &rest[slash..])
}

impl FromStr for Mirror {
    type Err = MirrorError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = || MirrorError { text: text.chars().take(200).collect() };
        let base = text.trim().trim_end_matches('/');
        let rest =
            base.strip_prefix("https://").or_else(|| base.strip_prefix("http://")).ok_or_else(error)?;
        let whole = !rest.is_empty() && !rest.starts_with('/');
        if whole && !rest.contains(|c: char| c.is_whitespace() || c.is_control() || matches!(c, '?' | '#')) {
            Ok(Self(base.to_owned()))
        } else {
            Err(error())
        }
    }
}

/// Shows the mirror without the user and password it may hold.
impl fmt::Display for Mirror {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&shown(&self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mirror_takes_the_place_of_scheme_and_host() {
        for (mirror, url) in [
            ("https://m.example/castra/", "https://m.example/castra/images/x"),
            ("http://127.0.0.1:8080", "http://127.0.0.1:8080/images/x"),
        ] {
            let mirror: Mirror = mirror.parse().unwrap();
            assert_eq!(mirror.apply("https://cloud.debian.org/images/x"), url);
        }
    }

    #[test]
    fn a_password_is_used_and_never_shown() {
        let mirror: Mirror = "https://me:secret@m.example/x".parse().unwrap();
        let url = mirror.apply("https://cloud.debian.org/images/a@b");
        assert_eq!(url, "https://me:secret@m.example/x/images/a@b");
        assert_eq!(shown(&url), "https://m.example/x/images/a@b");
        let error = "ftp://me:secret@m".parse::<Mirror>().unwrap_err();
        assert!(!format!("{mirror} {mirror:?} {error}").contains("secret"));
    }

    #[test]
    fn what_is_not_a_base_url_is_refused() {
        for text in [
            "",
            "mirror.example",
            "ftp://m",
            "http://",
            "https:///x",
            "http://a b",
            "http://a?b",
            "http://a#b",
        ] {
            assert!(text.parse::<Mirror>().is_err(), "{text:?} was accepted");
        }
    }
}
