//! Faults of a configuration file, shown where they are, as a compiler shows its own.
//!
//! ```text
//! error[unknown-key]: unknown key `memmory`
//!  --> castra.toml:7:1
//!   |
//! 7 | memmory = "2 GiB"
//!   | ^^^^^^^ not a key of a VM
//!   |
//!   = help: did you mean `memory`?
//! ```
//!
//! Takes plain data; which rules there are is the parser's business. Tests: below, as snapshots.

use std::ops::Range;

use annotate_snippets::{AnnotationKind, Group, Level, Origin, Renderer, Snippet};
use plasmavmc_source::{Code, Fault};

use crate::Width;
use crate::text::count;

/// One fault of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceFault<'a> {
    /// The file's name as the person knows it.
    pub file: String,
    /// The whole text of the file.
    pub source: &'a str,
    /// The rule that is broken, in kebab case.
    pub code: &'a str,
    /// What is wrong, one line.
    pub message: &'a str,
    /// What to say at the place itself; may be empty.
    pub label: String,
    /// The place, in bytes of `source`; none where the fault is the whole file's.
    pub span: Option<Range<usize>>,
    /// What to write instead.
    pub help: Option<&'a str>,
}

impl<'a> SourceFault<'a> {
    /// A fault as it is shown in the text it was found in.
    pub fn of<C: Code>(fault: &'a Fault<C>, source: &'a str) -> Self {
        let related = fault.related.as_ref();
        Self {
            file: fault.file.display().to_string(),
            source,
            code: fault.code.as_str(),
            message: &fault.message,
            label: related.map(|it| format!("{} (line {})", it.label, it.position.line)).unwrap_or_default(),
            span: Some(fault.span.start..fault.span.end),
            help: fault.suggestion.as_deref(),
        }
    }
}

/// Faults shown in full. A file with more has one cause that repeats, and a person reads no further.
const SHOWN: usize = 50;

/// The columns of a line where nothing else limits it: annotations beyond get folded.
const UNLIMITED_COLUMNS: usize = 140;

/// Shows faults one below the other, with styles; each ends with a newline.
pub fn render_faults(faults: &[SourceFault<'_>], width: Width) -> String {
    let columns = match width {
        Width::Unlimited => UNLIMITED_COLUMNS,
        Width::Columns(columns) => usize::from(columns),
    };
    let renderer = Renderer::styled().term_width(columns);
    let mut text = String::new();
    for fault in faults.iter().take(SHOWN) {
        if !text.is_empty() {
            text.push('\n');
        }
        text.push_str(&renderer.render(&[group(fault)]));
        text.push('\n');
    }
    if let Some(hidden @ 1..) = faults.len().checked_sub(SHOWN) {
        text.push_str(&format!("\n… and {}\n", count(hidden as u64, "more fault", "more faults")));
    }
    text
}

fn group<'a>(fault: &'a SourceFault<'a>) -> Group<'a> {
    let group = Level::ERROR.primary_title(fault.message).id(fault.code);
    let group = match &fault.span {
        Some(span) => {
            let label = Some(fault.label.as_str()).filter(|label| !label.is_empty());
            let annotation = AnnotationKind::Primary.span(on_chars(fault.source, span)).label(label);
            group.element(Snippet::source(fault.source).path(fault.file.as_str()).annotation(annotation))
        }
        None => group.element(Origin::path(fault.file.as_str())),
    };
    match fault.help {
        Some(help) => group.element(Level::HELP.message(help)),
        None => group,
    }
}

/// The span with its ends inside the text and between characters: whoever made it, showing a fault
/// must not become one.
fn on_chars(source: &str, span: &Range<usize>) -> Range<usize> {
    let start = source.floor_char_boundary(span.start.min(source.len()));
    let end = source.ceil_char_boundary(span.end.clamp(start, source.len()));
    start..end
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::screen::plain;
    use proptest::prelude::*;

    const SOURCE: &str = "version = 1\n\n[[vms]]\nname = \"wéb\"\nmemmory = \"2 GiB\"\n";

    fn fault(span: Option<Range<usize>>) -> SourceFault<'static> {
        SourceFault {
            file: "castra.toml".to_owned(),
            source: SOURCE,
            code: "unknown-key",
            message: "unknown key `memmory`",
            label: "not a key of a VM".to_owned(),
            span,
            help: Some("did you mean `memory`?"),
        }
    }

    #[test]
    fn a_fault_is_shown_where_it_is() {
        let start = SOURCE.find("memmory").unwrap();
        insta::assert_snapshot!(plain(&render_faults(&[fault(Some(start..start + 7))], Width::Unlimited)), @r#"
        error[unknown-key]: unknown key `memmory`
         --> castra.toml:5:1
          |
        5 | memmory = "2 GiB"
          | ^^^^^^^ not a key of a VM
          |
          = help: did you mean `memory`?
        "#);
    }

    #[test]
    fn a_fault_of_the_whole_file_names_it() {
        insta::assert_snapshot!(plain(&render_faults(&[fault(None)], Width::Unlimited)), @r"
        error[unknown-key]: unknown key `memmory`
        --> castra.toml
         = help: did you mean `memory`?
        ");
    }

    #[test]
    fn a_flood_of_faults_is_cut_and_counted() {
        let text = render_faults(&vec![fault(None); 53], Width::columns(80));
        assert_eq!(text.matches("memmory").count(), SHOWN);
        assert!(plain(&text).ends_with("\n… and 3 more faults\n"));
    }

    proptest! {
        #[test]
        fn no_span_is_too_wild_to_show(source in any::<String>(), start in 0usize..200, len in 0usize..200) {
            let fault = SourceFault { source: &source, ..fault(Some(start..start + len)) };
            prop_assert!(!render_faults(&[fault], Width::columns(80)).is_empty());
        }
    }
}
