//! A command from its words to its exit code: the part that is the same in every face.
//!
//! Tests: below; what it prints is in the tests of each face.

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Parser;
use plasmavmc_term::exit::{OK, exit_code};
use plasmavmc_term::{ColorMode, OutputFormat, Report, StdoutError, Width, is_closed_stdout};
use plasmavmc_types::{ErrorKind, Explain};

use crate::pages::Page;
use crate::voice::{Manner, Voice};

/// A command line: the words a person types, and what they do.
pub trait CommandLine: Parser {
    /// What its commands fail with.
    type Error: Explain + 'static;

    /// The exit code of a kind of failure.
    const EXIT_CODE: fn(ErrorKind) -> u8 = exit_code;

    /// How it is asked to speak.
    fn manner(&self) -> Manner;

    /// Does what the words say; tells the exit code of a command that did what it was asked to.
    ///
    /// # Errors
    /// Why it did not.
    fn run(&self, voice: &Voice) -> Result<u8, Self::Error>;

    /// A failure as it is shown, at most `width` wide.
    fn report(error: &Self::Error, width: Width) -> Report;

    /// The pages of `docs/` that are made of its definition, which is `root` with everything filled in.
    fn pages(root: &clap::Command) -> Vec<Page>;
}

/// Runs the command that `words` are, the first of which is the program.
pub fn run<C: CommandLine>(words: &[OsString]) -> ExitCode {
    code_of::<C>(words).into()
}

fn code_of<C: CommandLine>(words: &[OsString]) -> u8 {
    let line = match C::try_parse_from(words) {
        Ok(line) => line,
        Err(error) => return no_command::<C>(&error, &Voice::new(guessed(words))),
    };
    let voice = Voice::new(line.manner());
    match line.run(&voice) {
        Ok(code) => code,
        // Whoever read it has seen enough.
        Err(error) if is_closed_stdout(&error) => OK,
        Err(error) => {
            voice.fail(&C::report(&error, voice.err.width()));
            (C::EXIT_CODE)(error.kind())
        }
    }
}

/// Answers words that are no command: help and version are asked for, the rest is a mistake.
fn no_command<C: CommandLine>(error: &clap::Error, voice: &Voice) -> u8 {
    let text = error.render().ansi().to_string();
    if !error.use_stderr() {
        return match voice.out.print(&text) {
            Ok(()) | Err(StdoutError::Closed) => OK,
            Err(error) => {
                // Help is for people, and there is no standard output to tell a program on.
                voice.err.say(&Report::of(&error).to_text());
                (C::EXIT_CODE)(error.kind())
            }
        };
    }
    match voice.format {
        OutputFormat::Json => voice.fail(&Report::of(&UsageError::new::<C>(error))),
        OutputFormat::Human => voice.err.say(&text),
    }
    (C::EXIT_CODE)(ErrorKind::Usage)
}

/// The manner in words that could not be understood as a whole.
fn guessed(words: &[OsString]) -> Manner {
    let texts: Vec<&str> = words.iter().filter_map(|word| word.to_str()).collect();
    let json = texts.iter().take_while(|text| **text != "--").any(|text| *text == "--json");
    let glued = texts.iter().find_map(|text| text.strip_prefix("--color="));
    let apart = || texts.windows(2).find(|pair| pair[0] == "--color").map(|pair| pair[1]);
    let color: Option<ColorMode> = glued.or_else(apart).and_then(|word| word.parse().ok());
    Manner {
        format: if json { OutputFormat::Json } else { OutputFormat::Human },
        color: color.unwrap_or_default(),
        ..Manner::default()
    }
}

/// Words that are no command, for programs: people see the text with its usage.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
struct UsageError {
    message: String,
    command: String,
}

impl UsageError {
    /// The first paragraph of what the parser says.
    fn new<C: CommandLine>(error: &clap::Error) -> Self {
        let text = error.to_string();
        let first = text.split("\n\n").next().unwrap_or_default();
        let lines: Vec<&str> = first.trim_start_matches("error: ").lines().map(str::trim).collect();
        Self { message: lines.join(" "), command: C::command().get_name().to_owned() }
    }
}

impl Explain for UsageError {
    fn kind(&self) -> ErrorKind {
        ErrorKind::Usage
    }

    fn hints(&self) -> Vec<String> {
        vec![format!("`{0} help` lists the commands, `{0} help <command>` what each takes", self.command)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::Lift;

    fn ended(words: &[&str]) -> u8 {
        code_of::<Lift>(&words.iter().map(OsString::from).collect::<Vec<_>>())
    }

    #[test]
    fn a_command_ends_with_its_own_code_and_a_failure_with_that_of_its_kind() {
        assert_eq!(ended(&["lift", "up", "0"]), 0);
        assert_eq!(ended(&["lift", "up", "1"]), 1);
        assert_eq!(ended(&["lift", "up", "9"]), 64);
    }

    #[test]
    fn words_that_are_no_command_are_a_mistake_and_help_is_none() {
        assert_eq!(ended(&["lift", "down"]), 64);
        assert_eq!(ended(&["lift", "down", "--json"]), 64);
        assert_eq!(ended(&["lift", "--help"]), 0);
    }

    #[test]
    fn a_reader_that_went_away_ends_a_command_with_success() {
        assert_eq!(ended(&["lift", "up", "2"]), 0);
    }

    #[test]
    fn a_program_is_told_of_a_mistake_in_one_line_with_the_face_it_asked() {
        let error = UsageError::new::<Lift>(&Lift::try_parse_from(["lift", "dwon"]).unwrap_err());
        assert_eq!(error.to_string(), "unrecognized subcommand 'dwon'");
        assert_eq!(error.hints(), ["`lift help` lists the commands, `lift help <command>` what each takes"]);
    }

    fn of(words: &[&str]) -> Manner {
        guessed(&words.iter().map(OsString::from).collect::<Vec<_>>())
    }

    #[test]
    fn colour_is_known_even_of_words_that_are_no_command() {
        assert_eq!(of(&["castra", "--color=never", "bogus"]).color, ColorMode::Never);
        assert_eq!(of(&["castra", "--color", "always", "bogus"]).color, ColorMode::Always);
        assert_eq!(of(&["castra", "--color", "sometimes"]).color, ColorMode::Auto);
    }

    #[test]
    fn a_program_is_known_even_by_words_that_are_no_command() {
        assert_eq!(of(&["castra", "bogus", "--json"]).format, OutputFormat::Json);
        assert_eq!(of(&["castra", "exec", "--", "ls", "--json"]).format, OutputFormat::Human);
    }
}
