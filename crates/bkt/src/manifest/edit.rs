//! Changes values in the text of a manifest, and nothing else in it.
//!
//! Order, formatting, and keys that are comments stay byte for byte: a value is replaced where it stands,
//! a key is put behind the one it follows in the reference, in the layout of its neighbours. Nothing is
//! removed. What comes out has been read as a manifest. Pure. Tests: below.

use std::collections::BTreeMap;
use std::path::Path;

use jsonc_parser::ParseOptions;
use jsonc_parser::ast::{Object, ObjectProp, Value as Node};
use jsonc_parser::common::Ranged;
use serde_json::{Value, json};

use super::Fault;
use super::definition::VmManifest;
use super::error::ManifestError;
use super::name::DomainName;
use super::read::{Environment, parse};
use super::walk::key_of;
use crate::vm::{Field, Values};

/// The keys of a VM in the order of the reference: where a new one goes.
pub(super) const KEYS: [&str; 18] = [
    "title",
    "memory_gb",
    "memory_mb",
    "vcpus",
    "cpu_model",
    "disk_path",
    "disk_size_gb",
    "disk_bus",
    "create_if_missing",
    "boot",
    "secure_boot",
    "tpm",
    "network",
    "mac",
    "graphics",
    "iso_sources",
    "autostart",
    "unmanaged_fields",
];

/// Changes that are to be made to a manifest.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Edits {
    set: BTreeMap<DomainName, Values>,
    add: BTreeMap<DomainName, Values>,
}

impl Edits {
    /// Sets a field of a VM that the manifest has. Values are in the words of the manifest: memory in MiB;
    /// media as paths, or as `{"path": …}` and `{"url": …}`.
    pub fn set(&mut self, vm: &DomainName, field: Field, value: Value) {
        self.set.entry(vm.clone()).or_default().insert(field, value);
    }

    /// Adds a VM that the manifest does not have.
    pub fn add(&mut self, vm: &DomainName, values: Values) {
        self.add.insert(vm.clone(), values);
    }

    /// Whether nothing is to be changed.
    pub fn is_empty(&self) -> bool {
        self.set.is_empty() && self.add.is_empty()
    }

    /// Makes the changes in the text of a manifest; `home` is what `~` means in it.
    ///
    /// # Errors
    /// [`ManifestError::Unsayable`] where what comes out would be no manifest: a VM lacks a field, or
    /// fields contradict each other; [`ManifestError::Faulty`] where the text is none to begin with.
    pub fn apply(&self, text: &str, env: Environment<'_>) -> Result<(String, VmManifest), ManifestError> {
        let faulty = |faults: Vec<Fault>| ManifestError::Faulty {
            path: env.file.to_owned(),
            text: text.to_owned(),
            faults,
        };
        parse(text, env).map_err(faulty)?;
        let tree = jsonc_parser::parse_to_ast(text, &Default::default(), &ParseOptions::default());
        // A text that was read above is parsed once more, and is not refused then.
        let root = tree.ok().and_then(|tree| tree.value).and_then(|root| match root {
            Node::Object(object) => Some(object),
            _ => None,
        });
        let vms = root.as_ref().and_then(|root| property(root, "vms")).and_then(|vms| vms.value.as_object());
        let mut splices = Splices { text, list: Vec::new() };
        if let Some(vms) = vms {
            self.splice(vms, env.home, &mut splices);
        }
        let edited = splices.apply();
        match parse(&edited, env) {
            Ok(manifest) => Ok((edited, manifest)),
            Err(mut faults) => Err(ManifestError::Unsayable { fault: Box::new(faults.swap_remove(0)) }),
        }
    }

    fn splice(&self, vms: &Object<'_>, home: Option<&Path>, splices: &mut Splices<'_>) {
        for (name, values) in &self.set {
            let Some(vm) = property(vms, name.as_str()).and_then(|vm| vm.value.as_object()) else { continue };
            let mut new = Vec::new();
            for (field, value) in values {
                let (key, value) = written(*field, value, vm, home);
                match place(vm, *field) {
                    Some(old) => {
                        if key_of(old) != key {
                            splices.replace(old.name.range(), json!(key).to_string());
                        }
                        let text = match splices.layout(vm) {
                            Some(indent) => pretty(&value, &indent, splices.unit(vms), splices.newline()),
                            None => in_a_line(&value),
                        };
                        splices.replace(old.value.range(), text);
                    }
                    None => new.push((key.to_owned(), Body::Value(value))),
                }
            }
            splices.insert(vm, new, Order::Reference, vms);
        }
        let empty = Object { range: vms.range, properties: Vec::new() };
        let is_new = |name: &DomainName| property(vms, name.as_str()).is_none();
        let vm = |(name, values): (&DomainName, &Values)| {
            let keys = values.iter().map(|(field, value)| written(*field, value, &empty, home));
            let mut keys: Vec<_> = keys.map(|(key, value)| (key.to_owned(), value)).collect();
            keys.sort_by_key(|(key, _)| rank(key));
            (name.to_string(), Body::Members(keys))
        };
        let new = self.add.iter().filter(|(name, _)| is_new(name)).map(vm).collect();
        splices.insert(vms, new, Order::AtTheEnd, vms);
    }
}

/// The property of that key.
fn property<'o, 't>(object: &'o Object<'t>, key: &str) -> Option<&'o ObjectProp<'t>> {
    object.properties.iter().find(|property| key_of(property) == key)
}

/// The property that says the field.
fn place<'o, 't>(vm: &'o Object<'t>, field: Field) -> Option<&'o ObjectProp<'t>> {
    match field {
        Field::Memory => property(vm, "memory_gb").or_else(|| property(vm, "memory_mb")),
        other => property(vm, other.as_str()),
    }
}

/// The place of a key among those of a VM.
fn rank(key: &str) -> usize {
    KEYS.iter().position(|known| *known == key).unwrap_or(KEYS.len())
}

/// The key and the value with which a manifest says a field.
fn written(field: Field, value: &Value, vm: &Object<'_>, home: Option<&Path>) -> (&'static str, Value) {
    match field {
        Field::Memory => match value.as_u64() {
            Some(mib) if mib % 1024 == 0 && property(vm, "memory_mb").is_none() => {
                ("memory_gb", json!(mib / 1024))
            }
            _ => ("memory_mb", value.clone()),
        },
        Field::IsoSources => {
            let source = |value: &Value| match value.as_str() {
                Some(path) => json!({ "path": super::path::collapse(Path::new(path), home) }),
                None => value.clone(),
            };
            (field.as_str(), value.as_array().into_iter().flatten().map(source).collect())
        }
        other => (other.as_str(), value.clone()),
    }
}

/// What a new key holds.
enum Body {
    Value(Value),
    /// An object whose keys stay in this order.
    Members(Vec<(String, Value)>),
}

impl Body {
    /// On lines of its own where it is large.
    fn pretty(&self, indent: &str, unit: &str, newline: &str) -> String {
        match self {
            Self::Value(value) => pretty(value, indent, unit, newline),
            Self::Members(members) => {
                let inner = format!("{indent}{unit}");
                let member = |(key, value): &(String, Value)| {
                    format!("{}: {}", json!(key), pretty(value, &inner, unit, newline))
                };
                lines(members.iter().map(member), ['{', '}'], indent, unit, newline)
            }
        }
    }

    fn in_a_line(&self) -> String {
        match self {
            Self::Value(value) => in_a_line(value),
            Self::Members(members) => object_in_a_line(members.iter().map(|(key, value)| (key, value))),
        }
    }
}

/// Items one below the other.
fn lines(
    items: impl Iterator<Item = String>,
    [open, close]: [char; 2],
    indent: &str,
    unit: &str,
    newline: &str,
) -> String {
    let items: Vec<String> = items.map(|item| format!("{newline}{indent}{unit}{item}")).collect();
    format!("{open}{}{newline}{indent}{close}", items.join(","))
}

/// A value as people write it: lists of objects one below the other, everything else in a line.
fn pretty(value: &Value, indent: &str, unit: &str, newline: &str) -> String {
    match value {
        Value::Array(items) if items.iter().any(Value::is_object) => {
            lines(items.iter().map(in_a_line), ['[', ']'], indent, unit, newline)
        }
        other => in_a_line(other),
    }
}

fn in_a_line(value: &Value) -> String {
    match value {
        Value::Object(members) => object_in_a_line(members.iter()),
        Value::Array(items) => format!("[{}]", items.iter().map(in_a_line).collect::<Vec<_>>().join(", ")),
        other => other.to_string(),
    }
}

fn object_in_a_line<'v>(members: impl Iterator<Item = (&'v String, &'v Value)>) -> String {
    let members: Vec<_> =
        members.map(|(key, value)| format!("{}: {}", json!(key), in_a_line(value))).collect();
    if members.is_empty() { "{}".to_owned() } else { format!("{{ {} }}", members.join(", ")) }
}

/// Replacements of ranges of a text, collected first and made together.
struct Splices<'t> {
    text: &'t str,
    list: Vec<(usize, usize, String)>,
}

/// Where new members go.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Order {
    /// Behind all others.
    AtTheEnd,
    /// As in [`KEYS`].
    Reference,
}

impl Splices<'_> {
    fn replace(&mut self, range: jsonc_parser::common::Range, with: String) {
        self.list.push((range.start, range.end, with));
    }

    /// How lines end in this text.
    fn newline(&self) -> &'static str {
        if self.text.contains("\r\n") { "\r\n" } else { "\n" }
    }

    /// The blanks between the beginning of a line and `at`; none where something else is there too.
    fn indent_of(&self, at: usize) -> Option<&str> {
        let line = self.text[..at].rfind('\n').map_or(0, |newline| newline + 1);
        let before = &self.text[line..at];
        before.bytes().all(|byte| matches!(byte, b' ' | b'\t')).then_some(before)
    }

    /// The blanks at the beginning of the line that `at` is in.
    fn line_indent(&self, at: usize) -> &str {
        let line = self.text[..at].rfind('\n').map_or(0, |newline| newline + 1);
        let rest = &self.text[line..at];
        &rest[..rest.len() - rest.trim_start_matches([' ', '\t']).len()]
    }

    /// What stands before each member of an object whose members have lines of their own.
    fn layout(&self, object: &Object<'_>) -> Option<String> {
        let last = object.properties.last()?;
        self.indent_of(last.range.start).map(str::to_owned)
    }

    /// What one level is indented by: the difference between the map of VMs and its members.
    fn unit(&self, vms: &Object<'_>) -> &str {
        let outer = self.line_indent(vms.range.start);
        let inner = vms.properties.first().and_then(|vm| self.indent_of(vm.range.start));
        match inner.and_then(|inner| inner.strip_prefix(outer)) {
            Some(unit) if !unit.is_empty() => unit,
            _ if !outer.is_empty() => outer,
            _ => "  ",
        }
    }

    /// Puts new members into an object: each behind the one it follows in `order`, or all at the end.
    fn insert(&mut self, object: &Object<'_>, mut new: Vec<(String, Body)>, order: Order, vms: &Object<'_>) {
        if new.is_empty() {
            return;
        }
        let (unit, newline) = (self.unit(vms).to_owned(), self.newline());
        let outer = self.line_indent(object.range.start).to_owned();
        let layout = self.layout(object);
        let is_flat = layout.is_none() && !object.properties.is_empty();
        let indent = layout.unwrap_or_else(|| format!("{outer}{unit}"));
        let text = |(key, body): &(String, Body)| match is_flat {
            true => format!("{}: {}", json!(key), body.in_a_line()),
            false => format!("{}: {}", json!(key), body.pretty(&indent, &unit, newline)),
        };
        let (Some(first), Some(last)) = (object.properties.first(), object.properties.last()) else {
            let all = lines(new.iter().map(text), ['{', '}'], &outer, &unit, newline);
            self.list.push((object.range.start, object.range.end, all));
            return;
        };
        let separator = if is_flat { ", ".to_owned() } else { format!(",{newline}{indent}") };
        if order == Order::Reference {
            new.sort_by_key(|(key, _)| rank(key));
        }
        for member in &new {
            let follows = |property: &&ObjectProp<'_>| rank(key_of(property)) < rank(&member.0);
            let anchor = match order {
                Order::AtTheEnd => Some(last),
                Order::Reference => object.properties.iter().rev().find(follows),
            };
            match anchor.map(|anchor| anchor.range.end) {
                Some(at) => self.list.push((at, at, format!("{separator}{}", text(member)))),
                None => self.list.push((
                    first.range.start,
                    first.range.start,
                    format!("{}{separator}", text(member)),
                )),
            }
        }
    }

    fn apply(mut self) -> String {
        // Insertions at one place stay in the order they were made in.
        self.list.sort_by_key(|(start, end, _)| (*start, *end));
        let mut edited = String::with_capacity(self.text.len());
        let mut at = 0;
        for (start, end, with) in &self.list {
            edited.push_str(&self.text[at..*start]);
            edited.push_str(with);
            at = *end;
        }
        edited + &self.text[at..]
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ENV: fn() -> Environment<'static> =
        || Environment { file: "vms.json".as_ref(), home: Some("/home/me".as_ref()) };

    const KEPT: &str = r#"{
    "$schema": "vms.schema.json",
    "vms": {
        "_web": { "x-owner": "me", "graphics": "none", "network":"default", "boot": "bios",
                 "disk_size_gb": 10, "disk_path": "/d/a.qcow2", "vcpus": 1, "memory_gb": 1 },
        "win11": {
            "//": "the desk's own",
            "memory_gb": 8,   "vcpus": 4,
            "disk_path": "\u002fd/win11.qcow2",
            "disk_size_gb": 80,
            "boot": "uefi",
            "network": "default",
            "graphics": "spice",
            "iso_sources": [ {"path": "~/a.iso"} ]
        }
    }
}
"#;

    fn name(text: &str) -> DomainName {
        text.parse().unwrap()
    }

    fn edited(text: &str, change: impl FnOnce(&mut Edits)) -> String {
        let mut edits = Edits::default();
        change(&mut edits);
        edits.apply(text, ENV()).unwrap().0
    }

    fn values() -> Values {
        Values::from([
            (Field::Memory, json!(1536)),
            (Field::Vcpus, json!(2)),
            (Field::DiskPath, json!("/d/new.qcow2")),
            (Field::DiskSizeGb, json!(20)),
            (Field::Boot, json!("uefi")),
            (Field::Network, json!("bridge:br0")),
            (Field::Graphics, json!("none")),
            (Field::IsoSources, json!(["/home/me/b.iso", { "url": "https://h/c.iso" }])),
        ])
    }

    #[test]
    fn a_value_is_replaced_where_it_stands_and_a_new_key_goes_where_it_belongs() {
        let after = edited(KEPT, |edits| {
            edits.set(&name("win11"), Field::Vcpus, json!(6));
            edits.set(&name("win11"), Field::SecureBoot, json!(true));
            edits.set(&name("win11"), Field::Title, json!("Windows \"11\""));
            edits.set(
                &name("win11"),
                Field::IsoSources,
                json!(["/home/me/b.iso", { "url": "https://h/c.iso" }]),
            );
            edits.set(&name("win11"), Field::Memory, json!(8704));
            edits.set(&name("_web"), Field::Autostart, json!(true));
            edits.add(&name("new"), values());
        });
        insta::assert_snapshot!(after);
    }

    #[test]
    fn an_empty_manifest_takes_its_first_vms() {
        for text in ["{\n  \"vms\": {}\n}\n", "{\"vms\":{ }}"] {
            let after = edited(text, |edits| {
                edits.add(
                    &name("b"),
                    Values::from([(Field::DiskPath, json!("/d/b.qcow2"))])
                        .into_iter()
                        .chain(values().into_iter().filter(|(field, _)| *field != Field::DiskPath))
                        .collect(),
                );
                edits.add(&name("a \"b\""), values());
            });
            let manifest = parse(&after, ENV()).unwrap();
            assert_eq!(manifest.vms.len(), 2, "{after}");
        }
    }

    #[test]
    fn lines_end_as_they_did() {
        let text = KEPT.replace('\n', "\r\n");
        let after = edited(&text, |edits| edits.add(&name("new"), values()));
        assert_eq!(after.matches('\n').count(), after.matches("\r\n").count());
    }

    #[test]
    fn what_would_be_no_manifest_is_refused() {
        let mut edits = Edits::default();
        edits.set(&name("_web"), Field::SecureBoot, json!(true));
        assert!(matches!(edits.apply(KEPT, ENV()), Err(ManifestError::Unsayable { .. })));
        let mut edits = Edits::default();
        edits.add(&name("half"), Values::from([(Field::Vcpus, json!(1))]));
        assert!(matches!(edits.apply(KEPT, ENV()), Err(ManifestError::Unsayable { .. })));
        assert!(matches!(edits.apply("{", ENV()), Err(ManifestError::Faulty { .. })));
    }

    #[test]
    fn memory_keeps_the_unit_it_is_written_in_where_it_can() {
        let text = KEPT.replace("\"memory_gb\": 8", "\"memory_mb\": 8192");
        for (text, mib, expected) in [
            (KEPT, 4096, "\"memory_gb\": 4,"),
            (KEPT, 4097, "\"memory_mb\": 4097,"),
            (&text, 4096, "\"memory_mb\": 4096,"),
        ] {
            let after = edited(text, |edits| edits.set(&name("win11"), Field::Memory, json!(mib)));
            assert!(after.contains(expected), "{after}");
        }
    }

    proptest! {
        /// Whatever is set is what is read, and every other byte is as it was.
        #[test]
        // Another number than any in the file, so that it can be found again.
        fn only_what_is_set_changes(vcpus in 5u32..4096, title in "[ -~é日]{1,20}", graphics in 0usize..3) {
            let title = format!("x{title}x");
            let graphics = ["spice", "vnc", "none"][graphics];
            let mut edits = Edits::default();
            edits.set(&name("win11"), Field::Vcpus, json!(vcpus));
            edits.set(&name("win11"), Field::Title, json!(title));
            edits.set(&name("win11"), Field::Graphics, json!(graphics));
            let (after, manifest) = edits.apply(KEPT, ENV()).unwrap();
            let vm = &manifest.vms["win11"];
            prop_assert_eq!(vm.vcpus.get(), vcpus);
            prop_assert_eq!(vm.title.clone(), Some(Some(title.clone())));
            prop_assert_eq!(vm.graphics.as_str(), graphics);
            let back = after
                .replace(&format!("\"vcpus\": {vcpus}"), "\"vcpus\": 4")
                .replacen(&format!("\"title\": {},\n            ", json!(title)), "", 1);
            let back = match back.rfind(&format!("\"graphics\": \"{graphics}\"")) {
                Some(at) => back[..at].to_owned() + &back[at..].replacen(graphics, "spice", 1),
                None => back,
            };
            prop_assert_eq!(back, KEPT);
        }
    }

    #[test]
    fn setting_what_is_there_changes_nothing() {
        let same = edited(KEPT, |edits| edits.set(&name("win11"), Field::Vcpus, json!(4)));
        assert_eq!(same, KEPT);
    }
}
