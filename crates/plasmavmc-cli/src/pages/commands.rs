//! The page of a face's commands: every command with its arguments, as `--help` has them. Pure. Tests: below.

use clap::builder::StyledStr;
use clap::{Arg, Command};

use super::{NOTICE, subcommands};

/// The text of the page. `closing` stands between what every command takes and the first command.
pub fn commands(root: &Command, title: &str, closing: &str) -> String {
    let name = root.get_name();
    let mut text = format!("# {title}\n\n{NOTICE}\n\n{}.\n\n", words(root.get_about()));
    list(root, name, &mut text);
    text.push_str("\nEvery command takes these:\n\n");
    text.push_str(&arguments(root.get_arguments().filter(|arg| arg.is_global_set())));
    text.push_str(&format!("\n{closing}\n"));
    for sub in subcommands(root) {
        section(sub, name, 2, &mut text);
    }
    text
}

fn words(text: Option<&StyledStr>) -> String {
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
    let said = long.split("\n\n").map(|part| format!("{}.\n", part.trim_end_matches('.')));
    text.push_str(&format!("\n{} {name}\n\n{}", "#".repeat(level), said.collect::<Vec<_>>().join("\n")));
    let usage = command.clone().bin_name(&name).render_usage().to_string();
    text.push_str(&format!("\n```text\n{}\n```\n", usage.trim_start_matches("Usage: ")));
    let own: Vec<&Arg> = command.get_arguments().filter(|arg| is_own(arg)).collect();
    if !own.is_empty() {
        text.push_str(&format!("\n{}", arguments(own.into_iter())));
    }
    if let Some(after) = words(command.get_after_help()).strip_prefix("Examples:\n") {
        let mut parts = after.split("\n\n");
        text.push_str(&format!("\n```sh\n{}```\n", script(parts.next().unwrap_or_default())));
        parts.for_each(|part| text.push_str(&format!("\n{}\n", part.replace('\n', " "))));
    }
    for sub in subcommands(command) {
        section(sub, &name, level + 1, text);
    }
}

/// Examples as a script: what is said about a line becomes a comment.
fn script(examples: &str) -> String {
    let parts = |line: &'_ str| -> (String, Option<String>) {
        match line.trim().split_once("  ") {
            Some((command, said)) => (command.to_owned(), Some(said.trim_start().to_owned())),
            None => (line.trim().to_owned(), None),
        }
    };
    let lines: Vec<_> = examples.lines().map(parts).collect();
    let commented = lines.iter().filter(|(_, said)| said.is_some());
    let width = commented.map(|(command, _)| command.len()).max().unwrap_or(0);
    let line = |(command, said): &(String, Option<String>)| match said {
        Some(said) => format!("{command:width$}  # {said}\n"),
        None => format!("{command}\n"),
    };
    lines.iter().map(line).collect()
}

/// Whether an argument is told with its command and not with those all commands share.
fn is_own(arg: &Arg) -> bool {
    !arg.is_global_set() && !arg.is_hide_set() && !matches!(arg.get_id().as_str(), "help" | "version")
}

fn arguments<'a>(args: impl Iterator<Item = &'a Arg>) -> String {
    let rows = args.map(|arg| format!("| `{}` | {} |\n", spelling(arg), meaning(arg)));
    "| argument | meaning |\n| --- | --- |\n".to_owned() + &rows.collect::<String>()
}

fn spelling(arg: &Arg) -> String {
    let short = arg.get_short().map(|short| format!("-{short}"));
    let long = arg.get_long().map(|long| format!("--{long}"));
    let flags: Vec<String> = short.into_iter().chain(long).collect();
    let names = arg.get_value_names().filter(|_| arg.get_action().takes_values()).unwrap_or_default();
    let values: Vec<String> = names.iter().map(|name| format!("<{name}>")).collect();
    format!("{} {}", flags.join(", "), values.join(" ")).trim().to_owned()
}

fn meaning(arg: &Arg) -> String {
    let help = words(arg.get_long_help().or(arg.get_help()));
    let mut text = help.split_whitespace().collect::<Vec<_>>().join(" ").replace('|', "\\|");
    if !arg.get_action().takes_values() {
        return text;
    }
    let shown = arg.get_possible_values().into_iter().filter(|_| !arg.is_hide_possible_values_set());
    let listed: Vec<String> = shown.map(|value| format!("`{}`", value.get_name())).collect();
    if !listed.is_empty() {
        text.push_str(&format!(": {}", listed.join(", ")));
    }
    let defaults: Vec<_> = arg.get_default_values().iter().map(|value| value.to_string_lossy()).collect();
    if !defaults.is_empty() {
        text.push_str(&format!(" (default `{}`)", defaults.join(" ")));
    }
    text
}

#[cfg(test)]
mod tests {
    use clap::ArgAction;

    use super::*;

    const EXAMPLES: &str = "\
Examples:
  lift up       to the next floor
  lift up roof  to the roof
  lift up -- x

One
part.

Two.";

    #[test]
    fn the_page_tells_what_help_tells() {
        let json =
            Arg::new("json").long("json").global(true).action(ArgAction::SetTrue).help("Answer in JSON");
        let wait = Arg::new("wait").short('w').long("wait").value_name("SECONDS").default_value("5");
        let up = Command::new("up")
            .about("Go up")
            .long_about("Go up\n\nNever down.")
            .arg(Arg::new("floor").value_name("FLOOR").help("Which").value_parser(["attic", "roof"]))
            .arg(Arg::new("bell").short('b').action(ArgAction::SetTrue).help("Ring: once | twice"))
            .arg(wait.help("How long"))
            .arg(Arg::new("secret").long("secret").hide(true))
            .after_help(EXAMPLES);
        let car = Command::new("car").about("The car").subcommand(up);
        let mut root = Command::new("lift").about("Moves people").arg(json).subcommand(car);
        root.build();
        insta::assert_snapshot!(commands(&root, "Commands", "That is all."), @r"
        # Commands

        *Made from the code by `cargo xtask gen`; do not edit.*

        Moves people.

        - [`lift car`](#lift-car): The car
        - [`lift car up`](#lift-car-up): Go up

        Every command takes these:

        | argument | meaning |
        | --- | --- |
        | `--json` | Answer in JSON |

        That is all.

        ## lift car

        The car.

        ```text
        lift car [OPTIONS] [COMMAND]
        ```

        ### lift car up

        Go up.

        Never down.

        ```text
        lift car up [OPTIONS] [FLOOR]
        ```

        | argument | meaning |
        | --- | --- |
        | `<FLOOR>` | Which: `attic`, `roof` |
        | `-b` | Ring: once \| twice |
        | `-w, --wait <SECONDS>` | How long (default `5`) |

        ```sh
        lift up       # to the next floor
        lift up roof  # to the roof
        lift up -- x
        ```

        One part.

        Two.
        ");
    }
}
