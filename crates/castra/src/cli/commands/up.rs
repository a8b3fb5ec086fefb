//! `castra up`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};
use plasmavmc_term::exit::OK;
use plasmavmc_types::VmName;

use super::interrupted::{Progress, telling};
use crate::cli::error::CliError;
use crate::cli::face::Face;
use crate::cli::render;
use crate::core::bootstrap::BootstrapChoice;
use crate::core::selection::{Synthesis, project};
use crate::core::up::{DEFAULT_TIMEOUT, Force, UpOptions, WaitFor, broker_only, plan, up};

const EXAMPLES: &str = "\
Examples:
  castra up                          every VM of the project, until each is up
  castra up web db                   only these
  castra up --plan                   show what would be done, and do nothing
  castra up --wait none              return as soon as QEMU runs
  castra up --qcow disk.qcow2        start from this image, which is not changed
  castra up --bootstrap skip         do not set the guests up
  castra up --bootstrap web=always   set `web` up whatever was done there before
  castra up --json                   events and the result as JSON lines

Running it twice changes nothing. Ctrl-C leaves the VMs running; the next `castra up` goes on from
there, `castra down` stops them.";

/// Start the project's VMs and wait until they are up
///
/// Checks the host, gets the base image if it is not there, makes an empty overlay for each VM, and
/// starts them all at once. What is up already is left as it is.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct UpArgs {
    /// Only these VMs
    #[arg(value_name = "VM")]
    vms: Vec<VmName>,

    /// Show what would be done, and do nothing
    #[arg(long)]
    plan: bool,

    /// Go on although the host has less memory, disk space or processors than asked for
    #[arg(long)]
    force: bool,

    /// Start every VM from this disk image instead of its own
    #[arg(long, value_name = "PATH")]
    qcow: Option<PathBuf>,

    /// Start no VM, only the broker of their guest channels; it stays until `castra down`
    #[arg(long, conflicts_with_all = ["vms", "plan", "qcow", "wait"])]
    broker_only: bool,

    /// Where no castra.toml is found, make up a project of one VM
    #[arg(long)]
    allow_synthetic: bool,

    /// Which VMs are bootstrapped, instead of what castra.toml says: auto, skip or always for all,
    /// VM=MODE for one, several with commas
    #[arg(long, value_name = "MODES")]
    bootstrap: Option<BootstrapChoice>,

    /// How far a VM shall come: none (QEMU runs), running (the guest writes to its console),
    /// reachable (the agent in it answers), ssh (its SSH server
    /// answers) [default: ssh where port 22 is forwarded, else running]
    #[arg(long, value_name = "STAGE", value_enum, hide_possible_values = true)]
    wait: Option<Wait>,

    /// How long a guest may take, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = DEFAULT_TIMEOUT.as_secs())]
    #[arg(value_parser = clap::value_parser!(u64).range(1..=86_400))]
    timeout: u64,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Wait {
    None,
    Running,
    Reachable,
    Ssh,
}

pub(super) fn run(args: &UpArgs, face: &Face) -> Result<u8, CliError> {
    let synthetic = if args.allow_synthetic { Synthesis::Allow } else { Synthesis::Deny };
    let options = UpOptions {
        project: face.project(synthetic),
        vms: args.vms.clone(),
        wait: match args.wait {
            None => WaitFor::Auto,
            Some(Wait::None) => WaitFor::None,
            Some(Wait::Running) => WaitFor::Running,
            Some(Wait::Reachable) => WaitFor::Reachable,
            Some(Wait::Ssh) => WaitFor::Ssh,
        },
        timeout: Duration::from_secs(args.timeout),
        force: if args.force { Force::Yes } else { Force::No },
        bootstrap: args.bootstrap.clone().unwrap_or_default(),
        qcow: args.qcow.as_ref().map(|path| face.session.cwd.join(path)),
    };
    if args.broker_only {
        face.answer(&broker_only(&face.session, &options.project, &|_| {})?, render::broker_only)?;
        return Ok(OK);
    }
    if args.plan {
        face.answer(&plan(&face.session, &options)?, render::plan)?;
        return Ok(OK);
    }
    // Read once more by the operation: the names are only for the width of a column.
    let (found, _) = project(&face.session, &options.project)?;
    let names: Vec<VmName> = found.vms.into_iter().map(|vm| vm.name).collect();
    let progress = Progress::of(if options.vms.is_empty() { names.clone() } else { options.vms.clone() });
    telling(face, &progress, || {
        let events = face.watch(&names);
        let outcome = up(&face.session, &options, &|event| {
            progress.note(event);
            events.show(event);
        });
        drop(events);
        face.answer(&outcome?, render::up)
    })?;
    Ok(OK)
}
