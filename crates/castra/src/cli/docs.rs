//! The pages of `docs/` that are made from this command line: of its definition, and of what `--json` prints. That
//! those in the repository are as the code says is checked in `tests/it/docs.rs`.

use plasmavmc_cli::Schema;
use plasmavmc_cli::pages::{NOTICE, Page, commands};

use super::schemas::SCHEMAS;

const CLOSING: &str = "What commands end with is in [exit-codes.md](exit-codes.md), what `--json` prints in [json.md](json.md).";

/// The pages of `docs/`.
pub(crate) fn pages(root: &clap::Command) -> Vec<Page> {
    vec![
        Page { name: "commands.md".to_owned(), text: commands(root, "Commands", CLOSING) },
        Page { name: "json.md".to_owned(), text: json() },
    ]
}

/// What `--json` prints.
fn json() -> String {
    let text = format!(
        "# JSON output\n\n{NOTICE}\n\nWith `--json` a command prints one JSON object per line on standard output, and nothing else \
         there. The key tells what a line is:\n\n\
         | key | the line is | how many |\n| --- | --- | --- |\n\
         | `event` | something that happened, see [events.md](events.md) | any number, as they happen |\n\
         | `log` | a line of a log (`castra logs`) | any number |\n\
         | `output` | what a program in a guest wrote, with `stream` and `text` or `hex` (`castra exec`) | any number |\n\
         | `bus` | a message (`castra bus tail`) | any number |\n\
         | `console` | what a guest wrote (`castra console`) | any number |\n\
         | `outcome` | the answer | one, the last line of a command that did what it was asked to |\n\
         | `error` | the failure, with `kind`, `message`, `causes`, `hints`, and `faults` of a config or `failures` of single VMs | one, the last line of a command that failed |\n\n\
         `castra status --watch` prints an `outcome` whenever something changed. `castra schema`, `castra completions` and `castra man` \
         print what they are asked for and no envelope; `castra ssh` prints what the guest does.\n\n\
         ```sh\n\
         castra up --json | jq -c 'select(.event == \"VmReady\")'\n\
         castra status --json | jq -r '.outcome.workspaces[].vms[] | \"\\(.vm) \\(.state)\"'\n\
         castra down --json | jq 'select(.error).error.hints'\n\
         ```\n\n\
         Every `outcome` has `diagnostics`: what is worth knowing and no failure, each with `severity` (`note`, `warning`), `message` and \
         maybe a `hint`. Names of fields carry their unit (`_ms`, `_bytes`); times are RFC 3339 in UTC. A name once released keeps its \
         meaning, and new ones may be added. Failures end with an [exit code](exit-codes.md) of their kind.\n\n\
         `castra schema <name>` prints the JSON Schema (2020-12) of every line a command prints:\n\n"
    );
    text + &Schema::table(SCHEMAS)
}

#[cfg(test)]
mod tests {
    use plasmavmc_cli::pages::{definition, unworded};

    use crate::cli::args::Args;

    #[test]
    fn every_option_has_words() {
        assert_eq!(unworded(&definition::<Args>()), [""; 0]);
    }
}
