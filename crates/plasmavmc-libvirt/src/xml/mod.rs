//! Reading XML within limits: the part that asking libvirt needs.

use plasmavmc_types::{ErrorKind, Explain};
use roxmltree::{Document, Node};

/// Why a text is not the XML of a domain.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum XmlError {
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
    /// Something that every domain has is not there.
    #[error("the domain has no `{path}`")]
    Missing {
        /// Where it should be.
        path: &'static str,
    },
}

impl Explain for XmlError {
    fn kind(&self) -> ErrorKind {
        ErrorKind::Config
    }
}

/// Reads a document.
pub(crate) fn read(text: &str) -> Result<Document<'_>, XmlError> {
    Document::parse(text).map_err(|source| {
        let at = source.pos();
        XmlError::Malformed { line: at.row, column: at.col, source }
    })
}

/// The first child element of this name, of libvirt's own.
pub(crate) fn child<'a, 'i>(node: Node<'a, 'i>, name: &str) -> Option<Node<'a, 'i>> {
    node.children().find(|child| child.is_element() && child.tag_name().name() == name)
}

/// All text in the element itself, without the white space around it.
pub(crate) fn text(node: Node<'_, '_>) -> String {
    let text: String = node.children().filter(Node::is_text).filter_map(|child| child.text()).collect();
    text.trim().to_owned()
}
