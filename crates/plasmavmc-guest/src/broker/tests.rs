//! The broker against guests and commands that keep the rules, and those that do not.

mod lab;

use std::io::{BufReader, Write};
use std::thread;
use std::time::{Duration, Instant};

use castra_agent_proto::limits::{MAX_STREAMS, WINDOW};
use castra_agent_proto::message::{
    Attach, Attached, BusMessage, HelloReply, Publication, RefusedCode, body, session_frame, stream_frame,
};
use castra_agent_proto::request::{FailureCode, Outcome as StreamOutcome, Request, ShutdownMode};
use castra_agent_proto::{Frame, Kind};
use castra_testkit::{throughout, until};
use plasmavmc_host::socket::Connected;
use serde_json::json;

use self::lab::{FakeQga, Lab};
use super::*;
use crate::freshness::{Freshness, Reach};
use crate::record::AgentKind;
use crate::testing::{Line, reply};

#[test]
fn a_guest_that_answers_is_reachable_and_the_log_says_hello_once() {
    let mut lab = Lab::new(&["web"]);
    lab.start();
    let mut guest = lab.guest_on("web");
    let record = lab.record("web").unwrap();
    assert_eq!((record.capabilities.join(","), record.handshakes), ("bus-v1,exec,files".to_owned(), 1));
    guest.0.stream.write_all(b"noise").unwrap();
    lab.until("the loss", || lab.freshness("web").reach == Reach::Waiting);
    guest.greet();
    lab.until("the second handshake", || lab.freshness("web").reach == Reach::Reachable);
    let log = lab.log();
    let lines: Vec<&str> = log.lines().map(|line| line.split_once(' ').unwrap().1).collect();
    let handshake = "handshake vm=web capabilities=bus-v1,exec,files outcome=ok";
    let [_, first, hello, lost, second] = lines[..] else { panic!("{log}") };
    assert_eq!([first, hello, second], [handshake, "hello from vm:web", handshake]);
    assert!(lost.starts_with("lost vm=web age_ms="), "{lost}");
    assert!(lost.ends_with("reason=\"the guest sent what is no frame\""), "{lost}");
}

#[test]
fn a_broker_ends_with_its_last_vm_and_leaves_no_socket() {
    let mut lab = Lab::new(&["web", "db"]);
    lab.start();
    let _guests = [lab.guest_on("web"), lab.guest_on("db")];
    lab.stop("web");
    lab.until("its end is told", || lab.world.lock().unwrap().stopped.len() == 1);
    let (_, attached) = lab.client(&Attach::Retire);
    assert_eq!(attached, Attached::Ok);
    assert!(!lab.broker.as_ref().unwrap().is_finished());
    lab.stop("db");
    let ended = Instant::now();
    lab.ends();
    assert!(ended.elapsed() < Duration::from_millis(500), "{:?}", ended.elapsed());
    assert!(!lab.layout.broker_socket().exists());
    let told = std::mem::take(&mut lab.world.lock().unwrap().told);
    assert!(matches!(told.last(), Some((None, EventKind::BrokerStopped { .. }))), "{told:?}");
}

#[test]
fn a_broker_without_vms_ends_by_itself() {
    let mut lab = Lab::new(&[]);
    lab.start();
    lab.ends();
}

#[test]
fn a_broker_that_is_there_stays_where_it_is_asked_to_and_no_later_wish_shortens_that() {
    let mut lab = Lab::new(&["web"]);
    lab.start();
    for stay in [true, false] {
        assert_eq!(lab.client(&Attach::Rescan { stay }).1, Attached::Ok);
    }
    lab.stop("web");
    lab.until("its end is told", || lab.world.lock().unwrap().stopped.len() == 1);
    let grace = Duration::from_millis(GRACE_MS + 300);
    throughout(grace, "it outlives the VM", || !lab.broker.as_ref().unwrap().is_finished());
    assert_eq!(lab.client(&Attach::Retire).1, Attached::Ok);
    lab.ends();
}

#[test]
fn a_vm_that_comes_later_is_served_after_a_rescan() {
    let mut lab = Lab::new(&["web"]);
    lab.start();
    lab.add("db");
    let (_, attached) = lab.client(&Attach::Streams { vm: "nobody".into() });
    assert!(matches!(attached, Attached::Refused { code: RefusedCode::UnknownVm, .. }));
    assert_eq!(lab.client(&Attach::Rescan { stay: false }).1, Attached::Ok);
    lab.guest_on("db");
    let (_, attached) = lab.client(&Attach::Streams { vm: "web".into() });
    assert!(matches!(attached, Attached::Refused { code: RefusedCode::Unreachable, .. }), "{attached:?}");
}

#[test]
fn fifty_guests_are_reachable_at_once_and_stay_so() {
    let names: Vec<String> = (0..50).map(|number| format!("vm-{number}")).collect();
    let mut lab = Lab::new(&names.iter().map(String::as_str).collect::<Vec<_>>());
    lab.start();
    let mut guests: Vec<_> = names.iter().map(|name| (name, lab.guest_on(name))).collect();
    let is_fresh = |name: &String| lab.freshness(name).reach == Reach::Reachable;
    assert!(names.iter().all(is_fresh), "{}", lab.log());
    let first = boot_ms();
    for (name, guest) in &mut guests {
        guest.pong();
        lab.until("a later answer", || lab.record(name).is_some_and(|record| record.last_seen_ms > first));
    }
    assert!(names.iter().all(is_fresh), "{}", lab.log());
}

#[test]
fn streams_pass_both_ways_and_end_with_either_side() {
    let mut lab = Lab::new(&["web"]);
    lab.start();
    let mut guest = lab.guest_on("web");
    let (mut a, mut b) = (lab.streams("web"), lab.streams("web"));
    let mut opened = Vec::new();
    for client in [&mut a, &mut b] {
        client.send(&Frame::stream(Kind::Open, 1, *b"{}"));
        client.send(&Frame::stream(Kind::Data, 1, *b"in"));
        opened.push(guest.next_of(Kind::Open).stream);
        assert_eq!(guest.next_of(Kind::Data).payload, b"in");
    }
    guest.0.send(&Frame::stream(Kind::Data, opened[1], *b"to b"));
    guest.0.send(&Frame::stream(Kind::Data, opened[0], *b"to a"));
    assert_eq!(
        (a.next(), b.next()),
        (Frame::stream(Kind::Data, 1, *b"to a"), Frame::stream(Kind::Data, 1, *b"to b"))
    );
    drop(a);
    assert_eq!(guest.next_of(Kind::Cancel).stream, opened[0]);
    lab.stop("web");
    let done = b.next();
    let Some(StreamOutcome::Failed(failure)) = body(&done) else { panic!("{done:?}") };
    assert_eq!((done.kind, failure.code), (Kind::Done, FailureCode::Lost));
}

#[test]
fn a_guest_that_breaks_its_grant_loses_the_stream_and_keeps_the_session() {
    let mut lab = Lab::new(&["web"]);
    lab.start();
    let mut guest = lab.guest_on("web");
    let mut client = lab.streams("web");
    client.send(&Frame::stream(Kind::Open, 1, *b"{}"));
    let stream = guest.next_of(Kind::Open).stream;
    for _ in 0..WINDOW / 32_768 + 1 {
        guest.0.send(&Frame::stream(Kind::Data, stream, vec![7; 32_768]));
    }
    assert_eq!(guest.next_of(Kind::Cancel).stream, stream);
    let last = std::iter::from_fn(|| Some(client.next())).find(|frame| frame.kind == Kind::Done).unwrap();
    assert!(matches!(body(&last), Some(StreamOutcome::Failed(failure)) if failure.code == FailureCode::Io));
    client.send(&Frame::stream(Kind::Open, 2, *b"{}"));
    guest.next_of(Kind::Open);
}

#[test]
fn a_hostile_guest_spoils_its_own_row_alone() {
    let mut lab = Lab::new(&["bad", "good"]);
    lab.start();
    let mut good = lab.guest_on("good");
    let mut bad = lab.guest("bad");
    let hello = bad.hello();
    let mut writer = bad.0.stream.try_clone().unwrap();
    writer.set_write_timeout(Some(Duration::from_millis(100))).unwrap();
    let flood = thread::spawn(move || {
        let reply = session_frame(Kind::HelloReply, &reply(&hello)).to_bytes();
        let _ = writer.write_all(&reply);
        let mut four_gigabytes = Frame::stream(Kind::Data, 1, *b"x").to_bytes();
        four_gigabytes[8..12].copy_from_slice(&u32::MAX.to_le_bytes());
        let pong = Frame::session(Kind::Pong, vec![0; 8]).to_bytes();
        let junk: Vec<u8> = [four_gigabytes, pong.repeat(1_000), vec![0xCA; 65_536]].concat();
        let end = Instant::now() + Duration::from_secs(3);
        // It is not read for ever longer: what it cannot write is what it is held back by.
        while Instant::now() < end {
            let _ = writer.write(&junk);
        }
    });
    let mut client = lab.streams("good");
    let mut slowest = Duration::ZERO;
    for stream in 1..=200 {
        let begun = Instant::now();
        client.send(&Frame::stream(Kind::Open, stream, *b"{}"));
        let number = good.next_of(Kind::Open).stream;
        good.0.send(&Frame::stream(Kind::Done, number, *b"{\"outcome\":\"ok\"}"));
        assert_eq!(client.next().kind, Kind::Done);
        slowest = slowest.max(begun.elapsed());
        thread::sleep(Duration::from_millis(5));
    }
    assert!(slowest < Duration::from_millis(500), "{slowest:?}");
    assert_eq!(lab.freshness("good").reach, Reach::Reachable);
    lab.until("the bad one is shown", || {
        lab.record("bad").is_some_and(|record| record.lost || record.flooded)
    });
    flood.join().unwrap();
}

/// Writes `frame` over and over for three seconds; tells how often it was taken.
fn flood(stream: &mut std::os::unix::net::UnixStream, frame: &Frame) -> u64 {
    stream.set_write_timeout(Some(Duration::from_millis(50))).unwrap();
    let frame = frame.to_bytes();
    let (block, mut at, mut taken) = (frame.repeat(1_000), 0, 0);
    let end = Instant::now() + Duration::from_secs(3);
    while Instant::now() < end {
        // A write that was cut goes on where it was cut: what the broker reads is frames, one and all.
        if let Ok(count) = stream.write(&block[at..]) {
            at = (at + count) % block.len();
            taken += count as u64;
        }
    }
    taken / frame.len() as u64
}

#[test]
fn a_guest_that_floods_with_good_frames_is_read_no_faster_than_its_allowance_and_shown() {
    // Twice the allowance of a second at once, four seconds of it, a read, and what a socket holds.
    const MOST: u64 = 2 * 2_000 + 4 * 2_000 + 65_536 / 20 + 212_992 / 20;
    let mut lab = Lab::new(&["bad"]);
    lab.start();
    let mut bad = lab.guest_on("bad");
    let on_the_session = flood(&mut bad.0.stream, &Frame::session(Kind::Pong, vec![0; 8]));
    lab.until("it is shown", || lab.record("bad").unwrap().flooded);
    assert!(!lab.record("bad").unwrap().lost, "an answer to an old ping is no fault");
    assert!(on_the_session < MOST, "{on_the_session} frames were read");
    drop(bad);
    let mut lab = Lab::new(&["bad"]);
    lab.start();
    let mut bad = lab.guest_on("bad");
    bad.0.stream.write_all(b"noise").unwrap();
    lab.until("the next hello", || lab.record("bad").unwrap().lost);
    bad.hello();
    let before_it = flood(&mut bad.0.stream, &Frame::stream(Kind::Data, 1, *b""));
    lab.until("it is shown", || lab.record("bad").unwrap().flooded);
    assert!(before_it < MOST, "{before_it} frames were read");
}

#[test]
fn a_guest_that_says_it_is_another_is_declined_and_told_of() {
    let mut lab = Lab::new(&["web"]);
    lab.start();
    let mut guest = lab.guest("web");
    let hello = guest.hello();
    let reply = HelloReply { vm: "db".into(), ..reply(&hello) };
    guest.0.send(&session_frame(Kind::HelloReply, &reply));
    lab.until("the line", || {
        lab.log().contains("outcome=declined reason=\"the agent says it is VM \\\"db\\\"\"")
    });
    lab.until("the record", || lab.record("web").is_some());
    assert_eq!(lab.freshness("web"), Freshness { reach: Reach::Waiting, age_ms: None });
    let told = std::mem::take(&mut lab.world.lock().unwrap().told);
    assert!(
        told.iter()
            .any(|(vm, kind)| vm.is_some()
                && matches!(kind, EventKind::GuestHandshake { reason: Some(_), .. }))
    );
}

#[test]
fn a_guest_that_stops_answering_ages_out() {
    let mut lab = Lab::new(&["web"]);
    lab.start();
    let _silent = lab.guest_on("web");
    until(Duration::from_secs(9), || match lab.freshness("web") {
        fresh if fresh.reach == Reach::Reachable => Err(format!("{fresh:?}")),
        _ => Ok(()),
    });
    assert!(lab.freshness("web").age_ms.unwrap() > 6_000);
    lab.until("the event", || {
        lab.world.lock().unwrap().told.iter().any(|(_, kind)| matches!(kind, EventKind::GuestLost { .. }))
    });
}

#[test]
fn the_bus_carries_messages_both_ways_in_order() {
    let mut lab = Lab::new(&["web"]);
    lab.start();
    let mut guest = lab.guest_on("web");
    let (mut tail, attached) = lab.client(&Attach::Tail { vm: None, topic: None, last: 0, only_last: false });
    assert_eq!(attached, Attached::Ok);
    let (mut publisher, attached) = lab.client(&Attach::Publish { vm: "web".into() });
    assert_eq!(attached, Attached::Ok);
    let publication = Publication::new("greeting", b"hi".to_vec()).unwrap();
    publisher.send(&Frame::session(Kind::Publish, publication.to_payload()));
    assert_eq!(body(&publisher.next()), Some(Attached::Ok));
    assert_eq!(Publication::parse(&guest.next_of(Kind::Publish).payload), Some(publication));
    for n in 0..100 {
        let publication = Publication::new("count", n.to_string().into_bytes()).unwrap();
        guest.0.send(&Frame::session(Kind::Publish, publication.to_payload()));
    }
    let heard: Vec<BusMessage> = (0..101).map(|_| body(&tail.next()).unwrap()).collect();
    assert!(heard.iter().zip(1..).all(|(message, seq)| message.seq == seq));
    assert_eq!(heard[0].text.as_deref(), Some("hi"));
    assert_eq!(heard[100].text.as_deref(), Some("99"));
}

#[test]
fn who_comes_late_hears_what_was_said_lately() {
    let mut lab = Lab::new(&["web"]);
    lab.start();
    let mut guest = lab.guest_on("web");
    let all = Attach::Tail { vm: None, topic: None, last: usize::MAX, only_last: false };
    let (mut first, _) = lab.client(&all);
    for n in 0..3 {
        let publication = Publication::new("count", n.to_string().into_bytes()).unwrap();
        guest.0.send(&Frame::session(Kind::Publish, publication.to_payload()));
        first.next();
    }
    let (mut late, attached) =
        lab.client(&Attach::Tail { vm: None, topic: Some("count".into()), last: 2, only_last: true });
    assert_eq!(attached, Attached::Ok);
    let heard: Vec<BusMessage> = (0..2).map(|_| body(&late.next()).unwrap()).collect();
    assert_eq!(heard.iter().map(|message| message.seq).collect::<Vec<_>>(), [2, 3]);
    assert_eq!(late.try_next(), None, "only what was is heard");
}

#[test]
fn a_command_that_never_reads_costs_nobody_but_itself() {
    let mut lab = Lab::new(&["web"]);
    lab.start();
    let mut guest = lab.guest_on("web");
    let mut deaf = lab.streams("web");
    for stream in 1..=MAX_STREAMS as u32 {
        deaf.send(&Frame::stream(Kind::Open, stream, *b"{}"));
        let number = guest.next_of(Kind::Open).stream;
        if stream < MAX_STREAMS as u32 {
            guest.0.send(&Frame::stream(Kind::Data, number, vec![0; 65_536]));
        } else {
            guest.0.send(&Frame::stream(Kind::Done, number, *b"{\"outcome\":\"ok\"}"));
        }
    }
    let mut other = lab.streams("web");
    other.send(&Frame::stream(Kind::Open, 1, *b"{}"));
    let number = guest.next_of(Kind::Open).stream;
    guest.0.send(&Frame::stream(Kind::Data, number, *b"here"));
    assert_eq!(other.next().payload, b"here");
}

#[test]
fn a_command_that_cannot_be_told_its_outcome_is_closed_and_never_waits_for_it() {
    let lab = Lab::new(&["web"]);
    let mut broker = lab.idle();
    broker.rescan(boot_ms());
    let vm: VmName = "web".parse().unwrap();
    let clients = [ClientId(1), ClientId(2)];
    let _ends = clients.map(|client| {
        let (ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
        let mut peer = Peer::new(ours, boot_ms());
        peer.attach(Role::Streams(vm.clone()));
        broker.peers.insert(client, peer);
        let open = Frame::stream(Kind::Open, 1, *b"{}");
        broker.links.get_mut(&vm).unwrap().switch.from_client(client, open);
        theirs
    });
    let full = broker.peers.get_mut(&clients[0]).unwrap();
    while full.send(&Frame::stream(Kind::Data, 1, vec![0; 65_536])).is_ok() {}
    broker.ended(&vm, boot_ms());
    assert!(!broker.peers.contains_key(&clients[0]), "it waits for ever");
    assert!(broker.peers.contains_key(&clients[1]), "it is told");
}

#[test]
fn strangers_and_nonsense_are_turned_away() {
    let mut lab = Lab::new(&["web"]);
    lab.start();
    let _guest = lab.guest_on("web");
    let raw = || match socket::connect(lab.dir.path(), Layout::BROKER_SOCKET_NAME).unwrap() {
        Connected::Stream(stream) => Line::new(stream),
        other => panic!("{other:?}"),
    };
    let mut nonsense = raw();
    nonsense.stream.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    assert_eq!(nonsense.try_next(), None);
    let mut no_request = raw();
    no_request.send(&Frame::stream(Kind::Open, 1, *b"{}"));
    assert!(matches!(body(&no_request.next()), Some(Attached::Refused { code: RefusedCode::Invalid, .. })));
    // One that says nothing is closed.
    assert_eq!(raw().try_next(), None);
    let mut broken = lab.streams("web");
    broken.send(&Frame::stream(Kind::Done, 1, *b"{}"));
    assert_eq!(broken.try_next(), None);
}

#[test]
fn one_connection_too_many_is_refused() {
    let mut lab = Lab::new(&["web"]);
    lab.start();
    let _guest = lab.guest_on("web");
    let all: Vec<Line> = (0..CLIENTS_MAX).map(|_| lab.streams("web")).collect();
    let (_, attached) = lab.client(&Attach::Rescan { stay: false });
    assert!(matches!(attached, Attached::Refused { code: RefusedCode::Busy, .. }), "{attached:?}");
    drop(all);
    lab.until("there is room again", || lab.client(&Attach::Rescan { stay: false }).1 == Attached::Ok);
}

/// A guest with `qemu-guest-agent` alone that can set its clock.
fn with_qga(lab: &mut Lab) -> FakeQga {
    let listener = lab.listen_qga("web");
    lab.start();
    let mut qga = FakeQga(BufReader::new(listener.accept().unwrap().0));
    let id = qga.next("guest-sync-delimited")["arguments"]["id"].clone();
    qga.say(&json!({ "return": id }));
    qga.next("guest-info");
    let time = json!({ "name": "guest-set-time", "enabled": true });
    qga.say(&json!({ "return": { "version": "10.0", "supported_commands": [time] } }));
    lab.until("reachable", || lab.freshness("web").reach == Reach::Reachable);
    qga
}

/// A client whose wish the guest's `qemu-guest-agent` has heard.
fn with_wish(lab: &Lab, qga: &mut FakeQga) -> Line {
    let mut client = lab.streams("web");
    client.send(&stream_frame(Kind::Open, 1, &Request::SetTime { unix_ns: 1 }));
    qga.next("guest-set-time");
    client
}

fn is_told_of_a_loss(mut client: Line) {
    let done = client.next();
    let Some(StreamOutcome::Failed(failure)) = body(&done) else { panic!("{done:?}") };
    assert_eq!((done.kind, failure.code), (Kind::Done, FailureCode::Lost));
}

#[test]
fn a_wish_to_a_qemu_guest_agent_whose_socket_goes_is_answered() {
    let mut lab = Lab::new(&["web"]);
    let mut qga = with_qga(&mut lab);
    let client = with_wish(&lab, &mut qga);
    drop(qga);
    is_told_of_a_loss(client);
}

#[test]
fn a_wish_to_a_qemu_guest_agent_that_castras_own_takes_over_from_is_answered() {
    let mut lab = Lab::new(&["web"]);
    let mut qga = with_qga(&mut lab);
    let client = with_wish(&lab, &mut qga);
    lab.guest("web").greet();
    is_told_of_a_loss(client);
}

#[test]
fn a_guest_with_only_qemu_guest_agent_is_reachable_and_can_what_that_can() {
    let mut lab = Lab::new(&["web"]);
    let listener = lab.listen_qga("web");
    lab.start();
    let mut qga = FakeQga(BufReader::new(listener.accept().unwrap().0));
    let id = qga.next("guest-sync-delimited")["arguments"]["id"].clone();
    qga.say(&json!({ "return": id }));
    qga.next("guest-info");
    let shutdown = json!({ "name": "guest-shutdown", "enabled": true });
    qga.say(&json!({ "return": { "version": "10.0", "supported_commands": [shutdown] } }));
    lab.until("reachable", || lab.freshness("web").reach == Reach::Reachable);
    let record = lab.record("web").unwrap();
    assert_eq!((record.agent, record.capabilities.join(",")), (AgentKind::Qga, "shutdown".to_owned()));
    assert!(lab.log().contains("handshake vm=web capabilities=shutdown outcome=ok"), "{}", lab.log());
    let mut client = lab.streams("web");
    let open = |stream, request: &Request| stream_frame(Kind::Open, stream, request);
    client.send(&open(1, &Request::SetTime { unix_ns: 1 }));
    let refused = client.next();
    assert!(matches!(body(&refused), Some(StreamOutcome::Failed(f)) if f.code == FailureCode::Unsupported));
    client.send(&open(2, &Request::Shutdown { mode: ShutdownMode::Poweroff }));
    assert_eq!(qga.next("guest-shutdown")["arguments"]["mode"], "powerdown");
    assert_eq!((client.next().stream, lab.freshness("web").reach), (2, Reach::Reachable));
    // Castra's own agent is better, whenever it comes.
    let mut guest = lab.guest("web");
    guest.greet();
    lab.until("the better one", || lab.record("web").is_some_and(|it| it.agent == AgentKind::Castra));
}
