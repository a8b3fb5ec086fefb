//! The pages that commands make of their own command lines: `docs/commands.md` and `docs/json.md` of
//! `castra`, `docs/bkt-commands.md` of `bkt`.
//!
//! Each command is built and asked, so that this crate need not link all of it. That the pages are up to
//! date is a test of the command itself.

use std::path::Path;
use std::process::Command;

use crate::workspace::ChoreError;

/// Has the commands write their pages.
pub(super) fn write(root: &Path) -> Result<(), ChoreError> {
    ["castra", "bkt"].into_iter().try_for_each(|package| write_of(package, root))
}

fn write_of(package: &'static str, root: &Path) -> Result<(), ChoreError> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command
        .args(["run", "--quiet", "--package", package, "--bin", package, "--", "docs", "--out"])
        .arg(root.join("docs"));
    match command.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(ChoreError::Pages { package, status }),
        Err(source) => Err(ChoreError::Cargo { source }),
    }
}
