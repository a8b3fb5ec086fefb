//! What a QEMU sends on its control socket, or whoever took its place.

use plasmavmc_kvm::qmp::{Codec, CodecError, Message};

/// A session gives the same messages however it is cut, and its faults are those of its lines.
pub fn check(bytes: &[u8]) {
    let whole = Codec::new().push(bytes);
    let lengths = Lengths::of(bytes);
    same(whole.as_ref(), in_pieces(bytes, lengths).as_ref());
    same(whole.as_ref(), in_pieces(bytes, std::iter::repeat(1)).as_ref());
    let ended = bytes.iter().rposition(|&byte| byte == b'\n').map_or(0, |end| end + 1);
    let lines = bytes[..ended].split(|&byte| byte == b'\n').filter(|line| !line.trim_ascii().is_empty());
    let lines = lines.map(Message::parse);
    let lines: Result<Vec<_>, _> = lines.map(|line| line.map_err(CodecError::NotAMessage)).collect();
    same(whole.as_ref(), lines.as_ref());
}

fn same(one: Result<&Vec<Message>, &CodecError>, other: Result<&Vec<Message>, &CodecError>) {
    match (one, other) {
        (Ok(one), Ok(other)) => assert_eq!(one, other),
        (Err(CodecError::NotAMessage(one)), Err(CodecError::NotAMessage(other))) => {
            assert_eq!(one.classify(), other.classify());
        }
        (one, other) => panic!("{one:?} and {other:?}"),
    }
}

/// The session as it arrives in pieces of these lengths.
fn in_pieces(bytes: &[u8], lengths: impl Iterator<Item = usize>) -> Result<Vec<Message>, CodecError> {
    let (mut codec, mut messages, mut rest) = (Codec::new(), Vec::new(), bytes);
    for length in lengths {
        if rest.is_empty() {
            break;
        }
        let (piece, after) = rest.split_at(length.min(rest.len()));
        messages.extend(codec.push(piece)?);
        rest = after;
    }
    Ok(messages)
}

/// Lengths of 0 to 63 by chance, the same ones for the same input (xorshift, begun with an FNV hash).
struct Lengths(u64);

impl Lengths {
    fn of(bytes: &[u8]) -> Self {
        let mix = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        Self(bytes.iter().fold(0xcbf2_9ce4_8422_2325, mix) | 1)
    }
}

impl Iterator for Lengths {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        Some((self.0 % 64) as usize)
    }
}
