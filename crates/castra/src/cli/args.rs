//! The words of the command line that every command shares.
//!
//! Each verb's own words are with the verb. Tests: below; help texts in `tests/it/help.rs`.

use std::path::PathBuf;

use clap::{ArgAction, Args as ClapArgs, Parser};
use plasmavmc_cli::{Detail, Manner, color};
use plasmavmc_term::{ColorMode, OutputFormat};

use super::commands::Command;
use crate::core::project::WorkspaceId;

const ABOUT: &str = "Runs a project's virtual machines, described in castra.toml, on plain QEMU";

const EXAMPLES: &str = "\
Examples:
  castra init            write a castra.toml that works as it is
  castra up              start the project's VMs and wait until they are up
  castra status          what every VM is doing
  castra logs --follow   what they say
  castra down            shut them down and discard their disks

Files:
  castra.toml            the project: `castra schema config` describes it
  ~/.castra              state and images of all projects; CASTRA_HOME names another place

Every command takes --json. `castra help <command>` tells more.";

/// Runs a project's virtual machines on plain QEMU
#[derive(Debug, Parser)]
#[command(name = "castra", version, about = ABOUT, after_help = EXAMPLES, max_term_width = 100)]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) global: GlobalArgs,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What every command takes.
#[derive(Debug, Clone, Default, ClapArgs)]
#[command(next_help_heading = "Options of every command")]
pub(crate) struct GlobalArgs {
    /// Answer in JSON: one value per line on standard output, the last one with `outcome` or `error`
    #[arg(long, global = true)]
    pub(crate) json: bool,

    /// The project's castra.toml, instead of the one found from here upwards
    #[arg(long, global = true, value_name = "PATH")]
    pub(crate) config: Option<PathBuf>,

    /// Do not look for a castra.toml here and in the directories above
    #[arg(long, global = true)]
    pub(crate) skip_discovery: bool,

    /// When to colour what is printed
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto", value_parser = color())]
    pub(crate) color: ColorMode,

    /// Show more: paths, process ids, digests
    #[arg(short, long, global = true, action = ArgAction::SetTrue, conflicts_with = "quiet")]
    pub(crate) verbose: bool,

    /// Show no progress and no notes
    #[arg(short, long, global = true, action = ArgAction::SetTrue)]
    pub(crate) quiet: bool,
}

impl GlobalArgs {
    /// How the command is asked to speak.
    pub(crate) const fn manner(&self) -> Manner {
        Manner {
            format: if self.json { OutputFormat::Json } else { OutputFormat::Human },
            color: self.color,
            detail: match (self.quiet, self.verbose) {
                (true, _) => Detail::Quiet,
                (false, true) => Detail::Full,
                (false, false) => Detail::Normal,
            },
        }
    }
}

/// Which workspace, for commands that know more than one.
#[derive(Debug, Clone, Default, ClapArgs)]
pub(crate) struct WorkspaceArgs {
    /// Only the workspace of this id (`castra status` shows the ids)
    #[arg(long, value_name = "ID", conflicts_with_all = ["config", "skip_discovery"])]
    pub(crate) workspace: Option<WorkspaceId>,
}

/// How long a guest may take to be there, for commands that speak to one.
#[derive(Debug, Clone, Default, ClapArgs)]
pub(crate) struct ReachArgs {
    /// How long the guest's agent may take to become reachable, in seconds [default: 5; one that boots
    /// is given 120 from its launch]
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(0..=86_400))]
    pub(crate) wait: Option<u64>,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_definitions_are_consistent() {
        Args::command().debug_assert();
    }

    #[test]
    fn options_of_every_command_may_stand_before_and_after_it() {
        for words in [["castra", "--json", "status"], ["castra", "status", "--json"]] {
            assert_eq!(Args::try_parse_from(words).unwrap().global.manner().format, OutputFormat::Json);
        }
    }
}
