//! Identifiers: of a VM, for its life, and of one run of it.
//!
//! `VmId` names a VM across starts and hosts (RFC 9562 UUID, as QEMU's `-uuid` and libvirt use).
//! `RunToken` names one process of it: it stands on QEMU's command line, so that a process can be
//! recognised as ours even when its pid was reused. Tests: below.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Identifies one VM for as long as it is defined.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct VmId(Uuid);

impl VmId {
    /// The id of a VM whose record cannot be read: all zeros, which is nobody's.
    pub const UNREADABLE: Self = Self(Uuid::nil());

    /// Makes a new, time-ordered id (UUID version 7).
    pub fn generate() -> Self {
        Self(Uuid::now_v7())
    }

    /// Wraps a UUID that something else assigned, such as libvirt.
    pub fn from_uuid(uuid: Uuid) -> Self {
        Self(uuid)
    }

    /// The UUID itself.
    pub fn as_uuid(&self) -> &Uuid {
        &self.0
    }
}

/// Identifies one run of a VM: 128 random bits, shown as 32 hexadecimal digits.
///
/// Not a secret: it tells processes apart, it does not authorise anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RunToken(Uuid);

impl RunToken {
    /// Draws a new token.
    pub fn generate() -> Self {
        Self(Uuid::new_v4())
    }
}

/// The text is not a UUID (for [`VmId`]) or not 32 hexadecimal digits (for [`RunToken`]).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not {expected}")]
pub struct ParseIdError {
    text: String,
    expected: &'static str,
}

impl fmt::Display for VmId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.hyphenated().fmt(f)
    }
}

impl FromStr for VmId {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Uuid::try_parse(text)
            .map(Self)
            .map_err(|_| ParseIdError { text: text.to_owned(), expected: "a UUID" })
    }
}

impl fmt::Display for RunToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.simple().fmt(f)
    }
}

impl FromStr for RunToken {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = || ParseIdError { text: text.to_owned(), expected: "32 hexadecimal digits" };
        if text.len() != 32 {
            return Err(error());
        }
        Uuid::try_parse(text).map(Self).map_err(|_| error())
    }
}

impl TryFrom<String> for RunToken {
    type Error = ParseIdError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<RunToken> for String {
    fn from(token: RunToken) -> Self {
        token.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_survives_its_text_form() {
        let token = RunToken::generate();
        assert_eq!(token.to_string().len(), 32);
        assert_eq!(token.to_string().parse::<RunToken>().unwrap(), token);
    }

    #[test]
    fn a_hyphenated_uuid_is_not_a_token() {
        assert!(VmId::generate().to_string().parse::<RunToken>().is_err());
    }
}
