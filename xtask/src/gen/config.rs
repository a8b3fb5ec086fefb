//! `docs/config.md`: what a `castra.toml` may hold, from its schema. Tests: in `castra`.

use castra::config::reference_markdown;

/// The text of the page.
pub(super) fn page() -> String {
    format!("# `castra.toml`\n\n{}\n\n{}", super::NOTICE, reference_markdown())
}
