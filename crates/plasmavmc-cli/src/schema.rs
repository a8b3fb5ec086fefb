//! The JSON Schemas of what a face reads and prints: a table in the face, made into schemas here.
//!
//! Made from the types themselves, so they cannot say something else. Pure. Tests: below; each face holds real
//! output against them.

use clap::builder::{PossibleValue, TypedValueParser};
use plasmavmc_term::Report;
use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, SchemaGenerator};
use serde_json::{Map, Value, json};

use crate::words::one_of;

/// Something that has a schema.
#[derive(Debug, Clone, Copy)]
pub struct Schema {
    /// Its name, by which it is asked for.
    pub name: &'static str,
    /// What it describes, in a few words.
    pub describes: &'static str,
    made: Made,
}

/// How a schema is made.
#[derive(Debug, Clone, Copy)]
enum Made {
    Whole(fn() -> Value),
    Lines(fn(&mut Lines)),
}

impl Schema {
    /// A file with a schema of its own.
    pub const fn file(name: &'static str, describes: &'static str, made: fn() -> Value) -> Self {
        Self { name, describes, made: Made::Whole(made) }
    }

    /// Lines that have one of the shapes which `shapes` adds.
    pub const fn lines(name: &'static str, describes: &'static str, shapes: fn(&mut Lines)) -> Self {
        Self { name, describes, made: Made::Lines(shapes) }
    }

    /// The schema, JSON Schema 2020-12.
    pub fn to_value(&self) -> Value {
        match self.made {
            Made::Whole(made) => made(),
            Made::Lines(shapes) => {
                let mut lines = Lines::new();
                shapes(&mut lines);
                lines.finish(self.describes)
            }
        }
    }

    /// The word on the command line that names one of `all`.
    pub fn named(all: &'static [Self]) -> impl TypedValueParser<Value = &'static Self> {
        one_of(all.iter().map(|schema| (PossibleValue::new(schema.name).help(schema.describes), schema)))
    }

    /// All of them as a table, for a page.
    pub fn table(all: &[Self]) -> String {
        let rows = all.iter().map(|schema| format!("| `{}` | {} |\n", schema.name, schema.describes));
        "| name | describes |\n| --- | --- |\n".to_owned() + &rows.collect::<String>()
    }
}

/// The schema of a file that holds a `T`.
pub fn document_of<T: JsonSchema>() -> Value {
    SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<T>().to_value()
}

/// The shapes a line may have.
#[derive(Debug)]
pub struct Lines {
    generator: SchemaGenerator,
    shapes: Vec<Value>,
}

impl Lines {
    fn new() -> Self {
        // What is printed, not what would be read.
        let settings = SchemaSettings::draft2020_12().for_serialize();
        Self { generator: settings.into_generator(), shapes: Vec::new() }
    }

    /// A line that is a `T`.
    pub fn plain<T: JsonSchema>(&mut self) {
        let shape = self.generator.subschema_for::<T>();
        self.shapes.push(shape.to_value());
    }

    /// A line that is an object of one key, whose value is a `T`.
    pub fn keyed<T: JsonSchema>(&mut self, key: &str) {
        let inner = self.generator.subschema_for::<T>().to_value();
        self.shapes.push(json!({
            "type": "object",
            "properties": { key: inner },
            "required": [key],
            "additionalProperties": false,
        }));
    }

    /// The last line of a command: its `outcome`, which is a `T`, or an `error`.
    pub fn answer<T: JsonSchema>(&mut self) {
        self.keyed::<T>("outcome");
        self.error();
    }

    /// The last line of a command that failed.
    pub fn error(&mut self) {
        self.keyed::<Report>("error");
    }

    fn finish(mut self, title: &str) -> Value {
        let mut value = Map::new();
        value.insert("$schema".to_owned(), json!("https://json-schema.org/draft/2020-12/schema"));
        value.insert("title".to_owned(), json!(title));
        value.insert("oneOf".to_owned(), Value::Array(self.shapes));
        let definitions = self.generator.take_definitions(true);
        if !definitions.is_empty() {
            value.insert("$defs".to_owned(), Value::Object(definitions));
        }
        Value::Object(value)
    }
}

#[cfg(test)]
mod tests {
    use plasmavmc_term::{SourceFault, StdoutError, Width};

    use super::*;

    const SCHEMAS: &[Schema] = &[
        Schema::file("floor", "a floor", document_of::<Floor>),
        Schema::lines("up", "lines of `lift up --json`", |lines| {
            lines.keyed::<u8>("passed");
            lines.answer::<Floor>();
        }),
        Schema::lines("error", "the last line of a command that failed", Lines::error),
    ];

    #[derive(JsonSchema)]
    #[expect(dead_code, reason = "only its schema is used")]
    struct Floor {
        number: u8,
    }

    fn holds(schema: &Schema, value: &Value) -> bool {
        jsonschema::validator_for(&schema.to_value()).unwrap().is_valid(value)
    }

    #[test]
    fn a_line_is_exactly_one_of_the_shapes() {
        let up = &SCHEMAS[1];
        let failed = json!({"error": Report::of(&StdoutError::Closed)});
        for line in [&json!({"passed": 3}), &json!({"outcome": {"number": 4}}), &failed] {
            assert!(holds(up, line), "{line}");
        }
        let both = json!({"passed": 3, "outcome": {"number": 4}});
        for line in [&json!({}), &json!({"number": 4}), &json!({"outcome": 4}), &json!({"error": {}}), &both]
        {
            assert!(!holds(up, line), "{line}");
        }
    }

    #[test]
    fn a_failure_with_all_it_can_have_is_as_its_schema_says() {
        let fault = |span| SourceFault {
            file: "lift.toml".to_owned(),
            source: "a = 1\n",
            code: "unknown-key",
            message: "unknown key `a`",
            label: String::new(),
            span,
            help: None,
        };
        let plain = Report::of(&StdoutError::Closed);
        let faulty = plain.clone().with_faults(&[fault(Some(0..1)), fault(None)], Width::Unlimited);
        let error = faulty.with_failure("web", plain);
        assert!(holds(&SCHEMAS[2], &json!({ "error": error })), "{error:?}");
    }

    #[test]
    fn a_file_is_described_by_itself() {
        assert!(holds(&SCHEMAS[0], &json!({"number": 4})));
        assert!(!holds(&SCHEMAS[0], &json!({"outcome": {"number": 4}})));
    }

    #[test]
    fn every_schema_has_a_row() {
        insta::assert_snapshot!(Schema::table(SCHEMAS), @r"
        | name | describes |
        | --- | --- |
        | `floor` | a floor |
        | `up` | lines of `lift up --json` |
        | `error` | the last line of a command that failed |
        ");
    }
}
