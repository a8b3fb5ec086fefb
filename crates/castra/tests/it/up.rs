//! `castra up` on real QEMU: from nothing to guests that answer.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::MetadataExt;
use std::time::Duration;

use castra_testkit::{free_port, free_ports, halting_disk, obedient_disk, tiny_image};
use serde_json::Value;

use crate::env::{TestEnv, assert_answer, wait};
use crate::sectors::{names, one_vm, only, vms};

#[test]
fn up_boots_linux_to_its_ssh_banner_and_tells_every_step_in_order() {
    let (env, port) = (TestEnv::new(), free_port());
    env.write("castra.toml", linux(port, ""));
    let answer = env.run(&["up", "--json"]).succeeded();
    env.holds("up", &answer);
    let events = answer.lines();
    let (stages, others): (Vec<_>, Vec<_>) =
        names(&events).into_iter().partition(|name| *name == "StageReached");
    let expected = [
        "WorkspacePrepared",
        "OverlayPrepared",
        "SeedPrepared",
        "AcceleratorChosen",
        "VmLaunched",
        "VmReady",
    ];
    assert_eq!(others, expected);
    let events = &events[..expected.len() + stages.len()];
    let numbers: Vec<_> = events.iter().filter_map(|event| event["seq"].as_u64()).collect();
    assert_eq!(numbers, (1..=events.len() as u64).collect::<Vec<_>>());
    // What the agent tells comes when it is heard, before or after the banner.
    let stages: Vec<_> = events.iter().filter_map(|event| event["stage"].as_str()).collect();
    assert_eq!(stages[..2], ["machine", "console"]);
    for stage in ["kernel", "init", "handshake", "ssh"] {
        assert!(stages.contains(&stage), "{stage} is not among {stages:?}");
    }
    let kept = env.kept_events();
    assert!(events.iter().all(|event| kept.contains(event)), "the log lacks some of {events:?}");
    let vm = &vms(&answer)[0];
    assert_eq!((&vm["change"], &vm["accelerator"]), (&"started".into(), &"tcg".into()));
    assert_eq!(only(events, "VmLaunched")["pid"], vm["pid"]);
    let row = env.row("web");
    assert_eq!((&row["state"], &row["pid"]), (&"running".into(), &vm["pid"]));
    assert_eq!((&row["forwards"][0]["host"], &row["forwards"][0]["guest"]), (&port.into(), &22.into()));
    let logs = env.castra(["logs", "--source", "serial"]).succeeded();
    assert!(logs.stdout.contains("[web:serial] castra-guest: ssh server started"), "{logs}");
    let down = env.run(&["down", "--json"]).succeeded();
    assert_eq!(vms(&down)[0]["outcome"], "graceful");
}

#[test]
fn up_boots_linux_by_uefi() {
    let (env, port) = (TestEnv::new(), free_port());
    env.write("castra.toml", linux(port, "firmware = \"uefi\""));
    env.run(&["up", "--wait", "ssh"]).succeeded();
    assert!(env.layout().uefi_vars(&"web".parse().unwrap()).exists());
    let down = env.run(&["down", "--json"]).succeeded();
    assert_eq!(vms(&down)[0]["outcome"], "graceful");
}

/// A project whose VM boots the tiny guest.
fn linux(port: u16, keys: &str) -> String {
    let image = tiny_image();
    let text = one_vm(&format!("port_forwards = [{{ host = {port}, guest = 22 }}]\n{keys}"));
    text.replace("./guest.img", image.to_str().unwrap()).replace("64 MiB", "256 MiB")
}

#[test]
fn up_again_is_a_success_and_changes_nothing() {
    let env = TestEnv::with_guest(&obedient_disk(), "");
    let first = env.start().remove(0);
    let overlay = || fs::metadata(env.overlay()).map(|meta| (meta.ino(), meta.size())).unwrap();
    let before = overlay();
    let answer = env.run(&["up", "--json", "--wait", "running"]).succeeded();
    let again = &vms(&answer)[0];
    assert_eq!((&again["change"], &again["pid"]), (&"already_running".into(), &first["pid"]));
    assert_eq!(only(&answer.lines(), "VmAlreadyRunning")["pid"], first["pid"]);
    for event in ["OverlayPrepared", "VmLaunched", "EphemeralLayerDiscarded"] {
        assert!(!names(&answer.lines()).contains(&event), "{answer}");
    }
    assert_eq!(overlay(), before);
    assert_eq!(env.row("web")["pid"], first["pid"]);
}

#[test]
fn a_config_changed_while_its_vm_runs_is_pointed_out_and_not_applied() {
    let env = TestEnv::with_guest(&obedient_disk(), "");
    let first = env.start().remove(0);
    env.write("castra.toml", one_vm("cpus = 2"));
    let answer = env.run(&["up", "--wait", "running"]).succeeded();
    assert!(answer.stderr.contains("`web` runs with what castra.toml said when it was started"), "{answer}");
    assert!(answer.stderr.contains("; changed since: cpus"), "{answer}");
    assert!(answer.stderr.contains("`castra down web --workspace shop-"), "{answer}");
    let row = env.row("web");
    assert_eq!((&row["pid"], &row["cpus"]), (&first["pid"], &1.into()));
}

#[test]
fn a_forward_changed_while_its_vm_runs_is_neither_waited_on_nor_shown_as_in_use() {
    let (old, new) = (free_port(), free_port());
    let forward = |port: u16| one_vm(&format!("port_forwards = [{{ host = {port}, guest = 22 }}]"));
    let env = TestEnv::with_guest(&obedient_disk(), "");
    env.write("castra.toml", forward(old));
    env.start();
    env.write("castra.toml", forward(new));
    let answer = env.run(&["up", "--json", "--wait", "running"]).succeeded();
    assert_eq!(vms(&answer)[0]["forwards"][0]["host"], old, "{answer}");
    assert!(answer.stdout.contains("changed since: port_forwards"), "{answer}");
}

#[test]
fn what_an_earlier_run_wrote_to_the_console_is_no_sign_of_life_of_this_one() {
    let env = TestEnv::with_guest(&halting_disk(), "");
    env.up();
    env.run(&["down", "--now"]).succeeded();
    let log = env.layout().serial_log(&"web".parse().unwrap());
    fs::File::options().append(true).open(log).unwrap().write_all(b"of an earlier run\n").unwrap();
    env.up();
    let error = env.run(&["up", "--json", "--wait", "running", "--timeout", "1"]).failed(8).error();
    assert!(error["message"].as_str().unwrap().starts_with("VM `web` "), "{error}");
}

#[test]
fn a_vm_the_config_no_longer_has_is_left_running_until_it_is_stopped_then_forgotten() {
    let env = TestEnv::with_guest(&obedient_disk(), "");
    env.write(
        "castra.toml",
        one_vm(&one_vm("").replace("[project]\nname = \"shop\"", "").replace("web", "old")),
    );
    assert_eq!(env.start().len(), 2);
    env.write("castra.toml", one_vm(""));
    let answer = env.run(&["up", "--wait", "running"]).succeeded();
    assert!(answer.stderr.contains("`old` still runs although castra.toml no longer has it"), "{answer}");
    assert!(answer.stderr.contains("`castra down old --workspace shop-"), "{answer}");
    assert_eq!(env.row("old")["state"], "running");
    let down = env.run(&["down", "--json", "old"]).succeeded();
    assert_eq!(vms(&down).len(), 1);
    assert_eq!((&env.row("old")["state"], &env.row("web")["state"]), (&"stopped".into(), &"running".into()));
    env.run(&["up"]).succeeded();
    let status = env.castra(["status", "--json"]).succeeded();
    let left: Vec<_> = vms(&status).iter().map(|vm| vm["vm"].clone()).collect();
    assert_eq!(left, ["web"]);
}

#[test]
fn replicas_have_a_process_a_disk_and_a_port_of_their_own() {
    // The entry's host port is counted up.
    let port = free_ports(2);
    let keys = format!("count = 2\nport_forwards = [{{ host = {port}, guest = 22 }}]\n");
    let env = TestEnv::with_guest(&obedient_disk(), &keys);
    let vms = env.start();
    let each = |key: &str| vms.iter().map(|vm| vm[key].clone()).collect::<Vec<_>>();
    assert_eq!(each("vm"), ["web-0", "web-1"]);
    assert_ne!(vms[0]["pid"], vms[1]["pid"]);
    let ports: Vec<_> = vms.iter().map(|vm| vm["forwards"][0]["host"].clone()).collect();
    assert_eq!(ports, [port, port + 1]);
    for name in ["web-0", "web-1"] {
        assert!(env.layout().overlay(&name.parse().unwrap()).exists(), "{name}");
    }
    env.run(&["down", "web-0"]).succeeded();
    assert_eq!(
        (&env.row("web-0")["state"], &env.row("web-1")["state"]),
        (&"stopped".into(), &"running".into())
    );
}

#[test]
fn a_guest_that_stays_silent_holds_up_no_other() {
    let env = TestEnv::with_guest(&halting_disk(), "");
    env.write("other.img", obedient_disk());
    let other =
        "[[vms]]\nname = \"other\"\nbase_image = \"./other.img\"\nmemory = \"64 MiB\"\naccelerator = \"tcg\"";
    env.write("castra.toml", one_vm(other));
    let mut up = env.command(["up", "--json", "--wait", "running"]).spawn().unwrap();
    let lines = BufReader::new(up.stdout.take().unwrap()).lines();
    let mut events = lines.map(|line| serde_json::from_str::<Value>(&line.unwrap()).unwrap());
    let ready = events.find(|event| event["event"] == "VmReady").expect("the other one comes up");
    assert_eq!(ready["vm"], "other");
    assert!(up.try_wait().unwrap().is_none(), "up gave the silent one up");
    // Whoever waits is no obstacle to whoever looks or stops.
    assert_eq!(env.row("web")["state"], "starting");
    env.run(&["down", "--now"]).succeeded();
    let rest: Vec<_> = events.collect();
    assert!(rest.last().unwrap()["error"]["message"].as_str().unwrap().contains("web"), "{rest:?}");
    wait(up, Duration::from_secs(20)).failed(7);
}

#[test]
fn a_guest_that_is_not_up_in_time_is_left_running_to_be_looked_into() {
    let env = TestEnv::with_guest(&halting_disk(), "");
    let error = env.run(&["up", "--json", "--wait", "running", "--timeout", "1"]).failed(8).error();
    assert!(error["message"].as_str().unwrap().starts_with("VM `web` was started, but"), "{error}");
    let hints = error["hints"].to_string();
    assert!(hints.contains("most likely the guest has written nothing to its serial console"), "{hints}");
    assert_eq!(env.row("web")["state"], "starting");
}

#[test]
fn ssh_without_a_forward_to_it_is_refused_before_anything_is_made() {
    let env = TestEnv::with_guest(&obedient_disk(), "");
    let before = TestEnv::tree(env.path());
    assert_answer!(env, env.castra(["up", "--wait", "ssh"]), @r"
    exit code 2
    --- stderr
    error: VM `web` forwards no host port to its port 22, so nobody can tell when its SSH server is up

    hint: forward a port to it in castra.toml: `port_forwards = [{ host = 2222, guest = 22 }]`
    hint: or wait for less: `castra up --wait running`
    ");
    assert_eq!(TestEnv::tree(env.path()), before);
}

#[test]
fn a_plan_changes_nothing() {
    let env = TestEnv::with_guest(&obedient_disk(), "");
    let before = TestEnv::tree(env.path());
    let answer = env.run(&["up", "--plan", "--json"]).succeeded();
    let steps = |answer: &crate::env::Answer| {
        let steps = vms(answer)[0]["steps"].as_array().unwrap().clone();
        let name = |step: Value| step["step"].as_str().or(step.as_str()).unwrap_or_default().to_owned();
        steps.into_iter().map(name).collect::<Vec<_>>()
    };
    assert_eq!(steps(&answer), ["create_overlay", "write_seed", "start_vm", "await_ready"]);
    assert_eq!(TestEnv::tree(env.path()), before);
    env.start();
    let running = env.run(&["up", "--plan", "--json"]).succeeded();
    assert_eq!(steps(&running), ["leave_running", "await_ready"]);
}

#[test]
fn another_image_is_used_where_one_is_named_and_is_not_changed() {
    let env = TestEnv::with_guest(&halting_disk(), "");
    let other = env.write("other.img", obedient_disk());
    fs::remove_file(env.project().join("guest.img")).unwrap();
    let answer = env.run(&["up", "--json", "--wait", "running", "--qcow", "other.img"]).succeeded();
    assert_eq!(only(&answer.lines(), "OverlayPrepared")["base"], other.to_str().unwrap());
    env.run(&["down"]).succeeded();
    assert_eq!(fs::read(other).unwrap(), obedient_disk());
}

#[test]
fn a_missing_base_image_stops_up_before_anything_is_made() {
    let env = TestEnv::with_guest(&obedient_disk(), "");
    fs::remove_file(env.project().join("guest.img")).unwrap();
    let before = TestEnv::tree(env.path());
    let error = env.run(&["up", "--json"]).failed(5).error();
    assert!(error["message"].as_str().unwrap().contains("guest.img"), "{error}");
    assert_eq!(TestEnv::tree(env.path()), before);
}
