//! A program's output within bounds: its beginning as it comes, its end once it is over, and in between
//! a gap that says how much is missing.
//!
//! ```text
//!  lines ──► head, handed on at once ──full──► tail, a window over the last lines ──► gap, tail
//! ```
//!
//! Holds at most [`TAIL`] bytes and a line, whatever a program writes. Pure. Tests: below.

use std::collections::VecDeque;

/// The bytes at the beginning that are handed on at once.
const HEAD: usize = 256 * 1024;
/// The bytes at the end that are kept.
const TAIL: usize = 256 * 1024;
/// The longest line; what is longer comes in pieces.
const LINE: usize = 4096;
/// The lines handed on that are remembered.
const RECENT: usize = 16;
/// What holding a line costs beside its bytes, so that empty lines are not for free.
const COST: usize = 32;

/// Which of a program's two outputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Output {
    Stdout,
    Stderr,
}

/// A line of output, or a piece of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) output: Output,
    /// Without its line break.
    pub(super) bytes: Vec<u8>,
    /// Whether a line break followed.
    pub(super) whole: bool,
}

/// What there is to write down.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Piece {
    Line(Line),
    /// So much is missing here.
    Gap {
        bytes: u64,
        lines: u64,
    },
}

/// Output being captured.
#[derive(Debug)]
pub(super) struct Capture {
    head_left: usize,
    tail_max: usize,
    tail: VecDeque<Line>,
    tail_bytes: usize,
    gap: (u64, u64),
    partial: [Vec<u8>; 2],
    /// The lines handed on last: those of the end are in the tail.
    recent: VecDeque<Vec<u8>>,
}

impl Default for Capture {
    fn default() -> Self {
        Self::with_bounds(HEAD, TAIL)
    }
}

impl Capture {
    fn with_bounds(head: usize, tail: usize) -> Self {
        Self {
            head_left: head,
            tail_max: tail,
            tail: VecDeque::new(),
            tail_bytes: 0,
            gap: (0, 0),
            partial: Default::default(),
            recent: VecDeque::new(),
        }
    }

    /// Takes what the program wrote; hands on what is to be written down now.
    pub(super) fn push(&mut self, output: Output, mut bytes: &[u8], give: &mut dyn FnMut(Piece)) {
        while !bytes.is_empty() {
            let partial = &mut self.partial[output as usize];
            let room = LINE - partial.len();
            match bytes.iter().take(room).position(|byte| *byte == b'\n') {
                Some(end) => {
                    partial.extend_from_slice(&bytes[..end]);
                    bytes = &bytes[end + 1..];
                    self.line(output, true, give);
                }
                None => {
                    let taken = bytes.len().min(room);
                    partial.extend_from_slice(&bytes[..taken]);
                    bytes = &bytes[taken..];
                    if taken == room {
                        self.line(output, false, give);
                    }
                }
            }
        }
    }

    /// Hands on what is left: what stands without a line break, the gap, the end.
    pub(super) fn finish(mut self, give: &mut dyn FnMut(Piece)) {
        for output in [Output::Stdout, Output::Stderr] {
            if !self.partial[output as usize].is_empty() {
                self.line(output, false, give);
            }
        }
        let (bytes, lines) = self.gap;
        if bytes > 0 {
            give(Piece::Gap { bytes, lines });
        }
        self.tail.into_iter().for_each(|line| give(Piece::Line(line)));
    }

    /// The last lines so far, at most [`RECENT`] or all of the tail.
    pub(super) fn last_lines(&self, count: usize) -> Vec<Vec<u8>> {
        let tail = self.tail.iter().map(|line| &line.bytes);
        let partial = self.partial.iter().filter(|bytes| !bytes.is_empty());
        let all: Vec<_> = self.recent.iter().chain(tail).chain(partial).collect();
        all[all.len().saturating_sub(count)..].iter().map(|bytes| (*bytes).clone()).collect()
    }

    fn line(&mut self, output: Output, whole: bool, give: &mut dyn FnMut(Piece)) {
        let bytes = std::mem::take(&mut self.partial[output as usize]);
        let line = Line { output, bytes, whole };
        let cost = cost(&line);
        if self.tail.is_empty() && self.gap == (0, 0) && cost <= self.head_left {
            self.head_left -= cost;
            self.recent.push_back(line.bytes.clone());
            if self.recent.len() > RECENT {
                self.recent.pop_front();
            }
            return give(Piece::Line(line));
        }
        self.tail_bytes += cost;
        self.tail.push_back(line);
        while self.tail_bytes > self.tail_max
            && let Some(line) = self.tail.pop_front()
        {
            self.tail_bytes -= self::cost(&line);
            self.gap.0 += line.bytes.len() as u64 + u64::from(line.whole);
            self.gap.1 += u64::from(line.whole);
        }
    }
}

fn cost(line: &Line) -> usize {
    line.bytes.len() + COST
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn captured(mut capture: Capture, pushes: &[(Output, Vec<u8>)]) -> Vec<Piece> {
        let mut pieces = Vec::new();
        let mut give = |piece| pieces.push(piece);
        for (output, bytes) in pushes {
            capture.push(*output, bytes, &mut give);
        }
        capture.finish(&mut give);
        pieces
    }

    /// The bytes of one output as far as they were kept, and how many are missing.
    fn joined(pieces: &[Piece], of: Output) -> (Vec<u8>, u64) {
        let (mut bytes, mut missing) = (Vec::new(), 0);
        for piece in pieces {
            match piece {
                Piece::Line(line) if line.output == of => {
                    bytes.extend(&line.bytes);
                    bytes.extend(line.whole.then_some(b'\n'));
                }
                Piece::Line(_) => {}
                Piece::Gap { bytes, .. } => missing += bytes,
            }
        }
        (bytes, missing)
    }

    #[test]
    fn a_hundred_megabytes_leave_their_beginning_their_end_and_a_true_gap() {
        let mut capture = Capture::default();
        let (mut held, mut kept, mut gaps) = (0, 0_u64, Vec::new());
        let block: Vec<u8> = (0..1000).flat_map(|n| format!("line {n:03}\n").into_bytes()).collect();
        let total = 100_000_000 / block.len();
        let mut give = |piece| match piece {
            Piece::Line(line) => kept += line.bytes.len() as u64 + 1,
            Piece::Gap { bytes, lines } => gaps.push((bytes, lines)),
        };
        for _ in 0..total {
            capture.push(Output::Stdout, &block, &mut give);
            held = held.max(capture.tail_bytes);
        }
        capture.finish(&mut give);
        let all = (total * block.len()) as u64;
        let [(bytes, lines)] = gaps[..] else { panic!("{gaps:?}") };
        assert_eq!((kept + bytes, lines), (all, bytes / 9));
        assert!(held <= TAIL + LINE && kept <= (HEAD + TAIL) as u64, "held {held}, kept {kept}");
    }

    #[test]
    fn a_line_without_an_end_comes_in_pieces() {
        let pieces = captured(Capture::default(), &[(Output::Stdout, vec![b'x'; LINE + 5])]);
        let lengths: Vec<_> = pieces
            .iter()
            .map(|piece| match piece {
                Piece::Line(line) => (line.bytes.len(), line.whole),
                Piece::Gap { .. } => panic!("a gap"),
            })
            .collect();
        assert_eq!(lengths, [(LINE, false), (5, false)]);
    }

    #[test]
    fn the_last_lines_are_known_wherever_they_went() {
        let mut capture = Capture::with_bounds(100, 100);
        let mut last = Vec::new();
        for n in 0..10 {
            capture.push(Output::Stdout, format!("{n}\n").as_bytes(), &mut |_| {});
            last = capture.last_lines(3);
            let expected: Vec<_> =
                (n - 2..=n).filter(|n| *n >= 0).map(|n: i32| n.to_string().into_bytes()).collect();
            assert_eq!(last, expected);
        }
        capture.push(Output::Stderr, b"no end", &mut |_| {});
        assert_ne!(capture.last_lines(3), last);
        assert_eq!(capture.last_lines(1), [b"no end"]);
    }

    proptest! {
        #[test]
        fn nothing_is_lost_or_made_up_but_what_the_gap_says(
            pushes in prop::collection::vec((any::<bool>(), "[a\n]{0,60}"), 0..40),
            head in 0_usize..600, tail in 0_usize..600,
        ) {
            let pushes: Vec<_> = pushes
                .into_iter()
                .map(|(err, text)| (if err { Output::Stderr } else { Output::Stdout }, text.into_bytes()))
                .collect();
            let pieces = captured(Capture::with_bounds(head, tail), &pushes);
            let all = |of: Output| -> Vec<u8> {
                pushes.iter().filter(|(output, _)| *output == of).flat_map(|(_, bytes)| bytes.clone()).collect()
            };
            let (out, missing) = joined(&pieces, Output::Stdout);
            let (err, _) = joined(&pieces, Output::Stderr);
            let (all_out, all_err) = (all(Output::Stdout), all(Output::Stderr));
            prop_assert_eq!(out.len() + err.len() + missing as usize, all_out.len() + all_err.len());
            if missing == 0 {
                prop_assert_eq!((out, err), (all_out, all_err));
            }
            let gaps = pieces.iter().filter(|piece| matches!(piece, Piece::Gap { .. })).count();
            prop_assert!(gaps <= 1);
        }
    }
}
