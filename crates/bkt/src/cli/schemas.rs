//! The JSON Schemas of the manifest, of a plan's file, and of every line the commands print with `--json`.
//!
//! Made from the types themselves, so they cannot say something else. Pure. Tests: `tests/it/json.rs`
//! holds real output against them.

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, SchemaGenerator};
use serde_json::{Map, Value, json};

use super::outcomes::{
    CaptureOutcome, DriftOutcome, FetchOutcome, PowerOutcomes, StatusOutcome, SyncOutcome, VmStatusOutcome,
    WholeOutcome,
};
use crate::vm::plan_file::PlanFile;

macro_rules! schemas {
    ($count:literal: $($variant:ident $name:literal $describes:literal,)+) => {
        /// Something that has a schema.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) enum Schema {
            $($variant),+
        }

        impl Schema {
            /// Everything that has a schema.
            pub(crate) const ALL: [Self; $count] = [$(Self::$variant),+];

            /// Its name.
            pub(crate) const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $name),+
                }
            }

            /// What it describes.
            pub(crate) const fn describes(self) -> &'static str {
                match self {
                    $(Self::$variant => $describes),+
                }
            }
        }
    };
}

schemas! { 11:
    Manifest "manifest" "manifests/vms.json",
    PlanFile "plan-file" "the file of `bkt vm sync --out`",
    Error "error" "the last line of a command that failed",
    VmSync "vm-sync" "lines of `bkt vm sync --json` and `bkt vm plan --json`",
    VmCapture "vm-capture" "lines of `bkt vm capture --json`",
    VmStatus "vm-status" "lines of `bkt vm status --json`",
    VmPower "vm-power" "lines of `bkt vm start --json` and `bkt vm stop --json`",
    VmFetch "vm-fetch" "lines of `bkt vm fetch --json`",
    Sync "sync" "lines of `bkt sync --json` and `bkt capture --json`",
    Status "status" "lines of `bkt status --json`",
    Drift "drift" "lines of `bkt drift --json`",
}

impl Schema {
    /// The schema of that name.
    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|schema| schema.as_str() == name)
    }

    /// The schema, JSON Schema 2020-12.
    pub(crate) fn to_value(self) -> Value {
        let mut lines = Lines::new();
        match self {
            Self::Manifest => return crate::manifest::schema(),
            Self::PlanFile => {
                let generator: SchemaGenerator = SchemaSettings::draft2020_12().into();
                return generator.into_root_schema_for::<PlanFile>().to_value();
            }
            Self::Error => {}
            Self::VmSync => lines.outcome::<SyncOutcome>(),
            Self::VmCapture => lines.outcome::<CaptureOutcome>(),
            Self::VmStatus => lines.outcome::<VmStatusOutcome>(),
            Self::VmPower => lines.outcome::<PowerOutcomes>(),
            Self::VmFetch => lines.outcome::<FetchOutcome>(),
            Self::Sync => lines.outcome::<WholeOutcome>(),
            Self::Status => lines.outcome::<StatusOutcome>(),
            Self::Drift => lines.outcome::<DriftOutcome>(),
        }
        lines.keyed::<Failure>("error");
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
        self.keyed::<T>("outcome");
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
        value.insert("$defs".to_owned(), Value::Object(self.generator.take_definitions(true)));
        Value::Object(value)
    }
}

/// A failure.
#[derive(JsonSchema)]
#[schemars(rename = "Error")]
#[expect(dead_code, reason = "only its schema is used; that it fits is tested")]
struct Failure {
    /// Its kind; decides the exit code.
    #[schemars(extend("enum" = ["internal", "usage", "config", "preflight", "image", "conflict", "launch",
        "timeout", "io", "bootstrap"]))]
    kind: String,
    /// What failed.
    message: String,
    /// Why, the nearest cause first.
    causes: Vec<String>,
    /// What next.
    hints: Vec<String>,
    /// The faults of a manifest; missing where there are none.
    #[serde(skip_serializing_if = "Option::is_none")]
    faults: Option<Vec<Fault>>,
    /// The failures of single VMs or subsystems; missing where there are none.
    #[serde(skip_serializing_if = "Option::is_none")]
    failures: Option<Vec<VmFailure>>,
}

/// A fault of a manifest.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "only its schema is used; that it fits is tested")]
struct Fault {
    /// The rule that is broken, see docs/vms-manifest.md.
    code: String,
    /// The file.
    file: String,
    /// The line, from 1.
    line: Option<u64>,
    /// The column in characters, from 1.
    column: Option<u64>,
    /// What is wrong.
    message: String,
    /// What else belongs to it.
    label: String,
    /// What to write instead.
    help: Option<String>,
}

/// The failure of one VM or subsystem among several.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "only its schema is used; that it fits is tested")]
struct VmFailure {
    /// The VM or the subsystem.
    vm: String,
    /// Its failure.
    error: Failure,
}
