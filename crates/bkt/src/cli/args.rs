//! The words of the command line that every command shares.
//!
//! Each verb's own words are with the verb. Tests: below; help texts in `tests/it/help.rs`.

use std::path::PathBuf;

use clap::{ArgAction, Args as ClapArgs, Parser};
use plasmavmc_cli::{Detail, Manner, color};
use plasmavmc_term::{ColorMode, OutputFormat};

use super::commands::Command;

const ABOUT: &str = "Makes a host's virtual machines what a manifest says they are";

const EXAMPLES: &str = "\
Examples:
  bkt vm capture           write manifests/vms.json from the VMs there are
  bkt vm sync --dry-run    what a sync would change, and when each change takes effect
  bkt vm sync              change it
  bkt vm status            what every VM is doing, and what differs from the manifest

Files:
  manifests/vms.json       the VMs: here or in a directory above; `bkt schema` describes it

Exit codes:
  0 everything is as the manifest has it, 2 changes or drift are pending, others are failures.

Every command takes --json. `bkt help <command>` tells more.";

/// Makes a host's virtual machines what a manifest says they are
#[derive(Debug, Parser)]
#[command(name = "bkt", version, about = ABOUT, after_help = EXAMPLES, max_term_width = 100)]
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
    /// Answer in JSON: one line on standard output, with `outcome` or `error`
    #[arg(long, global = true)]
    pub(crate) json: bool,

    /// The manifest of VMs, instead of the manifests/vms.json found from here upwards
    #[arg(long, global = true, value_name = "PATH")]
    pub(crate) manifest: Option<PathBuf>,

    /// The libvirt connection, instead of that of LIBVIRT_DEFAULT_URI, the manifest or libvirt's own choice
    #[arg(long, global = true, value_name = "URI", value_parser = connection)]
    pub(crate) connect: Option<String>,

    /// When to colour what is printed
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto", value_parser = color())]
    pub(crate) color: ColorMode,

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
            detail: if self.quiet { Detail::Quiet } else { Detail::Normal },
        }
    }
}

/// A text that can be a connection; whether it is one libvirt knows.
fn connection(text: &str) -> Result<String, &'static str> {
    let is_plain = !text.is_empty() && !text.starts_with('-') && text.chars().all(|c| c.is_ascii_graphic());
    if is_plain { Ok(text.to_owned()) } else { Err("a connection is a word such as `qemu:///system`") }
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
        for words in [["bkt", "--json", "schema"], ["bkt", "schema", "--json"]] {
            assert_eq!(Args::try_parse_from(words).unwrap().global.manner().format, OutputFormat::Json);
        }
    }

    #[test]
    fn a_connection_is_one_word() {
        assert_eq!(connection("qemu+ssh://h/system").as_deref(), Ok("qemu+ssh://h/system"));
        for text in ["", "a b", "-c", "qemu:///\n"] {
            assert!(connection(text).is_err(), "{text:?}");
        }
    }
}
