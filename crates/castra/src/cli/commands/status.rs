//! `castra status`.

use std::thread;
use std::time::Duration;

use clap::Args;
use plasmavmc_term::OutputFormat;
use plasmavmc_term::exit::OK;

use crate::cli::args::WorkspaceArgs;
use crate::cli::error::CliError;
use crate::cli::face::Face;
use crate::cli::render;
use crate::core::status::{StatusOptions, status};

const EXAMPLES: &str = "\
Examples:
  castra status                       every VM of every known workspace
  castra status --watch               the same, again and again until Ctrl-C
  castra status --config castra.toml  only the project here
  castra status --timings             how long the last runs took, part by part
  castra status --json | jq '.outcome.workspaces[].vms[] | {vm, state}'

BROKER tells whether a guest can be spoken to: offline (no broker runs), waiting (it has not heard of
the guest lately), reachable (the guest's agent answered within the freshness window: 6 s, or what
[channel] freshness_window_secs in castra.toml says). In JSON these are `broker`, `reachable` and
`last_handshake_age_ms`, the time since the last handshake or answered keepalive, null where there was
none. Guests are asked every 2 s, so looking more often than about every 2 s tells nothing new.

Reads only: nothing is started, stopped or cleaned up, and a QEMU that does not answer is said to be
unresponsive instead of being waited for.";

/// Time between two looks of `--watch`.
const WATCH: Duration = Duration::from_secs(1);

/// Moves to the top left and clears what was there (ECMA-48).
const CLEAR: &[u8] = b"\x1b[H\x1b[2J";

/// Show what every VM is doing
///
/// Aggregates over all workspaces that are known, and the project found from here.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct StatusArgs {
    #[command(flatten)]
    workspace: WorkspaceArgs,

    /// Go on looking, and show what changes, until interrupted
    #[arg(long)]
    watch: bool,

    /// Show how long the last runs took to come up, and what the next will probably take
    #[arg(long, conflicts_with = "watch")]
    timings: bool,
}

pub(super) fn run(args: &StatusArgs, face: &Face) -> Result<u8, CliError> {
    let options = StatusOptions {
        selection: face.workspaces(args.workspace.workspace.as_ref()),
        timings: args.timings,
    };
    if args.watch {
        return watch(&options, face);
    }
    face.answer(&status(&face.session, &options)?, render::status)?;
    Ok(OK)
}

/// On a terminal, one picture that stays current; elsewhere, an answer whenever it differs from the
/// last one in more than time.
fn watch(options: &StatusOptions, face: &Face) -> Result<u8, CliError> {
    let picture = face.voice.format == OutputFormat::Human && face.voice.out.is_terminal();
    let mut last = None;
    loop {
        let output = status(&face.session, options)?;
        if picture {
            face.voice.out.raw(CLEAR)?;
            face.voice.out.print(&face.picture(&output, render::status))?;
        } else {
            let timeless = render::without_time(&output.value);
            if last.as_ref() != Some(&timeless) {
                face.answer(&output, render::status)?;
                last = Some(timeless);
            }
        }
        thread::sleep(WATCH);
    }
}
