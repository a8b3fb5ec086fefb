//! Pidfiles that lie, sockets that are gone, QEMUs that hang or were killed: what is told of a VM
//! stays true, and it can be ended.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use castra_testkit::Innocent;
use plasmavmc_host::process::{PidFile, Process, ProcessState};
use rustix::process::Signal;

use crate::env::{TestEnv, eventually};
use crate::guests::web;

/// What a status may take, the command's own start on a busy host included; it waits 0.15 s for QEMU.
const STATUS_BOUND: Duration = Duration::from_secs(3);

fn pid_file(env: &TestEnv) -> PathBuf {
    env.layout().pid_file(&"web".parse().unwrap())
}

#[test]
fn a_process_that_got_a_dead_qemus_pid_is_left_alone() {
    let mut innocent = Innocent::start();
    let identity = Process::of_pid(innocent.pid()).unwrap().unwrap().identity();
    for same_start in [false, true] {
        let env = web();
        env.up();
        let path = pid_file(&env);
        let mut pidfile = PidFile::read(&path).unwrap();
        env.kill_qemu();
        pidfile.identity.pid = identity.pid;
        if same_start {
            // Nothing but the command line tells it from the QEMU.
            pidfile.identity = identity;
        }
        pidfile.write(&path).unwrap();
        assert_eq!(env.row("web")["state"], "stopped");
        let down = env.down();
        assert_eq!(down["workspaces"][0]["vms"][0]["vm"], "web", "{down}");
        assert!(innocent.lives(), "an innocent process was signalled");
        env.up();
        assert_ne!(env.only_qemu(), identity.pid);
        env.down();
        assert!(innocent.lives(), "an innocent process was signalled");
    }
}

#[test]
fn a_live_vm_is_seen_whatever_became_of_its_pidfile() {
    let env = web();
    env.up();
    let (path, pid) = (pid_file(&env), env.only_qemu());
    let mut innocent = Innocent::start();
    let own = format!("{}\n", innocent.pid());
    for text in ["", "garbage\n", "\0\0\0\0", &own] {
        fs::write(&path, text).unwrap();
        let row = env.row("web");
        assert_eq!((&row["state"] == "stopped", &row["pid"]), (false, &pid.into()), "{text:?}: {row}");
    }
    fs::remove_file(&path).unwrap();
    // Not even root can read a link that leads to itself.
    symlink(&path, &path).unwrap();
    let row = env.row("web");
    assert_eq!((&row["state"] == "stopped", &row["pid"]), (false, &pid.into()), "{row}");
    assert_eq!(env.up()["vms"][0]["change"], "already_running");
    assert_eq!(env.only_qemu(), pid);
    fs::write(&path, "").unwrap();
    env.down();
    assert_eq!(env.qemus(), []);
    assert!(innocent.lives());
}

#[test]
fn a_vm_without_its_control_socket_is_seen_and_ended() {
    let env = web();
    env.up();
    let pid = env.only_qemu();
    fs::remove_file(env.layout().qmp_socket(&"web".parse().unwrap())).unwrap();
    let row = env.row("web");
    assert_eq!((&row["state"], &row["pid"]), (&"running".into(), &pid.into()), "{row}");
    assert_eq!(row["responsive"], false, "{row}");
    assert_eq!(env.up()["vms"][0]["change"], "already_running");
    env.down();
    assert_eq!(env.qemus(), []);
    env.up();
    assert_eq!(env.row("web")["responsive"], true);
    env.down();
}

#[test]
fn a_frozen_qemu_is_told_in_time_and_ended() {
    for patience in ["graceful_shutdown_wait_secs = 0", "graceful_shutdown_wait_secs = 20"] {
        let env = web();
        let config = fs::read_to_string(env.project().join("castra.toml")).unwrap();
        let config = config.replace("graceful_shutdown_wait_secs = 0", patience);
        env.write("castra.toml", config.replace("sigterm_wait_secs = 0", "sigterm_wait_secs = 10"));
        env.up();
        let qemu = env.signal_qemu(Signal::STOP);
        eventually("SIGSTOP", || qemu.state().unwrap() == ProcessState::Stopped);
        let begun = Instant::now();
        let row = env.row("web");
        assert!(begun.elapsed() < STATUS_BOUND, "status took {:?}", begun.elapsed());
        assert_eq!((&row["state"], &row["responsive"]), (&"running".into(), &false.into()), "{row}");
        let begun = Instant::now();
        let down = env.down();
        assert!(begun.elapsed() < Duration::from_secs(15), "a frozen guest was waited for");
        assert_eq!(down["workspaces"][0]["vms"][0]["outcome"], "terminated", "{down}");
        assert_eq!(env.qemus(), []);
    }
}

#[test]
fn a_qemu_that_was_killed_is_stopped_with_the_reason_and_starts_anew() {
    let env = web();
    env.up();
    let killed = env.only_qemu();
    env.kill_qemu();
    let row = env.row("web");
    assert_eq!((&row["state"], &row["pid"]), (&"stopped".into(), &serde_json::Value::Null), "{row}");
    assert!(row["stop_reason"].to_string().contains("vanished"), "{row}");
    assert_eq!(env.up()["vms"][0]["change"], "started");
    assert_ne!(env.only_qemu(), killed);
    env.kill_qemu();
    let down = env.down();
    assert!(!env.overlay().exists(), "{down}");
    assert!(down["workspaces"][0]["vms"][0]["stop_reason"].to_string().contains("vanished"), "{down}");
}
