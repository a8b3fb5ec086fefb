//! `castra down` on real QEMU: guests that obey, guests that do not, and guests that are gone.

use std::fs;
use std::time::Duration;

use castra_testkit::{halting_disk, obedient_disk};
use rustix::process::Signal;

use crate::broker::{broker, unserved};
use crate::env::{TestEnv, assert_answer, wait};
use crate::sectors::{SHORT_WAITS, names, one_vm, only, vms};

#[test]
fn down_asks_the_guest_then_discards_its_disk_and_says_what_that_freed() {
    let env = TestEnv::with_guest(&obedient_disk(), "");
    env.start();
    let answer = env.run(&["down", "--json"]).succeeded();
    env.holds("down", &answer);
    let events = answer.lines();
    assert_eq!(
        names(&events),
        [
            "ShutdownRequested",
            "CooperativeAttempted",
            "CooperativeSucceeded",
            "ShutdownComplete",
            "EphemeralLayerDiscarded"
        ]
    );
    let kept = env.kept_events();
    assert_eq!(kept[kept.len() - 5..], events[..5], "the log tells the same");
    let down = &vms(&answer)[0];
    assert_eq!((&down["outcome"], &down["stop_reason"]["reason"]), (&"graceful".into(), &"requested".into()));
    assert!(down["reclaimed_bytes"].as_u64().unwrap() > 0, "{down}");
    assert_eq!(only(&events, "EphemeralLayerDiscarded")["reclaimed_bytes"], down["reclaimed_bytes"]);
    assert!(!env.overlay().exists());
    assert_eq!(env.row("web")["state"], "stopped");
}

#[test]
fn down_twice_is_a_success_and_does_nothing_more() {
    let env = TestEnv::with_guest(&obedient_disk(), "");
    env.start();
    env.run(&["down"]).succeeded();
    let kept = env.kept_events().len();
    let again = env.run(&["down", "--json"]).succeeded();
    assert_eq!(vms(&again)[0]["outcome"], "already_stopped");
    assert_eq!(vms(&again)[0]["reclaimed_bytes"], 0);
    assert!(!names(&env.kept_events()[kept..]).contains(&"EphemeralLayerDiscarded"));
}

#[test]
fn a_guest_that_ignores_its_power_button_gets_sigterm_and_no_more() {
    let env = TestEnv::with_guest(&halting_disk(), SHORT_WAITS);
    env.run(&["up", "--wait", "none"]).succeeded();
    let answer = env.run(&["down", "--json"]).succeeded();
    let events = answer.lines();
    assert_eq!(
        names(&events),
        [
            "ShutdownRequested",
            "CooperativeAttempted",
            "CooperativeTimedOut",
            "Escalation",
            "ShutdownComplete",
            "EphemeralLayerDiscarded"
        ]
    );
    assert_eq!(only(&events, "Escalation")["signal"], "SIGTERM");
    let waited = only(&events, "CooperativeTimedOut")["waited_ms"].as_u64().unwrap();
    assert!(waited >= 1000, "{waited}");
    assert_eq!(vms(&answer)[0]["outcome"], "terminated");
    assert!(!env.overlay().exists());
}

#[test]
fn guests_are_waited_for_side_by_side() {
    let env = TestEnv::with_guest(&halting_disk(), &format!("count = 3\n{SHORT_WAITS}"));
    env.run(&["up", "--wait", "none"]).succeeded();
    let events = env.run(&["down", "--json"]).succeeded().lines();
    let all = names(&events);
    let first_end = all.iter().position(|name| *name == "CooperativeTimedOut").unwrap();
    let asked = all[..first_end].iter().filter(|name| **name == "CooperativeAttempted").count();
    assert_eq!(asked, 3, "one was waited for before another was asked: {all:?}");
    assert_eq!(all.iter().filter(|name| **name == "EphemeralLayerDiscarded").count(), 3);
}

#[test]
fn down_now_does_not_ask_the_guest() {
    let env = TestEnv::with_guest(&obedient_disk(), "");
    env.start();
    let answer = env.run(&["down", "--json", "--now"]).succeeded();
    assert_eq!(
        names(&answer.lines()),
        ["ShutdownRequested", "Escalation", "ShutdownComplete", "EphemeralLayerDiscarded"]
    );
    assert_eq!(vms(&answer)[0]["outcome"], "terminated");
}

#[test]
fn a_guest_that_powers_itself_off_is_stopped_and_the_broker_discards_its_disk() {
    let env = TestEnv::with_guest(&obedient_disk(), "");
    env.start();
    let layout = env.layout();
    env.heard(&layout, b"U");
    env.tell(&layout, b"q");
    unserved(&layout);
    let row = env.stopped();
    assert_eq!(row["stop_reason"]["reason"], "guest_poweroff", "{row}");
    assert!(!env.overlay().exists());
    let events = env.kept_events();
    assert_eq!(only(&events, "VmFoundStopped")["reason"], "guest_poweroff");
    let discarded = only(&events, "EphemeralLayerDiscarded");
    assert_eq!(discarded["vm"], "web");
    assert!(discarded["reclaimed_bytes"].as_u64().unwrap() > 0, "{discarded}");
    let answer = env.run(&["down", "--json"]).succeeded();
    assert_eq!(vms(&answer)[0]["outcome"], "already_stopped");
}

#[test]
fn without_a_broker_the_disk_of_a_guest_that_powered_itself_off_goes_with_the_next_down() {
    let env = TestEnv::with_guest(&obedient_disk(), "");
    env.start();
    let layout = env.layout();
    broker(&layout).signal(Signal::KILL).unwrap();
    unserved(&layout);
    env.heard(&layout, b"U");
    env.tell(&layout, b"q");
    let row = env.stopped();
    assert_eq!(row["stop_reason"]["reason"], "guest_poweroff", "{row}");
    assert!(env.overlay().exists(), "looking discarded it");
    let answer = env.run(&["down", "--json"]).succeeded();
    let events = answer.lines();
    assert_eq!(only(&events, "VmFoundStopped")["reason"], "guest_poweroff");
    only(&events, "EphemeralLayerDiscarded");
    assert!(vms(&answer)[0]["reclaimed_bytes"].as_u64().unwrap() > 0);
    assert!(!env.overlay().exists());
    assert_eq!(env.start()[0]["change"], "started");
}

#[test]
fn down_works_after_the_project_was_deleted() {
    let env = TestEnv::with_guest(&halting_disk(), SHORT_WAITS);
    env.run(&["up", "--wait", "none"]).succeeded();
    let overlay = env.overlay();
    fs::remove_dir_all(env.project()).unwrap();
    let elsewhere = |words: &[&str]| {
        let mut command = env.command(words);
        wait(command.current_dir(env.path()).spawn().unwrap(), Duration::from_secs(60)).succeeded()
    };
    let status = elsewhere(&["status", "--json"]).outcome();
    // Nothing was heard of its guest, which never says a word.
    assert_eq!(status["workspaces"][0]["vms"][0]["state"], "starting");
    let answer = elsewhere(&["down", "--json"]);
    let requested = answer.lines().remove(0);
    assert_eq!(requested["graceful_wait_ms"], 1000, "the waits of the config that is gone: {requested}");
    assert_eq!(vms(&answer)[0]["outcome"], "terminated");
    assert!(!overlay.exists());
}

#[test]
fn down_without_a_project_stops_the_vms_of_every_workspace_or_of_the_one_named() {
    let env = TestEnv::new();
    let mut ids = Vec::new();
    for project in ["a", "b", "c"] {
        env.write(&format!("{project}/guest.img"), obedient_disk());
        let config = env.write(&format!("{project}/castra.toml"), one_vm("").replace("shop", project));
        let words = ["up", "--json", "--wait", "running", "--config", config.to_str().unwrap()];
        ids.push(env.castra(words).succeeded().outcome()["workspace"].as_str().unwrap().to_owned());
    }
    let states = || {
        let status = env.castra(["status", "--json"]).succeeded().outcome();
        let workspaces = status["workspaces"].as_array().unwrap().clone();
        let state = |one: &serde_json::Value| {
            (one["id"].as_str().unwrap().to_owned(), one["vms"][0]["state"].as_str().unwrap().to_owned())
        };
        workspaces.iter().map(state).collect::<Vec<_>>()
    };
    let expected = |states: [&str; 3]| ids.iter().cloned().zip(states.map(str::to_owned)).collect::<Vec<_>>();
    assert_eq!(states(), expected(["running"; 3]));
    let one = env.castra(["status", "--json", "--workspace", &ids[1]]).succeeded().outcome();
    assert_eq!(one["workspaces"].as_array().unwrap().len(), 1);
    assert_eq!(one["workspaces"][0]["id"], ids[1].as_str());

    env.castra(["down", "--workspace", &ids[1]]).succeeded();
    assert_eq!(states(), expected(["running", "stopped", "running"]));
    let answer = env.run(&["down", "--json"]).succeeded();
    let outcomes: Vec<_> = vms(&answer).iter().map(|vm| vm["outcome"].clone()).collect();
    assert_eq!(outcomes, ["graceful", "already_stopped", "graceful"]);
    assert_eq!(states(), expected(["stopped"; 3]));
}

#[test]
fn a_name_that_several_projects_have_stops_the_vm_here_and_elsewhere_none() {
    let env = TestEnv::new();
    let mut ids = Vec::new();
    for project in ["a", "b"] {
        env.write(&format!("{project}/guest.img"), obedient_disk());
        let config = env.write(&format!("{project}/castra.toml"), one_vm("").replace("shop", project));
        let words = ["up", "--json", "--wait", "running", "--config", config.to_str().unwrap()];
        ids.push(env.castra(words).succeeded().outcome()["workspace"].as_str().unwrap().to_owned());
    }
    let running = || {
        let status = env.castra(["status", "--json"]).succeeded();
        vms(&status).iter().map(|vm| vm["state"] == "running").collect::<Vec<_>>()
    };
    env.castra(["down", "web", "--skip-discovery"]).failed(2);
    assert_answer!(env, env.castra(["down", "web"]), @r"
    exit code 2
    --- stderr
    error: VMs of 2 workspaces are called `web`, so it has to be said which is meant

    hint: `castra down web --workspace a-<hash>`
    hint: `castra down web --workspace b-<hash>`
    ");
    assert_eq!(running(), [true, true]);
    let down_in = |dir: &str, words: &[&str]| {
        let mut command = env.command(words);
        wait(command.current_dir(env.project().join(dir)).spawn().unwrap(), Duration::from_secs(60))
    };
    down_in("b", &["down", "web"]).succeeded();
    assert_eq!(running(), [true, false]);
    // That it is stopped does not make it the other's turn.
    down_in("b", &["down", "web"]).succeeded();
    assert_eq!(running(), [true, false]);
    env.castra(["down", "web", "--workspace", &ids[0]]).succeeded();
    assert_eq!(running(), [false, false]);
}
