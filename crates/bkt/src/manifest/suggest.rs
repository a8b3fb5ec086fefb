//! What a message repeats of a manifest, and which known word a person may have meant.
//!
//! Pure. Tests: below.

/// The longest text a message repeats, in characters.
const SHOWN_CHARS: usize = 100;

/// A text of the file as a message may repeat it: on one line, shortened.
pub(super) fn shown(text: &str) -> String {
    let escape = |c: char| match c {
        '"' | '\'' | '\\' => c.to_string(),
        other => other.escape_debug().to_string(),
    };
    let mut short: String = text.chars().take(SHOWN_CHARS).map(escape).collect();
    if text.chars().nth(SHOWN_CHARS).is_some() {
        short.push('…');
    }
    short
}

/// Words in a row.
pub(super) fn list(words: &[&str]) -> String {
    words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ")
}

/// Names the known word nearest to `found`, or all of them where none is near.
pub(super) fn did_you_mean(found: &str, known: &[&str]) -> String {
    match nearest(found, known) {
        Some(word) => format!("did you mean `{word}`?"),
        None => format!("known: {}", list(known)),
    }
}

/// The known word that a slip of the hand, another spelling or another unit could have made `found`;
/// none where all are far.
pub(crate) fn nearest<'w>(found: &str, known: &[&'w str]) -> Option<&'w str> {
    /// Longer texts are no slip, and comparing them costs.
    const LONGEST: usize = 64;
    if found.is_empty() || found.len() > LONGEST {
        return None;
    }
    let plain = |text: &str| snake(text).to_lowercase();
    let found = plain(found);
    let begins = |word: &&&str| plain(word).strip_prefix(&found).is_some_and(|rest| rest.starts_with('_'));
    if let Some(word) = known.iter().find(begins) {
        return Some(word);
    }
    let scored = known.iter().map(|word| (strsim::damerau_levenshtein(&found, &plain(word)), *word));
    let (distance, word) = scored.min_by_key(|(distance, _)| *distance)?;
    let allowed = (word.chars().count().max(found.chars().count()) / 3).max(1);
    (distance <= allowed).then_some(word)
}

/// `memoryGb` and `memory-gb` as `memory_gb`.
fn snake(text: &str) -> String {
    let mut words = String::new();
    let mut after_lower = false;
    for c in text.chars() {
        if c.is_uppercase() && after_lower {
            words.push('_');
        }
        after_lower = c.is_lowercase();
        words.push(if c == '-' { '_' } else { c });
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_is_recognised_and_another_word_is_not() {
        let known = ["memory_gb", "vcpus", "disk_path", "disk_size_gb", "iso_sources"];
        for (found, word) in [
            ("memroy_gb", Some("memory_gb")),
            ("memory", Some("memory_gb")),
            ("memoryGb", Some("memory_gb")),
            ("Disk-Path", Some("disk_path")),
            ("cpus", Some("vcpus")),
            ("isos", None),
            ("machine", None),
            ("", None),
            (&"m".repeat(65), None),
        ] {
            assert_eq!(nearest(found, &known), word, "{found:?}");
        }
        assert_eq!(did_you_mean("machine", &["a", "b"]), "known: `a`, `b`");
    }

    #[test]
    fn what_a_message_repeats_is_short_and_on_one_line() {
        assert_eq!(shown("a\n\u{1b}[31m\"b\""), "a\\n\\u{1b}[31m\"b\"");
        assert_eq!(shown(&"x".repeat(1000)).chars().count(), SHOWN_CHARS + 1);
    }
}
