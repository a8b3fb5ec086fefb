//! The chores of this repository, the same on a desk and in CI: `cargo xtask <chore>`.
//!
//! One file per chore. Each reads the tree, decides in functions without I/O, and returns findings;
//! printing them and the exit code are here. Tests: in each file.

mod bench;
mod deps;
mod r#gen;
mod layers;
mod style;
mod workspace;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use plasmavmc_term::exit::exit_code;
use plasmavmc_term::{ColorMode, Report, Stderr, text};
use plasmavmc_types::Explain;

use workspace::{ChoreError, Finding, Workspace};

/// The chores of this repository
#[derive(Debug, Parser)]
#[command(bin_name = "cargo xtask")]
struct Args {
    #[command(subcommand)]
    chore: Chore,
}

#[derive(Debug, Clone, Subcommand)]
enum Chore {
    /// Check that dependencies between the crates point down only
    Layers,
    /// Check the lockfile's ceiling, the reason and the use of every dependency, and licences
    Deps,
    /// Check what no compiler checks: headers, file lengths, stubs, hosts
    Style,
    /// Write the pages of `docs/` that are made from the code
    Gen {
        /// Change nothing; fail where a page is not as the code says
        #[arg(long)]
        check: bool,
    },
    /// Measure how fast Castra is beside the bare tools
    Bench(bench::BenchArgs),
}

fn main() -> ExitCode {
    let err = Stderr::new(ColorMode::Auto);
    match run(&Args::parse().chore) {
        Ok(findings) if findings.is_empty() => ExitCode::SUCCESS,
        Ok(findings) => {
            err.say(&show(&findings));
            ExitCode::FAILURE
        }
        Err(error) => {
            err.say(&Report::of(&error).to_text());
            exit_code(error.kind()).into()
        }
    }
}

fn run(chore: &Chore) -> Result<Vec<Finding>, ChoreError> {
    let workspace = Workspace::load()?;
    match chore {
        Chore::Layers => Ok(layers::check(&workspace.packages)),
        Chore::Deps => deps::check(&workspace),
        Chore::Style => style::check(&workspace.root),
        Chore::Gen { check: true } => r#gen::check(&workspace.root),
        Chore::Gen { check: false } => r#gen::write(&workspace.root).map(|()| Vec::new()),
        Chore::Bench(args) => Ok(bench::run(&workspace.root, args)),
    }
}

fn show(findings: &[Finding]) -> String {
    let lines: Vec<String> = findings.iter().map(|finding| format!("{finding}\n")).collect();
    format!("{}{}", lines.concat(), text::count(findings.len() as u64, "finding", "findings"))
}
