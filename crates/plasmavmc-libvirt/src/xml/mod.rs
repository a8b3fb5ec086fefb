//! Reading XML within limits, changing bytes of it and no others, and telling two documents apart.
//!
//! Owns: what is refused before a tree is built (`guard`), the one error with its line and column, and
//! the shorthands by which the rest of the crate walks a tree. Never does: know what a domain is. A
//! document type is refused, so there are no entities but XML's own five. Tests: below and in each file.

pub mod compare;
mod element;
mod guard;
mod splice;

pub(crate) use element::{Element, is_writable};
pub(crate) use splice::Splices;

use plasmavmc_types::{ErrorKind, Explain};
use roxmltree::{Attribute, Document, Node, ParsingOptions};

/// The largest XML that is read, in bytes: what libvirt itself sends and takes.
pub const MAX_BYTES: usize = 4 << 20;
/// How deep elements nest at most; libvirt's own parser stops there too.
pub const MAX_DEPTH: usize = 256;
/// How many attributes an element has at most.
pub const MAX_ATTRIBUTES: usize = 256;
/// How many namespaces are declared at most, over the whole document.
pub const MAX_NAMESPACES: usize = 512;
/// How many elements, texts and comments there are at most.
const MAX_NODES: u32 = 400_000;

/// Why a text is not the XML of a domain.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum XmlError {
    /// It is larger than [`MAX_BYTES`].
    #[error("the XML has {bytes} bytes; at most {MAX_BYTES} are read")]
    TooLarge {
        /// Its size in bytes.
        bytes: usize,
    },
    /// It goes over a limit that no real domain comes near.
    #[error("line {line}, column {column}: {limit}")]
    Limit {
        /// The line, from 1.
        line: u32,
        /// The column, from 1, in characters.
        column: u32,
        /// The limit.
        limit: Limit,
    },
    /// It has a document type, which could define entities.
    #[error("line {line}, column {column}: there is a document type (`<!DOCTYPE`), which is not read")]
    DocumentType {
        /// The line, from 1.
        line: u32,
        /// The column, from 1, in characters.
        column: u32,
    },
    /// It is not well-formed.
    #[error("line {line}, column {column}: this is not well-formed XML")]
    Malformed {
        /// The line, from 1.
        line: u32,
        /// The column, from 1, in characters.
        column: u32,
        /// What the parser says.
        #[source]
        source: roxmltree::Error,
    },
    /// Its root is something else.
    #[error("the XML describes a `{root}`, not a domain")]
    NotADomain {
        /// The name of the root.
        root: String,
    },
    /// Something that every domain has is not there.
    #[error("the domain has no `{path}`")]
    Missing {
        /// Where it should be.
        path: &'static str,
    },
    /// A value is not what its place takes.
    #[error("`{path}` is `{text}`, which is not {expected}")]
    Value {
        /// Where it is.
        path: &'static str,
        /// What is there.
        text: String,
        /// What should be there.
        expected: &'static str,
    },
}

/// A limit of what is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Limit {
    /// The depth of nesting.
    #[error("elements nest more than {MAX_DEPTH} deep")]
    Depth,
    /// The attributes of one element.
    #[error("the element has more than {MAX_ATTRIBUTES} attributes")]
    Attributes,
    /// The namespaces of the document.
    #[error("more than {MAX_NAMESPACES} namespaces are declared")]
    Namespaces,
    /// The nodes of the document.
    #[error("there are more than {MAX_NODES} elements, texts and comments")]
    Nodes,
}

impl Explain for XmlError {
    fn kind(&self) -> ErrorKind {
        ErrorKind::Config
    }

    fn hints(&self) -> Vec<String> {
        vec!["see what libvirt has: `virsh dumpxml --inactive NAME`".to_owned()]
    }
}

/// Reads a document, within the limits.
pub(crate) fn read(text: &str) -> Result<Document<'_>, XmlError> {
    if text.len() > MAX_BYTES {
        return Err(XmlError::TooLarge { bytes: text.len() });
    }
    guard::check(text)?;
    let options = ParsingOptions { allow_dtd: false, nodes_limit: MAX_NODES, ..ParsingOptions::default() };
    Document::parse_with_options(text, options).map_err(|source| match source {
        roxmltree::Error::NodesLimitReached => XmlError::Limit { line: 1, column: 1, limit: Limit::Nodes },
        source => {
            let at = source.pos();
            XmlError::Malformed { line: at.row, column: at.col, source }
        }
    })
}

/// The first child element of this name, of libvirt's own.
pub(crate) fn child<'a, 'i>(node: Node<'a, 'i>, name: &str) -> Option<Node<'a, 'i>> {
    node.children().find(|child| is(*child, name))
}

/// The child elements of this name, of libvirt's own.
pub(crate) fn children<'a, 'i>(node: Node<'a, 'i>, name: &str) -> impl Iterator<Item = Node<'a, 'i>> {
    node.children().filter(move |child| is(*child, name))
}

/// The first element at the end of this path of names.
pub(crate) fn at<'a, 'i>(node: Node<'a, 'i>, path: &[&str]) -> Option<Node<'a, 'i>> {
    path.iter().try_fold(node, |node, name| child(node, name))
}

/// Whether this is an element of this name, of libvirt's own.
pub(crate) fn is(node: Node<'_, '_>, name: &str) -> bool {
    node.is_element() && node.tag_name().namespace().is_none() && node.tag_name().name() == name
}

/// An attribute of libvirt's own: the parser's own question takes one of any namespace.
pub(crate) fn own_attribute<'a, 'i>(node: Node<'a, 'i>, name: &str) -> Option<Attribute<'a, 'i>> {
    node.attributes().find(|attribute| attribute.namespace().is_none() && attribute.name() == name)
}

/// The value of an attribute of libvirt's own.
pub(crate) fn attr<'a>(node: Node<'a, '_>, name: &str) -> Option<&'a str> {
    own_attribute(node, name).map(|attribute| attribute.value())
}

/// All text in the element itself, CDATA too, without the white space around it.
pub(crate) fn text(node: Node<'_, '_>) -> String {
    let text: String = node.children().filter(Node::is_text).filter_map(|child| child.text()).collect();
    text.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use plasmavmc_types::repeated_source;

    #[test]
    fn a_fault_is_told_with_its_line_and_column() {
        let error = read("<domain>\n  <name>x</nam>\n</domain>").unwrap_err();
        let XmlError::Malformed { line, column, .. } = &error else { panic!("{error:?}") };
        assert_eq!((*line, *column), (2, 10));
        assert_eq!(repeated_source(&error), None);
    }

    #[test]
    fn nothing_a_document_type_could_define_is_read() {
        for text in [
            "<!DOCTYPE domain><domain/>",
            "<?xml version='1.0'?>\n<!DOCTYPE d [<!ENTITY a 'aaaa'><!ENTITY b '&a;&a;'>]>\n<domain>&b;</domain>",
            "<!DOCTYPE d SYSTEM 'file:///etc/passwd'><domain/>",
        ] {
            assert!(matches!(read(text), Err(XmlError::DocumentType { .. })), "{text}");
        }
        assert!(matches!(read("<domain>&xxe;</domain>"), Err(XmlError::Malformed { .. })));
    }

    #[test]
    fn what_no_real_domain_has_is_refused_before_it_costs_anything() {
        let deep = format!("{}{}", "<a>".repeat(300), "</a>".repeat(300));
        let wide: String = (0..300).map(|i| format!(" a{i}=''")).collect();
        let spaces: String = (0..600).map(|i| format!("<a xmlns:n{i}='{i}'/>")).collect();
        for (text, expected) in [
            (deep, Limit::Depth),
            (format!("<a{wide}/>"), Limit::Attributes),
            (format!("<a>{spaces}</a>"), Limit::Namespaces),
        ] {
            match read(&text).unwrap_err() {
                XmlError::Limit { limit, .. } => assert_eq!(limit, expected),
                error => panic!("{error:?}"),
            }
        }
        let large = format!("<a>{}</a>", " ".repeat(MAX_BYTES));
        assert!(matches!(read(&large), Err(XmlError::TooLarge { .. })));
        let many = format!("<a>{}</a>", "<b/>".repeat(MAX_NODES as usize));
        assert!(matches!(read(&many), Err(XmlError::Limit { limit: Limit::Nodes, .. })));
    }

    #[test]
    fn text_is_one_whatever_it_is_written_as() {
        let document = read("<t> a &amp; <![CDATA[<b>]]><!-- c --> d\n</t>").unwrap();
        assert_eq!(text(document.root_element()), "a & <b> d");
    }
}
