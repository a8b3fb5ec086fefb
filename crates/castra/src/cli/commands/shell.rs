//! `castra shell`.

use clap::Args;
use plasmavmc_types::VmName;

use super::exec::RunArgs;
use super::run_program::{Program, Tty, run_program};
use crate::cli::args::{ReachArgs, WorkspaceArgs};
use crate::cli::error::CliError;
use crate::cli::face::Face;

const EXAMPLES: &str = "\
Examples:
  castra shell                      root's shell in the project's only VM
  castra shell web --user debian
  echo 'df -h /' | castra shell web

Needs neither a network nor SSH in the guest. `exit` or Ctrl-D ends it; its exit code is the command's
own, and 125 to 127 mean what they mean to `castra exec`. Enter, ~ and . leave a guest that does not answer.";

/// Open a login shell in a guest
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct ShellArgs {
    /// The VM; may be left out where there is only one
    #[arg(value_name = "VM")]
    vm: Option<VmName>,

    #[command(flatten)]
    run: RunArgs,

    #[command(flatten)]
    reach: ReachArgs,

    #[command(flatten)]
    workspace: WorkspaceArgs,
}

pub(super) fn run(args: &ShellArgs, face: &Face) -> Result<u8, CliError> {
    let program = Program {
        guest: face.guest(args.workspace.workspace.as_ref(), args.vm.clone(), &args.reach),
        argv: Vec::new(),
        run: args.run.clone(),
        tty: Tty::Input,
        wants_input: true,
    };
    run_program(face, Ok(program))
}
