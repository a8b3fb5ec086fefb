//! What `vms.json` may hold, from its schema: `docs/vms-manifest.md`, and the schema itself. Tests: in `bkt`.

use bkt::manifest::{reference_markdown, schema as of_manifest};

/// The text of the page.
pub(super) fn page() -> String {
    format!("# `vms.json`\n\n{}\n\n{}", super::NOTICE, reference_markdown())
}

/// The text of the schema.
pub(super) fn schema() -> String {
    format!("{:#}\n", of_manifest())
}
