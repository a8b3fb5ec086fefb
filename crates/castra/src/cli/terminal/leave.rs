//! The keys that leave a program in a guest which does not answer: Enter, `~`, `.`, as with ssh.
//!
//! They are the program's as all others are until the last of them, so nothing has to be held back.
//! Pure. Tests: below.

/// Sees what is typed.
#[derive(Debug)]
pub(crate) struct LeavingKeys {
    seen: Seen,
}

/// What the keys so far are the beginning of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Seen {
    /// Of nothing.
    Nothing,
    /// A line begins.
    Line,
    /// A line that begins with a tilde.
    Tilde,
}

impl Default for LeavingKeys {
    fn default() -> Self {
        Self { seen: Seen::Line }
    }
}

impl LeavingKeys {
    /// After how many of the `typed` keys the program is left.
    pub(crate) fn see(&mut self, typed: &[u8]) -> Option<usize> {
        for (at, key) in typed.iter().enumerate() {
            self.seen = match (self.seen, key) {
                (_, b'\r' | b'\n') => Seen::Line,
                (Seen::Line, b'~') => Seen::Tilde,
                (Seen::Tilde, b'.') => return Some(at),
                _ => Seen::Nothing,
            };
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_line_that_begins_so_leaves() {
        let leaves = |typed: &[&str]| {
            let mut keys = LeavingKeys::default();
            typed.iter().map(|typed| keys.see(typed.as_bytes())).find(Option::is_some).flatten()
        };
        assert_eq!(leaves(&["~."]), Some(1));
        assert_eq!(leaves(&["ls\r~."]), Some(4));
        assert_eq!(leaves(&["ls\r", "~", "."]), Some(0));
        for typed in ["cd ~.", "~ .", "~~.", "ls ~.\r", "\r~x."] {
            assert_eq!(leaves(&[typed]), None, "{typed:?}");
        }
    }
}
