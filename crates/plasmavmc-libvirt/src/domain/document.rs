//! The XML of a domain, kept byte for byte.

use std::fmt;

use sha2::{Digest, Sha256};

use crate::xml::{self, XmlError};

/// The well-formed XML of a domain, byte for byte as it was dumped.
#[derive(Clone, PartialEq, Eq)]
pub struct DomainXml(String);

impl DomainXml {
    /// Takes the XML of a domain.
    ///
    /// # Errors
    /// [`XmlError`] where it is not well-formed.
    pub fn parse(text: impl Into<String>) -> Result<Self, XmlError> {
        let text = text.into();
        xml::read(&text)?;
        Ok(Self(text))
    }

    /// The XML.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Its SHA-256, in hexadecimal digits.
    pub fn digest(&self) -> String {
        Sha256::digest(&self.0).iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// Without the text: it may hold a password.
impl fmt::Debug for DomainXml {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DomainXml({} bytes)", self.0.len())
    }
}
