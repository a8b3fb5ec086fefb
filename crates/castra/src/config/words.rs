//! What a message repeats of a config, and which known word a person may have meant.
//!
//! Pure. Tests: below.

use std::path::Path;

/// The longest text a message repeats, in characters.
const SHOWN_CHARS: usize = 100;

/// A text from the file as a message may repeat it: on one line, shortened.
pub(super) fn shown(text: &str) -> String {
    let mut short: String = text.chars().take(SHOWN_CHARS).flat_map(char::escape_debug).collect();
    if text.chars().nth(SHOWN_CHARS).is_some() {
        short.push('…');
    }
    short.replace("\\\"", "\"").replace("\\'", "'")
}

pub(super) fn shown_path(path: &Path) -> String {
    shown(&path.display().to_string())
}

pub(super) fn list(words: &[&str]) -> String {
    let quoted: Vec<String> = words.iter().map(|word| format!("`{word}`")).collect();
    quoted.join(", ")
}

/// The most words a suggestion lists.
const LISTED_WORDS: usize = 12;

/// Names the known word nearest to `found`, or all of them where none is near.
pub(super) fn did_you_mean(found: &str, known: &[&str]) -> String {
    match nearest(found, known) {
        Some(word) => format!("did you mean `{word}`?"),
        None if known.len() > LISTED_WORDS => format!("known: {}, …", list(&known[..LISTED_WORDS])),
        None => format!("known: {}", list(known)),
    }
}

/// The known word that a slip of the hand could have made `found`; none where all are far.
fn nearest<'w>(found: &str, known: &[&'w str]) -> Option<&'w str> {
    /// Longer texts are no slip, and comparing them costs.
    const LONGEST: usize = 64;
    if found.len() > LONGEST {
        return None;
    }
    let plain = |text: &str| text.to_lowercase().replace('-', "_");
    let found = plain(found);
    // Whoever leaves the end of a name out, such as its unit, makes no slip but means it.
    let begins = |word: &&&str| plain(word).strip_prefix(&found).is_some_and(|rest| rest.starts_with('_'));
    if let Some(word) = known.iter().find(begins).filter(|_| !found.is_empty()) {
        return Some(word);
    }
    let scored = known.iter().map(|word| (strsim::damerau_levenshtein(&found, &plain(word)), *word));
    let (distance, word) = scored.min_by_key(|(distance, _)| *distance)?;
    let allowed = (word.chars().count().max(found.chars().count()) / 3).max(1);
    (distance <= allowed).then_some(word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_is_recognised_and_another_word_is_not() {
        let known = ["name", "memory", "port_forwards", "cpus", "base_image"];
        for (found, word) in [
            ("memroy", Some("memory")),
            ("Memory", Some("memory")),
            ("port-forwards", Some("port_forwards")),
            ("ports_forward", Some("port_forwards")),
            ("cpu", Some("cpus")),
            ("base", Some("base_image")),
            ("disk", None),
            ("", None),
            (&"m".repeat(65), None),
        ] {
            assert_eq!(nearest(found, &known), word, "{found:?}");
        }
        assert_eq!(did_you_mean("disk", &["a", "b"]), "known: `a`, `b`");
    }

    #[test]
    fn what_a_message_repeats_is_short_and_on_one_line() {
        assert_eq!(shown("a\n\u{1b}[31m\"b\""), "a\\n\\u{1b}[31m\"b\"");
        assert_eq!(shown(&"x".repeat(1000)).chars().count(), SHOWN_CHARS + 1);
    }
}
