//! Digests as values: SHA-512 for everything Castra stores, SHA-256 where a publisher gives only that.
//!
//! Owns: their text form, lower-case hexadecimal. Never does: hash (see `download::hashing`).
//! Tests: below.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// How a digest is computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Algorithm {
    /// SHA-256 (FIPS 180-4).
    Sha256,
    /// SHA-512 (FIPS 180-4).
    Sha512,
}

impl Algorithm {
    /// Hexadecimal digits of a digest.
    pub const fn hex_len(self) -> usize {
        match self {
            Self::Sha256 => 64,
            Self::Sha512 => 128,
        }
    }

    /// The name in front of a digest: `sha512`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sha256 => "sha256",
            Self::Sha512 => "sha512",
        }
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Why a text is not a digest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DigestError {
    /// It has too few or too many characters.
    #[error("a {algorithm} digest has {} hexadecimal digits, not {found}", algorithm.hex_len())]
    Length {
        /// The digest it should be.
        algorithm: Algorithm,
        /// The characters it has.
        found: usize,
    },
    /// It has a character that is not a hexadecimal digit.
    #[error("`{found}` is not a hexadecimal digit")]
    NotHex {
        /// The first such character.
        found: char,
    },
    /// It names no known algorithm.
    #[error("`{text}` does not begin with `sha256:` or `sha512:`")]
    Algorithm {
        /// The text, at most its first 80 characters.
        text: String,
    },
}

/// Writes a digest newtype: its text form is lower-case hexadecimal, and either case is read.
macro_rules! digest {
    ($(#[$doc:meta])* $name:ident, $bytes:literal, $algorithm:expr) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name([u8; $bytes]);

        impl $name {
            /// The digest with these bytes.
            pub const fn from_bytes(bytes: [u8; $bytes]) -> Self {
                Self(bytes)
            }

            /// Its bytes.
            pub const fn as_bytes(&self) -> &[u8; $bytes] {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{self}")
            }
        }

        impl FromStr for $name {
            type Err = DigestError;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                let mut bytes = [0; $bytes];
                decode(text, $algorithm, &mut bytes)?;
                Ok(Self(bytes))
            }
        }

        impl TryFrom<String> for $name {
            type Error = DigestError;

            fn try_from(text: String) -> Result<Self, Self::Error> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(digest: $name) -> Self {
                digest.to_string()
            }
        }
    };
}

digest! {
    /// A SHA-512 digest.
    Sha512, 64, Algorithm::Sha512
}
digest! {
    /// A SHA-256 digest.
    Sha256, 32, Algorithm::Sha256
}

fn decode(text: &str, algorithm: Algorithm, bytes: &mut [u8]) -> Result<(), DigestError> {
    if let Some(found) = text.chars().find(|c| !c.is_ascii_hexdigit()) {
        return Err(DigestError::NotHex { found });
    }
    if text.len() != algorithm.hex_len() {
        return Err(DigestError::Length { algorithm, found: text.len() });
    }
    let value = |digit: u8| (digit as char).to_digit(16).unwrap_or_default() as u8;
    for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        *byte = value(pair[0]) << 4 | value(pair[1]);
    }
    Ok(())
}

/// A digest of either kind; its text form is `sha512:<hex>`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Digest {
    /// SHA-256.
    Sha256(Sha256),
    /// SHA-512.
    Sha512(Sha512),
}

impl Digest {
    /// Reads the hexadecimal digits of a digest of a known kind.
    ///
    /// # Errors
    /// [`DigestError::Length`], [`DigestError::NotHex`].
    pub fn from_hex(algorithm: Algorithm, hex: &str) -> Result<Self, DigestError> {
        match algorithm {
            Algorithm::Sha256 => hex.parse().map(Self::Sha256),
            Algorithm::Sha512 => hex.parse().map(Self::Sha512),
        }
    }

    /// How it was computed.
    pub const fn algorithm(&self) -> Algorithm {
        match self {
            Self::Sha256(_) => Algorithm::Sha256,
            Self::Sha512(_) => Algorithm::Sha512,
        }
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sha256(digest) => write!(f, "sha256:{digest}"),
            Self::Sha512(digest) => write!(f, "sha512:{digest}"),
        }
    }
}

impl FromStr for Digest {
    type Err = DigestError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once(':') {
            Some(("sha256", hex)) => Self::from_hex(Algorithm::Sha256, hex),
            Some(("sha512", hex)) => Self::from_hex(Algorithm::Sha512, hex),
            _ => Err(DigestError::Algorithm { text: text.chars().take(80).collect() }),
        }
    }
}

impl TryFrom<String> for Digest {
    type Error = DigestError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> Self {
        digest.to_string()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_not_a_digest_says_why() {
        assert_eq!(
            "ab".parse::<Sha256>(),
            Err(DigestError::Length { algorithm: Algorithm::Sha256, found: 2 })
        );
        assert_eq!("g".repeat(64).parse::<Sha256>(), Err(DigestError::NotHex { found: 'g' }));
        assert_eq!("é".repeat(32).parse::<Sha256>(), Err(DigestError::NotHex { found: 'é' }));
        assert!(matches!("md5:00".parse::<Digest>(), Err(DigestError::Algorithm { .. })));
    }

    proptest! {
        #[test]
        fn a_digest_survives_its_text_form(bytes: [u8; 32], upper: bool) {
            let digest = Sha256::from_bytes(bytes);
            let text = if upper { digest.to_string().to_uppercase() } else { digest.to_string() };
            prop_assert_eq!(text.parse(), Ok(digest));
            prop_assert_eq!(Digest::Sha256(digest).to_string().parse(), Ok(Digest::Sha256(digest)));
        }
    }
}
