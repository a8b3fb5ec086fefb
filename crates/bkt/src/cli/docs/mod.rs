//! Pages made from the command line's own definitions: `docs/bkt-commands.md`, manual pages.
//!
//! Texts are made without I/O; [`write_pages`] writes them. That the page in the repository is as the code
//! says is checked in `tests/it/docs.rs`.

mod commands;

use std::path::Path;

use clap::CommandFactory;
use plasmavmc_host::{HostError, IoContext};

use super::args::Args;

/// A page and its file name.
pub(crate) struct Page {
    pub(crate) name: String,
    pub(crate) text: String,
}

/// The line under the title of every generated page.
const NOTICE: &str = "*Made from the code by `cargo xtask gen`; do not edit.*";

/// The pages of `docs/`.
pub(crate) fn markdown_pages() -> Vec<Page> {
    vec![Page { name: "bkt-commands.md".to_owned(), text: commands::page(&definition()) }]
}

/// The manual pages: `bkt.1` first, then one per command.
pub(crate) fn man_pages() -> Vec<Page> {
    let mut pages = Vec::new();
    collect(&definition(), "bkt", &mut pages);
    pages
}

fn collect(command: &clap::Command, name: &str, pages: &mut Vec<Page>) {
    let mut text = Vec::new();
    clap_mangen::Man::new(command.clone()).render(&mut text).expect("a vector takes every byte");
    pages.push(Page { name: format!("{name}.1"), text: String::from_utf8_lossy(&text).into_owned() });
    for sub in subcommands(command) {
        collect(sub, &format!("{name}-{}", sub.get_name()), pages);
    }
}

/// The definition with everything that is filled in at the start.
fn definition() -> clap::Command {
    let mut command = Args::command();
    command.build();
    command
}

/// The commands a person may type.
fn subcommands(command: &clap::Command) -> impl Iterator<Item = &clap::Command> {
    command.get_subcommands().filter(|sub| !sub.is_hide_set() && sub.get_name() != "help")
}

/// Writes pages into a directory, which is made where it is missing. Pages that are as they should be are
/// left alone, so that their time of change means something.
///
/// # Errors
/// [`HostError`] where one cannot be written.
pub(crate) fn write_pages(dir: &Path, pages: &[Page]) -> Result<(), HostError> {
    std::fs::create_dir_all(dir).context("create directory", dir)?;
    for page in pages {
        let path = dir.join(&page.name);
        if !std::fs::read_to_string(&path).is_ok_and(|old| old == page.text) {
            std::fs::write(&path, &page.text).context("write", &path)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_has_a_manual_page_and_none_is_hidden() {
        let names: Vec<_> = man_pages().into_iter().map(|page| page.name).collect();
        assert_eq!(names[..3], ["bkt.1", "bkt-vm.1", "bkt-vm-sync.1"]);
        assert!(!names.iter().any(|name| name.contains("docs") || name.contains("help")), "{names:?}");
    }

    #[test]
    fn every_option_has_words_and_every_command_examples() {
        fn check(command: &clap::Command) {
            for arg in command.get_arguments() {
                assert!(arg.get_help().is_some(), "`{}` of `{}`", arg.get_id(), command.get_name());
            }
            assert!(command.get_about().is_some(), "`{}`", command.get_name());
            let examples = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            let needs = !command.is_hide_set() && command.get_name() != "help";
            assert!(!needs || examples.starts_with("Examples:\n"), "`{}`", command.get_name());
            command.get_subcommands().filter(|sub| sub.get_name() != "help").for_each(check);
        }
        check(&definition());
    }
}
