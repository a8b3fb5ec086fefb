//! Every dependency from elsewhere has its reason beside it. Pure. Tests: below.

use crate::workspace::Finding;

/// The entries of `[workspace.dependencies]` that come from elsewhere, each with its line.
pub(super) fn external(manifest: &str) -> impl Iterator<Item = (&str, &str)> {
    let section = manifest.lines().skip_while(|line| line.trim() != "[workspace.dependencies]").skip(1);
    section
        .take_while(|line| !line.starts_with('['))
        .filter(|line| !line.trim_start().starts_with('#') && !line.contains("path = "))
        .filter_map(|line| Some((line.split_once('=')?.0.trim(), line)))
}

/// The entries without a reason.
pub(super) fn check(manifest: &str) -> Vec<Finding> {
    let without = external(manifest)
        .filter(|(_, line)| line.rsplit_once(" # ").is_none_or(|(_, reason)| reason.trim().is_empty()));
    without.map(|(name, _)| Finding::new("Cargo.toml", format!("`{name}` has no reason beside it"))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_without_a_reason_is_found() {
        let manifest = "[workspace]\na = 1\n\n[workspace.dependencies]\n# Ours.\nours = { path = \"x\" }\n\
                        good = \"1\" # it is needed\nbad = { version = \"1\" }\nempty = \"1\" # \n\n[lints]\nx = 1\n";
        assert_eq!(
            check(manifest),
            [
                Finding::new("Cargo.toml", "`bad` has no reason beside it"),
                Finding::new("Cargo.toml", "`empty` has no reason beside it"),
            ]
        );
    }
}
