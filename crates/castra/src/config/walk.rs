//! Reads typed values out of a table: what is missing gives nothing, what has the wrong type is a
//! fault, and a key nobody asked for is one too.
//!
//! The keys a table knows are the ones that were asked for, so the list cannot drift from the code.
//! Tests: in `tests/config/faults.rs`.

use std::ops::RangeInclusive;

use plasmavmc_source::At;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::Faults;
use super::rule::Rule;

/// A table being read.
pub(super) struct TableReader<'t> {
    table: &'t DeTable<'t>,
    at: At,
    title: &'static str,
    known: Vec<&'static str>,
}

/// A value and its place.
#[derive(Clone)]
pub(super) struct Node<'t> {
    value: &'t DeValue<'t>,
    pub(super) at: At,
}

/// A value that was read, and its place.
#[derive(Debug, Clone)]
pub(super) struct Located<T> {
    pub(super) value: T,
    pub(super) at: At,
}

impl<T> Located<T> {
    pub(super) fn new(value: T, at: &At) -> Self {
        Self { value, at: at.clone() }
    }
}

impl<'t> TableReader<'t> {
    /// Reads `table`, which messages call `title`.
    pub(super) fn new(table: &'t DeTable<'t>, at: At, title: &'static str) -> Self {
        Self { table, at, title, known: Vec::new() }
    }

    /// Where the table stands.
    pub(super) fn at(&self) -> &At {
        &self.at
    }

    /// The value of `key`, which is known from now on.
    pub(super) fn take(&mut self, key: &'static str) -> Option<Node<'t>> {
        self.known.push(key);
        let value = self.table.get(key)?;
        Some(Node { value: value.get_ref(), at: self.at.below(key, value.span()) })
    }

    /// Every value with its key, where keys are names that a person chose.
    pub(super) fn entries(&self) -> impl Iterator<Item = (&'t str, At, Node<'t>)> {
        self.table.iter().map(|(key, value)| {
            let name: &'t str = key.get_ref();
            let at = self.at.below(name, key.span());
            (name, at.clone(), Node { value: value.get_ref(), at: self.at.below(name, value.span()) })
        })
    }

    /// Notes a key that should be there and is not.
    pub(super) fn missing(&self, key: &'static str, example: &'static str, faults: &mut Faults<'_>) {
        if !self.table.contains_key(key) {
            faults.push(&self.at, &Rule::MissingKey { table: self.title, key, example });
        }
    }

    /// Notes every key that nobody asked for.
    pub(super) fn finish(self, faults: &mut Faults<'_>) {
        for key in self.table.keys() {
            let name: &str = key.get_ref();
            if !self.known.contains(&name) {
                let rule =
                    Rule::UnknownKey { table: self.title, key: name.to_owned(), known: self.known.clone() };
                faults.push(&self.at.below(name, key.span()), &rule);
            }
        }
    }
}

impl<'t> Node<'t> {
    /// A text.
    pub(super) fn text(&self, example: &'static str, faults: &mut Faults<'_>) -> Option<&'t str> {
        match self.value {
            DeValue::String(text) => Some(text),
            _ => self.wrong_type("a text", example, faults),
        }
    }

    /// A whole number within a range.
    pub(super) fn integer(
        &self,
        range: &RangeInclusive<u32>,
        example: &'static str,
        faults: &mut Faults<'_>,
    ) -> Option<u32> {
        let (number, found) = self.any_integer(example, faults)?;
        if number.is_some_and(|number| range.contains(&number)) {
            return number;
        }
        let rule =
            Rule::OutOfRange { key: self.at.last_key(), min: *range.start(), max: *range.end(), found };
        faults.push(&self.at, &rule);
        None
    }

    /// A whole number, none where it is negative or large, and how it is written.
    pub(super) fn any_integer(
        &self,
        example: &'static str,
        faults: &mut Faults<'_>,
    ) -> Option<(Option<u32>, String)> {
        match self.value {
            DeValue::Integer(integer) => {
                let number = u32::from_str_radix(integer.as_str(), integer.radix()).ok();
                Some((number, integer.to_string()))
            }
            _ => self.wrong_type("a whole number", example, faults),
        }
    }

    /// `true` or `false`.
    pub(super) fn boolean(&self, example: &'static str, faults: &mut Faults<'_>) -> Option<bool> {
        match self.value {
            DeValue::Boolean(boolean) => Some(*boolean),
            _ => self.wrong_type("`true` or `false`", example, faults),
        }
    }

    /// One of a few words, each with its meaning.
    pub(super) fn choice<T: Copy>(
        &self,
        words: &[(&'static str, T)],
        example: &'static str,
        faults: &mut Faults<'_>,
    ) -> Option<T> {
        let text = self.text(example, faults)?;
        let found = words.iter().find(|(word, _)| *word == text).map(|(_, meaning)| *meaning);
        if found.is_none() {
            let allowed = words.iter().map(|(word, _)| *word).collect();
            let rule = Rule::NotAChoice { key: self.at.last_key(), allowed, found: text.to_owned() };
            faults.push(&self.at, &rule);
        }
        found
    }

    /// A table, which messages call `title`.
    pub(super) fn table(
        &self,
        title: &'static str,
        example: &'static str,
        faults: &mut Faults<'_>,
    ) -> Option<TableReader<'t>> {
        match self.value {
            DeValue::Table(table) => Some(TableReader::new(table, self.at.clone(), title)),
            _ => self.wrong_type("a table", example, faults),
        }
    }

    /// The elements of an array.
    pub(super) fn array(&self, example: &'static str, faults: &mut Faults<'_>) -> Option<Vec<Self>> {
        let DeValue::Array(array) = self.value else {
            return self.wrong_type("an array", example, faults);
        };
        let element = |(index, value): (usize, &'t Spanned<DeValue<'t>>)| Self {
            value: value.get_ref(),
            at: self.at.element(index, value.span()),
        };
        Some(array.iter().enumerate().map(element).collect())
    }

    /// The number that stands there, as it is written; none where something else does.
    pub(super) fn written_integer(&self) -> Option<String> {
        self.value.as_integer().map(ToString::to_string)
    }

    pub(super) fn is_table(&self) -> bool {
        self.value.is_table()
    }

    pub(super) fn is_array(&self) -> bool {
        matches!(self.value, DeValue::Array(_))
    }

    /// A text, where a list of texts would have done too.
    pub(super) fn text_or_list(&self, example: &'static str, faults: &mut Faults<'_>) -> Option<&'t str> {
        match self.value {
            DeValue::String(text) => Some(text),
            _ => self.wrong_type("a text or a list of texts", example, faults),
        }
    }

    /// Notes that the value should have been something else.
    pub(super) fn wrong_type<T>(
        &self,
        expected: &'static str,
        example: &'static str,
        faults: &mut Faults<'_>,
    ) -> Option<T> {
        let found = match self.value {
            DeValue::String(text) => format!("the text \"{text}\""),
            DeValue::Integer(number) => format!("the number {number}"),
            DeValue::Float(number) => format!("the fraction {number}"),
            DeValue::Boolean(boolean) => format!("`{boolean}`"),
            DeValue::Datetime(time) => format!("the time {time}"),
            DeValue::Array(_) => "an array".to_owned(),
            DeValue::Table(_) => "a table".to_owned(),
        };
        faults.push(&self.at, &Rule::WrongType { key: self.at.last_key(), expected, found, example });
        None
    }
}
