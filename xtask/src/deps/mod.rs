//! Dependencies: few, each with its reason, each used, each under a licence we can ship.
//!
//! The list of licences is `deny.toml`'s, so that `cargo deny` and this check never differ. Tests: in
//! each file.

mod licences;
mod reasons;
mod unused;

use crate::workspace::{ChoreError, Finding, Workspace, locked_packages, read};

/// Packages `Cargo.lock` may hold. Raised only with an entry in `docs/adr/`: every package is code
/// that runs with its user's rights.
const CEILING: usize = 290;

/// What is wrong with the dependencies.
pub(crate) fn check(workspace: &Workspace) -> Result<Vec<Finding>, ChoreError> {
    let mut findings = Vec::new();
    findings.extend(ceiling(&read(&workspace.root.join("Cargo.lock"))?));
    let manifest = read(&workspace.root.join("Cargo.toml"))?;
    findings.extend(reasons::check(&manifest));
    findings.extend(unused::check(workspace, &manifest)?);
    let allowed = licences::allowed(&workspace.root.join("deny.toml"))?;
    findings.extend(licences::check(&locked_packages()?, &allowed));
    Ok(findings)
}

fn ceiling(lockfile: &str) -> Option<Finding> {
    let packages = lockfile.lines().filter(|line| *line == "[[package]]").count();
    (packages > CEILING).then(|| {
        Finding::new("Cargo.lock", format!("holds {packages} packages, {CEILING} at most: drop a dependency"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lockfile_over_the_ceiling_is_found() {
        let lockfile = |packages| "[[package]]\nname = \"x\"\n".repeat(packages);
        assert_eq!(ceiling(&lockfile(CEILING)), None);
        assert!(ceiling(&lockfile(CEILING + 1)).is_some());
    }
}
