//! The page of `docs/` that is made from the definition of this command line. That the one in the repository is as
//! the code says is checked in `tests/cli/docs.rs`.

use plasmavmc_cli::Schema;
use plasmavmc_cli::pages::{Page, commands};

use super::schemas::SCHEMAS;

const CLOSING: &str = "The manifest is described in [vms-manifest.md](vms-manifest.md). Commands end with 0 where everything is as \
    the manifest has it, with 2 where changes or drift are pending, and with the code of a failure's kind otherwise: \
    [exit-codes.md](exit-codes.md#bkt).";

const JSON: &str = "\n## JSON output\n\nWith `--json` a command prints one JSON object on standard output, and nothing else \
    there: `outcome` with its answer, or `error` with `kind`, `message`, `causes`, `hints`, and `faults` of a manifest \
    or `failures` of single VMs. Names of fields carry their unit. A name once released keeps its meaning, and new ones \
    may be added. `bkt schema <name>` prints the JSON Schema (2020-12):\n\n";

/// The pages of `docs/`.
pub(crate) fn pages(root: &clap::Command) -> Vec<Page> {
    let text = commands(root, "`bkt`", CLOSING) + JSON + &Schema::table(SCHEMAS);
    vec![Page { name: "bkt-commands.md".to_owned(), text }]
}

#[cfg(test)]
mod tests {
    use plasmavmc_cli::pages::{definition, unworded};

    use crate::cli::args::Args;

    #[test]
    fn every_option_has_words_and_every_command_examples() {
        fn check(command: &clap::Command) {
            let examples = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            let needs = !command.is_hide_set() && command.get_name() != "help";
            assert!(!needs || examples.starts_with("Examples:\n"), "`{}`", command.get_name());
            command.get_subcommands().filter(|sub| sub.get_name() != "help").for_each(check);
        }
        let root = definition::<Args>();
        assert_eq!(unworded(&root), [""; 0]);
        check(&root);
    }
}
