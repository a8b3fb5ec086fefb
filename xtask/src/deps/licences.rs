//! Every package comes under a licence of `deny.toml`.
//!
//! Reads the SPDX expressions of `cargo metadata`; the old `MIT/Apache-2.0` means `OR`. Tests: below.

use std::collections::BTreeSet;
use std::path::Path;

use serde::Deserialize;

use crate::workspace::{ChoreError, Finding, Package, read};

#[derive(Deserialize)]
struct Deny {
    licenses: Licences,
}

#[derive(Deserialize)]
struct Licences {
    allow: BTreeSet<String>,
}

/// The licences that `deny.toml` allows, exceptions written as `Apache-2.0 WITH LLVM-exception`.
pub(super) fn allowed(path: &Path) -> Result<BTreeSet<String>, ChoreError> {
    let deny: Result<Deny, _> = toml::from_str(&read(path)?);
    Ok(deny.map_err(|source| ChoreError::Toml { path: path.to_owned(), source })?.licenses.allow)
}

/// The packages from elsewhere whose licence is not allowed.
pub(super) fn check(packages: &[Package], allowed: &BTreeSet<String>) -> Vec<Finding> {
    let foreign = packages.iter().filter(|package| package.source.is_some());
    foreign.filter_map(|package| verdict(package, allowed)).collect()
}

fn verdict(package: &Package, allowed: &BTreeSet<String>) -> Option<Finding> {
    let place = format!("{} {}", package.name, package.version);
    let Some(licence) = &package.license else {
        return Some(Finding::new(place, "names no licence"));
    };
    match evaluate(licence, allowed) {
        Some(true) => None,
        Some(false) => {
            Some(Finding::new(place, format!("its licence `{licence}` is not allowed in deny.toml")))
        }
        None => Some(Finding::new(place, format!("its licence `{licence}` is no SPDX expression"))),
    }
}

/// Whether an SPDX expression can be satisfied with allowed licences; none where it is not one.
fn evaluate(expression: &str, allowed: &BTreeSet<String>) -> Option<bool> {
    let spaced = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let mut tokens: Vec<&str> = spaced.split_whitespace().rev().collect();
    let verdict = any_of(&mut tokens, allowed)?;
    tokens.is_empty().then_some(verdict)
}

// AND binds tighter than OR, WITH tighter than both. `tokens` is a stack, the next one on top.

fn any_of(tokens: &mut Vec<&str>, allowed: &BTreeSet<String>) -> Option<bool> {
    let mut verdict = all_of(tokens, allowed)?;
    while tokens.pop_if(|token| *token == "OR").is_some() {
        verdict |= all_of(tokens, allowed)?;
    }
    Some(verdict)
}

fn all_of(tokens: &mut Vec<&str>, allowed: &BTreeSet<String>) -> Option<bool> {
    let mut verdict = one(tokens, allowed)?;
    while tokens.pop_if(|token| *token == "AND").is_some() {
        verdict &= one(tokens, allowed)?;
    }
    Some(verdict)
}

fn one(tokens: &mut Vec<&str>, allowed: &BTreeSet<String>) -> Option<bool> {
    match tokens.pop()? {
        "(" => {
            let verdict = any_of(tokens, allowed)?;
            (tokens.pop()? == ")").then_some(verdict)
        }
        ")" | "AND" | "OR" | "WITH" => None,
        licence if tokens.pop_if(|token| *token == "WITH").is_some() => {
            Some(allowed.contains(&format!("{licence} WITH {}", tokens.pop()?)))
        }
        licence => Some(allowed.contains(licence)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace::tests::package;

    fn list() -> BTreeSet<String> {
        ["MIT", "ISC", "Unicode-3.0", "Apache-2.0 WITH LLVM-exception"].map(str::to_owned).into()
    }

    #[test]
    fn an_expression_is_satisfied_as_spdx_says() {
        for (expression, verdict) in [
            ("MIT", Some(true)),
            ("GPL-3.0", Some(false)),
            ("MIT OR GPL-3.0", Some(true)),
            ("GPL-3.0/MIT", Some(true)),
            ("MIT AND GPL-3.0", Some(false)),
            ("(GPL-3.0 OR MIT) AND Unicode-3.0", Some(true)),
            ("GPL-3.0 AND MIT OR ISC", Some(true)),
            ("GPL-3.0 AND (MIT OR ISC)", Some(false)),
            ("Apache-2.0 WITH LLVM-exception", Some(true)),
            ("MIT WITH LLVM-exception", Some(false)),
            ("", None),
            ("MIT OR", None),
            ("(MIT", None),
            ("MIT ISC", None),
        ] {
            assert_eq!(evaluate(expression, &list()), verdict, "{expression:?}");
        }
    }

    #[test]
    fn our_own_crates_are_not_asked_and_others_must_answer() {
        let ours = package("castra", &[]);
        let mut silent = package("other", &[]);
        silent.source = Some("registry".to_owned());
        assert_eq!(check(&[ours, silent], &list()), [Finding::new("other 0.1.0", "names no licence")]);
    }
}
