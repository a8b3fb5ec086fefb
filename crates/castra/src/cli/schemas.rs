//! The JSON Schemas of castra.toml and of every line the commands print with `--json`.
//!
//! Tests: below; `tests/it/json.rs` holds real output against them.

use plasmavmc_cli::{Lines, Schema};
use plasmavmc_types::EventKind;
use schemars::JsonSchema;

use crate::config;
use crate::core::bootstrap::BootstrapsOutcome;
use crate::core::bus::{PublishOutcome, TailOutcome};
use crate::core::clean::CleanOutcome;
use crate::core::console::ConsoleOutcome;
use crate::core::copy::CopyOutcome;
use crate::core::doctor::DoctorOutcome;
use crate::core::down::DownOutcome;
use crate::core::exec::ExecOutcome;
use crate::core::images::{
    ImageListOutcome, ImagePullOutcome, ImageRemoveOutcome, ImageStoredOutcome, ImageVerifyOutcome,
};
use crate::core::init::InitOutcome;
use crate::core::logs::{LogSource, LogsOutcome};
use crate::core::output::OperationOutput;
use crate::core::ports::PortsOutcome;
use crate::core::ssh::SshConfigOutcome;
use crate::core::status::StatusOutcome;
use crate::core::up::{BrokerOnlyOutcome, PlanOutcome, UpOutcome};

/// Everything that has a schema.
pub(crate) const SCHEMAS: &[Schema] = &[
    Schema::file("config", "castra.toml", config::schema),
    Schema::lines(
        "events",
        "an event: a line of `logs/events.jsonl`, and of commands that do something",
        events,
    ),
    Schema::lines("error", "the last line of a command that failed", Lines::error),
    Schema::lines("init", "lines of `castra init --json`", answer::<InitOutcome>),
    Schema::lines("up", "lines of `castra up --json`", events_and::<UpOutcome>),
    Schema::lines("plan", "lines of `castra up --plan --json`", answer::<PlanOutcome>),
    Schema::lines("broker-only", "lines of `castra up --broker-only --json`", answer::<BrokerOnlyOutcome>),
    Schema::lines("status", "lines of `castra status --json`", answer::<StatusOutcome>),
    Schema::lines("down", "lines of `castra down --json`", events_and::<DownOutcome>),
    Schema::lines("ports", "lines of `castra ports --json`", answer::<PortsOutcome>),
    Schema::lines("logs", "lines of `castra logs --json`", |lines| {
        lines.keyed::<LogRecord>("log");
        answer::<LogsOutcome>(lines);
    }),
    Schema::lines("bootstrap", "lines of `castra bootstrap --json`", events_and::<BootstrapsOutcome>),
    Schema::lines("exec", "lines of `castra exec --json` and `castra shell --json`", |lines| {
        lines.keyed::<OutputRecord>("output");
        answer::<ExecOutcome>(lines);
    }),
    Schema::lines("cp", "lines of `castra cp --json`", answer::<CopyOutcome>),
    Schema::lines("bus-publish", "lines of `castra bus publish --json`", answer::<PublishOutcome>),
    Schema::lines("bus-tail", "lines of `castra bus tail --json`", |lines| {
        lines.keyed::<BusRecord>("bus");
        answer::<TailOutcome>(lines);
    }),
    Schema::lines("console", "lines of `castra console --json`", |lines| {
        lines.keyed::<String>("console");
        answer::<ConsoleOutcome>(lines);
    }),
    Schema::lines("ssh-config", "lines of `castra ssh-config --json`", answer::<SshConfigOutcome>),
    Schema::lines("clean", "lines of `castra clean --json`", events_and::<CleanOutcome>),
    Schema::lines("image-list", "lines of `castra image list --json`", answer::<ImageListOutcome>),
    Schema::lines("image-pull", "lines of `castra image pull --json`", events_and::<ImagePullOutcome>),
    Schema::lines(
        "image-stored",
        "lines of `castra image import --json` and `castra image build --json`",
        events_and::<ImageStoredOutcome>,
    ),
    Schema::lines("image-rm", "lines of `castra image rm --json`", answer::<ImageRemoveOutcome>),
    Schema::lines("image-verify", "lines of `castra image verify --json`", events_and::<ImageVerifyOutcome>),
    Schema::lines("doctor", "lines of `castra doctor --json`", answer::<DoctorOutcome>),
];

/// The last line of a command that answers with a `T`, or failed.
fn answer<T: JsonSchema>(lines: &mut Lines) {
    lines.answer::<OperationOutput<T>>();
}

/// Events, and the last line.
fn events_and<T: JsonSchema>(lines: &mut Lines) {
    events(lines);
    answer::<T>(lines);
}

fn events(lines: &mut Lines) {
    lines.plain::<EventLine>();
}

/// An event as it is printed.
#[derive(JsonSchema)]
#[schemars(rename = "Event")]
#[expect(dead_code, reason = "only its schema is used; that it fits is tested")]
struct EventLine {
    /// Position within the command that emitted it, from 1.
    seq: u64,
    /// When it happened: RFC 3339 in UTC.
    at: String,
    /// The VM it happened to; missing for the workspace or the host.
    #[schemars(extend("minLength" = 1))]
    #[serde(skip_serializing_if = "Option::is_none")]
    vm: Option<String>,
    /// What happened.
    #[serde(flatten)]
    kind: EventKind,
}

/// A line of a log as `castra logs` prints it.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "only its schema is used; that it fits is tested")]
struct LogRecord {
    /// Whose log.
    source: LogSource,
    /// The VM; null for the host's own lines.
    vm: Option<String>,
    /// The line, without control sequences.
    text: String,
    /// The event of a host line; missing for other lines.
    #[serde(skip_serializing_if = "Option::is_none")]
    event: Option<EventLine>,
}

/// What a program in a guest wrote.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "only its schema is used; that it fits is tested")]
struct OutputRecord {
    /// Where: `stdout` or `stderr`. On a terminal all is `stdout`.
    stream: String,
    /// What, where it is text.
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<String>,
    /// What in hexadecimal, where it is not.
    #[serde(skip_serializing_if = "Option::is_none")]
    hex: Option<String>,
}

/// A message on the bus.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "only its schema is used; that it fits is tested")]
struct BusRecord {
    /// Its number among the messages from and to this VM, from 1: a gap tells that some were dropped.
    seq: u64,
    /// When the broker saw it: RFC 3339 in UTC.
    at: String,
    /// The VM.
    vm: String,
    /// Who said it.
    from: BusRecordSide,
    /// The topic.
    topic: String,
    /// The message, where it is text.
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<String>,
    /// The message in hexadecimal, where it is not.
    #[serde(skip_serializing_if = "Option::is_none")]
    hex: Option<String>,
    /// Messages of this VM dropped so far because a listener or the channel was too slow.
    dropped: u64,
}

/// Who said something on the bus.
#[derive(JsonSchema)]
#[serde(rename_all = "snake_case")]
#[expect(dead_code, reason = "only its schema is used; that it fits is tested")]
enum BusRecordSide {
    Guest,
    Host,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_schema_has_a_name_of_its_own_and_is_an_object() {
        for schema in SCHEMAS {
            assert_eq!(
                SCHEMAS.iter().filter(|other| other.name == schema.name).count(),
                1,
                "{}",
                schema.name
            );
            let value = schema.to_value();
            assert!(value.is_object() && value["$schema"].is_string(), "{}", schema.name);
        }
    }

    #[test]
    fn a_line_is_exactly_one_of_the_shapes() {
        let down = SCHEMAS.iter().find(|schema| schema.name == "down").unwrap();
        let validator = jsonschema::validator_for(&down.to_value()).unwrap();
        let event = json!({"seq": 1, "at": "2026-01-01T00:00:00.000Z", "vm": "web", "event": "VmReady", "elapsed_ms": 7});
        let outcome = json!({"outcome": {"workspaces": [], "diagnostics": []}});
        let error = json!({"error": {"kind": "usage", "message": "m", "causes": [], "hints": []}});
        for line in [&event, &outcome, &error] {
            assert!(validator.is_valid(line), "{line}");
        }
        for line in
            [json!({}), json!({"outcome": 1}), json!({"seq": 1, "event": "Bogus"}), json!({"error": {}})]
        {
            assert!(!validator.is_valid(&line), "{line}");
        }
    }
}
