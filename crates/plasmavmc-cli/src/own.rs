//! The commands about the command line itself, which every face has: a face flattens [`OwnCommand`] into its own.
//!
//! Their words are built by hand because they name the face. Tests: below, and each face's command.

use std::path::PathBuf;

use clap::{Arg, ArgMatches, Command, FromArgMatches, Subcommand, value_parser};
use clap_complete::Shell;
use plasmavmc_term::exit::OK;

use crate::command_line::CommandLine;
use crate::error::{EdgeError, current_dir};
use crate::pages::{self, definition};
use crate::voice::Voice;

/// A command about the command line itself.
#[derive(Debug, Clone)]
pub enum OwnCommand {
    /// Prints a completion script.
    Completions(Shell),
    /// Writes the manual pages into a directory; without one, prints the first.
    Man(Option<PathBuf>),
    /// Writes the generated pages of `docs/`. Hidden: it serves this repository.
    Docs(PathBuf),
}

impl OwnCommand {
    /// Runs it for the command line `C`.
    ///
    /// # Errors
    /// [`EdgeError`] where standard output or a directory does not take what is made.
    pub fn run<C: CommandLine>(&self, voice: &Voice) -> Result<u8, EdgeError> {
        let mut root = definition::<C>();
        match self {
            Self::Completions(shell) => {
                let mut script = Vec::new();
                let name = root.get_name().to_owned();
                clap_complete::generate(*shell, &mut root, name, &mut script);
                voice.out.raw(&script)?;
            }
            Self::Man(None) => voice.out.raw(pages::manual_of(&root).as_bytes())?,
            Self::Man(Some(dir)) => pages::write(&current_dir()?.join(dir), &pages::manual(&root))?,
            Self::Docs(dir) => pages::write(&current_dir()?.join(dir), &C::pages(&root))?,
        }
        Ok(OK)
    }
}

fn completions(face: &str) -> Command {
    let shell = Arg::new("shell").value_name("SHELL").required(true).value_parser(value_parser!(Shell));
    let examples = format!(
        "Examples:\n  \
           {face} completions bash > ~/.local/share/bash-completion/completions/{face}\n  \
           {face} completions zsh > ~/.zfunc/_{face}\n  \
           {face} completions fish > ~/.config/fish/completions/{face}.fish"
    );
    let command = Command::new("completions").about("Print a completion script for a shell");
    command.arg(shell.help("The shell")).after_help(examples)
}

fn man(face: &str) -> Command {
    let help =
        format!("Write one page per command into this directory, instead of {face}'s own to standard output");
    let examples = format!(
        "Examples:\n  \
           {face} man --out ~/.local/share/man/man1\n  \
           {face} man | man -l -              read the page of {face} itself"
    );
    Command::new("man").about("Write the manual pages").arg(directory(help)).after_help(examples)
}

fn docs() -> Command {
    let out = directory("The directory".to_owned()).required(true);
    Command::new("docs").about("Write the generated pages of docs/").hide(true).arg(out)
}

fn directory(help: String) -> Arg {
    Arg::new("out").long("out").value_name("DIR").help(help).value_parser(value_parser!(PathBuf))
}

impl FromArgMatches for OwnCommand {
    fn from_arg_matches(found: &ArgMatches) -> Result<Self, clap::Error> {
        let no_command = || clap::Error::new(clap::error::ErrorKind::MissingSubcommand);
        let (name, words) = found.subcommand().ok_or_else(no_command)?;
        let out = || words.get_one::<PathBuf>("out").cloned();
        let command = match name {
            "completions" => words.get_one("shell").copied().map(Self::Completions),
            "man" => Some(Self::Man(out())),
            "docs" => out().map(Self::Docs),
            _ => None,
        };
        command.ok_or_else(no_command)
    }

    fn update_from_arg_matches(&mut self, found: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(found)?;
        Ok(())
    }
}

impl Subcommand for OwnCommand {
    fn augment_subcommands(root: Command) -> Command {
        let face = root.get_name().to_owned();
        root.subcommands([completions(&face), man(&face), docs()])
    }

    fn augment_subcommands_for_update(root: Command) -> Command {
        Self::augment_subcommands(root)
    }

    fn has_subcommand(name: &str) -> bool {
        matches!(name, "completions" | "man" | "docs")
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use clap::Parser;

    use super::*;
    use crate::sample::{Lift, LiftCommand};
    use crate::voice::Manner;

    fn run(words: &[&str]) -> Result<u8, EdgeError> {
        let LiftCommand::Own(command) = Lift::try_parse_from(words).unwrap().command else {
            panic!("{words:?} is not about the command line")
        };
        command.run::<Lift>(&Voice::new(Manner::default()))
    }

    #[test]
    fn the_commands_name_the_face_they_are_in() {
        for name in ["completions", "man"] {
            let help = Lift::try_parse_from(["lift", name, "--help"]).unwrap_err().to_string();
            assert!(help.contains(&format!("\n  lift {name} ")), "{help}");
        }
        let all = Lift::try_parse_from(["lift", "--help"]).unwrap_err().to_string();
        assert!(all.contains("completions") && !all.contains("docs"), "{all}");
    }

    #[test]
    fn pages_go_where_they_are_wanted() {
        let dir = tempfile::tempdir().unwrap();
        let out = dir.path().join("man");
        run(&["lift", "man", "--out", out.to_str().unwrap()]).unwrap();
        for page in ["lift.1", "lift-up.1", "lift-completions.1", "lift-man.1"] {
            assert!(out.join(page).is_file(), "{page}");
        }
        run(&["lift", "docs", "--out", out.to_str().unwrap()]).unwrap();
        assert!(fs::read_to_string(out.join("lift.md")).unwrap().starts_with("# Lift\n"));
    }

    #[test]
    fn what_is_missing_or_unknown_is_refused() {
        for words in [&["lift", "docs"][..], &["lift", "completions"], &["lift", "completions", "csh"]] {
            assert!(Lift::try_parse_from(words).is_err(), "{words:?}");
        }
    }
}
