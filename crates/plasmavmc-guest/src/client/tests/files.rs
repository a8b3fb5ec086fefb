//! Files and listings: holes, flow control, hostile guests.

use std::fs::File;
use std::io::{Read as _, Write as _, pipe};
use std::os::fd::AsFd;
use std::os::unix::fs::{FileExt, MetadataExt};

use castra_agent_proto::limits::WINDOW;
use castra_agent_proto::request::Opened;

use super::*;

fn write_request(path: &str) -> Write {
    Write { path: path.into(), mode: 0o640, owner: None, modified_s: Some(1) }
}

#[test]
fn holes_of_a_written_file_do_not_cross() {
    const LENGTH: u64 = 1 << 34;
    let world = World::new(|listener| {
        let mut peer = Peer::serve(&listener);
        let (stream, request) = peer.request();
        assert_eq!(request, Request::Write(write_request("/disk")));
        let (mut bytes, mut zeros) = (0, 0);
        loop {
            let frame = peer.next();
            match frame.kind {
                Kind::Data => bytes += frame.payload.len() as u64,
                Kind::Hole => zeros += u64::from_le_bytes(frame.payload.try_into().unwrap()),
                Kind::End => break,
                kind => panic!("{kind:?}"),
            }
        }
        assert_eq!(bytes + zeros, LENGTH);
        assert!(bytes < 1 << 17, "{bytes}");
        peer.done(stream, &Outcome::Ok);
    });
    let file = tempfile::tempfile().unwrap();
    file.set_len(LENGTH).unwrap();
    file.write_all_at(b"middle", LENGTH / 2).unwrap();
    let mut told = 0;
    let sent = world
        .attach()
        .write_file(&write_request("/disk"), Source::File(&file), &mut |bytes| told = bytes)
        .unwrap();
    assert_eq!((sent, told), (LENGTH, LENGTH));
    world.end();
}

#[test]
fn a_write_that_the_guest_ends_early_is_a_failure() {
    let world = World::new(|listener| {
        let mut peer = Peer::serve(&listener);
        let (stream, _) = peer.request();
        let failure = Failure { code: FailureCode::NoSpace, message: "disk full".into() };
        peer.done(stream, &Outcome::Failed(failure));
        while peer.try_next().is_some() {}
    });
    let bytes = vec![0; 3 * WINDOW as usize];
    let mut channel = world.attach();
    let error = channel.write_file(&write_request("/x"), Source::Bytes(&bytes), &mut |_| {}).unwrap_err();
    assert_eq!(error.guest_code(), Some(FailureCode::NoSpace));
    drop(channel);
    world.end();
}

#[test]
fn a_write_from_a_pipe_that_says_nothing_ends_with_the_guest_and_with_an_interruption() {
    let world = World::new(|listener| {
        let mut peer = Peer::serve(&listener);
        peer.request();
        assert_eq!(peer.next().kind, Kind::Cancel);
        let (stream, _) = peer.request();
        let failure = Failure { code: FailureCode::Lost, message: "gone".into() };
        peer.done(stream, &Outcome::Failed(failure));
    });
    let (silent, _open) = pipe().unwrap();
    let (wake, mut waker) = pipe().unwrap();
    let mut channel = world.attach();
    let write = |channel: &mut Channel| {
        channel.write_file(&write_request("/x"), Source::Pipe(silent.as_fd()), &mut |_| {}).unwrap_err()
    };
    channel.interrupted_by(wake.as_fd()).unwrap();
    waker.write_all(b"!").unwrap();
    assert!(matches!(write(&mut channel), ClientError::Interrupted));
    let mut byte = [0];
    (&wake).read_exact(&mut byte).unwrap();
    assert!(matches!(write(&mut channel), ClientError::Lost { .. }));
    world.end();
}

fn entry(size: u64) -> Entry {
    Entry { name: "disk".into(), kind: EntryKind::File, size, mode: 0o600, modified_s: 5, target: None }
}

/// Plays a guest that sends a file with holes.
fn send_sparse(peer: &mut Peer, length: u64) {
    let (stream, _) = peer.request();
    let opened = Opened { pid: None, entry: Some(entry(length)) };
    peer.send(&stream_frame(Kind::Opened, stream, &opened));
    peer.send(&Frame::stream(Kind::Data, stream, *b"head"));
    peer.send(&Frame::stream(Kind::Hole, stream, (length - 4).to_le_bytes()));
    peer.send(&Frame::stream(Kind::End, stream, []));
    peer.done(stream, &Outcome::Ok);
}

#[test]
fn a_read_file_keeps_its_holes_in_a_file_and_has_zeros_elsewhere() {
    const LENGTH: u64 = 1 << 20;
    let world = World::new(|listener| {
        let mut peer = Peer::serve(&listener);
        send_sparse(&mut peer, LENGTH);
        send_sparse(&mut peer, LENGTH);
    });
    let (file, mut bytes) = (tempfile::tempfile().unwrap(), Vec::new());
    let mut channel = world.attach();
    let got = channel.read_file("disk", Sink::File(&file), &mut |_| {}).unwrap();
    channel.read_file("disk", Sink::Write(&mut bytes), &mut |_| {}).unwrap();
    assert_eq!(got, entry(LENGTH));
    let meta = file.metadata().unwrap();
    assert!(meta.len() == LENGTH && meta.blocks() * 512 < LENGTH / 2, "{meta:?}");
    assert_eq!((bytes.len() as u64, &bytes[..5]), (LENGTH, &b"head\0"[..]));
    assert_eq!(read_all(&file), bytes);
    world.end();
}

fn read_all(file: &File) -> Vec<u8> {
    let mut bytes = vec![0; usize::try_from(file.metadata().unwrap().len()).unwrap()];
    file.read_exact_at(&mut bytes, 0).unwrap();
    bytes
}

#[test]
fn a_read_of_more_than_a_window_is_granted_on() {
    const LENGTH: usize = 4 * WINDOW as usize + 1;
    let world = World::new(|listener| {
        let mut peer = Peer::serve(&listener);
        let (stream, _) = peer.request();
        let opened = Opened { pid: None, entry: Some(entry(LENGTH as u64)) };
        peer.send(&stream_frame(Kind::Opened, stream, &opened));
        spout(&mut peer, stream, LENGTH);
        peer.done(stream, &Outcome::Ok);
    });
    let mut bytes = Vec::new();
    world.attach().read_file("big", Sink::Write(&mut bytes), &mut |_| {}).unwrap();
    assert_eq!(bytes.len(), LENGTH);
    world.end();
}

#[test]
fn a_hole_without_an_end_is_no_file() {
    let world = World::new(|listener| {
        let mut peer = Peer::serve(&listener);
        let (stream, _) = peer.request();
        peer.send(&Frame::stream(Kind::Data, stream, *b"x"));
        peer.send(&Frame::stream(Kind::Hole, stream, u64::MAX.to_le_bytes()));
        assert_eq!(peer.next().kind, Kind::Cancel);
    });
    let file = tempfile::tempfile().unwrap();
    // It stays connected: the guest says all it has to say, whether it is heard or not.
    let mut channel = world.attach();
    let error = channel.read_file("disk", Sink::File(&file), &mut |_| {}).unwrap_err();
    assert!(matches!(error, ClientError::Protocol { .. }), "{error}");
    world.end();
}

/// Reads a file that is announced with `size` bytes and brings `frames`; tells whether it was taken.
fn read_of(size: u64, frames: Vec<(Kind, Vec<u8>)>) -> Result<u64, ClientError> {
    let world = World::new(move |listener| {
        let mut peer = Peer::serve(&listener);
        let (stream, _) = peer.request();
        let opened = Opened { pid: None, entry: Some(entry(size)) };
        peer.send(&stream_frame(Kind::Opened, stream, &opened));
        for (kind, payload) in frames {
            peer.send(&Frame::stream(kind, stream, payload));
        }
        peer.done(stream, &Outcome::Ok);
    });
    let file = tempfile::tempfile().unwrap();
    // It stays connected: the guest says all it has to say, whether it is heard or not.
    let mut channel = world.attach();
    let read = channel.read_file("disk", Sink::File(&file), &mut |_| {});
    world.end();
    read.map(|_| file.metadata().unwrap().len())
}

#[test]
fn no_more_of_a_file_is_taken_than_it_said_there_is() {
    let hole = |length: u64| (Kind::Hole, length.to_le_bytes().to_vec());
    let bytes = |length| (Kind::Data, vec![1; length]);
    assert_eq!(read_of(5, vec![bytes(3), hole(2)]).unwrap(), 5);
    for frames in [vec![bytes(6)], vec![bytes(3), hole(3)], vec![hole(5), bytes(1)]] {
        let error = read_of(5, frames).unwrap_err();
        assert!(matches!(error, ClientError::Protocol { .. }), "{error}");
    }
    assert_eq!(read_of(0, vec![bytes(70_000 - 65_536), bytes(65_536)]).unwrap(), 70_000, "as files of /proc");
    let error = read_of(0, vec![hole(1 << 40)]).unwrap_err();
    assert!(matches!(error, ClientError::Protocol { .. }), "{error}");
}

#[test]
fn what_a_cancelled_stream_still_says_is_not_taken_for_the_next_ones() {
    let world = World::new(|listener| {
        let mut peer = Peer::serve(&listener);
        let (first, _) = peer.request();
        peer.send(&Frame::stream(Kind::Hole, first, u64::MAX.to_le_bytes()));
        assert_eq!(peer.next().kind, Kind::Cancel);
        peer.send(&Frame::stream(Kind::Data, first, *b"late"));
        peer.done(first, &Outcome::Ok);
        let (second, _) = peer.request();
        assert_ne!(first, second);
        peer.done(second, &Outcome::Entry { entry: entry(3) });
    });
    let mut channel = world.attach();
    channel.read_file("disk", Sink::Write(&mut io::sink()), &mut |_| {}).unwrap_err();
    assert_eq!(channel.stat("disk").unwrap(), entry(3));
    world.end();
}

#[test]
fn a_listing_with_a_name_that_leads_elsewhere_is_refused() {
    let world = World::new(|listener| {
        let mut peer = Peer::serve(&listener);
        let (stream, _) = peer.request();
        let mut line = serde_json::to_vec(&Entry { name: "../x".into(), ..entry(1) }).unwrap();
        line.push(b'\n');
        peer.send(&Frame::stream(Kind::Data, stream, line));
        assert_eq!(peer.next().kind, Kind::Cancel);
    });
    let error = world.attach().list("/srv").unwrap_err();
    assert!(matches!(error, ClientError::Protocol { .. }), "{error}");
    world.end();
}
