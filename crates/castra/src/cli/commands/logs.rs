//! `castra logs`.

use std::ops::ControlFlow;

use clap::{Args, ValueEnum};
use plasmavmc_term::OutputFormat;
use plasmavmc_term::exit::OK;
use plasmavmc_types::VmName;

use crate::cli::args::WorkspaceArgs;
use crate::cli::error::CliError;
use crate::cli::face::Face;
use crate::cli::render::{self, LogPrinter, Looks};
use crate::core::logs::{Follow, LogSource, LogsOptions, logs};

const EXAMPLES: &str = "\
Examples:
  castra logs                        all that was said in the project's workspace
  castra logs web --source serial    what one guest wrote to its console
  castra logs --tail 20 --follow     the last lines of each log, and what comes
  castra logs web --raw > boot.log   every byte as it was written

Each line begins with where it comes from: [host] is Castra itself, [host-broker] the broker of the
guest channels, [web:qemu] what QEMU printed, [web:serial] what the guest wrote, [web:bootstrap] what
its last bootstrap did. Control sequences are removed unless --raw is given.";

/// Show what the guests, QEMU and Castra have said
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct LogsArgs {
    /// Only of these VMs
    #[arg(value_name = "VM")]
    vms: Vec<VmName>,

    #[command(flatten)]
    workspace: WorkspaceArgs,

    /// Go on showing what comes, until interrupted
    #[arg(short, long)]
    follow: bool,

    /// Only the last lines of each log
    #[arg(short = 'n', long, value_name = "LINES")]
    tail: Option<usize>,

    /// Only these logs
    #[arg(short, long, value_name = "SOURCE", value_enum, value_delimiter = ',')]
    source: Vec<Source>,

    /// Show lines as they were written: no prefix, control sequences and all
    #[arg(long, conflicts_with = "json")]
    raw: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Source {
    /// What Castra did
    Host,
    /// What the broker of the guest channels did: its handshakes with guests
    Broker,
    /// What QEMU printed
    Qemu,
    /// What the guest wrote to its serial console
    Serial,
    /// What the VM's last bootstrap did and said, one JSON object a line
    Bootstrap,
}

pub(super) fn run(args: &LogsArgs, face: &Face) -> Result<u8, CliError> {
    let source = |source: &Source| match source {
        Source::Host => LogSource::Host,
        Source::Broker => LogSource::Broker,
        Source::Qemu => LogSource::Qemu,
        Source::Serial => LogSource::Serial,
        Source::Bootstrap => LogSource::Bootstrap,
    };
    let options = LogsOptions {
        selection: face.workspace(args.workspace.workspace.as_ref()),
        vms: args.vms.clone(),
        sources: args.source.iter().map(source).collect(),
        tail: args.tail,
        follow: if args.follow { Follow::Yes } else { Follow::No },
    };
    let looks = match (face.voice.format, args.raw) {
        (OutputFormat::Json, _) => Looks::Json,
        (OutputFormat::Human, true) => Looks::Raw,
        (OutputFormat::Human, false) => Looks::Text,
    };
    let mut printer = LogPrinter::new(looks, &face.voice.out);
    let mut failed = None;
    let outcome = logs(&face.session, &options, &mut |item| match printer.take(item) {
        Ok(()) => ControlFlow::Continue(()),
        Err(error) => {
            failed = Some(error);
            ControlFlow::Break(())
        }
    })?;
    if let Some(error) = failed {
        return Err(error.into());
    }
    face.answer(&outcome, render::logs)?;
    Ok(OK)
}
