//! `castra exec`.

use clap::{Args, ValueEnum};
use plasmavmc_types::VmName;

use super::run_program::{Program, Tty, run_program};
use crate::cli::args::{ReachArgs, WorkspaceArgs};
use crate::cli::error::CliError;
use crate::cli::face::Face;
use crate::core::exec::{ExecWords, split_words};

const EXAMPLES: &str = "\
Examples:
  castra exec web -- uname -a        run a program, as root
  castra exec -- uname -a            in the project's only VM
  castra exec web --user debian --cwd /srv -- git pull
  castra exec web -- tar -c /etc > etc.tar
  gzip -c db.sql | castra exec web -- sh -c 'gunzip | mysql'
  castra exec web -- htop            on a terminal, the program has one too

Needs neither a network nor SSH in the guest: it goes over the guest channel. The program's exit code is
the command's own, 128 and the number where a signal ended it. Where the program could not be run, it is
125 (castra or the guest's agent failed), 126 (it is no program), or 127 (it is not there).

Input is given to the program where it has a terminal, or comes from a pipe or a file; -i gives it from
a terminal without one. Ctrl-C and other signals go to the program; the third time they leave it, and the
guest ends it. On a terminal they are keys like all others; Enter, ~ and . leave a program whose guest
does not answer.";

/// Run a program in a guest
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
#[command(
    override_usage = "castra exec [OPTIONS] [VM] -- <COMMAND>...\n       castra exec [OPTIONS] [VM] <COMMAND>..."
)]
pub(crate) struct ExecArgs {
    /// The VM, which may be left out where there is only one; where no `--` follows, the program too
    #[arg(value_name = "VM")]
    words: Vec<String>,

    /// The program and its arguments
    #[arg(value_name = "COMMAND", last = true)]
    command: Vec<String>,

    #[command(flatten)]
    run: RunArgs,

    /// Give the program the input of this terminal, also where it has none itself
    #[arg(short, long)]
    interactive: bool,

    /// A terminal for the program, whatever the input is: --tty=always
    #[arg(short = 't', conflicts_with = "tty")]
    terminal: bool,

    /// Whether the program has a terminal [default: auto, where input and output are one]
    #[arg(long, value_name = "WHEN", value_enum)]
    tty: Option<When>,

    #[command(flatten)]
    reach: ReachArgs,

    #[command(flatten)]
    workspace: WorkspaceArgs,
}

/// How a program is run.
#[derive(Debug, Clone, Default, Args)]
pub(super) struct RunArgs {
    /// The user of the guest it runs as [default: root]
    #[arg(short, long, value_name = "USER")]
    pub(super) user: Option<String>,

    /// Its working directory [default: the user's home]
    #[arg(short = 'C', long, value_name = "DIR")]
    pub(super) cwd: Option<String>,

    /// A variable of its environment
    #[arg(short, long, value_name = "NAME=VALUE", value_parser = variable)]
    pub(super) env: Vec<(String, String)>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum When {
    /// Where input and output are one
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

fn variable(word: &str) -> Result<(String, String), String> {
    match word.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("it has the form NAME=VALUE".to_owned()),
    }
}

pub(super) fn run(args: &ExecArgs, face: &Face) -> Result<u8, CliError> {
    let tty = match (args.terminal, args.tty) {
        (true, _) | (_, Some(When::Always)) => Tty::Always,
        (_, Some(When::Never)) => Tty::Never,
        (_, Some(When::Auto) | None) => Tty::Auto,
    };
    let find = || -> Result<(Option<VmName>, Vec<String>), CliError> {
        let words = ExecWords { before: args.words.clone(), after: args.command.clone() };
        let guest = face.guest(args.workspace.workspace.as_ref(), None, &args.reach);
        Ok(split_words(&face.session, &guest, words)?)
    };
    let program = find().map(|(vm, argv)| Program {
        guest: face.guest(args.workspace.workspace.as_ref(), vm, &args.reach),
        argv,
        run: args.run.clone(),
        tty,
        wants_input: args.interactive,
    });
    run_program(face, program)
}
