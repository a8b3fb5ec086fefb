//! What we note in the metadata of a domain that we manage.
//!
//! ```xml
//! <metadata>
//!   <bkt:vm xmlns:bkt="https://castra.dev/bkt/vm/1" key="win11">{"memory":8192,…}</bkt:vm>
//! </metadata>
//! ```
//!
//! The text is the fields as they were after we last applied the manifest: what tells a change of the
//! manifest from a change someone made by hand. Tests: with the editing.

use roxmltree::Node;
use serde::{Deserialize, Serialize};

use crate::xml::{Element, attr, child, text};

/// The XML namespace of our element: a name, not an address.
pub const NAMESPACE: &str = "https://castra.dev/bkt/vm/1";

/// Our element in a domain's metadata.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// The VM's key in the manifest.
    pub key: String,
    /// What was applied last: the value of each manifest field by its name, as JSON of one line. The
    /// face knows what is in it.
    pub applied: String,
}

/// Our element.
pub(crate) fn find<'a, 'i>(root: Node<'a, 'i>) -> Option<Node<'a, 'i>> {
    let ours = |node: &Node<'_, '_>| node.is_element() && node.tag_name() == (NAMESPACE, "vm").into();
    child(root, "metadata")?.children().find(ours)
}

/// What our element says.
pub(crate) fn read(root: Node<'_, '_>) -> Option<Mark> {
    let node = find(root)?;
    Some(Mark { key: attr(node, "key")?.to_owned(), applied: text(node) })
}

impl Mark {
    /// Our element.
    pub(crate) fn to_element(&self) -> Element {
        Element::new("bkt:vm").attr("xmlns:bkt", NAMESPACE).attr("key", &self.key).text(&self.applied)
    }
}
