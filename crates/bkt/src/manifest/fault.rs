//! What is wrong with a manifest, as plain data: where, which rule, what was found, what to do.
//!
//! Owns: the fault and its collection. Never does: render it, or word the rules ([`super::rule`]).
//! Tests: with the rules.

use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::Serialize;

use super::code::FaultCode;
use super::limits::MAX_FAULTS;
use super::position::{Position, SourceMap, Span};
use super::rule::Rule;

/// One fault of a manifest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Fault {
    /// Which rule is broken.
    pub code: FaultCode,
    /// The file.
    pub file: PathBuf,
    /// The key, such as `vms.win11.memory_gb`; empty for the file as a whole.
    pub key: String,
    /// Where the fault begins.
    #[serde(flatten)]
    pub position: Position,
    /// The faulty text, in bytes of the file.
    pub span: Span,
    /// The rule, as a sentence without a full stop.
    pub message: String,
    /// What stands there instead, shortened.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub found: Option<String>,
    /// What to write instead.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub suggestion: Option<String>,
    /// Another place that belongs to the fault, such as the first use of a disk.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub related: Option<Related>,
}

/// Another place that belongs to a fault.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Related {
    /// What is there.
    pub label: String,
    /// Where it begins.
    #[serde(flatten)]
    pub position: Position,
    /// The text, in bytes of the file.
    pub span: Span,
}

/// A place in the file: the key and its bytes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct At {
    pub(super) key: String,
    pub(super) span: Span,
}

impl At {
    /// A place that no key leads to.
    pub(super) fn of(span: impl Into<Span>) -> Self {
        Self { key: String::new(), span: span.into() }
    }
}

/// The faults found so far.
pub(super) struct Faults<'a> {
    file: &'a Path,
    map: &'a SourceMap<'a>,
    list: Vec<Fault>,
    omitted: usize,
}

impl<'a> Faults<'a> {
    pub(super) const fn new(file: &'a Path, map: &'a SourceMap<'a>) -> Self {
        Self { file, map, list: Vec::new(), omitted: 0 }
    }

    /// Notes that the rule is broken there.
    pub(super) fn push(&mut self, at: &At, rule: &Rule) {
        self.push_related(at, rule, None);
    }

    /// Notes that the rule is broken there, together with another place.
    pub(super) fn push_related(&mut self, at: &At, rule: &Rule, related: Option<(&At, &str)>) {
        if self.list.len() >= MAX_FAULTS {
            self.omitted += 1;
            return;
        }
        self.list.push(Fault {
            code: rule.code(),
            file: self.file.to_owned(),
            key: at.key.clone(),
            position: self.map.position(at.span.start),
            span: at.span,
            message: rule.to_string(),
            found: rule.found(),
            suggestion: rule.suggestion(),
            related: related.map(|(other, label)| Related {
                label: label.to_owned(),
                position: self.map.position(other.span.start),
                span: other.span,
            }),
        });
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// The faults in the order of the file; the last one tells how many more there are.
    pub(super) fn into_sorted(mut self) -> Vec<Fault> {
        self.list.sort_by(|a, b| (a.span.start, &a.key, a.code).cmp(&(b.span.start, &b.key, b.code)));
        if self.omitted > 0 {
            let (omitted, end) = (self.omitted, self.map.text().len());
            self.list.pop();
            self.push(&At::of(end..end), &Rule::TooManyFaults { omitted: omitted + 1 });
        }
        self.list
    }
}
