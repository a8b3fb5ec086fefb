//! Text to a tree of JSON values that know where they stand, and the faults of its syntax.
//!
//! ```text
//! text ─► words: what only relatives of JSON have (comments, hex, a last comma), all at once
//!      ─► tree:  what no relative has either, the first one only
//! ```
//!
//! The parser is told to take everything it knows, so that a comment does not hide what is wrong behind
//! it; each liberty is then a fault of its own. Pure. Tests: in `tests/manifest`.

use jsonc_parser::ast::Value;
use jsonc_parser::errors::{ParseError, ParseErrorKind};
use jsonc_parser::tokens::Token;
use jsonc_parser::{CollectOptions, ParseOptions, Scanner, ScannerOptions, parse_to_ast};
use plasmavmc_source::{At, BYTE_ORDER_MARK, SourceMap, Span};

use super::Faults;
use super::limits::MAX_NESTING;
use super::rule::Rule;
use super::walk::span_of;

/// Parses the text. None where no tree can be made of it; then there is a fault.
pub(super) fn parse<'t>(map: &SourceMap<'t>, faults: &mut Faults<'_>) -> Option<Value<'t>> {
    let text = map.text();
    if text.starts_with(BYTE_ORDER_MARK) {
        faults.push(&At::of(0..BYTE_ORDER_MARK.len_utf8()), &Rule::ByteOrderMark);
        return None;
    }
    let found = words(text);
    let is_readable = found.iter().all(|(_, rule)| !is_final(rule));
    let tree = is_readable.then(|| {
        // What the words have not told already is told by the parser.
        let options = ParseOptions { allow_extended_string_escapes: false, ..ParseOptions::default() };
        parse_to_ast(text, &CollectOptions::default(), &options)
    });
    let stop = tree.as_ref().and_then(|tree| tree.as_ref().err()).map(|error| told(text, error));
    let end = stop.as_ref().map_or(text.len(), |(span, _)| span.start);
    // Where a colon is missing a comma only seems to be.
    let seems =
        |span: &Span, rule: &Rule| *rule == Rule::MissingComma && text[span.end..end].trim().is_empty();
    for (span, rule) in found.iter().filter(|(span, _)| span.start < end) {
        if stop.is_none() || !seems(span, rule) {
            faults.push(&At::of(*span), rule);
        }
    }
    match (stop, tree) {
        (Some((span, rule)), _) => {
            faults.push(&At::of(span), &rule);
            None
        }
        (None, Some(Ok(parsed))) => {
            if parsed.value.is_none() {
                faults.push(&At::of(text.len()..text.len()), &Rule::Empty);
            }
            parsed.value
        }
        _ => None,
    }
}

/// Whether nothing can be told of what comes after.
const fn is_final(rule: &Rule) -> bool {
    matches!(rule, Rule::Nesting | Rule::LeadingZero)
}

/// What is no JSON in the words of the text, up to where the words end.
fn words(text: &str) -> Vec<(Span, Rule)> {
    let options = ScannerOptions { allow_extended_string_escapes: false, ..ScannerOptions::default() };
    let mut scanner = Scanner::new(text, &options);
    let mut words = Words { text, depth: 0, last: None, end: 0, faults: Vec::new() };
    // Where a word cannot be read, the parser stops too, and tells why.
    loop {
        let token = match scanner.scan() {
            Ok(Some(token)) => token,
            Ok(None) => {
                words.blanks(text.len());
                break;
            }
            Err(_) => break,
        };
        let span: Span = (scanner.token_start()..scanner.token_end()).into();
        words.blanks(span.start);
        words.word(&token, span);
        words.end = span.end;
        if words.faults.last().is_some_and(|(_, rule)| is_final(rule)) {
            break;
        }
    }
    words.faults
}

/// Walks over the words of a text.
struct Words<'t> {
    text: &'t str,
    depth: usize,
    /// The last word that is no comment.
    last: Option<(Kind, Span)>,
    /// Where the last word ends, be it a comment.
    end: usize,
    faults: Vec<(Span, Rule)>,
}

/// What a word is to its neighbours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Open,
    Close,
    Comma,
    Colon,
    Text,
    Number,
    Bare,
}

impl Words<'_> {
    /// Looks at what is between the last word and `start`.
    fn blanks(&mut self, start: usize) {
        let between = &self.text[self.end..start];
        let odd = between.char_indices().find(|(_, c)| !matches!(c, ' ' | '\t' | '\n' | '\r'));
        if let Some((at, found)) = odd {
            let at = self.end + at;
            self.faults.push(((at..at + found.len_utf8()).into(), Rule::Blank { found }));
        }
    }

    fn word(&mut self, token: &Token<'_>, span: Span) {
        let raw = &self.text[span.start..span.end];
        let kind = match token {
            Token::CommentLine(_) | Token::CommentBlock(_) => {
                self.faults.push((span, Rule::Comment));
                return;
            }
            Token::OpenBrace | Token::OpenBracket => Kind::Open,
            Token::CloseBrace | Token::CloseBracket => Kind::Close,
            Token::Comma => Kind::Comma,
            Token::Colon => Kind::Colon,
            Token::String(_) => Kind::Text,
            Token::Number(_) => Kind::Number,
            Token::Word(_) | Token::Boolean(_) | Token::Null => Kind::Bare,
        };
        self.neighbours(kind, span);
        match kind {
            Kind::Open => {
                self.depth += 1;
                if self.depth > MAX_NESTING {
                    self.faults.push((span, Rule::Nesting));
                }
            }
            Kind::Close => self.depth = self.depth.saturating_sub(1),
            Kind::Text => self.text(raw, span),
            Kind::Number if !is_number(raw) => {
                self.faults.push((span, Rule::NumberForm { found: raw.to_owned() }));
            }
            _ => {}
        }
        self.last = Some((kind, span));
    }

    /// What two words that follow each other tell.
    fn neighbours(&mut self, kind: Kind, span: Span) {
        let Some((last, at)) = self.last else { return };
        let raw = |span: Span| self.text[span.start..span.end].to_owned();
        let ends = matches!(last, Kind::Close | Kind::Text | Kind::Number | Kind::Bare);
        let begins = matches!(kind, Kind::Open | Kind::Text | Kind::Number | Kind::Bare);
        let fault = match (last, kind) {
            (Kind::Comma, Kind::Close) => (at, Rule::TrailingComma),
            (Kind::Number | Kind::Bare, Kind::Colon) => (at, Rule::LooseKey { found: raw(at) }),
            (Kind::Number, Kind::Number)
                if at.end == span.start && matches!(raw(at).as_str(), "0" | "-0") =>
            {
                (at, Rule::LeadingZero)
            }
            _ if ends && begins && self.depth > 0 => ((at.end..at.end).into(), Rule::MissingComma),
            _ => return,
        };
        self.faults.push(fault);
    }

    fn text(&mut self, raw: &str, span: Span) {
        if raw.starts_with('\'') {
            self.faults.push((span, Rule::SingleQuotes));
        }
        if let Some((at, found)) = raw.char_indices().find(|(_, c)| *c < ' ') {
            let at = span.start + at;
            self.faults.push(((at..at + 1).into(), Rule::ControlInText { found }));
        }
    }
}

/// Whether a number is one of JSON's (RFC 8259, section 6); zeros at its beginning are not asked for.
fn is_number(raw: &str) -> bool {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let body = raw.strip_prefix('-').unwrap_or(raw);
    let (mantissa, exponent) = match body.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (body, None),
    };
    let (whole, fraction) = match mantissa.split_once('.') {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (mantissa, None),
    };
    let unsigned = |exponent: &str| digits(exponent.strip_prefix(['+', '-']).unwrap_or(exponent));
    digits(whole) && fraction.is_none_or(digits) && exponent.is_none_or(unsigned)
}

/// Where the parser stopped, and the rule behind it.
fn told(text: &str, error: &ParseError) -> (Span, Rule) {
    use ParseErrorKind as K;
    let span: Span = span_of(&error.range());
    let found = || text.get(span.start..span.end).unwrap_or_default().to_owned();
    let begin = |what| ((span.start..span.end.min(span.start + 1)).into(), Rule::Unclosed { what });
    let rule = match error.kind() {
        K::UnterminatedObject => return begin("object"),
        K::UnterminatedArray => return begin("list"),
        K::UnterminatedCommentBlock => return begin("comment"),
        K::String(jsonc_parser::ParseStringErrorKind::UnterminatedStringLiteral) => return begin("text"),
        K::String(_) => Rule::Escape,
        K::ExpectedColonAfterObjectKey => Rule::NoColon,
        K::ExpectedObjectValue => Rule::NoValue,
        K::UnexpectedComma | K::UnexpectedCloseBrace | K::UnexpectedCloseBracket
            if follows_colon(text, span) =>
        {
            Rule::NoValue
        }
        K::UnexpectedWord => Rule::NoSuchWord { found: found() },
        K::MultipleRootJsonValues => Rule::Rest,
        K::NestingDepthExceeded => Rule::Nesting,
        _ => Rule::Unexpected { found: found() },
    };
    (span, rule)
}

/// Whether the last thing before the span is a colon.
fn follows_colon(text: &str, span: Span) -> bool {
    text.get(..span.start).is_some_and(|before| before.trim_end().ends_with(':'))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_number_is_one_of_jsons() {
        for raw in ["0", "-0", "8", "10", "1.5", "1e9", "-1.25E-3", "1E+2"] {
            assert!(is_number(raw), "{raw}");
        }
        for raw in ["+1", ".5", "5.", "0x10", "Infinity", "-Infinity", "NaN", "1e", "-", "1.e3"] {
            assert!(!is_number(raw), "{raw}");
        }
    }

    proptest! {
        /// The reference is a strict parser; depth and twofold keys are told elsewhere.
        #[test]
        fn what_is_taken_is_what_a_strict_parser_takes(
            text in "[\\[\\]{}:,'\" \n\t\u{b}0-9a-fA-FtrulnsxeE.+\\-/*\\\\#é]{0,24}"
        ) {
            let map = SourceMap::new(&text);
            let mut faults = Faults::new("vms.json".as_ref(), &map);
            let taken = parse(&map, &mut faults).is_some() && faults.is_empty();
            let strict = serde_json::from_str::<serde_json::Value>(&text);
            // A number that no f64 holds is well-formed.
            let is_large = strict.as_ref().is_err_and(|error| error.to_string().contains("out of range"));
            prop_assert_eq!(taken, strict.is_ok() || is_large, "{:?}: {:?}", text, strict);
        }
    }
}
