//! `docs/bkt-commands.md`: every command with its arguments, as `--help` has them.

use clap::{Arg, Command};

use super::{NOTICE, subcommands};
use crate::cli::schemas::Schema;

/// The text of the page.
pub(super) fn page(root: &Command) -> String {
    let mut text = format!("# `bkt`\n\n{NOTICE}\n\n{}.\n\n", words(root.get_about()));
    list(root, "bkt", &mut text);
    text.push_str("\nEvery command takes these:\n\n");
    text.push_str(&arguments(root.get_arguments().filter(|arg| arg.is_global_set())));
    text.push_str(
        "\nThe manifest is described in [vms-manifest.md](vms-manifest.md). Commands end with 0 where everything is as \
         the manifest has it, with 2 where changes or drift are pending, and with the code of a failure's kind \
         otherwise: [exit-codes.md](exit-codes.md#bkt).\n",
    );
    for sub in subcommands(root) {
        section(sub, "bkt", 2, &mut text);
    }
    text.push_str(&json());
    text
}

fn words(text: Option<&clap::builder::StyledStr>) -> String {
    text.map(ToString::to_string).unwrap_or_default()
}

/// The commands below one, each with its first line.
fn list(command: &Command, parent: &str, text: &mut String) {
    for sub in subcommands(command) {
        let name = format!("{parent} {}", sub.get_name());
        let anchor = name.replace(' ', "-");
        text.push_str(&format!("- [`{name}`](#{anchor}): {}\n", words(sub.get_about())));
        list(sub, &name, text);
    }
}

fn section(command: &Command, parent: &str, level: usize, text: &mut String) {
    let name = format!("{parent} {}", command.get_name());
    let long = words(command.get_long_about().or(command.get_about()));
    let long: Vec<String> =
        long.split("\n\n").map(|part| format!("{}.", part.trim_end_matches('.'))).collect();
    text.push_str(&format!("\n{} {name}\n\n{}\n", "#".repeat(level), long.join("\n\n")));
    let usage = command.clone().bin_name(&name).render_usage().to_string();
    text.push_str(&format!("\n```text\n{}\n```\n", usage.trim_start_matches("Usage: ")));
    let is_own = |arg: &&Arg| {
        !arg.is_global_set() && !arg.is_hide_set() && !matches!(arg.get_id().as_str(), "help" | "version")
    };
    let own: Vec<&Arg> = command.get_arguments().filter(is_own).collect();
    if !own.is_empty() {
        text.push_str(&format!("\n{}", arguments(own.into_iter())));
    }
    let after = words(command.get_after_help());
    if let Some(after) = after.strip_prefix("Examples:\n") {
        let (examples, rest) = after.split_once("\n\n").unwrap_or((after, ""));
        text.push_str(&format!("\n```sh\n{}```\n", script(examples)));
        if !rest.is_empty() {
            text.push_str(&format!("\n{}\n", rest.replace('\n', " ")));
        }
    }
    for sub in subcommands(command) {
        section(sub, &name, level + 1, text);
    }
}

/// Examples as a script: what is said about a line becomes a comment.
fn script(examples: &str) -> String {
    let line = |line: &str| match line.trim_start().split_once("  ") {
        Some((command, words)) => format!("{command}  # {}\n", words.trim_start()),
        None => format!("{}\n", line.trim_start()),
    };
    examples.lines().map(line).collect()
}

fn arguments<'a>(args: impl Iterator<Item = &'a Arg>) -> String {
    let mut text = "| argument | meaning |\n| --- | --- |\n".to_owned();
    for arg in args {
        text.push_str(&format!("| `{}` | {} |\n", spelling(arg), meaning(arg)));
    }
    text
}

fn spelling(arg: &Arg) -> String {
    let names = arg.get_value_names().filter(|_| arg.get_action().takes_values()).unwrap_or_default();
    let value = names.iter().map(|name| format!("<{name}>")).collect::<Vec<_>>().join(" ");
    let short = arg.get_short().map(|short| format!("-{short}, ")).unwrap_or_default();
    match arg.get_long() {
        None => value,
        Some(long) => format!("{short}--{long} {value}").trim_end().to_owned(),
    }
}

fn meaning(arg: &Arg) -> String {
    let help = words(arg.get_long_help().or(arg.get_help()));
    let mut text = help.split_whitespace().collect::<Vec<_>>().join(" ").replace('|', "\\|");
    if !arg.get_action().takes_values() {
        return text;
    }
    let listed: Vec<String> =
        arg.get_possible_values().iter().map(|value| format!("`{}`", value.get_name())).collect();
    if !listed.is_empty() {
        text.push_str(&format!(": {}", listed.join(", ")));
    }
    let defaults: Vec<_> = arg.get_default_values().iter().map(|value| value.to_string_lossy()).collect();
    if !defaults.is_empty() {
        text.push_str(&format!(" (default `{}`)", defaults.join(" ")));
    }
    text
}

/// What `--json` prints.
fn json() -> String {
    let mut text = "\n## JSON output\n\nWith `--json` a command prints one JSON object on standard output, and nothing \
                    else there: `outcome` with its answer, or `error` with `kind`, `message`, `causes`, `hints`, and \
                    `faults` of a manifest or `failures` of single VMs. Names of fields carry their unit. A name once \
                    released keeps its meaning, and new ones may be added. `bkt schema <name>` prints the JSON Schema \
                    (2020-12):\n\n| name | describes |\n| --- | --- |\n"
        .to_owned();
    for schema in Schema::ALL {
        text.push_str(&format!("| `{}` | {} |\n", schema.as_str(), schema.describes()));
    }
    text
}
