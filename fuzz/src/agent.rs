//! What a guest's agent reads from its port, whoever writes there.

use castra_agent_proto::message::{Hello, Publication, body, stream_frame};
use castra_agent_proto::request::{Request, Signal, Size};
use castra_agent_proto::window::{SendWindow, parse_credit};
use castra_agent_proto::{Decoder, Frame, Kind};

/// Frames and noise are the same however they arrive, no byte is lost, and what a frame asks survives
/// being said again.
pub fn check(bytes: &[u8]) {
    let whole = decode(bytes, bytes.len().max(1));
    assert_eq!(whole, decode(bytes, 1));
    let (frames, skipped, rest) = whole;
    let taken: usize = frames.iter().map(|frame| frame.to_bytes().len()).sum();
    assert_eq!(taken as u64 + skipped + rest as u64, bytes.len() as u64);
    let mut window = SendWindow::default();
    for frame in &frames {
        match frame.kind {
            Kind::Open => said_again::<Request>(frame),
            Kind::Hello => said_again::<Hello>(frame),
            Kind::Signal => said_again::<Signal>(frame),
            Kind::Resize => said_again::<Size>(frame),
            Kind::Publish => {
                if let Some(publication) = Publication::parse(&frame.payload) {
                    assert_eq!(publication.to_payload(), frame.payload);
                }
            }
            Kind::Credit => {
                let before = window.available();
                let granted = parse_credit(&frame.payload).is_some_and(|bytes| window.grant(bytes));
                assert!(granted || window.available() == before);
            }
            _ => {}
        }
    }
}

fn decode(bytes: &[u8], cut: usize) -> (Vec<Frame>, u64, usize) {
    let (mut decoder, mut frames, mut skipped) = (Decoder::default(), Vec::new(), 0);
    for piece in bytes.chunks(cut) {
        decoder.push(piece);
        frames.extend(std::iter::from_fn(|| decoder.next_frame()));
        skipped += decoder.take_skipped();
    }
    (frames, skipped, decoder.buffered())
}

fn said_again<T>(frame: &Frame)
where
    T: PartialEq + std::fmt::Debug + serde::Serialize + serde::de::DeserializeOwned,
{
    if let Some(meant) = body::<T>(frame) {
        let again = serde_json::to_vec(&meant).expect("plain values serialise");
        // Escapes may make it longer than a frame; then it is not sent.
        if again.len() <= castra_agent_proto::limits::MAX_PAYLOAD {
            assert_eq!(body::<T>(&stream_frame(frame.kind, frame.stream, &meant)), Some(meant));
        }
    }
}
