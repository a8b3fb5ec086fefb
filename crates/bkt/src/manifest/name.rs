//! The names of VMs: what libvirt takes for a domain, without what a person could not see.
//!
//! Freer than a project's VM names: `1`, `--all` and `a,b` are domains that exist in the world, and are
//! addressed by UUID, so none of them is a danger. Pure. Tests: below.

use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;

use serde::Serialize;

use super::limits::MAX_NAME_BYTES;

/// The name of a VM: its key in the manifest, and of its domain in libvirt.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct DomainName(String);

/// Why a text cannot be a name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadName {
    /// There is nothing.
    #[error("the name of a {kind} cannot be empty")]
    Empty {
        /// What is named.
        kind: &'static str,
    },
    /// It is longer than the name of a file.
    #[error("the name of a {kind} has at most {MAX_NAME_BYTES} bytes; this one has {bytes}")]
    Long {
        /// What is named.
        kind: &'static str,
        /// How many it has.
        bytes: usize,
    },
    /// It holds a character that libvirt refuses, or that nobody sees.
    #[error("the name of a {kind} cannot hold {found:?}")]
    Character {
        /// What is named.
        kind: &'static str,
        /// The character.
        found: char,
    },
    /// It begins or ends with a blank.
    #[error("the name of a {kind} neither begins nor ends with a blank")]
    Blank {
        /// What is named.
        kind: &'static str,
    },
}

/// Whether libvirt takes the name for a `kind` (VM, network).
pub(super) fn check_name(kind: &'static str, text: &str) -> Result<(), BadName> {
    // The last two are no characters of XML.
    let is_refused = |c: &char| c.is_control() || matches!(c, '/' | '\u{fffe}' | '\u{ffff}');
    if text.is_empty() {
        Err(BadName::Empty { kind })
    } else if text.len() > MAX_NAME_BYTES {
        Err(BadName::Long { kind, bytes: text.len() })
    } else if let Some(found) = text.chars().find(is_refused) {
        Err(BadName::Character { kind, found })
    } else if text.trim() != text {
        Err(BadName::Blank { kind })
    } else {
        Ok(())
    }
}

impl DomainName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for DomainName {
    type Err = BadName;

    fn from_str(text: &str) -> Result<Self, BadName> {
        check_name("VM", text).map(|()| Self(text.to_owned()))
    }
}

impl fmt::Display for DomainName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl Borrow<str> for DomainName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl AsRef<str> for DomainName {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_libvirt_takes_are_taken() {
        for name in
            ["win11", "1", "--all", "a,b", "-", "a b", "ünï", "%", "a;rm -rf ~", ".", &"x".repeat(247)]
        {
            assert_eq!(name.parse::<DomainName>().map(|name| name.to_string()), Ok(name.to_owned()));
        }
    }

    #[test]
    fn names_that_libvirt_refuses_or_nobody_sees_are_refused() {
        let kind = "VM";
        for (name, error) in [
            ("", BadName::Empty { kind }),
            ("a/b", BadName::Character { kind, found: '/' }),
            ("a\nb", BadName::Character { kind, found: '\n' }),
            ("a\u{1b}b", BadName::Character { kind, found: '\u{1b}' }),
            ("a\u{ffff}", BadName::Character { kind, found: '\u{ffff}' }),
            (" a", BadName::Blank { kind }),
            ("a\u{a0}", BadName::Blank { kind }),
            (&"x".repeat(248), BadName::Long { kind, bytes: 248 }),
        ] {
            assert_eq!(name.parse::<DomainName>(), Err(error), "{name:?}");
        }
    }
}
