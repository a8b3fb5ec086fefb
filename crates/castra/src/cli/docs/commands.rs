//! `docs/commands.md`: every command with its arguments, as `--help` has them.

use clap::{Arg, Command};

use super::{NOTICE, subcommands};

/// The text of the page.
pub(super) fn page(root: &Command) -> String {
    let about = root.get_about().map(ToString::to_string).unwrap_or_default();
    let mut text = format!("# Commands\n\n{NOTICE}\n\n{about}.\n\n");
    for sub in subcommands(root) {
        text.push_str(&format!("- [`castra {0}`](#castra-{0}): {1}\n", sub.get_name(), about_of(sub)));
    }
    text.push_str("\nEvery command takes these:\n\n");
    let globals = root.get_arguments().filter(|arg| arg.is_global_set());
    text.push_str(&arguments(globals));
    text.push_str("\nWhat commands end with is in [exit-codes.md](exit-codes.md), what `--json` prints in [json.md](json.md).\n");
    for sub in subcommands(root) {
        section(sub, "castra", 2, &mut text);
    }
    text
}

fn about_of(command: &Command) -> String {
    command.get_about().map(ToString::to_string).unwrap_or_default()
}

fn section(command: &Command, parent: &str, level: usize, text: &mut String) {
    let name = format!("{parent} {}", command.get_name());
    let long = command.get_long_about().or(command.get_about()).map(ToString::to_string).unwrap_or_default();
    let words = long.split("\n\n").map(|part| format!("{}.", part.trim_end_matches('.')));
    let words: Vec<String> = words.collect();
    text.push_str(&format!("\n{} {name}\n\n{}\n", "#".repeat(level), words.join("\n\n")));
    text.push_str(&format!("\n```text\n{}\n```\n", usage(command, &name)));
    let own: Vec<&Arg> = command.get_arguments().filter(|arg| is_own(arg)).collect();
    if !own.is_empty() {
        text.push('\n');
        text.push_str(&arguments(own.into_iter()));
    }
    if let Some(after) = command.get_after_help() {
        let after = after.to_string();
        let (examples, rest) = after.split_once("\n\n").unwrap_or((&after, ""));
        text.push_str(&format!("\n```sh\n{}```\n", script(examples.trim_start_matches("Examples:\n"))));
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
    let parts = |line: &'_ str| {
        let line = line.trim_start().to_owned();
        match line.split_once("  ") {
            Some((command, words)) => (command.to_owned(), words.trim_start().to_owned()),
            None => (line, String::new()),
        }
    };
    let lines: Vec<_> = examples.lines().map(parts).collect();
    let commented = lines.iter().filter(|(_, words)| !words.is_empty());
    let width = commented.map(|(command, _)| command.len()).max().unwrap_or(0);
    let line = |(command, words): &(String, String)| match words.as_str() {
        "" => format!("{command}\n"),
        words => format!("{command:width$}  # {words}\n"),
    };
    lines.iter().map(line).collect()
}

/// The line that says in which order the words stand.
fn usage(command: &Command, name: &str) -> String {
    let text = command.clone().bin_name(name).render_usage().to_string();
    text.trim_start_matches("Usage: ").to_owned()
}

/// Whether an argument is told with its command and not with those all commands share.
fn is_own(arg: &Arg) -> bool {
    !arg.is_global_set() && !arg.is_hide_set() && !matches!(arg.get_id().as_str(), "help" | "version")
}

fn arguments<'a>(args: impl Iterator<Item = &'a Arg>) -> String {
    let mut text = "| argument | meaning |\n| --- | --- |\n".to_owned();
    for arg in args {
        text.push_str(&format!("| `{}` | {} |\n", spelling(arg), meaning(arg)));
    }
    text
}

fn spelling(arg: &Arg) -> String {
    let values: Vec<String> = match arg.get_value_names() {
        Some(names) if arg.get_action().takes_values() => {
            names.iter().map(|name| format!("<{name}>")).collect()
        }
        _ => Vec::new(),
    };
    let value = values.join(" ");
    let short = arg.get_short().map(|short| format!("-{short}, ")).unwrap_or_default();
    match arg.get_long() {
        None => value,
        Some(long) if value.is_empty() => format!("{short}--{long}"),
        Some(long) => format!("{short}--{long} {value}"),
    }
}

fn meaning(arg: &Arg) -> String {
    let help = arg.get_long_help().or(arg.get_help()).map(ToString::to_string).unwrap_or_default();
    let mut text = help.split_whitespace().collect::<Vec<_>>().join(" ").replace('|', "\\|");
    let listed: Vec<String> = match arg.is_hide_possible_values_set() || !arg.get_action().takes_values() {
        true => Vec::new(),
        false => arg.get_possible_values().iter().map(|value| format!("`{}`", value.get_name())).collect(),
    };
    if !listed.is_empty() {
        text.push_str(&format!(": {}", listed.join(", ")));
    }
    let defaults: Vec<_> = arg.get_default_values().iter().map(|value| value.to_string_lossy()).collect();
    if !defaults.is_empty() && arg.get_action().takes_values() {
        text.push_str(&format!(" (default `{}`)", defaults.join(" ")));
    }
    text
}
