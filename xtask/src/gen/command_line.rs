//! The pages `castra` makes of its own command line: `docs/commands.md`, `docs/json.md`.
//!
//! The command is built and asked, so that this crate need not link all of it. That the pages are up
//! to date is a test of `castra` itself.

use std::path::Path;
use std::process::Command;

use crate::workspace::ChoreError;

/// Has the command write its pages.
pub(super) fn write(root: &Path) -> Result<(), ChoreError> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(["run", "--quiet", "--package", "castra", "--", "docs", "--out"]).arg(root.join("docs"));
    match command.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(ChoreError::Castra { status }),
        Err(source) => Err(ChoreError::Cargo { source }),
    }
}
