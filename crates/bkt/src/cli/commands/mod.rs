//! The verbs, one file each: arguments (their text is the help), then options ─► subsystem ─► answer.

mod capture;
mod completions;
mod docs;
mod drift;
mod man;
mod schema;
mod status;
mod sync;
mod vm;

use clap::Subcommand;

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
    Completions(completions::CompletionsArgs),
    Man(man::ManArgs),
    #[command(hide = true)]
    Docs(docs::DocsArgs),
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
        Command::Completions(args) => completions::run(args, face),
        Command::Man(args) => man::run(args, face),
        Command::Docs(args) => docs::run(args, face),
    }
}

/// Every subsystem there is. A new one is added here, and nowhere else.
fn registry(face: &Face) -> Result<Registry, CliError> {
    let mut registry = Registry::default();
    registry.register(Box::new(VmSubsystem::new(face.place()?, Options::default())));
    Ok(registry)
}
