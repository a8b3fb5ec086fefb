//! Text to a tree of TOML values that know where they stand, and the faults of its syntax.
//!
//! The parser goes on after a fault, so several show at once; one fault makes others in its wake,
//! so each line tells its first one only. Nesting is bounded by the parser (80 levels). Tests: in
//! `tests/config/faults.rs`.

use plasmavmc_source::{At, SourceMap, Span};
use toml::Spanned;
use toml::de::{DeTable, Error};

use super::Faults;
use super::rule::Rule;

/// What the TOML parser calls a key that stands twice.
const DUPLICATE_KEY: &str = "duplicate key";

/// How the TOML parser begins its message about a value that is not one.
const NOT_A_VALUE: &str = "string values must be quoted";

/// Parses the text; what cannot be read is noted and left out of the tree.
pub(super) fn parse<'t>(map: &SourceMap<'t>, faults: &mut Faults<'_>) -> Spanned<DeTable<'t>> {
    let (tree, errors) = DeTable::parse_recoverable(map.text());
    // A line that is broken otherwise too only seems to hold a key twice.
    let order =
        |(span, error): &(Span, &Error)| (map.line(span.start), error.message() == DUPLICATE_KEY, span.start);
    let mut found: Vec<(Span, &Error)> =
        errors.iter().map(|error| (error.span().unwrap_or_default().into(), error)).collect();
    found.sort_by_key(order);
    found.dedup_by_key(|(span, _)| map.line(span.start));
    for (span, error) in found {
        faults.push(&At::of(span), &rule(map.text(), span, error));
    }
    tree
}

/// The rule behind a message of the parser.
fn rule(text: &str, span: Span, error: &Error) -> Rule {
    let found = text.get(span.start..span.end).unwrap_or_default();
    match error.message() {
        DUPLICATE_KEY => Rule::DuplicateKey { key: found.to_owned() },
        message if message.starts_with(NOT_A_VALUE) && found.trim().is_empty() => Rule::NoValue,
        message if message.starts_with(NOT_A_VALUE) => Rule::Unquoted { text: found.to_owned() },
        message => Rule::Syntax { detail: message.to_owned() },
    }
}
