//! Hello, ping, and what a new session does to the old one.

use std::fs;

use castra_agent_proto::limits::PROTOCOL;
use castra_agent_proto::message::{Hello, HelloReply, body, session_frame, stream_frame};
use castra_agent_proto::request::{FailureCode, Outcome, Request};
use castra_agent_proto::{Frame, Kind, frame};

use crate::host::{Host, eventually, shell, text};

#[test]
fn a_hello_is_answered_with_who_is_there() {
    let reply = Host::connect().hello("abc").check("web").unwrap();
    assert!(reply.capabilities.iter().any(|name| name == "exec"));
    assert!(reply.uptime_ms >= reply.agent_started_ms);
    assert_eq!(reply.boot_id, fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap().trim());
}

#[test]
fn without_a_session_only_a_hello_is_answered() {
    let mut host = Host::connect();
    host.send(&Frame::session(Kind::Ping, b"12345678".to_vec()));
    host.send(&stream_frame(Kind::Open, 1, &Request::Stat { path: "/".into() }));
    host.send(&Frame::session(Kind::Publish, vec![]));
    // A hello takes back what was not written yet: an answer has to have the time to be.
    std::thread::sleep(std::time::Duration::from_millis(300));
    let (session, vm) = ("s".to_owned(), "web".to_owned());
    host.send(&session_frame(Kind::Hello, &Hello { protocol: PROTOCOL, session, vm, keepalive_ms: 2_000 }));
    let first = host.next_frame();
    assert_eq!(first.kind, Kind::HelloReply, "{first:?} was answered to nobody");
    assert_eq!(body::<HelloReply>(&first).unwrap().session, "s");
    host.settle();
}

#[test]
fn noise_before_a_hello_does_not_keep_it_from_being_heard() {
    let mut host = Host::connect();
    let half = Frame::stream(Kind::Data, 1, vec![7; 60_000]).to_bytes();
    std::io::Write::write_all(&mut host.port, &half[..30_000]).unwrap();
    std::io::Write::write_all(&mut host.port, &frame::filler()).unwrap();
    host.hello("s");
    host.settle();
}

#[test]
fn a_new_hello_ends_what_the_old_session_ran() {
    let mut host = Host::greeted();
    let pids = host.path("pids");
    let script = format!("sleep 1000 & echo $! $$ >{0}.part; mv {0}.part {0}; wait", text(&pids));
    host.open(&Request::Exec(shell(&script)));
    eventually("the script", || pids.exists());
    let pids = fs::read_to_string(pids).unwrap();
    host.hello("t");
    for pid in pids.split_whitespace() {
        let stat = format!("/proc/{pid}/stat");
        eventually("its end", || fs::read_to_string(&stat).map_or(true, |stat| stat.contains(") Z ")));
    }
    assert_eq!(host.sh("exit 4").code(), Some(4));
}

#[test]
fn one_stream_more_than_a_guest_serves_is_refused_and_the_others_go_on() {
    let mut host = Host::greeted();
    let mut cat = shell("cat");
    cat.stdin = true;
    let streams: Vec<u32> = (0..32).map(|_| host.open(&Request::Exec(cat.clone()))).collect();
    let refused = host.ask(&Request::Stat { path: "/".into() });
    assert!(matches!(refused.outcome, Some(Outcome::Failed(it)) if it.code == FailureCode::Busy));
    for stream in streams {
        let got = host.finish(stream, b"still here");
        assert_eq!((got.code(), got.text().as_str()), (Some(0), "still here"));
    }
    assert!(matches!(host.ask(&Request::Stat { path: "/".into() }).outcome, Some(Outcome::Entry { .. })));
}

#[test]
fn a_stream_number_that_is_taken_ends_both() {
    let mut host = Host::greeted();
    let stream = host.open(&Request::Exec(shell("sleep 1000")));
    host.send(&stream_frame(Kind::Open, stream, &Request::Stat { path: "/".into() }));
    let got = host.finish(stream, &[]);
    assert!(matches!(got.outcome, Some(Outcome::Failed(it)) if it.code == FailureCode::Invalid));
}

#[test]
fn a_request_of_the_future_is_unsupported() {
    let mut host = Host::greeted();
    host.send(&Frame::stream(Kind::Open, 9, *br#"{"request":"teleport"}"#));
    let got = host.finish(9, &[]);
    assert!(matches!(got.outcome, Some(Outcome::Failed(it)) if it.code == FailureCode::Unsupported));
}
