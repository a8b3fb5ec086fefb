//! Every dependency is used: each entry of the workspace by some crate, each of a crate in its
//! sources.
//!
//! A light check: a dependency counts as used where its name stands as a word in a source file. One
//! that is named and not used gets past it; one that is used is never reported. Tests: below.

use std::collections::BTreeSet;
use std::path::Path;

use super::reasons;
use crate::workspace::{ChoreError, Finding, Package, Workspace, files, read};

/// Dependencies that nothing names.
pub(super) fn check(workspace: &Workspace, manifest: &str) -> Result<Vec<Finding>, ChoreError> {
    let mut findings = never_taken(&workspace.packages, manifest);
    for package in &workspace.packages {
        let dir = package.manifest_path.parent().unwrap_or(Path::new("."));
        findings.extend(never_named(package, &words_under(dir)?));
    }
    Ok(findings)
}

fn never_taken(packages: &[Package], manifest: &str) -> Vec<Finding> {
    let taken: BTreeSet<&str> =
        packages.iter().flat_map(|package| &package.dependencies).map(|it| it.name.as_str()).collect();
    let idle = reasons::external(manifest).filter(|(name, _)| !taken.contains(name));
    idle.map(|(name, _)| Finding::new("Cargo.toml", format!("no crate depends on `{name}`"))).collect()
}

fn never_named(package: &Package, words: &BTreeSet<String>) -> Vec<Finding> {
    let idle = package.dependencies.iter().filter(|it| !words.contains(&it.name.replace('-', "_")));
    idle.map(|it| Finding::new(&package.name, format!("its sources never name `{}`", it.name))).collect()
}

fn words_under(dir: &Path) -> Result<BTreeSet<String>, ChoreError> {
    let mut words = BTreeSet::new();
    for path in files(dir, &["rs"])? {
        words.extend(words_in(&read(&path)?));
    }
    Ok(words)
}

fn words_in(source: &str) -> BTreeSet<String> {
    source
        .split(|character: char| !character.is_alphanumeric() && character != '_')
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace::tests::package;

    #[test]
    fn a_dependency_is_used_where_its_name_is_a_word() {
        let words = words_in("use serde_json::Value; // not tokios\n#[async_trait::async_trait]");
        let package = package(
            "castra",
            &[("serde-json", None, false), ("async-trait", None, false), ("tokio", None, false)],
        );
        assert_eq!(never_named(&package, &words), [Finding::new("castra", "its sources never name `tokio`")]);
    }

    #[test]
    fn an_entry_that_no_crate_takes_is_found() {
        let manifest = "[workspace.dependencies]\nserde = \"1\" # a\ntokio = \"1\" # b\n";
        let packages = [package("castra", &[("serde", None, false)])];
        assert_eq!(
            never_taken(&packages, manifest),
            [Finding::new("Cargo.toml", "no crate depends on `tokio`")]
        );
    }
}
