//! What is wrong with a file, as plain data: where, which rule, what was found, what to do.
//!
//! Owns: the fault and its collection. Never does: render it (the terminal crate draws the line with its
//! mark), or word a rule (each face's own). Tests: below; every rule in the tests of its face.

use std::fmt;
use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::Serialize;

use crate::position::{Position, SourceMap, Span};
use crate::{Code, shown};

/// The most faults of one report; what follows is counted only.
pub const MAX_FAULTS: usize = 100;

/// A rule of a format that is broken; its `Display` is the rule, as a sentence without a full stop.
pub trait Rule: fmt::Display + Sized {
    /// The stable names of the format's kinds of faults.
    type Code: Code;

    /// The rule that the file is text.
    const NOT_UTF8: Self;

    /// What the last fault of a report says where `omitted` more are not in it.
    fn too_many(omitted: usize) -> Self;

    /// The stable name of the kind of fault.
    fn code(&self) -> Self::Code;

    /// What stands there instead, shortened and without control characters.
    fn found(&self) -> Option<String>;

    /// What to write instead: a sentence with something to type, without a full stop.
    fn suggestion(&self) -> Option<String>;
}

/// One fault of a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(rename = "Fault")]
pub struct Fault<C> {
    /// Which rule is broken.
    pub code: C,
    /// The file.
    pub file: PathBuf,
    /// The key, such as `vms.win11.memory_gb` or `vms[0].memory`; empty for the file as a whole.
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
    /// Another place that belongs to the fault, such as the first use of a name.
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

/// A place in a file: the key and its bytes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct At {
    /// The key; empty where none leads there.
    pub key: String,
    /// The bytes.
    pub span: Span,
}

impl At {
    /// A place that no key leads to.
    pub fn of(span: impl Into<Span>) -> Self {
        Self { key: String::new(), span: span.into() }
    }

    /// The place of `key` inside the thing at this place.
    pub fn below(&self, key: &str, span: impl Into<Span>) -> Self {
        // Shortened: a key is a person's text, and what is below it would copy it with each of its faults.
        let key = shown(key);
        let key = if self.key.is_empty() { key } else { format!("{}.{key}", self.key) };
        Self { key, span: span.into() }
    }

    /// The place of an element of the list at this place.
    pub fn element(&self, index: usize, span: impl Into<Span>) -> Self {
        Self { key: format!("{}[{index}]", self.key), span: span.into() }
    }

    /// The last part of the key.
    pub fn last_key(&self) -> String {
        self.key.rsplit('.').next().unwrap_or_default().to_owned()
    }
}

/// The faults found so far.
pub struct Faults<'a, R: Rule> {
    file: &'a Path,
    map: &'a SourceMap<'a>,
    list: Vec<Fault<R::Code>>,
    omitted: usize,
}

impl<'a, R: Rule> Faults<'a, R> {
    /// No faults yet, of the file of that name and text.
    pub const fn new(file: &'a Path, map: &'a SourceMap<'a>) -> Self {
        Self { file, map, list: Vec::new(), omitted: 0 }
    }

    /// Notes that the rule is broken there.
    pub fn push(&mut self, at: &At, rule: &R) {
        self.push_related(at, rule, None);
    }

    /// Notes that the rule is broken there, together with another place.
    pub fn push_related(&mut self, at: &At, rule: &R, related: Option<(&At, &str)>) {
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

    /// Takes over the faults of a tree that these faults of syntax left holes in: without those that
    /// a hole may have made, which are all of the broken lines and those of a code that `is_hole` tells.
    pub fn absorb(&mut self, faults: Self, is_hole: impl Fn(R::Code) -> bool) {
        let broken: Vec<usize> = self.list.iter().map(|fault| fault.position.line).collect();
        let holds = |fault: &Fault<R::Code>| !is_hole(fault.code) && !broken.contains(&fault.position.line);
        self.list.extend(faults.list.into_iter().filter(holds));
        self.omitted += faults.omitted + self.list.len().saturating_sub(MAX_FAULTS);
        self.list.truncate(MAX_FAULTS);
    }

    /// Whether nothing is wrong so far.
    pub const fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// The faults in the order of the file; the last one tells how many more there are.
    pub fn into_sorted(mut self) -> Vec<Fault<R::Code>> {
        self.list.sort_by(|a, b| (a.span.start, &a.key, a.code).cmp(&(b.span.start, &b.key, b.code)));
        if self.omitted > 0 {
            let (omitted, end) = (self.omitted, self.map.text().len());
            self.list.pop();
            self.push(&At::of(end..end), &R::too_many(omitted + 1));
        }
        self.list
    }
}

/// The text of a file.
///
/// # Errors
/// The one fault of bytes that are no text, where they stop being it.
pub fn text_of<'b, R: Rule>(bytes: &'b [u8], file: &Path) -> Result<&'b str, Vec<Fault<R::Code>>> {
    std::str::from_utf8(bytes).map_err(|error| {
        let valid = error.valid_up_to();
        let map = SourceMap::new(std::str::from_utf8(&bytes[..valid]).unwrap_or_default());
        let mut faults = Faults::new(file, &map);
        faults.push(&At::of(valid..valid), &R::NOT_UTF8);
        faults.into_sorted()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::code::tests::FaultCode;

    #[derive(Debug, thiserror::Error)]
    enum Broken {
        #[error("a file is text")]
        NotUtf8,
        #[error("no key `{0}`")]
        Key(&'static str),
        #[error("{0} more")]
        TooMany(usize),
    }

    impl Rule for Broken {
        type Code = FaultCode;
        const NOT_UTF8: Self = Self::NotUtf8;

        fn too_many(omitted: usize) -> Self {
            Self::TooMany(omitted)
        }

        fn code(&self) -> FaultCode {
            match self {
                Self::NotUtf8 => FaultCode::NotUtf8,
                Self::Key(_) => FaultCode::UnknownKey,
                Self::TooMany(_) => FaultCode::TooManyFaults,
            }
        }

        fn found(&self) -> Option<String> {
            None
        }

        fn suggestion(&self) -> Option<String> {
            None
        }
    }

    /// The faults that `found` notes in a text of 300 lines.
    fn told(found: impl Fn(&mut Faults<'_, Broken>)) -> Vec<Fault<FaultCode>> {
        let text = "\n".repeat(300);
        let map = SourceMap::new(&text);
        let mut faults = Faults::new(Path::new("x"), &map);
        found(&mut faults);
        faults.into_sorted()
    }

    #[test]
    fn faults_come_in_the_order_of_the_file() {
        let faults = told(|faults| {
            faults.push(&At::of(7..8), &Broken::Key("b"));
            faults.push_related(&At::of(2..3), &Broken::Key("a"), Some((&At::of(5..6), "here")));
        });
        assert_eq!(faults.iter().map(|fault| fault.position.line).collect::<Vec<_>>(), [3, 8]);
        assert_eq!(faults[0].related.as_ref().map(|related| related.position.line), Some(6));
    }

    #[test]
    fn what_is_beyond_the_most_is_counted_in_the_last() {
        let all = |count: usize| {
            told(|faults| {
                for at in 0..count {
                    faults.push(&At::of(at..at), &Broken::Key("a"));
                }
            })
        };
        assert_eq!(all(MAX_FAULTS).last().unwrap().message, "no key `a`");
        let faults = all(MAX_FAULTS + 5);
        assert_eq!((faults.len(), faults[MAX_FAULTS - 1].message.as_str()), (MAX_FAULTS, "6 more"));
    }

    #[test]
    fn what_a_hole_may_have_made_is_not_told() {
        let map = SourceMap::new("a\nb\nc\n");
        let (mut syntax, mut rest) = (Faults::new(Path::new("x"), &map), Faults::new(Path::new("x"), &map));
        syntax.push(&At::of(0..1), &Broken::Key("a"));
        rest.push(&At::of(0..1), &Broken::Key("of the broken line"));
        rest.push(&At::of(2..3), &Broken::TooMany(1));
        rest.push(&At::of(4..5), &Broken::Key("c"));
        syntax.absorb(rest, |code| code == FaultCode::TooManyFaults);
        let told: Vec<String> = syntax.into_sorted().into_iter().map(|fault| fault.message).collect();
        assert_eq!(told, ["no key `a`", "no key `c`"]);
    }

    #[test]
    fn bytes_that_are_no_text_are_a_fault_where_they_begin() {
        assert_eq!(text_of::<Broken>(b"abc", Path::new("x")), Ok("abc"));
        let faults = text_of::<Broken>(b"a\nb\xffc", Path::new("x")).unwrap_err();
        assert_eq!(faults[0].position, Position { line: 2, column: 2 });
        assert_eq!(faults[0].code, FaultCode::NotUtf8);
    }

    #[test]
    fn a_key_says_the_way_to_its_place_and_plays_with_no_terminal() {
        let vms = At::of(0..9).below("vms", 0..3);
        assert_eq!(vms.element(1, 0..1).below("name", 0..1).key, "vms[1].name");
        assert_eq!(vms.below("a\u{1b}", 0..1).key, "vms.a\\u{1b}");
        assert_eq!(vms.below("a", 0..1).last_key(), "a");
        assert!(vms.below(&"x".repeat(1000), 0..1).key.chars().count() < 120);
    }
}
