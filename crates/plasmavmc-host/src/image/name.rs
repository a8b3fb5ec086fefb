//! The name of an image: in `base_image`, in the catalogue, in the store, in `castra.lock`.
//!
//! A name is also part of a file name, so it can hold no path. Tests: below.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// An image's name: lower-case letters, digits, `-`, `_` and `.`, beginning with a letter or digit;
/// at most 64 bytes.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ImageName(String);

/// Why a text is not an [`ImageName`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{}` is not an image name: up to 64 lower-case letters, digits, `-`, `_` or `.`, beginning with a letter or digit",
    text.escape_debug()
)]
pub struct ImageNameError {
    text: String,
}

impl ImageName {
    /// The longest name, in bytes.
    pub const MAX_LEN: usize = 64;

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ImageName {
    type Err = ImageNameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
        let fits = |c: char| word(c) || matches!(c, '-' | '_' | '.');
        if text.len() <= Self::MAX_LEN && text.starts_with(word) && text.chars().all(fits) {
            Ok(Self(text.to_owned()))
        } else {
            Err(ImageNameError { text: text.chars().take(80).collect() })
        }
    }
}

impl TryFrom<String> for ImageName {
    type Error = ImageNameError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<ImageName> for String {
    fn from(name: ImageName) -> Self {
        name.0
    }
}

impl fmt::Display for ImageName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_never_a_path() {
        for text in ["alpine", "ubuntu-24.04", "my_image", "7"] {
            assert!(text.parse::<ImageName>().is_ok(), "{text}");
        }
        for text in ["", "..", ".x", "-x", "a/b", "a b", "a\nb", "a,b", "Alpine", "é", &"a".repeat(65)] {
            assert!(text.parse::<ImageName>().is_err(), "{text:?} was accepted");
        }
    }
}
