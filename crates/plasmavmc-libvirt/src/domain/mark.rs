//! What we note in the metadata of a domain that we manage.
//!
//! ```xml
//! <metadata>
//!   <bkt:vm xmlns:bkt="https://castra.dev/bkt/vm/1" key="win11" uri="qemu:///system">{"memory_kib":8388608,…}</bkt:vm>
//! </metadata>
//! ```
//!
//! The text is the fields as they were after we last applied the manifest: what tells a change of the
//! manifest from a change someone made by hand. Tests: with the projection.

use serde::{Deserialize, Serialize};

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
