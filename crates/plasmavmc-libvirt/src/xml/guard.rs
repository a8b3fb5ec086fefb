//! What is refused before a tree is built: each is cheap to write and costs a parser much.
//!
//! One pass over the bytes that knows just enough of XML to tell tags from what only looks like one.
//! What is not well-formed passes here and is the parser's to report. Tests: in `mod.rs`.

use super::{Limit, MAX_ATTRIBUTES, MAX_DEPTH, MAX_NAMESPACES, XmlError};

/// Refuses a document type, and what goes over a limit.
pub(super) fn check(text: &str) -> Result<(), XmlError> {
    let (mut depth, mut namespaces, mut at) = (0_usize, 0_usize, 0_usize);
    while let Some(start) = text[at..].find('<').map(|found| at + found) {
        let rest = &text[start..];
        if let Some(end) = skipped(rest) {
            at = start + end;
            continue;
        }
        if rest.starts_with("<!") {
            let (line, column) = position(text, start);
            return Err(XmlError::DocumentType { line, column });
        }
        let tag = tag(rest);
        namespaces += tag.namespaces;
        if rest.starts_with("</") {
            depth = depth.saturating_sub(1);
        } else if !tag.is_empty {
            depth += 1;
        }
        let limit = if depth > MAX_DEPTH {
            Some(Limit::Depth)
        } else if tag.attributes > MAX_ATTRIBUTES {
            Some(Limit::Attributes)
        } else if namespaces > MAX_NAMESPACES {
            Some(Limit::Namespaces)
        } else {
            None
        };
        if let Some(limit) = limit {
            let (line, column) = position(text, start);
            return Err(XmlError::Limit { line, column, limit });
        }
        at = start + tag.len;
    }
    Ok(())
}

/// Where the comment, CDATA section or processing instruction ends that begins here, if one does.
fn skipped(rest: &str) -> Option<usize> {
    let kinds = [("<!--", "-->"), ("<![CDATA[", "]]>"), ("<?", "?>")];
    let (begin, end) = kinds.iter().find(|(begin, _)| rest.starts_with(begin))?;
    Some(rest[begin.len()..].find(end).map_or(rest.len(), |found| begin.len() + found + end.len()))
}

struct Tag {
    /// Its length in bytes.
    len: usize,
    attributes: usize,
    namespaces: usize,
    is_empty: bool,
}

/// The tag that begins here; an unfinished one goes to the end.
fn tag(rest: &str) -> Tag {
    let bytes = rest.as_bytes();
    let (mut quote, mut attributes, mut namespaces) = (None, 0, 0);
    for (i, &byte) in bytes.iter().enumerate().skip(1) {
        match (quote, byte) {
            (Some(open), _) if open == byte => quote = None,
            (Some(_), _) => {}
            (None, b'"' | b'\'') => {
                quote = Some(byte);
                attributes += 1;
            }
            (None, b'x') if rest[i..].starts_with("xmlns") => namespaces += 1,
            (None, b'>') => {
                return Tag { len: i + 1, attributes, namespaces, is_empty: bytes[i - 1] == b'/' };
            }
            (None, _) => {}
        }
    }
    Tag { len: rest.len(), attributes, namespaces, is_empty: false }
}

/// The line and the column, from 1, of a byte.
fn position(text: &str, at: usize) -> (u32, u32) {
    let before = &text[..at];
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().map_or(0, |line| line.chars().count()) + 1;
    (u32::try_from(line).unwrap_or(u32::MAX), u32::try_from(column).unwrap_or(u32::MAX))
}
