//! Reads typed values out of an object: what is missing gives nothing, what has the wrong type is a
//! fault, and a key nobody asked for is one too.
//!
//! The keys an object knows are the ones that were asked for, so the list cannot drift from the code.
//! Keys that are comments are let through. Tests: in `tests/manifest`.

use std::collections::HashMap;
use std::num::NonZeroU64;
use std::ops::RangeInclusive;

use jsonc_parser::ast::{Object, ObjectProp, ObjectPropName, Value};
use jsonc_parser::common::Ranged;
use plasmavmc_source::{At, Span};

use super::Faults;
use super::rule::Rule;

/// Whether a key is a comment: what it holds is neither read nor lost.
///
/// JSON has no comments, so people write them as keys. These are the forms that are known.
pub(super) fn is_comment_key(key: &str) -> bool {
    matches!(key, "$comment" | "_comment") || key.starts_with("//") || key.starts_with("x-")
}

/// The key of a property as text.
pub(super) fn key_of<'v>(property: &'v ObjectProp<'_>) -> &'v str {
    match &property.name {
        ObjectPropName::String(name) => &name.value,
        ObjectPropName::Word(name) => name.value,
    }
}

/// An object being read.
pub(super) struct ObjectReader<'v> {
    object: &'v Object<'v>,
    at: At,
    title: &'static str,
    known: Vec<&'static str>,
    missing: Vec<Missing>,
}

/// A key that should be there: as a message names it, and an example.
pub(super) type Missing = (&'static str, &'static str);

/// A value and its place.
#[derive(Clone)]
pub(super) struct Node<'v> {
    value: &'v Value<'v>,
    pub(super) at: At,
}

impl<'v> Node<'v> {
    /// The root of a tree.
    pub(super) fn root(value: &'v Value<'v>) -> Self {
        Self { value, at: At::of(span_of(value)) }
    }
}

impl<'v> ObjectReader<'v> {
    /// Where faults of the object as a whole are shown: its key, or its first brace.
    pub(super) const fn at(&self) -> &At {
        &self.at
    }

    /// The value of `key`, which is known from now on.
    pub(super) fn take(&mut self, key: &'static str) -> Option<Node<'v>> {
        self.known.push(key);
        let property = self.object.properties.iter().find(|property| key_of(property) == key)?;
        let at = self.at.below(key, span_of(&property.value));
        Some(Node { value: &property.value, at })
    }

    /// The value of `key`, which should be there.
    pub(super) fn need(
        &mut self,
        key: &'static str,
        name: &'static str,
        example: &'static str,
    ) -> Option<Node<'v>> {
        let node = self.take(key);
        if node.is_none() {
            self.misses(name, example);
        }
        node
    }

    /// Notes that something should be there and is not; told with everything else that is missing.
    pub(super) fn misses(&mut self, name: &'static str, example: &'static str) {
        self.missing.push((name, example));
    }

    /// Every value with its key and the place of the key, where keys are names that a person chose.
    pub(super) fn entries(&self) -> impl Iterator<Item = (&'v str, At, Node<'v>)> {
        self.object.properties.iter().map(|property| {
            let name = key_of(property);
            let at = self.at.below(name, span_of(&property.value));
            (name, self.at.below(name, span_of(&property.name)), Node { value: &property.value, at })
        })
    }

    /// Notes every key nobody asked for and that is no comment.
    pub(super) fn finish(self, faults: &mut Faults<'_>) {
        self.refuse(faults, |key| !is_comment_key(key));
    }

    /// Notes every key nobody asked for.
    pub(super) fn finish_strictly(self, faults: &mut Faults<'_>) {
        self.refuse(faults, |_| true);
    }

    fn refuse(self, faults: &mut Faults<'_>, is_refused: impl Fn(&str) -> bool) {
        if !self.missing.is_empty() {
            faults.push(&self.at, &Rule::MissingKeys { object: self.title, missing: self.missing });
        }
        for property in &self.object.properties {
            let key = key_of(property);
            if self.known.contains(&key) || !is_refused(key) {
                continue;
            }
            let at = self.at.below(key, span_of(&property.name));
            let rule =
                Rule::UnknownKey { object: self.title, key: key.to_owned(), known: self.known.clone() };
            faults.push(&at, &rule);
        }
    }
}

/// Where a word or a value stands.
pub(super) fn span_of(it: &impl Ranged) -> Span {
    (it.start()..it.end()).into()
}

/// Notes every key that stands twice.
fn check_twice(object: &Object<'_>, parent: &At, faults: &mut Faults<'_>) {
    let mut seen: HashMap<&str, Span> = HashMap::new();
    for property in &object.properties {
        let key = key_of(property);
        let span = span_of(&property.name);
        match seen.get(key) {
            Some(first) => {
                let (at, first) = (parent.below(key, span), At::of(*first));
                let rule = Rule::DuplicateKey { key: key.to_owned() };
                faults.push_related(&at, &rule, Some((&first, "it is here already")));
            }
            None => drop(seen.insert(key, span)),
        }
    }
}

impl<'v> Node<'v> {
    /// An object, which messages call `title`; its faults are shown at `name`, where it has one.
    pub(super) fn object(
        &self,
        title: &'static str,
        name: Option<&At>,
        example: &str,
        faults: &mut Faults<'_>,
    ) -> Option<ObjectReader<'v>> {
        let Value::Object(object) = self.value else {
            return self.wrong_type("an object", example, faults);
        };
        check_twice(object, &self.at, faults);
        let brace =
            At { key: self.at.key.clone(), span: (object.range.start..object.range.start + 1).into() };
        let at = name.cloned().unwrap_or(brace);
        Some(ObjectReader { object, at, title, known: Vec::new(), missing: Vec::new() })
    }

    /// The elements of a list.
    pub(super) fn list(&self, example: &str, faults: &mut Faults<'_>) -> Option<Vec<Self>> {
        let Value::Array(array) = self.value else {
            return self.wrong_type("a list", example, faults);
        };
        let element = |(index, value): (usize, &'v Value<'v>)| Self {
            value,
            at: self.at.element(index, span_of(value)),
        };
        Some(array.elements.iter().enumerate().map(element).collect())
    }

    /// A text.
    pub(super) fn text(&self, example: &str, faults: &mut Faults<'_>) -> Option<&'v str> {
        match self.value {
            Value::StringLit(text) => Some(&text.value),
            _ => self.wrong_type("a text", example, faults),
        }
    }

    /// A text, or none for `null`.
    pub(super) fn text_or_null(&self, example: &str, faults: &mut Faults<'_>) -> Option<Option<&'v str>> {
        match self.value {
            Value::NullKeyword(_) => Some(None),
            Value::StringLit(text) => Some(Some(&text.value)),
            _ => self.wrong_type("a text or `null`", example, faults),
        }
    }

    /// `true` or `false`.
    pub(super) fn boolean(&self, faults: &mut Faults<'_>) -> Option<bool> {
        match self.value {
            Value::BooleanLit(boolean) => Some(boolean.value),
            _ => self.wrong_type("`true` or `false`", &format!("\"{}\": true", self.at.last_key()), faults),
        }
    }

    /// A whole number in the range, which begins at 1 or above.
    pub(super) fn integer(
        &self,
        range: &RangeInclusive<u64>,
        example: u64,
        faults: &mut Faults<'_>,
    ) -> Option<NonZeroU64> {
        let key = self.at.last_key();
        let Value::NumberLit(number) = self.value else {
            return self.wrong_type("a whole number", &format!("\"{key}\": {example}"), faults);
        };
        let parsed = number.value.parse::<u64>().ok().filter(|number| range.contains(number));
        if parsed.is_none() {
            let rule = Rule::OutOfRange {
                min: *range.start(),
                max: *range.end(),
                instead: whole(&key, number.value, range),
                found: number.value.to_owned(),
                key,
            };
            faults.push(&self.at, &rule);
        }
        parsed.and_then(NonZeroU64::new)
    }

    /// One of a few words, each with its meaning.
    pub(super) fn choice<T: Copy>(
        &self,
        words: &'static [(&'static str, T)],
        faults: &mut Faults<'_>,
    ) -> Option<T> {
        let example =
            format!("\"{}\": \"{}\"", self.at.last_key(), words.first().map_or("", |(word, _)| word));
        let text = self.text(&example, faults)?;
        let found = words.iter().find(|(word, _)| *word == text).map(|(_, meaning)| *meaning);
        if found.is_none() {
            let allowed = words.iter().map(|(word, _)| *word).collect();
            faults.push(
                &self.at,
                &Rule::NotAChoice { key: self.at.last_key(), allowed, found: text.to_owned() },
            );
        }
        found
    }

    /// Notes that the value should have been something else.
    fn wrong_type<T>(&self, expected: &'static str, example: &str, faults: &mut Faults<'_>) -> Option<T> {
        let found = match self.value {
            Value::StringLit(text) => format!("the text \"{}\"", text.value),
            Value::NumberLit(number) => format!("the number {}", number.value),
            Value::BooleanLit(boolean) => format!("`{}`", boolean.value),
            Value::NullKeyword(_) => "`null`".to_owned(),
            Value::Array(_) => "a list".to_owned(),
            Value::Object(_) => "an object".to_owned(),
        };
        let subject = match self.at.last_key() {
            key if key.is_empty() => "a manifest".to_owned(),
            key => format!("`{key}`"),
        };
        faults.push(&self.at, &Rule::WrongType { subject, expected, found, example: example.to_owned() });
        None
    }
}

/// What to write for a number that is written in another way, or in GiB and not whole.
fn whole(key: &str, written: &str, range: &RangeInclusive<u64>) -> Option<String> {
    let value: f64 = written.parse().ok()?;
    let exact = |value: f64| {
        let fits = value.fract() == 0.0 && value >= 1.0 && value <= *range.end() as f64;
        // Whole and in a range far below 2^53: the conversion loses nothing.
        fits.then_some(value as u64)
    };
    if written.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    match exact(value) {
        Some(number) => Some(number.to_string()),
        None if key == "memory_gb" => exact(value * 1024.0).map(|mib| format!("\"memory_mb\": {mib}")),
        None => None,
    }
}
