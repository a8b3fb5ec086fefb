//! The verbs, one file each: arguments (their text is the help), then options ─► subsystem ─► answer.

mod capture;
mod drift;
mod schema;
mod status;
mod sync;
mod vm;

use clap::Subcommand;
use plasmavmc_cli::OwnCommand;

use super::args::Args;
use super::error::CliError;
use super::face::Face;
use crate::subsystem::Registry;
use crate::vm::VmSubsystem;
use crate::vm::plan::Options;

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Vm(vm::VmArgs),
    Sync(sync::SyncArgs),
    Capture(capture::CaptureArgs),
    Status(status::StatusArgs),
    Drift(drift::DriftArgs),
    Schema(schema::SchemaArgs),
    #[command(flatten)]
    Own(OwnCommand),
}

/// Runs a command; tells the exit code of one that did what it was asked to.
pub(crate) fn run(command: &Command, face: &Face) -> Result<u8, CliError> {
    match command {
        Command::Vm(args) => vm::run(args, face),
        Command::Sync(args) => sync::run(args, face),
        Command::Capture(args) => capture::run(args, face),
        Command::Status(args) => status::run(args, face),
        Command::Drift(args) => drift::run(args, face),
        Command::Schema(args) => schema::run(args, face),
        Command::Own(command) => Ok(command.run::<Args>(face.voice)?),
    }
}

/// Every subsystem there is. A new one is added here, and nowhere else.
fn registry(face: &Face) -> Result<Registry, CliError> {
    let mut registry = Registry::default();
    registry.register(Box::new(VmSubsystem::new(face.place()?, Options::default())));
    Ok(registry)
}
