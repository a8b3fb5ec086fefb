//! Durations, ages, counts and lists as people read them, and foreign text made harmless.
//!
//! Pure. Tests: below.

use std::borrow::Cow;
use std::time::Duration;

/// A duration as people read it: `340 ms`, `2.7 s`, `42 s`, `3m 05s`, `2h 07m`, `4d 3h`.
pub fn duration(duration: Duration) -> String {
    let millis = duration.as_millis();
    // Each bound is where the unit above takes over after rounding down, so that no value is ever
    // shown as `60 s` or `10.0 s`.
    if millis < 1_000 {
        return format!("{millis} ms");
    }
    let seconds = duration.as_secs();
    match seconds {
        0..10 => format!("{}.{} s", seconds, duration.subsec_millis() / 100),
        10..60 => format!("{seconds} s"),
        60..3_600 => format!("{}m {:02}s", seconds / 60, seconds % 60),
        3_600..86_400 => format!("{}h {:02}m", seconds / 3_600, seconds / 60 % 60),
        _ => format!("{}d {}h", seconds / 86_400, seconds / 3_600 % 24),
    }
}

/// How long ago something was: `just now`, `42 s ago`, `3 min ago`, `2 h ago`, `4 days ago`.
pub fn ago(age: Duration) -> String {
    let seconds = age.as_secs();
    match seconds {
        0..5 => "just now".to_owned(),
        5..60 => format!("{seconds} s ago"),
        60..3_600 => format!("{} min ago", seconds / 60),
        3_600..86_400 => format!("{} h ago", seconds / 3_600),
        _ => format!("{} ago", count(seconds / 86_400, "day", "days")),
    }
}

/// A number with its noun: `1 VM`, `3 VMs`.
pub fn count(number: u64, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}

/// Items as a sentence lists them: `a`, `a and b`, `a, b and c`.
pub fn list<S: AsRef<str>>(items: &[S]) -> String {
    match items {
        [] => String::new(),
        [only] => only.as_ref().to_owned(),
        [first @ .., last] => {
            let first: Vec<&str> = first.iter().map(AsRef::as_ref).collect();
            format!("{} and {}", first.join(", "), last.as_ref())
        }
    }
}

/// Text from elsewhere (a guest, a program, a server) that cannot drive the terminal: every control
/// character but newline and tab is shown as `\u{…}`.
pub fn printable(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_dangerous) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 16);
    for character in text.chars() {
        if is_dangerous(character) {
            shown.extend(character.escape_unicode());
        } else {
            shown.push(character);
        }
    }
    Cow::Owned(shown)
}

/// Controls, and the marks that change the direction in which a line is read.
fn is_dangerous(character: char) -> bool {
    let reorders = matches!(character, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    reorders || (character.is_control() && character != '\n' && character != '\t')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_duration_is_shown_in_units_that_fit_it() {
        for (millis, text) in [
            (0, "0 ms"),
            (999, "999 ms"),
            (1_000, "1.0 s"),
            (9_999, "9.9 s"),
            (10_000, "10 s"),
            (59_999, "59 s"),
            (60_000, "1m 00s"),
            (185_000, "3m 05s"),
            (3_600_000, "1h 00m"),
            (7_620_000, "2h 07m"),
            (86_400_000, "1d 0h"),
            (356_400_000, "4d 3h"),
        ] {
            assert_eq!(duration(Duration::from_millis(millis)), text);
        }
    }

    #[test]
    fn an_age_is_shown_in_its_largest_unit() {
        for (seconds, text) in [
            (0, "just now"),
            (5, "5 s ago"),
            (60, "1 min ago"),
            (7_200, "2 h ago"),
            (86_400, "1 day ago"),
            (260_000, "3 days ago"),
        ] {
            assert_eq!(ago(Duration::from_secs(seconds)), text);
        }
    }

    #[test]
    fn items_are_listed_as_in_a_sentence() {
        assert_eq!(list::<&str>(&[]), "");
        assert_eq!(list(&["a"]), "a");
        assert_eq!(list(&["a", "b"]), "a and b");
        assert_eq!(list(&["a", "b", "c"]), "a, b and c");
        assert_eq!((count(1, "VM", "VMs"), count(0, "VM", "VMs")), ("1 VM".into(), "0 VMs".into()));
    }

    #[test]
    fn an_escape_sequence_of_a_guest_is_shown_and_not_obeyed() {
        assert_eq!(printable("\u{1b}[2Jgone"), "\\u{1b}[2Jgone");
        assert_eq!(printable("a\u{202e}b"), "a\\u{202e}b");
        assert!(matches!(printable("plain\n\ttext"), Cow::Borrowed(_)));
    }

    proptest! {
        #[test]
        fn what_is_printable_holds_no_control(text in any::<String>()) {
            prop_assert!(!printable(&text).chars().any(is_dangerous));
        }

        #[test]
        fn what_is_harmless_is_left_alone(text in "[ -~\n\t]*") {
            prop_assert_eq!(printable(&text), text.as_str());
        }
    }
}
