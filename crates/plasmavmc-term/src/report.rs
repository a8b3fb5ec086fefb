//! An error, shown once: what, why, what next.
//!
//! ```text
//! error: could not start VM `web`
//!   caused by: QEMU exited before it answered
//!   caused by: failed to bind host port 8080
//!
//! hint: `castra ports` shows who holds each port
//! ```
//!
//! The chain is walked through `source()`, level by level and skipping nothing: an error whose text
//! repeats its source would show here as doubled lines (`plasmavmc_types::repeated_source` finds
//! them in tests). Tests: below, as snapshots.

use std::error::Error;

use plasmavmc_source::SourceMap;
use plasmavmc_types::{ErrorKind, Explain};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Serialize;

use crate::fault::{SourceFault, render_faults};
use crate::screen::{Width, style, styled};
use crate::text::printable;
use crate::{Stderr, Stdout, StdoutError};

/// Whether a command answers a person or a program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum OutputFormat {
    /// Text.
    #[default]
    Human,
    /// One JSON value per line (`--json`).
    Json,
}

/// A failure, ready to be shown. Serialised it is the value of `error` in `--json` output.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(rename = "Failure", description = "A failure as it is printed.")]
pub struct Report {
    /// Its kind, which decides the exit code.
    #[schemars(schema_with = "kinds")]
    pub kind: ErrorKind,
    /// What failed.
    pub message: String,
    /// Why, the nearest cause first.
    pub causes: Vec<String>,
    /// What next.
    pub hints: Vec<String>,
    /// The faults of a configuration file or a manifest; missing where there are none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub faults: Vec<FaultRecord>,
    /// The failures of single VMs or subsystems; missing where there are none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub failures: Vec<VmReport>,
    #[serde(skip)]
    rendered_faults: String,
}

/// The failure of one VM or subsystem among several.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(rename = "VmFailure")]
pub struct VmReport {
    /// The VM or the subsystem.
    pub vm: String,
    /// Its failure.
    pub error: Report,
}

/// One fault of a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(rename = "Fault")]
pub struct FaultRecord {
    /// The rule that is broken.
    pub code: String,
    /// The file.
    pub file: String,
    /// The line, from 1; null where the fault is the whole file's.
    #[schemars(with = "Option<u64>")]
    pub line: Option<usize>,
    /// The column in characters, from 1.
    #[schemars(with = "Option<u64>")]
    pub column: Option<usize>,
    /// What is wrong.
    pub message: String,
    /// What is said at the place itself; may be empty.
    pub label: String,
    /// What to write instead.
    pub help: Option<String>,
}

#[derive(Serialize)]
struct Envelope<'a> {
    error: &'a Report,
}

impl Report {
    /// The report of an error with its causes and hints.
    pub fn of<E: Explain + ?Sized>(error: &E) -> Self {
        let causes = std::iter::successors(error.source(), |&cause| cause.source());
        Self {
            kind: error.kind(),
            message: error.to_string(),
            causes: causes.map(ToString::to_string).collect(),
            hints: error.hints(),
            faults: Vec::new(),
            failures: Vec::new(),
            rendered_faults: String::new(),
        }
    }

    /// Adds the faults found in a file. They are shown above the message, which says how many they
    /// are; lines are as wide as `width`.
    #[must_use]
    pub fn with_faults(mut self, faults: &[SourceFault<'_>], width: Width) -> Self {
        self.rendered_faults = render_faults(faults, width);
        self.faults = faults.iter().map(FaultRecord::of).collect();
        self
    }

    /// Adds the failure of one VM among several. It is shown above the message, with its own hints;
    /// the report keeps none of its own, for it would only repeat one of them.
    #[must_use]
    pub fn with_failure(mut self, vm: &str, error: Self) -> Self {
        self.hints.clear();
        self.failures.push(VmReport { vm: vm.to_owned(), error });
        self
    }

    /// The report as people read it, with styles.
    pub fn to_text(&self) -> String {
        let failures = self.failures.iter().map(|failure| failure.error.to_text() + "\n");
        let mut text = failures.collect::<String>() + &self.rendered_faults;
        if !self.rendered_faults.is_empty() {
            text.push('\n');
        }
        text.push_str(&format!("{} {}\n", styled(style::ERROR, "error:"), block(&self.message, 7)));
        for cause in &self.causes {
            text.push_str(&format!("  {} {}\n", styled(style::DIM, "caused by:"), block(cause, 13)));
        }
        if !self.hints.is_empty() {
            text.push('\n');
        }
        for hint in &self.hints {
            text.push_str(&format!("{} {}\n", styled(style::HINT, "hint:"), block(hint, 6)));
        }
        text
    }

    /// Shows it, on the stream its format belongs to.
    pub fn show(&self, format: OutputFormat, out: &Stdout, err: &Stderr) {
        match format {
            OutputFormat::Human => err.say(&self.to_text()),
            // The exit code still tells of the failure where standard output cannot.
            OutputFormat::Json => drop(out.json(&Envelope { error: self })),
        }
    }
}

/// The kinds as plain words, on one line of the schema.
fn kinds(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "enum": ErrorKind::ALL })
}

impl FaultRecord {
    fn of(fault: &SourceFault<'_>) -> Self {
        let place = fault.span.as_ref().map(|span| SourceMap::new(fault.source).position(span.start));
        Self {
            code: fault.code.to_owned(),
            file: fault.file.clone(),
            line: place.map(|place| place.line),
            column: place.map(|place| place.column),
            message: fault.message.to_owned(),
            label: fault.label.clone(),
            help: fault.help.map(ToOwned::to_owned),
        }
    }
}

/// Text whose further lines are indented under the first. What a program or a guest said may be in
/// it, so it is made harmless.
fn block(text: &str, indent: usize) -> String {
    printable(text.trim_end()).replace('\n', &format!("\n{:indent$}", ""))
}

/// Whether an error comes from a standard output that was closed by its reader.
pub fn is_closed_stdout(error: &(dyn Error + 'static)) -> bool {
    std::iter::successors(Some(error), |&cause| cause.source())
        .any(|cause| matches!(cause.downcast_ref(), Some(StdoutError::Closed)))
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;
    use crate::screen::{ColorMode, plain};
    use crate::stdout::tests::{Shared, gone};

    #[derive(Debug, thiserror::Error)]
    enum Sample {
        #[error("could not start VM `web`")]
        Launch {
            #[source]
            source: Box<Sample>,
        },
        #[error("QEMU said:\n{said}")]
        Qemu {
            said: &'static str,
            #[source]
            source: io::Error,
        },
        #[error("no output")]
        Output {
            #[source]
            source: StdoutError,
        },
    }

    impl Explain for Sample {
        fn kind(&self) -> ErrorKind {
            ErrorKind::Launch
        }

        fn hints(&self) -> Vec<String> {
            vec!["`castra ports` shows who holds each port".into(), "`castra logs web` shows more".into()]
        }
    }

    fn sample() -> Sample {
        let source = io::Error::new(io::ErrorKind::AddrInUse, "address in use");
        let said = "line one\n\u{1b}]0;line two\n";
        Sample::Launch { source: Box::new(Sample::Qemu { said, source }) }
    }

    #[test]
    fn an_error_is_shown_with_every_cause_and_every_hint() {
        insta::assert_snapshot!(plain(&Report::of(&sample()).to_text()), @r"
        error: could not start VM `web`
          caused by: QEMU said:
                     line one
                     \u{1b}]0;line two
          caused by: address in use

        hint: `castra ports` shows who holds each port
        hint: `castra logs web` shows more
        ");
    }

    #[test]
    fn a_program_is_told_on_standard_output_in_one_line() {
        let shared = Shared::default();
        let out = Stdout::to(shared.clone(), Width::Unlimited);
        Report::of(&sample()).show(OutputFormat::Json, &out, &Stderr::new(ColorMode::Never));
        insta::assert_snapshot!(shared.text(), @r#"{"error":{"kind":"launch","message":"could not start VM `web`","causes":["QEMU said:\nline one\n\u001b]0;line two\n","address in use"],"hints":["`castra ports` shows who holds each port","`castra logs web` shows more"]}}"#);
    }

    #[test]
    fn several_failures_are_shown_one_by_one_and_each_hint_once() {
        let report = Report::of(&sample())
            .with_failure("web", Report::of(&sample()))
            .with_failure("db", Report::of(&sample()));
        assert_eq!(plain(&report.to_text()).matches("hint: `castra ports`").count(), 2);
        assert!(report.hints.is_empty());
        let json = serde_json::to_value(&report).unwrap();
        assert_eq!(json["failures"][1]["vm"], "db");
        assert_eq!(json["failures"][1]["error"]["kind"], "launch");
    }

    #[test]
    fn faults_of_a_file_are_told_to_programs_with_line_and_column() {
        let fault = SourceFault {
            file: "castra.toml".to_owned(),
            source: "a = 1\nß = 2\n",
            code: "unknown-key",
            message: "unknown key `ß`",
            label: "not a key".to_owned(),
            span: Some(6..8),
            help: Some("write `b`"),
        };
        let report = Report::of(&sample()).with_faults(&[fault], Width::Unlimited);
        insta::assert_snapshot!(serde_json::to_string(&report.faults[0]).unwrap(), @r#"{"code":"unknown-key","file":"castra.toml","line":2,"column":1,"message":"unknown key `ß`","label":"not a key","help":"write `b`"}"#);
    }

    #[test]
    fn a_reader_that_went_away_ends_a_command_with_success() {
        let out = Stdout::to(gone(), Width::Unlimited);
        let result = out.print("x").map_err(|source| Sample::Output { source });
        assert!(is_closed_stdout(result.as_ref().unwrap_err()));
        assert!(!is_closed_stdout(&sample()));
    }
}
