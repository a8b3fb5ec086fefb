//! `castra cp`.

use std::io;
use std::os::fd::AsFd;

use clap::Args;
use plasmavmc_guest::client::ClientError;
use plasmavmc_term::exit::OK;
use plasmavmc_term::{OutputFormat, StdoutError};

use crate::cli::args::{ReachArgs, WorkspaceArgs};
use crate::cli::error::CliError;
use crate::cli::face::Face;
use crate::cli::render;
use crate::cli::terminal::{Caught, Signals, die_of};
use crate::core::copy::{CopyError, CopyIo, CopyOptions, CopyProgress, Place, copy};
use crate::core::error::Error;

const EXAMPLES: &str = "\
Examples:
  castra cp notes.txt web:/root/          into a directory of the guest
  castra cp web:/var/log/syslog .         out of it
  castra cp site web:/var/www/            a directory with all that is in it
  castra cp :/etc/hosts hosts             of the project's only VM
  castra cp --owner www-data site web:/srv/
  pg_dump shop | castra cp - web:/root/shop.sql
  castra cp web:/root/shop.sql - | head

Needs neither a network nor SSH in the guest. A directory is copied with all that is in it; there is no
-r. Permissions, times and links are kept, holes stay holes. A file has its name once it is whole: a copy
that is interrupted leaves what it finished, and nothing half. A destination that ends in `/` is a
directory, and made where it is missing. A file here whose name holds a colon is written `./a:b`.

Nothing a guest names can make a file outside the destination: links in a copied directory become links
and are never followed, and what would run as another user loses that right.";

/// Copy files and directories into a guest, and out of it
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct CpArgs {
    /// What to copy: paths, or `-` for standard input. One in a VM is written <VM>:<PATH>
    #[arg(value_name = "SOURCE", required = true)]
    sources: Vec<String>,

    /// Where to, on the other side: a path, or `-` for standard output
    #[arg(value_name = "DESTINATION", required = true)]
    destination: String,

    /// Who owns it in the guest: a user of it, or USER:GROUP [default: root]
    #[arg(long, value_name = "USER")]
    owner: Option<String>,

    #[command(flatten)]
    reach: ReachArgs,

    #[command(flatten)]
    workspace: WorkspaceArgs,
}

pub(super) fn run(args: &CpArgs, face: &Face) -> Result<u8, CliError> {
    let options = CopyOptions {
        guest: face.guest(args.workspace.workspace.as_ref(), None, &args.reach),
        sources: args.sources.iter().map(|word| Place::of(word)).collect(),
        destination: Place::of(&args.destination),
        owner: args.owner.clone(),
    };
    let (stdin, mut stdout) = (io::stdin(), io::stdout());
    // A stream has nothing that would have to be removed, and may be blocked for long.
    let has_files =
        ![&options.destination].into_iter().chain(&options.sources).any(|it| *it == Place::Stream);
    let mut signals = has_files.then(Signals::catch).transpose()?;
    let mut shown = face.voice.transfer();
    let mut progress =
        |progress: &CopyProgress<'_>| shown.at(progress.done_bytes, progress.total_bytes, progress.file);
    let io = CopyIo {
        input: stdin.as_fd(),
        output: &mut stdout,
        interrupt: signals.as_ref().map(Signals::wake),
        progress: &mut progress,
        told: &mut |note| face.diagnose_all(&[note]),
    };
    let copied = copy(&face.session, &options, io);
    drop(shown);
    match copied {
        Err(
            error @ (Error::Guest(ClientError::Interrupted)
            | Error::Copy(CopyError::Guest(ClientError::Interrupted))),
        ) => {
            if let Some(Caught::End(signal)) = signals.as_mut().map(Signals::take) {
                die_of(signal);
            }
            Err(error.into())
        }
        Err(Error::Copy(CopyError::Guest(error))) if error.is_closed_output() => {
            Err(StdoutError::Closed.into())
        }
        copied => {
            let copied = copied?;
            // Standard output has the file.
            if options.destination != Place::Stream {
                face.answer(&copied, render::copy)?;
            } else if face.voice.format == OutputFormat::Human {
                face.diagnose_all(&copied.diagnostics);
            }
            Ok(OK)
        }
    }
}
