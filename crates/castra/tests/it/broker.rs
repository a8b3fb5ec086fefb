//! The broker on real VMs whose guests have no agent: that it comes and goes with them, and that
//! `status` tells what is.

use std::fs;
use std::time::{Duration, Instant};

use castra_testkit::throughout;
use plasmavmc_guest::freshness::BrokerLock;
use plasmavmc_guest::presence::lock_state;
use plasmavmc_host::Layout;
use plasmavmc_host::process::{Process, ProcessIdentity};
use rustix::process::Signal;
use serde_json::Value;

use crate::env::{TestEnv, eventually};

/// The broker of a workspace, as its lock's file names it.
pub(crate) fn broker(layout: &Layout) -> Process {
    let text = fs::read(layout.broker_lock()).unwrap();
    let identity: ProcessIdentity = serde_json::from_slice(&text).unwrap();
    Process::open(identity).unwrap().expect("the broker lives")
}

/// Waits until the workspace has no broker: it has dealt with whatever ended its last VM.
pub(crate) fn unserved(layout: &Layout) {
    eventually("the broker's end", || lock_state(layout) == BrokerLock::Free);
}

/// The row of a VM.
pub(crate) fn row(env: &TestEnv, vm: &str) -> Value {
    let status = env.castra(["status", "--json", "--config", "castra.toml"]).outcome();
    let rows = status["workspaces"][0]["vms"].as_array().unwrap();
    rows.iter().find(|row| row["vm"] == vm).unwrap().clone()
}

fn up(env: &TestEnv) -> Layout {
    env.castra(["up", "--wait", "none"]).succeeded();
    env.layout()
}

fn ends(process: &Process) {
    assert!(process.exits_within(Duration::from_secs(10)).unwrap(), "the broker stays");
}

#[test]
fn a_broker_comes_with_the_first_vm_and_goes_with_the_last() {
    let env = TestEnv::with_vm("");
    assert_eq!(row(&env, "web")["broker"], "offline");
    let layout = up(&env);
    let broker = broker(&layout);
    let row = row(&env, "web");
    assert_eq!((&row["broker"], &row["reachable"]), (&"waiting".into(), &false.into()));
    assert_eq!(row["last_handshake_age_ms"], Value::Null);
    env.castra(["up", "--wait", "none"]).succeeded();
    assert_eq!(self::broker(&layout).identity(), broker.identity(), "a second broker was started");
    env.castra(["down", "--now"]).succeeded();
    assert!(broker.exits_within(Duration::ZERO).unwrap(), "down did not wait for the broker");
    assert!(!layout.broker_socket().exists());
    assert_eq!(self::row(&env, "web")["broker"], "offline");
}

#[test]
fn a_killed_broker_is_offline_and_comes_back_with_the_next_up() {
    let env = TestEnv::with_vm("");
    let layout = up(&env);
    let (broker, pid) = (broker(&layout), row(&env, "web")["pid"].clone());
    broker.signal(Signal::KILL).unwrap();
    ends(&broker);
    let row = row(&env, "web");
    assert_eq!((&row["broker"], &row["state"]), (&"offline".into(), &"starting".into()));
    up(&env);
    let row = self::row(&env, "web");
    assert_eq!((&row["broker"], &row["pid"]), (&"waiting".into(), &pid), "the VM was touched");
}

#[test]
fn a_broker_that_hangs_holds_up_neither_status_nor_down() {
    let env = TestEnv::with_vm("");
    let layout = up(&env);
    let broker = broker(&layout);
    broker.signal(Signal::STOP).unwrap();
    let begun = Instant::now();
    assert_eq!(row(&env, "web")["state"], "starting");
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
    let begun = Instant::now();
    env.castra(["down", "--now"]).succeeded();
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    broker.signal(Signal::CONT).unwrap();
    ends(&broker);
}

#[test]
fn a_vm_that_dies_takes_its_broker_with_it() {
    let env = TestEnv::with_vm("");
    let layout = up(&env);
    let broker = broker(&layout);
    let pid = row(&env, "web")["pid"].as_u64().unwrap();
    let vm = Process::of_pid(u32::try_from(pid).unwrap()).unwrap().unwrap();
    vm.signal(Signal::KILL).unwrap();
    ends(&broker);
    assert!(layout.overlay(&"web".parse().unwrap()).exists(), "what a killed VM wrote is kept to look into");
}

#[test]
fn the_broker_alone_stays_until_down() {
    let env = TestEnv::with_vm("");
    env.castra(["up", "--broker-only"]).succeeded();
    let layout = env.layout();
    let broker = broker(&layout);
    throughout(Duration::from_millis(1_500), "it stays", || lock_state(&layout) != BrokerLock::Free);
    let row = row(&env, "web");
    assert_eq!((&row["broker"], &row["state"]), (&"waiting".into(), &"stopped".into()));
    env.castra(["down"]).succeeded();
    ends(&broker);
}

#[test]
fn a_broker_that_is_there_stays_where_it_is_asked_to() {
    let env = TestEnv::with_vm("");
    let layout = up(&env);
    let broker = broker(&layout);
    env.castra(["up", "--broker-only"]).succeeded();
    env.kill_qemu();
    assert!(!broker.exits_within(Duration::from_millis(2_000)).unwrap(), "it went with the VM");
    env.castra(["down"]).succeeded();
    ends(&broker);
}

#[test]
fn two_ups_at_once_end_with_one_broker() {
    let env = TestEnv::with_vm("");
    let mut ups: Vec<_> = (0..4).map(|_| env.command(["up", "--wait", "none"]).spawn().unwrap()).collect();
    for up in &mut ups {
        assert!(up.wait().unwrap().success());
    }
    let layout = env.layout();
    let held = broker(&layout);
    let root = layout.root().to_str().unwrap().to_owned();
    let brokers = || {
        let found = plasmavmc_host::process::find_by_argument(&root).unwrap();
        found.into_iter().filter(|process| process.has_argument("broker").unwrap()).count()
    };
    eventually("one broker", || brokers() == 1);
    assert_eq!(broker(&layout).identity(), held.identity());
    env.castra(["down", "--now"]).succeeded();
    eventually("no broker", || brokers() == 0);
}

#[test]
fn a_library_without_a_program_starts_no_broker() {
    use castra::core::{Session, UpOptions, WaitFor};
    use castra::env::UserDirs;
    let env = TestEnv::with_vm("");
    let dirs = UserDirs::from_values(Some(env.castra_home().into()), None).unwrap();
    let session = Session::new(dirs, env.project());
    let options = UpOptions { wait: WaitFor::None, ..UpOptions::default() };
    let outcome = castra::core::up(&session, &options, &|_| {}).unwrap();
    assert!(outcome.diagnostics.is_empty(), "{:?}", outcome.diagnostics);
    assert_eq!(row(&env, "web")["broker"], "offline");
    env.castra(["down", "--now"]).succeeded();
}

#[test]
fn clean_leaves_a_broker_that_serves_and_removes_the_socket_of_one_that_died() {
    let env = TestEnv::with_vm("");
    env.castra(["up", "--broker-only"]).succeeded();
    let layout = env.layout();
    let broker = broker(&layout);
    env.castra(["clean", "--config", "castra.toml"]).succeeded();
    assert!(layout.broker_socket().exists() && layout.broker_log().exists());
    env.castra(["up", "--wait", "none"]).succeeded();
    assert_eq!(row(&env, "web")["broker"], "waiting");
    env.castra(["down", "--now"]).succeeded();
    ends(&broker);
    env.castra(["up", "--broker-only"]).succeeded();
    let broker = self::broker(&layout);
    broker.signal(Signal::KILL).unwrap();
    ends(&broker);
    assert!(layout.broker_socket().exists());
    env.castra(["clean", "--config", "castra.toml"]).succeeded();
    assert!(!layout.broker_socket().exists() && !layout.broker_log().exists());
}
