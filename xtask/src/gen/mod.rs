//! The pages of `docs/` that are made from the code: where they list things, code is the list.
//!
//! One file per page, each a function that gives its text; [`PAGES`] names them. `write` makes them,
//! `check` tells which are not as the code says. Those of the command line are made by the
//! command and checked by its own tests. Tests: in each page's file.

mod command_line;
mod config;
mod events;
mod exit_codes;
mod manifest;

use std::path::Path;

use plasmavmc_cli::pages::NOTICE;

use crate::workspace::{ChoreError, Finding, read};

/// A page and what makes its text.
type Page = (&'static str, fn() -> String);

/// Every generated page, relative to the root.
const PAGES: &[Page] = &[
    ("docs/config.md", config::page),
    ("docs/events.md", events::page),
    ("docs/exit-codes.md", exit_codes::page),
    ("docs/vms-manifest.md", manifest::page),
    ("manifests/vms.schema.json", manifest::schema),
];

/// Writes every page that is not as the code says.
pub(crate) fn write(root: &Path) -> Result<(), ChoreError> {
    for (name, page) in PAGES {
        let (path, text) = (root.join(name), page());
        if read(&path).is_ok_and(|old| old == text) {
            continue;
        }
        let error = |source| ChoreError::File { action: "write", path: path.clone(), source };
        path.parent().map_or(Ok(()), std::fs::create_dir_all).map_err(error)?;
        std::fs::write(&path, text).map_err(error)?;
    }
    command_line::write(root)
}

/// The pages that are not as the code says.
pub(crate) fn check(root: &Path) -> Result<Vec<Finding>, ChoreError> {
    let stale = PAGES.iter().filter(|(name, page)| !read(&root.join(name)).is_ok_and(|old| old == page()));
    Ok(stale.map(|(name, _)| Finding::new(*name, "is not as the code says: run `cargo xtask gen`")).collect())
}
