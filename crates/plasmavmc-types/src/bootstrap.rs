//! The words of a bootstrap: when it runs, its steps, how each ends, and what it was made of.
//!
//! ```text
//! wait-handshake ─► connect ─► transfer ─► apply ─► verify
//!                      └── unchanged: the rest is skipped
//! ```
//!
//! Tests: below.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// When a VM's bootstrap runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum BootstrapMode {
    /// At a start that finds another bootstrap than this one, or none, on the guest's disk.
    #[default]
    Auto,
    /// Only by `castra bootstrap`.
    Skip,
    /// At every start.
    Always,
}

impl BootstrapMode {
    /// Every mode.
    pub const ALL: [Self; 3] = [Self::Auto, Self::Skip, Self::Always];

    /// Its name, as configs and command lines have it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Skip => "skip",
            Self::Always => "always",
        }
    }
}

impl fmt::Display for BootstrapMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// One step of a bootstrap, in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum BootstrapStep {
    /// Waits until the guest answers on its channel.
    WaitHandshake,
    /// Opens a way into the guest and asks what was done there before.
    Connect,
    /// Moves script and payload into the guest.
    Transfer,
    /// Runs the script.
    Apply,
    /// Checks what the script did, and notes it on the guest's disk.
    Verify,
}

impl BootstrapStep {
    /// Every step, in order.
    pub const ALL: [Self; 5] =
        [Self::WaitHandshake, Self::Connect, Self::Transfer, Self::Apply, Self::Verify];

    /// Its name, the same as in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::WaitHandshake => "wait-handshake",
            Self::Connect => "connect",
            Self::Transfer => "transfer",
            Self::Apply => "apply",
            Self::Verify => "verify",
        }
    }
}

impl fmt::Display for BootstrapStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// How far a step got.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum StepStatus {
    /// It began.
    Started,
    /// It did what it is for.
    Ok,
    /// It did not; no step follows.
    Failed,
    /// There was nothing to do.
    Skipped,
}

/// What a bootstrap was made of: the SHA-256 of all that decides what it does, in hexadecimal.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub struct BootstrapDigest(String);

/// Why a text is no [`BootstrapDigest`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a digest is 64 hexadecimal digits")]
pub struct BootstrapDigestError;

impl BootstrapDigest {
    /// The digest of these bytes of a hash.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
    }

    /// The digest as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Enough of it to tell two apart by eye.
    pub fn short(&self) -> &str {
        &self.0[..12]
    }
}

impl FromStr for BootstrapDigest {
    type Err = BootstrapDigestError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        if text.len() == 64 && text.bytes().all(is_digit) {
            Ok(Self(text.to_owned()))
        } else {
            Err(BootstrapDigestError)
        }
    }
}

impl TryFrom<String> for BootstrapDigest {
    type Error = BootstrapDigestError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<BootstrapDigest> for String {
    fn from(digest: BootstrapDigest) -> Self {
        digest.0
    }
}

impl fmt::Display for BootstrapDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_is_64_hexadecimal_digits_and_nothing_else() {
        let digest = BootstrapDigest::from_bytes([0xab; 32]);
        assert_eq!(digest.as_str().parse(), Ok(digest.clone()));
        assert_eq!(digest.short(), "abababababab");
        for text in ["", "ab", &"AB".repeat(32), &"g".repeat(64), &"a".repeat(65), &"é".repeat(32)] {
            assert_eq!(text.parse::<BootstrapDigest>(), Err(BootstrapDigestError), "{text}");
        }
    }
}
