//! Frames: how messages are told apart in a stream of bytes.
//!
//! ```text
//!  0      2      3       4         8         12        16            16+length
//!  ├ CA 57┤ kind ┤ 0     ┤ stream  ┤ length  ┤ check   ┤ payload ... ┤ !check ┤
//!            all numbers little-endian; check = FNV-1a of bytes 0..12
//! ```
//!
//! A virtio-serial port keeps what was on its way when an end went: a frame may begin in the middle
//! of one that was never finished. The check at its head finds the next frame, the one at its end
//! tells that a frame was filled up with bytes of another. An end that begins a session and hears
//! nothing sends [`filler`], which completes any frame the other end is waiting for.
//!
//! The decoder holds at most one frame and what was pushed with it. Tests: below; `fuzz/`.

use crate::limits::MAX_PAYLOAD;

/// The first two bytes of every frame.
pub const MAGIC: [u8; 2] = [0xCA, 0x57];
/// Bytes before the payload.
pub const HEADER: usize = 16;
/// Bytes after the payload.
pub const TRAILER: usize = 4;

/// What a frame is about. [`crate::message`] and [`crate::request`] say what its payload holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Kind {
    /// Host to guest: begins a session.
    Hello = 0x01,
    /// Guest to host: who it is and what it can.
    HelloReply = 0x02,
    /// Host to guest: whether the session is on.
    Outcome = 0x03,
    /// Host to guest: are you there? 8 bytes that come back.
    Ping = 0x04,
    /// Guest to host: the same 8 bytes.
    Pong = 0x05,
    /// Both ways: a message on the bus.
    Publish = 0x06,
    /// Guest to host: something about the guest changed.
    Report = 0x07,
    /// Host to guest: begins a stream with a request.
    Open = 0x10,
    /// Guest to host: the request is being served.
    Opened = 0x11,
    /// Both ways: bytes of a stream. From a program its standard output.
    Data = 0x12,
    /// Guest to host: bytes of a program's standard error.
    Stderr = 0x13,
    /// Both ways: 8 bytes, a length of zeros in a file that need not be sent.
    Hole = 0x14,
    /// Both ways: 4 bytes, how much more the other end may send on this stream.
    Credit = 0x15,
    /// Both ways: no more bytes from this end.
    End = 0x16,
    /// Guest to host: the request's outcome, the last frame of its stream.
    Done = 0x17,
    /// Host to guest: nobody waits for this stream any more.
    Cancel = 0x18,
    /// Host to guest: a signal for the program.
    Signal = 0x19,
    /// Host to guest: the terminal's size changed.
    Resize = 0x1A,
    /// Command to broker: what this connection is for.
    Attach = 0x40,
    /// Broker to command: whether it may.
    Attached = 0x41,
}

impl Kind {
    const ALL: [Self; 20] = [
        Self::Hello,
        Self::HelloReply,
        Self::Outcome,
        Self::Ping,
        Self::Pong,
        Self::Publish,
        Self::Report,
        Self::Open,
        Self::Opened,
        Self::Data,
        Self::Stderr,
        Self::Hole,
        Self::Credit,
        Self::End,
        Self::Done,
        Self::Cancel,
        Self::Signal,
        Self::Resize,
        Self::Attach,
        Self::Attached,
    ];

    fn of(byte: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| *kind as u8 == byte)
    }
}

/// One frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// What it is about.
    pub kind: Kind,
    /// The stream it belongs to; 0 for the session as a whole.
    pub stream: u32,
    /// At most [`MAX_PAYLOAD`] bytes.
    pub payload: Vec<u8>,
}

impl Frame {
    /// A frame of the session as a whole.
    pub fn session(kind: Kind, payload: Vec<u8>) -> Self {
        Self { kind, stream: 0, payload }
    }

    /// A frame of a stream.
    pub fn stream(kind: Kind, stream: u32, payload: impl Into<Vec<u8>>) -> Self {
        Self { kind, stream, payload: payload.into() }
    }

    /// Its bytes, behind those of `out`.
    ///
    /// # Panics
    /// Where the payload is larger than [`MAX_PAYLOAD`]: whoever makes frames cuts them.
    pub fn encode(&self, out: &mut Vec<u8>) {
        encode(self.kind, self.stream, &self.payload, out);
    }

    /// Its bytes.
    ///
    /// # Panics
    /// As [`Self::encode`].
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(HEADER + self.payload.len() + TRAILER);
        self.encode(&mut out);
        out
    }
}

/// The bytes of a frame whose payload lies elsewhere, behind those of `out`.
///
/// # Panics
/// Where the payload is larger than [`MAX_PAYLOAD`].
pub fn encode(kind: Kind, stream: u32, payload: &[u8], out: &mut Vec<u8>) {
    assert!(payload.len() <= MAX_PAYLOAD, "whoever makes frames cuts them");
    let length = u32::try_from(payload.len()).expect("64 KiB fit 32 bits");
    let mut head = [0; HEADER];
    head[..2].copy_from_slice(&MAGIC);
    head[2] = kind as u8;
    head[4..8].copy_from_slice(&stream.to_le_bytes());
    head[8..12].copy_from_slice(&length.to_le_bytes());
    let check = check(&head);
    head[12..].copy_from_slice(&check.to_le_bytes());
    out.extend_from_slice(&head);
    out.extend_from_slice(payload);
    out.extend_from_slice(&(!check).to_le_bytes());
}

/// Bytes that complete any frame an end is in the middle of, and begin none.
pub fn filler() -> Vec<u8> {
    vec![0; HEADER + MAX_PAYLOAD + TRAILER]
}

/// FNV-1a over the first twelve bytes of a header.
fn check(head: &[u8]) -> u32 {
    head[..12].iter().fold(0x811C_9DC5, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193))
}

/// Finds frames in bytes.
///
/// Push what was read, then take frames until there is none; what is no frame is skipped and
/// counted. An end that has a session treats skipped bytes as the end of it.
#[derive(Debug, Default)]
pub struct Decoder {
    bytes: Vec<u8>,
    start: usize,
    skipped: u64,
}

impl Decoder {
    /// Adds bytes that were read.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.start > 0 && (self.start == self.bytes.len() || self.start >= MAX_PAYLOAD) {
            self.bytes.drain(..self.start);
            self.start = 0;
        }
        self.bytes.extend_from_slice(bytes);
    }

    /// The next whole frame, if there is one.
    pub fn next_frame(&mut self) -> Option<Frame> {
        loop {
            let rest = &self.bytes[self.start..];
            match parse(rest) {
                Parsed::Frame { kind, stream, length } => {
                    let payload = rest[HEADER..HEADER + length].to_vec();
                    self.start += HEADER + length + TRAILER;
                    return Some(Frame { kind, stream, payload });
                }
                Parsed::Incomplete => return None,
                Parsed::Noise { length } => {
                    self.start += length;
                    self.skipped += length as u64;
                }
            }
        }
    }

    /// Bytes skipped since this was asked last.
    pub fn take_skipped(&mut self) -> u64 {
        std::mem::take(&mut self.skipped)
    }

    /// Forgets what was pushed and not taken: the other end went.
    pub fn reset(&mut self) {
        self.bytes.clear();
        self.start = 0;
    }

    /// Bytes pushed and not taken.
    pub fn buffered(&self) -> usize {
        self.bytes.len() - self.start
    }
}

/// What a buffer begins with.
enum Parsed {
    Frame {
        kind: Kind,
        stream: u32,
        length: usize,
    },
    /// The beginning of a frame, or nothing.
    Incomplete,
    /// So many bytes that begin no frame.
    Noise {
        length: usize,
    },
}

fn parse(bytes: &[u8]) -> Parsed {
    if bytes.is_empty() {
        return Parsed::Incomplete;
    }
    if bytes[0] != MAGIC[0] {
        let length = bytes.iter().position(|byte| *byte == MAGIC[0]).unwrap_or(bytes.len());
        return Parsed::Noise { length };
    }
    if bytes.len() < HEADER {
        return if bytes.len() > 1 && bytes[1] != MAGIC[1] {
            Parsed::Noise { length: 1 }
        } else {
            Parsed::Incomplete
        };
    }
    let number = |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
    let (stream, length, found) = (number(4), number(8) as usize, number(12));
    let kind = Kind::of(bytes[2]);
    let Some(kind) = kind
        .filter(|_| bytes[1] == MAGIC[1] && bytes[3] == 0 && length <= MAX_PAYLOAD && found == check(bytes))
    else {
        return Parsed::Noise { length: 1 };
    };
    if bytes.len() < HEADER + length + TRAILER {
        return Parsed::Incomplete;
    }
    if number(HEADER + length) == !found {
        Parsed::Frame { kind, stream, length }
    } else {
        Parsed::Noise { length: 1 }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn take_all(decoder: &mut Decoder) -> Vec<Frame> {
        std::iter::from_fn(|| decoder.next_frame()).collect()
    }

    fn frames() -> impl Strategy<Value = Vec<Frame>> {
        let kind = prop::sample::select(Kind::ALL.to_vec());
        let frame = (kind, any::<u32>(), prop::collection::vec(any::<u8>(), 0..300));
        prop::collection::vec(frame.prop_map(|(kind, stream, payload)| Frame { kind, stream, payload }), 0..8)
    }

    #[test]
    fn a_frame_is_exactly_these_bytes() {
        let bytes = Frame::stream(Kind::Data, 7, *b"hi").to_bytes();
        assert_eq!(bytes[..12], [0xCA, 0x57, 0x12, 0, 7, 0, 0, 0, 2, 0, 0, 0]);
        assert_eq!(bytes[16..18], *b"hi");
        assert!(bytes[12..16].iter().zip(&bytes[18..]).all(|(a, b)| *a == !*b));
        assert_eq!(bytes.len(), HEADER + 2 + TRAILER);
    }

    proptest! {
        #[test]
        fn what_is_encoded_is_decoded_however_it_arrives(sent in frames(), cut in 1_usize..50) {
            let bytes: Vec<u8> = sent.iter().flat_map(Frame::to_bytes).collect();
            let (mut decoder, mut got) = (Decoder::default(), Vec::new());
            for piece in bytes.chunks(cut) {
                decoder.push(piece);
                got.extend(take_all(&mut decoder));
            }
            prop_assert_eq!(got, sent);
            prop_assert_eq!((decoder.take_skipped(), decoder.buffered()), (0, 0));
        }

        #[test]
        fn noise_is_skipped_and_never_panics(noise in prop::collection::vec(any::<u8>(), 0..2000)) {
            let mut decoder = Decoder::default();
            decoder.push(&noise);
            take_all(&mut decoder);
            prop_assert!(decoder.buffered() <= noise.len());
        }

        #[test]
        fn filler_frees_an_end_that_waits_for_the_rest_of_any_frame(
            length in 0_usize..=MAX_PAYLOAD, kept in 0.0..1.0_f64,
        ) {
            let mut decoder = Decoder::default();
            let bytes = Frame::stream(Kind::Data, 1, vec![1; length]).to_bytes();
            decoder.push(&bytes[..(bytes.len() as f64 * kept) as usize]);
            prop_assert!(decoder.next_frame().is_none());
            decoder.push(&filler());
            let hello = Frame::session(Kind::Hello, b"{}".to_vec());
            decoder.push(&hello.to_bytes());
            prop_assert_eq!(take_all(&mut decoder), vec![hello]);
        }
    }

    #[test]
    fn a_length_of_four_gigabytes_is_noise_and_holds_no_memory() {
        let mut bytes = Frame::stream(Kind::Data, 1, *b"x").to_bytes();
        bytes[8..12].copy_from_slice(&u32::MAX.to_le_bytes());
        let check = check(&bytes);
        bytes[12..16].copy_from_slice(&check.to_le_bytes());
        let mut decoder = Decoder::default();
        decoder.push(&bytes);
        assert!(decoder.next_frame().is_none());
        assert!(decoder.buffered() < HEADER && decoder.take_skipped() > 0);
    }
}
