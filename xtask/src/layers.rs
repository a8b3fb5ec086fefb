//! Dependencies between the crates of this workspace point down only.
//!
//! [`LAYERS`] is the whole truth: an edge that is not in it fails. Pure over `cargo metadata`.
//! Tests: below; the workspace itself is checked by `scripts/test`.

use crate::workspace::{Finding, Package};

/// Each crate with the crates of this workspace that it may depend on, from the bottom up.
///
/// Never: backend to engine, engine to host, backend to backend, a library to the terminal.
const LAYERS: &[(&str, &[&str])] = &[
    ("plasmavmc-types", &[]),
    ("plasmavmc-source", &["plasmavmc-types"]),
    ("plasmavmc-hypervisor", &["plasmavmc-types"]),
    ("plasmavmc-engine", &["plasmavmc-types", "plasmavmc-hypervisor"]),
    ("plasmavmc-host", &["plasmavmc-types"]),
    ("castra-agent-proto", &[]),
    ("castra-agent", &["castra-agent-proto"]),
    ("castra-agent-embed", &[]),
    ("plasmavmc-guest", &["plasmavmc-types", "plasmavmc-host", "castra-agent-proto"]),
    ("plasmavmc-kvm", &["plasmavmc-types", "plasmavmc-hypervisor", "plasmavmc-host", "castra-agent-proto"]),
    ("plasmavmc-libvirt", &["plasmavmc-types", "plasmavmc-hypervisor", "plasmavmc-host"]),
    ("plasmavmc-term", &["plasmavmc-types", "plasmavmc-source"]),
    ("plasmavmc-cli", &["plasmavmc-types", "plasmavmc-term"]),
    (
        "bkt",
        &[
            "plasmavmc-types",
            "plasmavmc-source",
            "plasmavmc-hypervisor",
            "plasmavmc-engine",
            "plasmavmc-host",
            "plasmavmc-libvirt",
            "plasmavmc-term",
            "plasmavmc-cli",
        ],
    ),
    (
        "castra",
        &[
            "plasmavmc-types",
            "plasmavmc-source",
            "plasmavmc-hypervisor",
            "plasmavmc-engine",
            "plasmavmc-host",
            "plasmavmc-kvm",
            "plasmavmc-guest",
            "plasmavmc-term",
            "plasmavmc-cli",
            "castra-agent-proto",
            "castra-agent-embed",
        ],
    ),
    ("xtask", &["plasmavmc-types", "plasmavmc-host", "plasmavmc-term", "plasmavmc-cli", "castra", "bkt"]),
];

/// Edges that exist only behind a feature: `(from, to, feature)`.
const BEHIND_FEATURE: &[(&str, &str, &str)] =
    &[("castra", "plasmavmc-term", "cli"), ("castra", "plasmavmc-cli", "cli")];

/// Crates from elsewhere that only some of ours may use, with the reason to show.
const RESERVED: &[(&str, &[&str], &str)] = &[
    ("tokio", &["plasmavmc-host"], "the only runtime is the one that downloads"),
    ("reqwest", &["plasmavmc-host"], "downloads belong to the host"),
    ("rustls", &["plasmavmc-host"], "downloads belong to the host"),
    ("indicatif", &["plasmavmc-term"], "only the terminal crate prints"),
    ("comfy-table", &["plasmavmc-term"], "only the terminal crate prints"),
    ("annotate-snippets", &["plasmavmc-term"], "only the terminal crate prints"),
    ("anstream", &["plasmavmc-term"], "only the terminal crate prints"),
    ("clap", &["plasmavmc-cli", "bkt", "castra", "xtask"], "command lines belong to faces"),
    ("clap_complete", &["plasmavmc-cli"], "what all faces share is in one place"),
    ("clap_mangen", &["plasmavmc-cli"], "what all faces share is in one place"),
];

/// How the names of crates end that exist for tests only. They may use anything, and are used as
/// dev-dependencies only.
const TEST_KIT: &str = "-testkit";

/// Every edge that is not allowed.
pub(crate) fn check(packages: &[Package]) -> Vec<Finding> {
    let ours: Vec<&str> = packages.iter().map(|package| package.name.as_str()).collect();
    let mut findings: Vec<Finding> = packages.iter().flat_map(|package| edges(package, &ours)).collect();
    findings.extend(packages.iter().flat_map(features));
    for (name, _) in LAYERS {
        if !ours.contains(name) {
            findings
                .push(Finding::new("xtask/src/layers.rs", format!("`{name}` is no crate of this workspace")));
        }
    }
    findings
}

fn edges(package: &Package, ours: &[&str]) -> Vec<Finding> {
    let from = package.name.as_str();
    let is_test_kit = from.ends_with(TEST_KIT);
    let allowed = LAYERS.iter().find(|(name, _)| *name == from).map(|(_, allowed)| *allowed);
    let mut findings = Vec::new();
    if allowed.is_none() && !is_test_kit {
        findings.push(Finding::new(from, "has no layer: add it to `LAYERS` in xtask/src/layers.rs"));
    }
    for dependency in package.dependencies.iter().filter(|dependency| !dependency.is_dev()) {
        let to = dependency.name.as_str();
        let may = allowed.unwrap_or_default().contains(&to);
        if ours.contains(&to) && to.ends_with(TEST_KIT) {
            findings.push(Finding::new(from, format!("may use `{to}` as a dev-dependency only")));
        } else if ours.contains(&to) && !may && !is_test_kit {
            findings
                .push(Finding::new(from, format!("may not depend on `{to}`: dependencies point down only")));
        }
        if let Some((_, users, reason)) = RESERVED.iter().find(|(name, ..)| *name == to)
            && !users.contains(&from)
            && !is_test_kit
        {
            findings.push(Finding::new(from, format!("may not depend on `{to}`: {reason}")));
        }
    }
    findings
}

fn features(package: &Package) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (_, to, feature) in BEHIND_FEATURE.iter().filter(|(from, ..)| *from == package.name) {
        let here = || package.name.clone();
        if package.dependencies.iter().any(|it| it.name == *to && !it.is_dev() && !it.optional) {
            findings.push(Finding::new(here(), format!("must keep `{to}` behind its feature `{feature}`")));
        }
        let switch = format!("dep:{to}");
        let others = package.features.iter().filter(|(name, _)| name != feature);
        for (name, _) in others.filter(|(_, parts)| parts.contains(&switch)) {
            let what = format!("its feature `{name}` brings `{to}`, which belongs to `{feature}` alone");
            findings.push(Finding::new(here(), what));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace::DependencyKind::Dev;
    use crate::workspace::tests::package;

    /// A workspace with every crate of [`LAYERS`], and `changed` in the place of its namesake.
    fn check_with(changed: Package) -> Vec<String> {
        let mut packages: Vec<_> = LAYERS.iter().map(|(name, _)| package(name, &[])).collect();
        packages.retain(|package| package.name != changed.name);
        packages.push(changed);
        check(&packages).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn an_edge_that_points_down_is_fine() {
        assert!(check_with(package("plasmavmc-kvm", &[("plasmavmc-host", None, false)])).is_empty());
        assert!(check_with(package("castra", &[("plasmavmc-term", None, true)])).is_empty());
    }

    #[test]
    fn an_edge_that_points_up_or_sideways_is_found() {
        for (from, to) in [
            ("plasmavmc-engine", "plasmavmc-host"),
            ("plasmavmc-kvm", "plasmavmc-engine"),
            ("plasmavmc-host", "plasmavmc-term"),
            ("plasmavmc-types", "castra"),
        ] {
            let found = check_with(package(from, &[(to, None, false)]));
            assert_eq!(found, [format!("{from}: may not depend on `{to}`: dependencies point down only")]);
        }
    }

    #[test]
    fn tests_may_look_anywhere_and_test_kits_are_for_tests() {
        assert!(check_with(package("plasmavmc-kvm", &[("plasmavmc-engine", Some(Dev), false)])).is_empty());
        let kit = package("castra-testkit", &[("plasmavmc-kvm", None, false), ("tokio", None, false)]);
        assert!(check_with(kit).is_empty());
        let packages =
            [package("castra", &[("castra-testkit", None, false)]), package("castra-testkit", &[])];
        let found = check(&packages);
        assert!(found.contains(&Finding::new("castra", "may use `castra-testkit` as a dev-dependency only")));
    }

    #[test]
    fn the_terminal_stays_behind_its_feature() {
        let mut castra = package("castra", &[("plasmavmc-term", None, false)]);
        castra.features.insert("json".to_owned(), vec!["dep:plasmavmc-term".to_owned()]);
        assert_eq!(
            check_with(castra),
            [
                "castra: must keep `plasmavmc-term` behind its feature `cli`",
                "castra: its feature `json` brings `plasmavmc-term`, which belongs to `cli` alone",
            ]
        );
    }

    #[test]
    fn a_crate_without_a_layer_and_a_runtime_in_the_wrong_place_are_found() {
        assert_eq!(
            check_with(package("plasmavmc-new", &[])),
            ["plasmavmc-new: has no layer: add it to `LAYERS` in xtask/src/layers.rs"]
        );
        let found = check_with(package("plasmavmc-engine", &[("tokio", None, false)]));
        assert_eq!(
            found,
            ["plasmavmc-engine: may not depend on `tokio`: the only runtime is the one that downloads"]
        );
    }
}
