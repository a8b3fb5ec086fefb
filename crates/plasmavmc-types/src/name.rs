//! The name of a VM, safe as a file name, a QEMU argument, a libvirt domain and a table cell.
//!
//! Tests: below.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A VM's name: 1 to 63 ASCII letters, digits, `-`, `_` or `.`, beginning with a letter or digit.
///
/// 63 is the longest label DNS allows (RFC 1035), so a name can become a hostname. The first
/// character rules out options (`-x`), hidden files and `..`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct VmName(String);

impl VmName {
    /// The longest name, in bytes.
    pub const MAX_LEN: usize = 63;

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name as a hostname (RFC 1123): lower case, `_` and `.` as `-`, no `-` at the end.
    pub fn to_hostname(&self) -> String {
        let host = self.0.to_ascii_lowercase().replace(['_', '.'], "-");
        host.trim_end_matches('-').to_owned()
    }
}

/// Why a text is not a [`VmName`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// The text is empty.
    #[error("a VM name cannot be empty")]
    Empty,
    /// The text is longer than [`VmName::MAX_LEN`] bytes.
    #[error("a VM name has at most {max} characters; this one has {len}", max = VmName::MAX_LEN)]
    TooLong {
        /// Length in bytes.
        len: usize,
    },
    /// A character that a name cannot hold.
    #[error("a VM name cannot hold {found:?}: use letters, digits, `-`, `_` and `.`")]
    Character {
        /// The first character that does not fit.
        found: char,
    },
    /// The first character is `-`, `_` or `.`.
    #[error("a VM name begins with a letter or a digit, not with {found:?}")]
    FirstCharacter {
        /// The character it begins with.
        found: char,
    },
}

impl FromStr for VmName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let first = text.chars().next().ok_or(NameError::Empty)?;
        if text.len() > Self::MAX_LEN {
            return Err(NameError::TooLong { len: text.len() });
        }
        let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if let Some(found) = text.chars().find(|&c| !fits(c)) {
            return Err(NameError::Character { found });
        }
        if !first.is_ascii_alphanumeric() {
            return Err(NameError::FirstCharacter { found: first });
        }
        Ok(Self(text.to_owned()))
    }
}

impl TryFrom<String> for VmName {
    type Error = NameError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<VmName> for String {
    fn from(name: VmName) -> Self {
        name.0
    }
}

impl fmt::Display for VmName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl AsRef<str> for VmName {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordinary_names_are_accepted() {
        for name in ["web", "api-0", "win11", "My_VM.2", "0", &"a".repeat(63)] {
            assert_eq!(name.parse::<VmName>().unwrap().as_str(), name);
        }
    }

    #[test]
    fn hostile_names_are_refused() {
        for name in ["", "../x", "a/b", "a\nb", "a,b", "-rf", ".hidden", "..", "a b", "é", "a\0"] {
            assert!(name.parse::<VmName>().is_err(), "{name:?} was accepted");
        }
        assert_eq!("a".repeat(300).parse::<VmName>(), Err(NameError::TooLong { len: 300 }));
    }

    #[test]
    fn a_hostname_is_always_a_dns_label() {
        for (name, host) in [("My_VM.2", "my-vm-2"), ("web-", "web"), ("a.", "a")] {
            assert_eq!(name.parse::<VmName>().unwrap().to_hostname(), host);
        }
    }
}
