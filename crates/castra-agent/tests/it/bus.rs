//! The bus: guest programs to the host and back.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};

use castra_agent::{ClientError, publish};
use castra_agent_proto::limits::MAX_MESSAGE;
use castra_agent_proto::message::{Publication, Report, body};
use castra_agent_proto::{Frame, Kind};

use crate::host::{Host, eventually};

fn said(frame: &Frame) -> Option<(String, String)> {
    let it = (frame.kind == Kind::Publish).then(|| Publication::parse(&frame.payload)).flatten()?;
    Some((it.topic, String::from_utf8(it.message).unwrap()))
}

fn agent(host: &Host) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_castra-agent"));
    command.arg("--socket").arg(host.socket());
    command
}

#[test]
fn messages_of_guest_programs_reach_the_host_in_order() {
    let mut host = Host::greeted();
    eventually("the socket", || UnixStream::connect(host.socket()).is_ok());
    let status = agent(&host).args(["publish", "--topic", "app/state", "up and running"]).status().unwrap();
    assert!(status.success());
    let mut lines =
        agent(&host).args(["publish", "--topic", "lines", "-"]).stdin(Stdio::piped()).spawn().unwrap();
    let text: String = (0..500).map(|number| format!("{number}\n")).collect();
    lines.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    assert!(lines.wait().unwrap().success());
    let mut got = Vec::new();
    while got.len() < 501 {
        got.extend(said(&host.next_frame()));
    }
    assert_eq!(got[0], ("app/state".to_owned(), "up and running".to_owned()));
    assert!(got[1..].iter().enumerate().all(|(number, (_, text))| *text == number.to_string()));
}

#[test]
fn messages_that_do_not_fit_are_refused_and_counted() {
    let mut host = Host::connect();
    eventually("the socket", || UnixStream::connect(host.socket()).is_ok());
    let many = std::iter::repeat_n(vec![b'x'; MAX_MESSAGE], 1000);
    let refused = publish(&host.socket(), "t", many);
    assert!(matches!(refused, Err(ClientError::Refused { .. })), "{refused:?}");
    host.hello("s");
    let mut got = 0;
    loop {
        let frame = host.next_frame();
        got += usize::from(frame.kind == Kind::Publish);
        if let Some(Report::Dropped { messages }) = body(&frame) {
            assert_eq!(messages, 1);
            break;
        }
    }
    assert!((4..=8).contains(&got), "{got} messages were kept");
}

#[test]
fn a_message_that_breaks_the_rules_is_refused() {
    let host = Host::greeted();
    eventually("the socket", || UnixStream::connect(host.socket()).is_ok());
    assert!(matches!(publish(&host.socket(), "a b", std::iter::once(vec![])), Err(ClientError::Message(_))));
    let output = agent(&host).arg("publish").output().unwrap();
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn what_the_host_says_is_heard_by_who_listens_to_its_topic() {
    let mut host = Host::greeted();
    eventually("the socket", || UnixStream::connect(host.socket()).is_ok());
    let mut tail = agent(&host).args(["tail", "--topic", "a"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(tail.stdout.take().unwrap()).lines();
    // Nobody tells when it listens, so say it until it is heard.
    let publish = |topic: &str, text: &str| {
        Frame::session(Kind::Publish, Publication::new(topic, text.into()).unwrap().to_payload())
    };
    let speak = std::thread::scope(|scope| {
        let heard = scope.spawn(move || (lines.next(), lines));
        while !heard.is_finished() {
            host.send(&publish("b", "not this"));
            host.send(&publish("a", "this"));
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        heard.join().unwrap()
    });
    assert_eq!(speak.0.unwrap().unwrap(), "this");
    drop(host);
    assert!(tail.wait().unwrap().success(), "a listener ends well with its agent");
}
