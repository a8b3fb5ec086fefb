//! `castra up` that a person interrupts: it says what stays, and the next command goes on from there.

use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::ExitStatusExt;

use castra_testkit::obedient_disk;
use rustix::process::{Pid, Signal, kill_process};

use crate::env::TestEnv;

#[test]
fn who_interrupts_up_is_told_what_runs_on_and_how_to_undo_it() {
    // No agent ever answers: `up` waits until it is interrupted.
    let env = TestEnv::with_guest(&obedient_disk(), "");
    let mut up = env.spawn(&["up", "--wait", "reachable"]);
    let mut told = BufReader::new(up.stderr.take().unwrap());
    let mut said = String::new();
    while !said.contains("QEMU launched") {
        assert!(told.read_line(&mut said).unwrap() > 0, "{said}");
    }
    kill_process(Pid::from_child(&up), Signal::INT).unwrap();
    told.read_to_string(&mut said).unwrap();
    assert_eq!(up.wait().unwrap().signal(), Some(Signal::INT.as_raw()), "{said}");
    let expected = "interrupted: VM `web` runs on\nhint: `castra up` goes on from there, `castra down` stops what runs\n";
    assert!(said.ends_with(expected), "{said}");
    assert_eq!(env.start()[0]["change"], "already_running");
    env.run(&["down"]).succeeded();
    assert_eq!(env.qemus(), []);
}
