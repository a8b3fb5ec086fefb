//! `castra bus`: messages both ways, in order, to those who listen and to those who come late.

use std::process::Child;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::agent_lab::AgentLab;
use crate::env::{Answer, eventually, wait};

fn guest_says(lab: &AgentLab, topic: &str, messages: &[&str]) {
    let messages = messages.iter().map(|message| message.as_bytes().to_vec());
    castra_agent::publish(&lab.bus_socket(), topic, messages).unwrap();
}

/// What `bus tail` shows of what was said, once it is so much.
fn said(lab: &AgentLab, args: &[&str], messages: usize) -> Answer {
    let args: Vec<&str> = ["bus", "tail", "--json"].iter().chain(args).copied().collect();
    let mut answer = lab.run(&args).succeeded();
    eventually("the messages", || {
        answer = lab.run(&args).succeeded();
        answer.lines().len() > messages
    });
    answer
}

/// Ends a command that follows.
fn end(child: Child) -> Answer {
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    wait(child, Duration::from_secs(10))
}

#[test]
fn a_message_of_a_guest_is_heard_by_who_comes_late() {
    let lab = AgentLab::new();
    lab.run(&["exec", "true"]).succeeded();
    guest_says(&lab, "build", &["one", "two", "three"]);
    let answer = said(&lab, &["-n", "2", "--topic", "build"], 2);
    lab.env.holds("bus-tail", &answer);
    let texts: Vec<String> =
        answer.lines().iter().filter_map(|line| line["bus"]["text"].as_str().map(str::to_owned)).collect();
    assert_eq!(texts, ["two", "three"]);
    assert_eq!(answer.outcome()["messages"], 2);
    assert_eq!(lab.run(&["bus", "tail", "--json", "--topic", "other"]).outcome()["messages"], 0);
    let text = lab.run(&["bus", "tail", "-n", "1"]).succeeded().stdout;
    assert!(text.ends_with("Z [devbox build] three\n"), "{text}");
}

#[test]
fn a_message_reaches_the_guest_and_who_follows() {
    let lab = AgentLab::new();
    let (heard, hears) = mpsc::channel();
    let socket = lab.bus_socket();
    lab.run(&["exec", "true"]).succeeded();
    let guest = thread::spawn(move || {
        let _ = castra_agent::tail(&socket, Some("deploy"), &mut |said| {
            let _ = heard.send(said.message.clone());
            Ok(())
        });
    });
    let follower = lab.env.command(["bus", "tail", "--follow"]).spawn().unwrap();
    // Whoever listens is told from then on: said again until both do.
    eventually("the guest hears", || {
        let answer = lab.run(&["bus", "publish", "--topic", "deploy", "--json", "v2"]).succeeded();
        lab.env.holds("bus-publish", &answer);
        hears.recv_timeout(Duration::from_millis(100)).is_ok_and(|message| message == b"v2")
    });
    let answer = end(follower);
    assert!(answer.stdout.contains("[to devbox deploy] v2"), "{answer}");
    drop(lab);
    guest.join().unwrap();
}

#[test]
fn a_message_may_come_from_a_pipe_and_has_its_limits() {
    let lab = AgentLab::new();
    lab.env.castra_with(["bus", "publish", "--topic", "t", "-"], b"piped\n").succeeded();
    assert_eq!(said(&lab, &[], 1).lines()[0]["bus"]["text"], "piped\n");
    let long = vec![b'x'; 40_000];
    lab.env.castra_with(["bus", "publish", "--topic", "t", "-"], &long).failed(2);
    lab.run(&["bus", "publish", "--topic", "a b", "x"]).failed(2);
}
