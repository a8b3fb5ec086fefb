//! Programs: input, output, nudges, ends.

use std::io::{Read as _, Write as _, pipe};
use std::os::fd::AsFd;

use castra_agent_proto::limits::WINDOW;
use castra_agent_proto::request::Opened;
use castra_agent_proto::window::{ReceiveWindow, credit};

use super::*;

#[test]
fn a_program_gets_its_input_and_its_output_comes_apart() {
    let world = World::new(|listener| {
        let mut peer = Peer::serve(&listener);
        let (stream, request) = peer.request();
        let Request::Exec(exec) = request else { panic!("{request:?}") };
        assert!(exec.stdin && exec.argv == ["cat"]);
        peer.send(&stream_frame(Kind::Opened, stream, &Opened { pid: Some(7), entry: None }));
        let mut input = Vec::new();
        loop {
            let frame = peer.next();
            match frame.kind {
                Kind::Data => input.extend(frame.payload),
                Kind::End => break,
                kind => panic!("{kind:?}"),
            }
        }
        peer.send(&Frame::stream(Kind::Data, stream, input));
        peer.send(&Frame::stream(Kind::Stderr, stream, *b"and that"));
        peer.done(stream, &Outcome::Exited { code: 3 });
    });
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let io = ExecIo {
        stdin: Input::Bytes(b"this"),
        stdout: Output::Write(&mut out),
        stderr: Output::Write(&mut err),
        nudges: None,
    };
    let ended = world.attach().exec(&Exec::of(["cat"]), io).unwrap();
    assert_eq!((ended, out.as_slice(), err.as_slice()), (Ended::Exited(3), &b"this"[..], &b"and that"[..]));
    assert_eq!(Ended::Signaled(9).shell_code(), 137);
    world.end();
}

/// Plays a program that takes input as a guest with small buffers does: credit for what it took.
fn swallow(peer: &mut Peer, stream: u32) -> u64 {
    let (mut total, mut held, mut used) = (0, 0_u32, ReceiveWindow::default());
    loop {
        let frame = peer.next();
        match frame.kind {
            Kind::Data => {
                total += frame.payload.len() as u64;
                held += u32::try_from(frame.payload.len()).unwrap();
                assert!(held <= WINDOW, "more was sent than was granted");
                if let Some(grant) = used.used(frame.payload.len()) {
                    held -= grant;
                    peer.send(&Frame::stream(Kind::Credit, stream, credit(grant)));
                }
            }
            Kind::End => return total,
            kind => panic!("{kind:?}"),
        }
    }
}

#[test]
fn input_keeps_to_what_was_granted() {
    const LENGTH: usize = 5 * WINDOW as usize + 17;
    let world = World::new(|listener| {
        let mut peer = Peer::serve(&listener);
        let (stream, _) = peer.request();
        assert_eq!(swallow(&mut peer, stream), LENGTH as u64);
        peer.done(stream, &Outcome::Exited { code: 0 });
    });
    let bytes = vec![1; LENGTH];
    let io = ExecIo { stdin: Input::Bytes(&bytes), ..ExecIo::default() };
    world.attach().exec(&Exec::of(["wc"]), io).unwrap();
    world.end();
}

#[test]
fn output_is_granted_as_it_is_read_and_none_is_lost() {
    const LENGTH: usize = 6 * WINDOW as usize + 5;
    let world = World::new(|listener| {
        let mut peer = Peer::serve(&listener);
        let (stream, _) = peer.request();
        spout(&mut peer, stream, LENGTH);
        peer.done(stream, &Outcome::Signaled { signal: 15 });
    });
    let (mut reader, writer) = pipe().unwrap();
    let read = thread::spawn(move || {
        let mut got = Vec::new();
        reader.read_to_end(&mut got).unwrap();
        got.len()
    });
    let io = ExecIo { stdout: Output::Fd(writer.as_fd()), ..ExecIo::default() };
    let ended = world.attach().exec(&Exec::of(["yes"]), io).unwrap();
    drop(writer);
    assert_eq!((ended, read.join().unwrap()), (Ended::Signaled(15), LENGTH));
    world.end();
}

#[test]
fn a_reader_that_went_cancels_the_program() {
    let world = World::new(|listener| {
        let mut peer = Peer::serve(&listener);
        let (stream, _) = peer.request();
        peer.send(&Frame::stream(Kind::Data, stream, *b"y\n"));
        assert_eq!(peer.next().kind, Kind::Cancel);
    });
    let (reader, writer) = pipe().unwrap();
    drop(reader);
    let io = ExecIo { stdout: Output::Fd(writer.as_fd()), ..ExecIo::default() };
    let error = world.attach().exec(&Exec::of(["yes"]), io).unwrap_err();
    assert!(error.is_closed_output(), "{error}");
    world.end();
}

#[test]
fn nudges_reach_a_program_whose_output_nobody_takes() {
    let (mut wake, mut waker) = pipe().unwrap();
    let world = World::new(move |listener| {
        let mut peer = Peer::serve(&listener);
        let (stream, _) = peer.request();
        spout(&mut peer, stream, WINDOW as usize);
        let mut next =
            || std::iter::from_fn(|| peer.try_next()).map(|frame| frame.kind).find(|k| *k != Kind::Credit);
        waker.write_all(b"1").unwrap();
        assert_eq!([next(), next()], [Some(Kind::Signal), Some(Kind::Resize)]);
        waker.write_all(b"2").unwrap();
        assert_eq!(next(), Some(Kind::Cancel));
    });
    // A pipe holds 64 KiB, and nobody reads it.
    let (_reader, writer) = pipe().unwrap();
    let readable = wake.try_clone().unwrap();
    let mut take = || {
        let mut byte = [0];
        wake.read_exact(&mut byte).unwrap();
        match byte {
            [b'1'] => vec![Nudge::Signal(Signal::Term), Nudge::Resize(Size { columns: 1, rows: 2 })],
            _ => vec![Nudge::Leave],
        }
    };
    let nudges = Nudges { wake: readable.as_fd(), take: &mut take };
    let io = ExecIo { stdout: Output::Fd(writer.as_fd()), nudges: Some(nudges), ..ExecIo::default() };
    let error = world.attach().exec(&Exec::of(["yes"]), io).unwrap_err();
    assert!(matches!(error, ClientError::Interrupted), "{error}");
    world.end();
}

#[test]
fn keys_reach_the_program_up_to_those_that_leave_it() {
    let world = World::new(|listener| {
        let mut peer = Peer::serve(&listener);
        let (stream, _) = peer.request();
        assert_eq!(peer.next(), Frame::stream(Kind::Data, stream, *b"ls"));
        assert_eq!(peer.next().kind, Kind::Cancel);
    });
    let (keyboard, mut typist) = pipe().unwrap();
    typist.write_all(b"ls~.").unwrap();
    let mut leaves = |typed: &[u8]| typed.iter().position(|key| *key == b'~');
    let io = ExecIo { stdin: Input::Keys(keyboard.as_fd(), &mut leaves), ..ExecIo::default() };
    let error = world.attach().exec(&Exec::of(["sh"]), io).unwrap_err();
    assert!(matches!(error, ClientError::Interrupted), "{error}");
    world.end();
}

#[test]
fn a_request_that_no_frame_holds_is_refused_and_the_next_is_served() {
    let world = World::new(|listener| {
        let mut peer = Peer::serve(&listener);
        let (stream, request) = peer.request();
        assert!(matches!(request, Request::Exec(exec) if exec.argv == ["true"]));
        peer.done(stream, &Outcome::Exited { code: 0 });
    });
    let mut channel = world.attach();
    let long = Exec::of(["echo".to_owned(), "x".repeat(MAX_PAYLOAD)]);
    let error = channel.exec(&long, ExecIo::default()).unwrap_err();
    assert!(matches!(error, ClientError::TooLong { bytes } if bytes > MAX_PAYLOAD), "{error}");
    assert_eq!(error.kind(), plasmavmc_types::ErrorKind::Usage);
    assert_eq!(channel.exec(&Exec::of(["true"]), ExecIo::default()).unwrap(), Ended::Exited(0));
    world.end();
}

#[test]
fn a_guest_that_does_not_answer_the_start_of_a_program_is_told_and_one_that_did_may_be_silent() {
    let world = World::new(|listener| {
        let mut peer = Peer::serve(&listener);
        peer.request();
        let (second, _) = loop {
            let frame = peer.next();
            if frame.kind == Kind::Open {
                break (frame.stream, ());
            }
        };
        peer.send(&stream_frame(Kind::Opened, second, &Opened { pid: Some(7), entry: None }));
        thread::sleep(Duration::from_millis(600));
        peer.done(second, &Outcome::Exited { code: 0 });
    });
    let mut channel = world.attach();
    channel.opening = Duration::from_millis(200);
    let error = channel.exec(&Exec::of(["true"]), ExecIo::default()).unwrap_err();
    assert!(matches!(error, ClientError::GuestSilent { .. }), "{error}");
    assert_eq!(channel.exec(&Exec::of(["true"]), ExecIo::default()).unwrap(), Ended::Exited(0));
    world.end();
}

#[test]
fn a_guest_that_stands_still_is_told_as_frozen_and_not_waited_for() {
    let world = World::new(|listener| {
        let mut peer = Peer::serve(&listener);
        // The first question is answered, the next not: nothing is waited for but the guest.
        let (stream, _) = peer.request();
        peer.done(stream, &Outcome::Exited { code: 0 });
        while peer.next().kind != Kind::Cancel {}
    });
    let mut channel = world.attach();
    assert_eq!(channel.exec(&Exec::of(["true"]), ExecIo::default()).unwrap(), Ended::Exited(0));
    channel.link.opening = Duration::from_millis(100);
    channel.watched_by(|| true);
    let error = channel.stat("/etc").unwrap_err();
    assert!(matches!(error, ClientError::Frozen { .. }), "{error}");
    drop(channel);
    world.end();
}

#[test]
fn the_first_question_on_a_line_is_not_waited_for_as_the_later_ones_are() {
    let world = World::new(|listener| {
        let mut peer = Peer::serve(&listener);
        while peer.next().kind != Kind::Cancel {}
    });
    let mut channel = world.attach();
    channel.link.opening = Duration::from_millis(100);
    let error = channel.stat("/etc").unwrap_err();
    assert!(matches!(error, ClientError::GuestSilent { .. }), "{error}");
    drop(channel);
    world.end();
}

#[test]
fn a_broker_that_dies_under_a_program_is_told() {
    let world = World::new(|listener| {
        let mut peer = Peer::serve(&listener);
        peer.request();
    });
    let error = world.attach().exec(&Exec::of(["sleep", "9"]), ExecIo::default()).unwrap_err();
    assert!(matches!(error, ClientError::BrokerGone), "{error}");
    world.end();
}

#[test]
fn a_guest_that_is_lost_is_told_with_the_brokers_words() {
    let world = World::new(|listener| {
        let mut peer = Peer::serve(&listener);
        let (stream, _) = peer.request();
        let failure = Failure { code: FailureCode::Lost, message: "it was restarted".into() };
        peer.done(stream, &Outcome::Failed(failure));
    });
    let error = world.attach().exec(&Exec::of(["sleep", "9"]), ExecIo::default()).unwrap_err();
    assert!(matches!(&error, ClientError::Lost { reason, .. } if reason == "it was restarted"), "{error}");
    world.end();
}
