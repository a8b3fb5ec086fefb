//! `schema`: JSON Schemas of castra.toml and of every line the commands print with `--json`.
//!
//! Made from the types themselves, so they cannot say something else. Pure. Tests: below;
//! `tests/it/json.rs` holds real output against them.

use plasmavmc_types::EventKind;
use schemars::{JsonSchema, SchemaGenerator, generate::SchemaSettings, json_schema};
use serde_json::{Map, Value, json};

use super::bootstrap::BootstrapsOutcome;
use super::bus::{PublishOutcome, TailOutcome};
use super::clean::CleanOutcome;
use super::console::ConsoleOutcome;
use super::copy::CopyOutcome;
use super::doctor::DoctorOutcome;
use super::down::DownOutcome;
use super::exec::ExecOutcome;
use super::images::{
    ImageListOutcome, ImagePullOutcome, ImageRemoveOutcome, ImageStoredOutcome, ImageVerifyOutcome,
};
use super::init::InitOutcome;
use super::logs::{LogSource, LogsOutcome};
use super::output::OperationOutput;
use super::ports::PortsOutcome;
use super::ssh::SshConfigOutcome;
use super::status::StatusOutcome;
use super::up::{BrokerOnlyOutcome, PlanOutcome, UpOutcome};

/// Something that has a schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Schema {
    /// castra.toml.
    Config,
    /// An event.
    Events,
    /// A failure.
    Error,
    /// `castra init`.
    Init,
    /// `castra up`.
    Up,
    /// `castra up --plan`.
    Plan,
    /// `castra up --broker-only`.
    BrokerOnly,
    /// `castra status`.
    Status,
    /// `castra down`.
    Down,
    /// `castra ports`.
    Ports,
    /// `castra logs`.
    Logs,
    /// `castra bootstrap`.
    Bootstrap,
    /// `castra exec` and `castra shell`.
    Exec,
    /// `castra cp`.
    Cp,
    /// `castra bus publish`.
    BusPublish,
    /// `castra bus tail`.
    BusTail,
    /// `castra console`.
    Console,
    /// `castra ssh-config`.
    SshConfig,
    /// `castra clean`.
    Clean,
    /// `castra image list`.
    ImageList,
    /// `castra image pull`.
    ImagePull,
    /// `castra image import` and `castra image build`.
    ImageStored,
    /// `castra image rm`.
    ImageRemove,
    /// `castra image verify`.
    ImageVerify,
    /// `castra doctor`.
    Doctor,
}

impl Schema {
    /// Everything that has a schema.
    pub const ALL: [Self; 25] = [
        Self::Config,
        Self::Events,
        Self::Error,
        Self::Init,
        Self::Up,
        Self::Plan,
        Self::BrokerOnly,
        Self::Status,
        Self::Down,
        Self::Ports,
        Self::Logs,
        Self::Bootstrap,
        Self::Exec,
        Self::Cp,
        Self::BusPublish,
        Self::BusTail,
        Self::Console,
        Self::SshConfig,
        Self::Clean,
        Self::ImageList,
        Self::ImagePull,
        Self::ImageStored,
        Self::ImageRemove,
        Self::ImageVerify,
        Self::Doctor,
    ];

    /// The schema of that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|schema| schema.as_str() == name)
    }

    /// Its name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Config => "config",
            Self::Events => "events",
            Self::Error => "error",
            Self::Init => "init",
            Self::Up => "up",
            Self::Plan => "plan",
            Self::BrokerOnly => "broker-only",
            Self::Status => "status",
            Self::Down => "down",
            Self::Ports => "ports",
            Self::Logs => "logs",
            Self::Bootstrap => "bootstrap",
            Self::Exec => "exec",
            Self::Cp => "cp",
            Self::BusPublish => "bus-publish",
            Self::BusTail => "bus-tail",
            Self::Console => "console",
            Self::SshConfig => "ssh-config",
            Self::Clean => "clean",
            Self::ImageList => "image-list",
            Self::ImagePull => "image-pull",
            Self::ImageStored => "image-stored",
            Self::ImageRemove => "image-rm",
            Self::ImageVerify => "image-verify",
            Self::Doctor => "doctor",
        }
    }

    /// What it describes.
    pub const fn describes(self) -> &'static str {
        match self {
            Self::Config => "castra.toml",
            Self::Events => "an event: a line of `logs/events.jsonl`, and of commands that do something",
            Self::Error => "the last line of a command that failed",
            Self::Init => "lines of `castra init --json`",
            Self::Up => "lines of `castra up --json`",
            Self::Plan => "lines of `castra up --plan --json`",
            Self::BrokerOnly => "lines of `castra up --broker-only --json`",
            Self::Status => "lines of `castra status --json`",
            Self::Down => "lines of `castra down --json`",
            Self::Ports => "lines of `castra ports --json`",
            Self::Logs => "lines of `castra logs --json`",
            Self::Bootstrap => "lines of `castra bootstrap --json`",
            Self::Exec => "lines of `castra exec --json` and `castra shell --json`",
            Self::Cp => "lines of `castra cp --json`",
            Self::BusPublish => "lines of `castra bus publish --json`",
            Self::BusTail => "lines of `castra bus tail --json`",
            Self::Console => "lines of `castra console --json`",
            Self::SshConfig => "lines of `castra ssh-config --json`",
            Self::Clean => "lines of `castra clean --json`",
            Self::ImageList => "lines of `castra image list --json`",
            Self::ImagePull => "lines of `castra image pull --json`",
            Self::ImageStored => "lines of `castra image import --json` and `castra image build --json`",
            Self::ImageRemove => "lines of `castra image rm --json`",
            Self::ImageVerify => "lines of `castra image verify --json`",
            Self::Doctor => "lines of `castra doctor --json`",
        }
    }

    /// The schema, JSON Schema 2020-12.
    pub fn to_value(self) -> Value {
        let mut lines = Lines::new();
        match self {
            Self::Config => return crate::config::schema(),
            Self::Events => lines.events(),
            Self::Error => {}
            Self::Init => lines.outcome::<InitOutcome>(),
            Self::Up => lines.events_and::<UpOutcome>(),
            Self::Plan => lines.outcome::<PlanOutcome>(),
            Self::BrokerOnly => lines.outcome::<BrokerOnlyOutcome>(),
            Self::Status => lines.outcome::<StatusOutcome>(),
            Self::Down => lines.events_and::<DownOutcome>(),
            Self::Ports => lines.outcome::<PortsOutcome>(),
            Self::Logs => {
                lines.keyed::<LogRecord>("log");
                lines.outcome::<LogsOutcome>();
            }
            Self::Bootstrap => lines.events_and::<BootstrapsOutcome>(),
            Self::Exec => {
                lines.keyed::<OutputRecord>("output");
                lines.outcome::<ExecOutcome>();
            }
            Self::Cp => lines.outcome::<CopyOutcome>(),
            Self::BusPublish => lines.outcome::<PublishOutcome>(),
            Self::BusTail => {
                lines.keyed::<BusRecord>("bus");
                lines.outcome::<TailOutcome>();
            }
            Self::Console => {
                lines.keyed::<String>("console");
                lines.outcome::<ConsoleOutcome>();
            }
            Self::SshConfig => lines.outcome::<SshConfigOutcome>(),
            Self::Clean => lines.events_and::<CleanOutcome>(),
            Self::ImageList => lines.outcome::<ImageListOutcome>(),
            Self::ImagePull => lines.events_and::<ImagePullOutcome>(),
            Self::ImageStored => lines.events_and::<ImageStoredOutcome>(),
            Self::ImageRemove => lines.outcome::<ImageRemoveOutcome>(),
            Self::ImageVerify => lines.events_and::<ImageVerifyOutcome>(),
            Self::Doctor => lines.outcome::<DoctorOutcome>(),
        }
        if self != Self::Events {
            lines.keyed::<Failure>("error");
        }
        lines.finish(self)
    }
}

/// The shapes a line may have.
struct Lines {
    generator: SchemaGenerator,
    shapes: Vec<Value>,
}

impl Lines {
    fn new() -> Self {
        // What is printed, not what would be read.
        let settings = SchemaSettings::draft2020_12().for_serialize();
        Self { generator: settings.into_generator(), shapes: Vec::new() }
    }

    fn outcome<T: JsonSchema>(&mut self) {
        self.keyed::<OperationOutput<T>>("outcome");
    }

    fn events_and<T: JsonSchema>(&mut self) {
        self.events();
        self.outcome::<T>();
    }

    fn events(&mut self) {
        let shape = self.generator.subschema_for::<EventLine>();
        self.shapes.push(shape.to_value());
    }

    /// A line that is an object of one key.
    fn keyed<T: JsonSchema>(&mut self, key: &str) {
        let inner = self.generator.subschema_for::<T>().to_value();
        self.shapes.push(json!({
            "type": "object",
            "properties": { key: inner },
            "required": [key],
            "additionalProperties": false,
        }));
    }

    fn finish(mut self, schema: Schema) -> Value {
        let mut value = Map::new();
        value.insert("$schema".to_owned(), json!("https://json-schema.org/draft/2020-12/schema"));
        value.insert("title".to_owned(), json!(schema.describes()));
        value.insert("oneOf".to_owned(), Value::Array(self.shapes));
        let definitions = self.generator.take_definitions(true);
        if !definitions.is_empty() {
            value.insert("$defs".to_owned(), Value::Object(definitions));
        }
        Value::Object(value)
    }
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

/// A failure as it is printed.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "only its schema is used; that it fits is tested")]
struct Failure {
    /// Its kind, which decides the exit code.
    #[schemars(schema_with = "kinds")]
    kind: String,
    /// What failed.
    message: String,
    /// Why, the nearest cause first.
    causes: Vec<String>,
    /// What next.
    hints: Vec<String>,
    /// The faults of a configuration file.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    faults: Vec<FaultLine>,
    /// The failures of single VMs, where several failed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    failures: Vec<VmFailureLine>,
}

/// One VM's failure.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "only its schema is used; that it fits is tested")]
struct VmFailureLine {
    /// The VM.
    vm: String,
    /// Its failure.
    error: Failure,
}

/// One fault of a file.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "only its schema is used; that it fits is tested")]
struct FaultLine {
    /// The rule that is broken.
    code: String,
    /// The file.
    file: String,
    /// The line, from 1; null where the fault is the whole file's.
    line: Option<u64>,
    /// The column in characters, from 1.
    column: Option<u64>,
    /// What is wrong.
    message: String,
    /// What the place should hold.
    label: String,
    /// What to write instead.
    help: Option<String>,
}

fn kinds(_: &mut SchemaGenerator) -> schemars::Schema {
    json_schema!({ "type": "string", "enum": plasmavmc_types::ErrorKind::ALL })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_schema_has_a_name_of_its_own_and_is_an_object() {
        for schema in Schema::ALL {
            assert_eq!(Schema::named(schema.as_str()), Some(schema));
            let value = schema.to_value();
            assert!(value.is_object() && value["$schema"].is_string(), "{}", schema.as_str());
        }
        assert_eq!(Schema::named("bogus"), None);
    }

    #[test]
    fn a_line_is_exactly_one_of_the_shapes() {
        let validator = jsonschema::validator_for(&Schema::Down.to_value()).unwrap();
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
