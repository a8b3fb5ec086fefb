//! `cargo xtask bench`: how fast Castra is beside the bare tools, each goal a row.
//!
//! Runs the release binary as its users do, in a home directory of its own, and ends all it started.
//! A goal that is missed is a line of the table, not a failure: how fast a machine is decides nobody's
//! commit. Never does: keep results, except with `--markdown`.

mod bare;
mod broker;
mod down;
mod download;
mod error;
mod getting_in;
mod guest;
mod host;
mod lab;
mod launch;
mod libvirt;
mod outcome;
mod page;
mod rows;
mod server;
mod stats;
mod status;
mod up;

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use plasmavmc_term::{ColorMode, Column, Stderr, Stdout, Table};
use plasmavmc_types::Explain;

use self::error::BenchError;
use self::guest::{Boot, Guest};
use self::lab::Lab;
use self::outcome::{COLUMNS, Line, markdown};
use crate::workspace::Finding;

/// What `bench` takes.
#[derive(Debug, Clone, Args)]
pub(crate) struct BenchArgs {
    /// Which rows; all of them where none is named
    #[arg(value_enum)]
    rows: Vec<Row>,

    /// How often each row is measured, instead of its own number
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..))]
    runs: Option<u16>,

    /// Measure this program instead of building one
    #[arg(long, value_name = "PATH")]
    castra: Option<PathBuf>,

    /// Write the table into docs/benchmarks.md
    #[arg(long)]
    markdown: bool,
}

/// A row of the table; some are several lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Row {
    /// `castra up --wait ssh` against bare QEMU
    Up,
    /// `castra status --json` against `virsh list --all`
    Status,
    /// `castra status --json` with 100 VMs in 20 workspaces
    StatusMany,
    /// `castra down` against powerdown over bare QMP
    Down,
    /// From exec of `castra up` to exec of QEMU
    Launch,
    /// The broker with 20 guests: their handshakes, its cost at rest
    Broker,
    /// `castra exec` against `ssh` over a warm connection
    Exec,
    /// `castra cp` against the same bytes through `ssh`
    Cp,
    /// `castra image pull` against `curl` and `sha512sum`
    Download,
    /// `bkt vm sync` with nothing to do against `virsh dumpxml` in a shell
    Host,
}

impl Row {
    /// How often it is measured: enough for a median on a machine that others use too.
    const fn runs(self) -> usize {
        match self {
            Self::Up | Self::Down => 15,
            Self::Status => 200,
            Self::StatusMany => 50,
            Self::Launch => 20,
            Self::Broker => 3,
            Self::Exec => 20,
            Self::Cp => 3,
            Self::Download => 7,
            Self::Host => 7,
        }
    }
}

/// Measures, prints the table, and tells which rows could not be measured.
pub(crate) fn run(root: &Path, args: &BenchArgs) -> Vec<Finding> {
    let (out, talk) = (Stdout::new(ColorMode::Auto), Stderr::new(ColorMode::Auto));
    let mut lines = Vec::new();
    let mut findings = match Lab::open(root, args.castra.as_deref(), &talk) {
        Ok(lab) => measure(&lab, args, &mut lines),
        Err(error) => vec![finding("bench", &error)],
    };
    if !lines.is_empty() {
        let mut table = Table::new(COLUMNS.map(Column::text));
        for line in &lines {
            table.row(line.cells());
        }
        // A reader that went away has seen enough.
        let _ = out.print(&table.render(out.width()));
    }
    if args.markdown
        && findings.is_empty()
        && let Err(error) = page::write(root, &markdown(&lines))
    {
        findings.push(finding("bench", &error));
    }
    findings
}

/// Measures every row that is asked for; a row that fails does not keep the others.
fn measure(lab: &Lab<'_>, args: &BenchArgs, lines: &mut Vec<Line>) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut keep = |row: &str, result: Result<Vec<Line>, BenchError>| match result {
        Ok(found) => lines.extend(found),
        Err(error) => findings.push(finding(row, &error)),
    };
    let asked = |row: Row| args.rows.is_empty() || args.rows.contains(&row);
    let runs = |row: Row| args.runs.map_or(row.runs(), usize::from);
    if [Row::Up, Row::Down, Row::Status, Row::StatusMany, Row::Launch, Row::Broker, Row::Exec, Row::Cp]
        .into_iter()
        .any(asked)
    {
        match Guest::prepare(lab) {
            Err(error) => keep("guest", Err(error)),
            Ok(guest) => {
                if asked(Row::Launch) {
                    keep("launch", launch::measure(lab, &guest, runs(Row::Launch)));
                }
                if asked(Row::Status) {
                    keep("status", status::one(lab, &guest, runs(Row::Status)));
                }
                if asked(Row::Up) || asked(Row::Down) {
                    let boots = boots(lab, &guest, runs(Row::Up));
                    keep("up and down", boots.map(|boots| vec![up::line(&boots), down::line(&boots)]));
                }
                if asked(Row::Broker) {
                    keep("broker", broker::measure(lab, &guest, runs(Row::Broker)));
                }
                if asked(Row::Exec) || asked(Row::Cp) {
                    let times = |row| if asked(row) { runs(row) } else { 0 };
                    keep("exec and cp", getting_in::measure(lab, times(Row::Exec), times(Row::Cp)));
                }
                if asked(Row::StatusMany) {
                    keep("status-many", status::many(lab, &guest, runs(Row::StatusMany)));
                }
            }
        }
    }
    if asked(Row::Download) {
        keep("download", download::measure(lab, runs(Row::Download)));
    }
    if asked(Row::Host) {
        keep("host", host::measure(lab, runs(Row::Host)));
    }
    findings
}

/// Whole lives of the guest, in pairs: each gives a boot and a shutdown.
fn boots(lab: &Lab<'_>, guest: &Guest, runs: usize) -> Result<Vec<(Boot, Boot)>, BenchError> {
    lab.say("Booting and stopping guests in pairs");
    lab.interleaved(runs, || guest.under_castra(lab), || guest.bare())
}

fn finding(row: &str, error: &BenchError) -> Finding {
    let mut what = format!("could not be measured: {error}");
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        what.push_str(&format!(": {cause}"));
        source = cause.source();
    }
    for hint in error.hints() {
        what.push_str(&format!(" ({hint})"));
    }
    Finding::new(row, what)
}
