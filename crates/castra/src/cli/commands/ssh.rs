//! `castra ssh`.

use std::ffi::OsString;

use clap::Args;
use plasmavmc_types::VmName;

use crate::cli::args::WorkspaceArgs;
use crate::cli::error::CliError;
use crate::cli::face::Face;
use crate::core::ssh::{SshOptions, Terminal, ssh};

const EXAMPLES: &str = "\
Examples:
  castra ssh                          log in to the project's only VM
  castra ssh web
  castra ssh web -- systemctl is-system-running
  castra ssh web --tty -- top

The VM needs a forward to its port 22; `castra exec` and `castra console` need none. The guest was given
its host key by `castra up`, so ssh knows it from the first connection on, and refuses any other. The words
after `--` go to the guest's shell, joined by blanks, as ssh does it; the exit code is ssh's.";

/// Log in to a guest with OpenSSH, or run a command there
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct SshArgs {
    /// The VM; may be left out where there is only one
    #[arg(value_name = "VM")]
    vm: Option<VmName>,

    /// Log in as this user instead of the image's own
    #[arg(short, long, value_name = "NAME")]
    user: Option<String>,

    /// Give the command a terminal
    #[arg(short, long)]
    tty: bool,

    /// What to run; a login without it
    #[arg(value_name = "CMD", last = true)]
    command: Vec<OsString>,

    #[command(flatten)]
    workspace: WorkspaceArgs,
}

pub(super) fn run(args: &SshArgs, face: &Face) -> Result<u8, CliError> {
    let options = SshOptions {
        selection: face.workspace(args.workspace.workspace.as_ref()),
        vm: args.vm.clone(),
        user: args.user.clone(),
        terminal: if args.tty { Terminal::Always } else { Terminal::Auto },
        command: args.command.clone(),
    };
    let call = ssh(&face.session, &options)?;
    face.diagnose_all(call.note.as_slice());
    Err(call.take_over().into())
}
