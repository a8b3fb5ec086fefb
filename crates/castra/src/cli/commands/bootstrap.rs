//! `castra bootstrap`.

use clap::{Args, ValueEnum};
use plasmavmc_term::exit::OK;
use plasmavmc_types::VmName;

use crate::cli::error::CliError;
use crate::cli::face::Face;
use crate::cli::render;
use crate::core::bootstrap::{BootstrapOptions, FirstStep, bootstrap};
use crate::core::selection::{Synthesis, project};

const EXAMPLES: &str = "\
Examples:
  castra bootstrap                    every VM of the project that has a bootstrap
  castra bootstrap web                only this one
  castra bootstrap web --from apply   run the script that lies in the guest once more
  castra bootstrap web --from verify  only check, and note that it is done
  castra bootstrap --json             events and the result as JSON lines

`castra up` does it by itself where it is needed; this does it in any case. The VMs have to run. A
step that fails ends it with exit code 10 and leaves the VM as it is, to be looked into.";

/// Set up VMs that run, by the script that castra.toml names
///
/// Waits for the guest, moves script and payload into it, runs the script there as root, checks what
/// it did, and notes on the guest's disk that it is done. VMs are set up at the same time.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct BootstrapArgs {
    /// Only these VMs
    #[arg(value_name = "VM")]
    vms: Vec<VmName>,

    /// Begin with this step: what it needs has to lie in the guest already
    #[arg(long, value_name = "STEP", value_enum, default_value_t = From::Transfer)]
    from: From,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum From {
    /// Move script and payload
    Transfer,
    /// Run the script
    Apply,
    /// Check what it did
    Verify,
}

pub(super) fn run(args: &BootstrapArgs, face: &Face) -> Result<u8, CliError> {
    let options = BootstrapOptions {
        project: face.project(Synthesis::Deny),
        vms: args.vms.clone(),
        from: match args.from {
            From::Transfer => FirstStep::Transfer,
            From::Apply => FirstStep::Apply,
            From::Verify => FirstStep::Verify,
        },
    };
    // Read once more by the operation: the names are only for the width of a column.
    let (found, _) = project(&face.session, &options.project)?;
    let names: Vec<VmName> = found.vms.into_iter().map(|vm| vm.name).collect();
    let events = face.watch(&names);
    let outcome = bootstrap(&face.session, &options, &|event| events.show(event));
    drop(events);
    face.answer(&outcome?, render::bootstrap)?;
    Ok(OK)
}
