//! `castra console` of a guest that is real.

use castra_testkit::obedient_disk;

use crate::env::TestEnv;

#[test]
fn a_console_carries_words_both_ways_and_the_log_keeps_them() {
    let env = TestEnv::with_guest(&obedient_disk(), "");
    env.start();
    let layout = env.layout();
    env.heard(&layout, b"U");
    // The guest says again whatever it hears.
    let answer = env.castra_with(["console"], b"hello\n").succeeded();
    assert_eq!(answer.stdout, "hello\n", "{answer}");
    let logs = env.castra(["logs", "--source", "serial"]).succeeded();
    assert_eq!(logs.stdout, "[web:serial] Uhello\n", "{logs}");
}

#[test]
fn a_console_ends_with_its_guest() {
    let env = TestEnv::with_guest(&obedient_disk(), "");
    env.start();
    env.heard(&env.layout(), b"U");
    env.castra_with(["console", "web"], b"q").succeeded();
    assert_eq!(env.stopped()["stop_reason"]["reason"], "guest_poweroff");
    env.castra(["console", "web"]).failed(6);
}
