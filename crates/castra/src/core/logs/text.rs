//! What a guest wrote, as one harmless line of text.
//!
//! A console is driven by control sequences: colours, cursor movements, lines drawn over each other.
//! A log is read later, by someone else, and must not drive their terminal. Pure. Tests: below.

/// One line of a console as it would be seen, without the means to get there.
///
/// Control sequences (ECMA-48) are dropped, a carriage return draws over what stood before it as on
/// a terminal, bytes that are not UTF-8 become U+FFFD, and every control character left, as well as
/// the marks that change the direction of reading, is dropped. A tab stays.
pub fn readable(line: &[u8]) -> String {
    let text = String::from_utf8_lossy(line);
    let mut shown = String::with_capacity(text.len());
    let mut overdrawn = false;
    let mut chars = text.trim_end_matches(['\r', '\n']).chars();
    while let Some(character) = chars.next() {
        match character {
            '\u{1b}' => skip_sequence(&mut chars),
            // The one-character form of `ESC [`.
            '\u{9b}' => skip_parameters(&mut chars),
            '\r' => overdrawn = true,
            '\t' => shown.push('\t'),
            '\u{8}' => drop(shown.pop()),
            _ if character.is_control() || reorders(character) => {}
            _ => {
                if std::mem::take(&mut overdrawn) {
                    shown.clear();
                }
                shown.push(character);
            }
        }
    }
    shown
}

/// Skips what follows an ESC: a sequence of parameters, a string up to its end, or one character.
fn skip_sequence(chars: &mut std::str::Chars<'_>) {
    match chars.next() {
        Some('[') => skip_parameters(chars),
        // OSC, DCS, SOS, PM and APC carry a string that ends with BEL or with ESC and a backslash.
        Some(']' | 'P' | 'X' | '^' | '_') => skip_string(chars),
        // A character set is named by one more character.
        Some('(' | ')' | '*' | '+' | '#' | '%' | ' ') => drop(chars.next()),
        Some(_) | None => {}
    }
}

/// Skips parameters up to the letter that ends them.
fn skip_parameters(chars: &mut std::str::Chars<'_>) {
    for character in chars.by_ref() {
        // Anything outside the range of parameters ends the sequence, so that a broken one does not
        // swallow the line.
        if !matches!(character, '\u{20}'..='\u{3f}') {
            return;
        }
    }
}

fn skip_string(chars: &mut std::str::Chars<'_>) {
    let mut escaped = false;
    for character in chars.by_ref() {
        if character == '\u{7}' || (escaped && character == '\\') {
            return;
        }
        escaped = character == '\u{1b}';
    }
}

/// Marks that change the direction in which a line is read.
fn reorders(character: char) -> bool {
    matches!(character, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_a_console_shows_is_kept_and_what_drives_it_is_dropped() {
        for (line, shown) in [
            (&b"plain"[..], "plain"),
            (b"login: \r\n", "login: "),
            (b"\x1b[1;32m*\x1b[m Starting sshd ...\x1b[70C[ ok ]", "* Starting sshd ...[ ok ]"),
            (b"\x1b]0;title\x07after\x1b]2;x\x1b\\!", "after!"),
            (b"\x1b(B\x1b=\x1b7text", "text"),
            (b" 10 %\r 55 %\r100 %\r", "100 %"),
            (b"a\tb\x00\x07c", "a\tbc"),
            (b"passwx\x08ord", "password"),
            (b"\xff\xfe", "\u{fffd}\u{fffd}"),
            ("a\u{202e}b".as_bytes(), "ab"),
            (b"\x1b[12", ""),
            (b"\x1b", ""),
        ] {
            assert_eq!(readable(line), shown, "{:?}", String::from_utf8_lossy(line));
        }
    }

    proptest! {
        #[test]
        fn no_line_of_a_guest_drives_a_terminal(line in proptest::collection::vec(any::<u8>(), 0..200)) {
            let shown = readable(&line);
            prop_assert!(!shown.chars().any(|c| (c.is_control() && c != '\t') || reorders(c)), "{shown:?}");
        }

        #[test]
        fn text_without_controls_is_left_alone(line in "[ -~äß€]{0,80}") {
            prop_assert_eq!(readable(line.as_bytes()), line);
        }
    }
}
