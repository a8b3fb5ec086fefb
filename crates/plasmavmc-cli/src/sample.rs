//! A small command line, for the tests of this crate.

use clap::{Args, Parser, Subcommand};
use plasmavmc_term::exit::exit_code_beside_pending;
use plasmavmc_term::{Report, StdoutError, Width};
use plasmavmc_types::{ErrorKind, Explain};

use crate::pages::{Page, commands};
use crate::{CommandLine, EdgeError, Manner, OwnCommand, Voice};

/// Moves people
#[derive(Debug, Parser)]
#[command(name = "lift")]
pub(crate) struct Lift {
    #[command(subcommand)]
    pub(crate) command: LiftCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum LiftCommand {
    Up(UpArgs),
    #[command(flatten)]
    Own(OwnCommand),
}

/// Go up
#[derive(Debug, Args)]
pub(crate) struct UpArgs {
    /// How many floors
    floors: u8,
}

/// What a lift fails with.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LiftError {
    #[error("there is no floor {0}")]
    NoSuchFloor(u8),
    #[error(transparent)]
    Edge(#[from] EdgeError),
}

impl Explain for LiftError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::NoSuchFloor(_) => ErrorKind::Usage,
            Self::Edge(error) => error.kind(),
        }
    }
}

impl CommandLine for Lift {
    type Error = LiftError;

    const EXIT_CODE: fn(ErrorKind) -> u8 = exit_code_beside_pending;

    fn manner(&self) -> Manner {
        Manner::default()
    }

    /// Floors 0 and 1 are there; on floor 2 nobody listens.
    fn run(&self, voice: &Voice) -> Result<u8, LiftError> {
        match &self.command {
            LiftCommand::Up(UpArgs { floors: floors @ 0..2 }) => Ok(*floors),
            LiftCommand::Up(UpArgs { floors: 2 }) => Err(EdgeError::from(StdoutError::Closed).into()),
            LiftCommand::Up(UpArgs { floors }) => Err(LiftError::NoSuchFloor(*floors)),
            LiftCommand::Own(command) => Ok(command.run::<Self>(voice)?),
        }
    }

    fn report(error: &LiftError, _: Width) -> Report {
        Report::of(error)
    }

    fn pages(root: &clap::Command) -> Vec<Page> {
        vec![Page { name: "lift.md".to_owned(), text: commands(root, "Lift", "That is all.") }]
    }
}
