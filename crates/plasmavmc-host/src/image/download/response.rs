//! Decides what the head of an answer means for the bytes that are already on disk. Pure.
//!
//! ```text
//!  asked for   200            206             416             anything else
//!  whole file  Whole          Refuse          Refuse          Refuse
//!  the rest    Whole          Append, or      Complete, or    Refuse
//!                             StartOver       StartOver
//! ```
//! Tests: below.

use super::error::FetchError;
use super::transport::Head;

/// What to do with an answer.
#[derive(Debug)]
pub(super) enum Verdict {
    /// The body is the rest of the file.
    Append { total: Option<u64> },
    /// The body is the whole file: what is on disk is no use.
    Whole { total: Option<u64>, validator: Option<String> },
    /// The file on disk is whole already.
    Complete,
    /// What is on disk is no use, and neither is the body.
    StartOver(FetchError),
    /// There is nothing to be had.
    Refuse(FetchError),
}

/// Judges the answer to a request for the bytes from `from` on; 0 asks for the whole file.
pub(super) fn judge(head: &Head, from: u64) -> Verdict {
    match (head.status, from) {
        (200, _) => match page(head) {
            Some(found) => Verdict::Refuse(FetchError::NotAnImage { found }),
            None => Verdict::Whole { total: head.content_length, validator: validator(head) },
        },
        (206, 1..) => match head.content_range.as_deref().and_then(content_range) {
            Some(ContentRange::Bytes { first, total }) if first == from => Verdict::Append { total },
            _ => Verdict::StartOver(range_fault(head)),
        },
        (416, 1..) => match head.content_range.as_deref().and_then(content_range) {
            Some(ContentRange::Unsatisfied { total }) if total == from => Verdict::Complete,
            _ => Verdict::StartOver(range_fault(head)),
        },
        (206, 0) => Verdict::Refuse(range_fault(head)),
        (status, _) => Verdict::Refuse(FetchError::Status { status, retry_after: head.retry_after }),
    }
}

fn range_fault(head: &Head) -> FetchError {
    let answer = head.content_range.clone().unwrap_or_else(|| format!("status {}", head.status));
    FetchError::Range { answer: answer.chars().take(100).collect() }
}

/// The kind of page, where the body is one for people to read.
fn page(head: &Head) -> Option<String> {
    let kind = head.content_type.as_deref()?.split(';').next()?.trim().to_ascii_lowercase();
    matches!(kind.as_str(), "text/html" | "application/xhtml+xml").then_some(kind)
}

/// What proves later that the file is still the same: a strong entity tag, or else its time.
fn validator(head: &Head) -> Option<String> {
    let strong = head.etag.as_ref().filter(|tag| tag.starts_with('"'));
    strong.or(head.last_modified.as_ref()).cloned()
}

#[derive(Debug, PartialEq, Eq)]
enum ContentRange {
    Bytes { first: u64, total: Option<u64> },
    Unsatisfied { total: u64 },
}

/// Reads `bytes 7-9/10`, `bytes 7-9/*` and `bytes */10` (RFC 9110, section 14.4).
fn content_range(text: &str) -> Option<ContentRange> {
    let (range, total) = text.strip_prefix("bytes ")?.trim().split_once('/')?;
    let total = if total == "*" { None } else { Some(total.parse().ok()?) };
    if range == "*" {
        return Some(ContentRange::Unsatisfied { total: total? });
    }
    let (first, last) = range.split_once('-')?;
    let (first, last): (u64, u64) = (first.parse().ok()?, last.parse().ok()?);
    let whole = last >= first && total.is_none_or(|total| last.checked_add(1) == Some(total));
    whole.then_some(ContentRange::Bytes { first, total })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn head(status: u16, range: Option<&str>) -> Head {
        Head { status, content_range: range.map(str::to_owned), content_length: Some(10), ..Head::default() }
    }

    #[test]
    fn every_answer_has_one_meaning() {
        let shown = |status, range, from| format!("{:?}", judge(&head(status, range), from));
        for (status, range, from, meaning) in [
            (200, None, 0, "Whole { total: Some(10)"),
            (200, None, 7, "Whole"),
            (206, Some("bytes 7-9/10"), 7, "Append { total: Some(10) }"),
            (206, Some("bytes 7-9/*"), 7, "Append { total: None }"),
            (206, Some("bytes 6-9/10"), 7, "StartOver"),
            (206, Some("bytes 7-8/10"), 7, "StartOver"),
            (206, None, 7, "StartOver"),
            (206, Some("bytes 0-9/10"), 0, "Refuse"),
            (416, Some("bytes */7"), 7, "Complete"),
            (416, Some("bytes */6"), 7, "StartOver"),
            (416, None, 7, "StartOver"),
            (416, None, 0, "Refuse(Status { status: 416"),
            (404, None, 0, "Refuse(Status { status: 404"),
            (204, None, 0, "Refuse(Status { status: 204"),
            (302, None, 7, "Refuse(Status { status: 302"),
        ] {
            let found = shown(status, range, from);
            assert!(found.starts_with(meaning), "{status} {range:?} from {from}: {found}");
        }
    }

    #[test]
    fn a_page_for_people_is_no_image() {
        let html = Head { content_type: Some("Text/HTML; charset=utf-8".into()), ..head(200, None) };
        assert!(
            matches!(judge(&html, 0), Verdict::Refuse(FetchError::NotAnImage { found }) if found == "text/html")
        );
    }

    #[test]
    fn only_a_strong_validator_is_kept() {
        let kept = |etag: Option<&str>, date: Option<&str>| {
            let head = Head {
                etag: etag.map(str::to_owned),
                last_modified: date.map(str::to_owned),
                ..head(200, None)
            };
            validator(&head)
        };
        assert_eq!(kept(Some("\"a\""), Some("Mon")).as_deref(), Some("\"a\""));
        assert_eq!(kept(Some("W/\"a\""), Some("Mon")).as_deref(), Some("Mon"));
        assert_eq!(kept(Some("W/\"a\""), None), None);
    }

    proptest! {
        #[test]
        fn no_header_breaks_the_judge(range in "(bytes )?[0-9*/ -]{0,40}", status: u16, from: u64) {
            let _ = judge(&head(status, Some(&range)), from);
        }
    }
}
