//! The guest channel on real Linux guests with Castra's agent: who is reachable, since when, and who
//! says so.

use std::time::{Duration, Instant};

use plasmavmc_guest::record::SessionRecord;
use plasmavmc_host::Layout;
use rustix::process::Signal;
use serde_json::Value;

use crate::broker::{broker, row, unserved};
use crate::env::TestEnv;
use crate::guests;
use crate::sectors::only;

/// How long a guest may take to boot on a busy machine.
pub(crate) const BOOT: Duration = Duration::from_secs(120);

/// A project whose VM boots the tiny guest, with a window of 3 s.
pub(crate) fn linux() -> TestEnv {
    guests::linux("256 MiB", "[channel]\nfreshness_window_secs = 3")
}

/// Waits until the row of `web` is as wanted; tells how long it took.
pub(crate) fn until(env: &TestEnv, bound: Duration, wanted: impl Fn(&Value) -> bool) -> (Value, Duration) {
    let begun = Instant::now();
    let found = castra_testkit::until(bound, || {
        let row = row(env, "web");
        if wanted(&row) { Ok(row) } else { Err(row) }
    });
    (found, begun.elapsed())
}

pub(crate) fn is_reachable(row: &Value) -> bool {
    assert_eq!(row["reachable"] == true, row["broker"] == "reachable", "{row}");
    row["reachable"] == true
}

pub(crate) fn age(row: &Value) -> u64 {
    row["last_handshake_age_ms"].as_u64().unwrap()
}

fn record(layout: &Layout) -> SessionRecord {
    SessionRecord::read(layout, &"web".parse().unwrap()).unwrap()
}

/// Starts the broker again, as the next command that writes does.
fn serve(env: &TestEnv) {
    env.castra(["up", "--wait", "none"]).succeeded();
}

#[test]
fn a_guest_is_greeted_in_the_log_and_told_as_an_event() {
    let env = linux();
    let (row, _) = until(&env, BOOT, is_reachable);
    assert!(age(&row) <= 3_000, "{row}");
    let logs = env.castra(["logs", "--source", "broker"]).succeeded().stdout;
    let greeting = logs.lines().find(|line| line.contains("hello from vm:web")).expect(&logs);
    assert!(greeting.starts_with("[host-broker] "), "{greeting}");
    let handshake = logs.lines().find(|line| line.contains(" handshake vm=web capabilities=")).expect(&logs);
    assert!(handshake.ends_with(" outcome=ok") && handshake.contains("bus-v1,exec,files"), "{handshake}");
    let answer = env.castra(["logs", "--source", "host", "--json"]).succeeded();
    let events: Vec<Value> = answer.lines().iter().map(|line| line["log"]["event"].clone()).collect();
    let told = only(&events, "GuestHandshake");
    assert_eq!((&told["vm"], &told["outcome"]), (&"web".into(), &"ok".into()));
    assert!(told["capabilities"].as_array().unwrap().is_sorted_by_key(|name| name.as_str()));
    env.castra(["down", "--now"]).succeeded();
    let (row, _) = until(&env, BOOT, |row| row["state"] == "stopped");
    assert_eq!((&row["broker"], &row["last_handshake_age_ms"]), (&"offline".into(), &Value::Null));
}

#[test]
fn whatever_ends_its_broker_a_guest_is_never_reachable_meanwhile_and_soon_after() {
    let env = linux();
    let layout: Layout = env.layout();
    let (before, _) = until(&env, BOOT, is_reachable);
    for signal in [Signal::KILL, Signal::TERM] {
        broker(&layout).signal(signal).unwrap();
        unserved(&layout);
        let row = row(&env, "web");
        assert_eq!((&row["broker"], &row["reachable"]), (&"offline".into(), &false.into()));
        assert!(age(&row) > 0, "the age is told without a broker too");
        let (earlier, alone) = (record(&layout), Instant::now());
        serve(&env);
        let (row, took) = until(&env, Duration::from_secs(5), is_reachable);
        let alone = alone.elapsed().as_millis();
        assert!(u128::from(age(&row)) < alone.min(2_500), "the word of a dead broker: {row} after {took:?}");
        let record = record(&layout);
        assert_eq!(record.broker, broker(&layout).identity());
        assert_eq!(record.handshakes, earlier.handshakes + 1);
        assert_eq!(row["pid"], before["pid"], "the VM was touched");
    }
    // One that hangs still holds its lock: only ages tell.
    let hung = broker(&layout);
    hung.signal(Signal::STOP).unwrap();
    let (row, _) = until(&env, Duration::from_secs(6), |row| !is_reachable(row));
    assert_eq!(row["broker"], "waiting");
    assert!(age(&row) > 3_000, "{row}");
    let (later, _) = until(&env, Duration::from_secs(5), |later| age(later) > age(&row));
    assert!(!is_reachable(&later));
    hung.signal(Signal::CONT).unwrap();
    until(&env, Duration::from_secs(5), is_reachable);
    env.castra(["down", "--now"]).succeeded();
}

#[test]
fn a_frozen_guest_ages_out_and_comes_back_when_it_runs_on() {
    let env = linux();
    until(&env, BOOT, is_reachable);
    let qemu = env.signal_qemu(Signal::STOP);
    let (row, _) = until(&env, Duration::from_secs(8), |row| !is_reachable(row));
    assert_eq!((&row["state"], &row["broker"]), (&"running".into(), &"waiting".into()));
    // The broker looks at ages when it asks anew.
    until(&env, Duration::from_secs(15), |row| age(row) > 8_000);
    qemu.signal(Signal::CONT).unwrap();
    until(&env, Duration::from_secs(8), is_reachable);
    let logs = env.castra(["logs", "--source", "broker"]).succeeded().stdout;
    assert!(logs.contains(" lost vm=web ") && logs.contains(" back vm=web"), "{logs}");
    assert_eq!(logs.matches("hello from vm:web").count(), 1, "{logs}");
    env.castra(["down", "--now"]).succeeded();
}
