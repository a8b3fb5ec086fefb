//! What a message repeats of a file, and which known word a person may have meant.
//!
//! Pure. Tests: below.

/// The longest text a message repeats, in characters.
const SHOWN_CHARS: usize = 100;

/// The most words a suggestion lists.
const LISTED_WORDS: usize = 20;

/// A text of a file as a message may repeat it: on one line, shortened, without control characters.
pub fn shown(text: &str) -> String {
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
pub fn list(words: &[&str]) -> String {
    words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ")
}

/// Names the known word nearest to `found`, or those there are where none is near.
pub fn did_you_mean(found: &str, known: &[&str]) -> String {
    match nearest(found, known) {
        Some(word) => format!("did you mean `{word}`?"),
        None if known.len() > LISTED_WORDS => format!("known: {}, …", list(&known[..LISTED_WORDS])),
        None => format!("known: {}", list(known)),
    }
}

/// The known word that a slip of the hand, another spelling or a unit left out could have made `found`;
/// none where all are far.
pub fn nearest<'w>(found: &str, known: &[&'w str]) -> Option<&'w str> {
    /// Longer texts are no slip, and comparing them costs.
    const LONGEST: usize = 64;
    if found.is_empty() || found.len() > LONGEST {
        return None;
    }
    let plain = |text: &str| snake(text).to_lowercase();
    let found = plain(found);
    // Whoever leaves the end of a name out, such as its unit, makes no slip but means it.
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
        let known = ["name", "memory_gb", "vcpus", "disk_path", "disk_size_gb", "port_forwards", "cpus"];
        for (found, word) in [
            ("memroy_gb", Some("memory_gb")),
            ("memory", Some("memory_gb")),
            ("memoryGb", Some("memory_gb")),
            ("MEMORY_GB", Some("memory_gb")),
            ("Disk-Path", Some("disk_path")),
            ("ports_forward", Some("port_forwards")),
            ("cpu", Some("cpus")),
            ("isos", None),
            ("machine", None),
            ("", None),
            (&"m".repeat(65), None),
        ] {
            assert_eq!(nearest(found, &known), word, "{found:?}");
        }
        assert_eq!(nearest("", &["a"]), None);
    }

    #[test]
    fn where_no_word_is_near_those_there_are_are_listed_but_not_without_end() {
        assert_eq!(did_you_mean("nmae", &["name"]), "did you mean `name`?");
        assert_eq!(did_you_mean("machine", &["a", "b"]), "known: `a`, `b`");
        let many = did_you_mean("machine", &["a"; LISTED_WORDS + 1]);
        assert!(many.ends_with("`a`, …") && many.matches("`a`").count() == LISTED_WORDS, "{many}");
    }

    #[test]
    fn what_a_message_repeats_is_short_and_on_one_line() {
        assert_eq!(shown("a\n\u{1b}[31m\"b\" C:\\d"), "a\\n\\u{1b}[31m\"b\" C:\\d");
        assert_eq!(shown(&"x".repeat(1000)).chars().count(), SHOWN_CHARS + 1);
    }
}
