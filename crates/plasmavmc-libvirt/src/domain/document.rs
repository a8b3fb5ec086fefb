//! The XML of one domain, kept byte for byte.
//!
//! Owns: that a [`DomainXml`] is well-formed, within the limits and a domain. Never does: normalise it.
//! Tests: below; the corpus test reads every domain that libvirt tests itself with.

use std::fmt;

use roxmltree::{Document, Node};
use sha2::{Digest, Sha256};

use crate::xml::{XmlError, read};

/// Well-formed XML of a domain, as it was given.
#[derive(Clone, PartialEq, Eq)]
pub struct DomainXml {
    text: String,
}

impl DomainXml {
    /// Takes a text that is the XML of a domain.
    ///
    /// # Errors
    /// Tells the line and the column of the first fault, the limit it goes over, or what it describes
    /// where that is no domain.
    pub fn parse(text: impl Into<String>) -> Result<Self, XmlError> {
        let text = text.into();
        root(&read(&text)?)?;
        Ok(Self { text })
    }

    /// The text, as it was given.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The SHA-256 of the text in hexadecimal digits: whether it is still the one that was seen.
    pub fn digest(&self) -> String {
        Sha256::digest(self.text.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Its tree.
    pub(crate) fn tree(&self) -> Result<Document<'_>, XmlError> {
        read(&self.text)
    }
}

/// The root, where it is a domain.
pub(crate) fn root<'a, 'i>(document: &'a Document<'i>) -> Result<Node<'a, 'i>, XmlError> {
    let root = document.root_element();
    let name = root.tag_name();
    if name.name() == "domain" && name.namespace().is_none() {
        Ok(root)
    } else {
        Err(XmlError::NotADomain { root: name.name().to_owned() })
    }
}

/// Shows its size: a domain's XML may hold passwords, and logs are no place for them.
impl fmt::Debug for DomainXml {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DomainXml({} bytes)", self.text.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_domain_is_taken_and_kept_as_it_is() {
        let text = "<!-- mine -->\n<domain type=\"kvm\"  ><name>a</name></domain>\n";
        let xml = DomainXml::parse(text).unwrap();
        assert_eq!(xml.as_str(), text);
        assert_eq!(xml.digest().len(), 64);
        assert_eq!(
            DomainXml::parse("<network/>").unwrap_err().to_string(),
            "the XML describes a `network`, not a domain"
        );
        assert!(DomainXml::parse("<domain xmlns='urn:other'/>").is_err());
        assert!(DomainXml::parse("").is_err());
    }

    #[test]
    fn a_password_is_not_in_what_a_log_would_show() {
        let xml =
            DomainXml::parse("<domain><devices><graphics passwd='hunter2'/></devices></domain>").unwrap();
        assert!(!format!("{xml:?}").contains("hunter2"));
    }
}
