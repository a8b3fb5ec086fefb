//! Bootstraps of real guests: done once, done again where something changed, and right after whatever
//! went wrong.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::env::{Answer, TestEnv, assert_answer, eventually, wait};
use crate::guests::{BOUND, shop, vm};

/// A VM whose guest has an agent and room for what a script does; `keys` are those of its bootstrap
/// beside the script.
fn guest(name: &str, keys: &str) -> String {
    let more = format!("[vms.bootstrap]\nscript = \"{name}.sh\"\n{keys}");
    vm(name, &more).replace("64 MiB", "160 MiB")
}

/// A project of one such VM with this script.
fn web(script: &str, keys: &str) -> TestEnv {
    let env = shop(&[guest("web", keys)]);
    env.write("web.sh", script);
    env
}

/// The same, and its guest is up and untouched.
fn web_up(keys: &str) -> TestEnv {
    let env = web("", keys);
    env.run(&["up", "--bootstrap", "skip"]).succeeded();
    env
}

/// What a VM's bootstrap did, of an `up` or a `bootstrap`.
#[track_caller]
fn bootstrap_of(answer: &Answer, vm: &str) -> Value {
    let rows = answer.outcome()["vms"].as_array().unwrap().clone();
    let row = rows.into_iter().find(|row| row["vm"] == vm).unwrap();
    if row["bootstrap"].is_object() { row["bootstrap"].clone() } else { row }
}

/// The steps that were told, as `step status`.
fn steps(answer: &Answer) -> Vec<String> {
    let word = |event: &Value, key: &str| event[key].as_str().unwrap_or_default().to_owned();
    let events = answer.lines().into_iter().filter(|event| event["event"] == "BootstrapStep");
    events.map(|event| format!("{} {}", word(&event, "step"), word(&event, "status"))).collect()
}

/// The only event of a step that failed.
#[track_caller]
fn failed(answer: &Answer) -> Value {
    let failed: Vec<_> = answer
        .lines()
        .into_iter()
        .filter(|event| event["event"] == "BootstrapStep" && event["status"] == "failed")
        .collect();
    assert_eq!(failed.len(), 1, "{answer}");
    failed[0].clone()
}

/// The logs of the bootstraps of `web`, the oldest first.
fn logs(env: &TestEnv) -> Vec<PathBuf> {
    let mut logs: Vec<PathBuf> = fs::read_dir(env.layout().bootstrap_logs())
        .into_iter()
        .flatten()
        .map(|it| it.unwrap().path())
        .collect();
    logs.sort();
    logs
}

/// The newest of them.
#[track_caller]
fn log(env: &TestEnv) -> Vec<Value> {
    let text = fs::read_to_string(logs(env).pop().unwrap()).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

const INSTALL: &str = "set -eu\ninstall -m 755 bin/web /usr-web\necho \"$GREETING from $CASTRA_VM\"\n";

#[test]
fn a_payload_is_installed_once_and_again_when_it_changes() {
    let env = web(
        INSTALL,
        "payload = \"dist\"\nenv = { GREETING = \"hello\" }\nverify = \"/usr-web | grep -q v1\"",
    );
    env.write("web.sh", INSTALL.replace("install -m 755", "cp"));
    let program = env.write("dist/bin/web", "#!/bin/sh\necho v1\n");
    std::os::unix::fs::symlink("bin/web", env.project().join("dist/link")).unwrap();
    std::process::Command::new("chmod").arg("755").arg(&program).status().unwrap();

    let plan = env.run(&["up", "--plan"]).succeeded();
    assert!(plan.stdout.contains("bootstrap it: it was never done on this disk"), "{plan}");
    let up = env.run(&["up", "--json"]).succeeded();
    env.holds("up", &up);
    let done = bootstrap_of(&up, "web");
    assert_eq!((&done["decision"], &done["reason"]), (&"run".into(), &"never_done".into()));
    assert_eq!(
        steps(&up),
        [
            "wait-handshake started",
            "wait-handshake ok",
            "connect started",
            "connect ok",
            "transfer started",
            "transfer ok",
            "apply started",
            "apply ok",
            "verify started",
            "verify ok"
        ]
    );
    let said = log(&env).into_iter().find(|line| line["kind"] == "output").unwrap();
    assert_eq!((&said["text"], &said["step"]), (&"hello from web".into(), &"apply".into()));

    let plan = env.run(&["up", "--plan"]).succeeded();
    assert!(
        plan.stdout.contains("not bootstrap it: unchanged") && plan.stdout.contains("Nothing to do"),
        "{plan}"
    );
    let again = env.run(&["up", "--json"]).succeeded();
    let skipped = bootstrap_of(&again, "web");
    assert_eq!((&skipped["reason"], &skipped["digest"]), (&"unchanged".into(), &done["digest"]));
    assert_eq!(steps(&again)[4..], ["transfer skipped", "apply skipped", "verify skipped"]);
    assert_eq!(logs(&env).len(), 1, "a run that was none has a log");

    env.write("dist/bin/web", "#!/bin/sh\necho v1, second edition\n");
    let changed = bootstrap_of(&env.run(&["up", "--json"]).succeeded(), "web");
    assert_eq!((&changed["decision"], &changed["reason"]), (&"run".into(), &"changed".into()));
    let always = env.run(&["up", "--json", "--bootstrap", "web=always"]).succeeded();
    assert_eq!(bootstrap_of(&always, "web")["reason"], "always");
    let shown = env.castra(["logs", "web", "--source", "bootstrap"]).succeeded();
    assert!(shown.stdout.contains("hello from web"), "{shown}");
    assert!(TestEnv::tree(&env.layout().bootstrap()).is_empty(), "something is still staged");

    // A fresh disk knows nothing of the last one.
    env.down();
    let fresh = bootstrap_of(&env.run(&["up", "--json"]).succeeded(), "web");
    assert_eq!(fresh["reason"], "never_done");
}

#[test]
fn the_way_up_of_a_guest_without_ssh_is_told_to_the_end_of_its_bootstrap() {
    let env = web("sleep 5\n", "");
    let up = env.run(&["up", "--json"]).succeeded();
    let events: Vec<_> =
        up.lines().into_iter().filter_map(|it| Some(it["event"].as_str()?.to_owned())).collect();
    let last = |name: &str| events.iter().rposition(|event| event == name);
    assert!(last("BootstrapStep") < last("VmReady"), "it is called up while it is set up: {events:?}");

    let vm = up.outcome()["vms"][0].clone();
    let phases = vm["phases"].as_array().unwrap();
    let names: Vec<_> = phases.iter().map(|it| it["phase"].as_str().unwrap()).collect();
    assert!(
        names.starts_with(&["launch", "firmware", "kernel"]) && names.contains(&"handshake"),
        "{names:?}"
    );
    assert_eq!(*names.last().unwrap(), "bootstrap");
    let took = |phase: &Value| phase["took_ms"].as_u64().unwrap();
    // The network may come up meanwhile; what is left is the bootstrap's.
    assert!(took(phases.last().unwrap()) >= 1_000, "{phases:?}");
    let (sum, ready) = (phases.iter().map(took).sum::<u64>(), vm["ready_ms"].as_u64().unwrap());
    assert!(sum <= ready && ready - sum < 500, "the parts make {sum} ms of {ready}");

    let timings = env.castra(["status", "--timings"]).succeeded().stdout;
    assert!(
        timings.contains("web: the next run takes about") && timings.contains(", bootstrap "),
        "{timings}"
    );
}

#[test]
fn a_script_that_fails_fails_up_with_its_last_lines_and_leaves_the_vm_up() {
    let env = web("echo first\necho 'no such package' >&2\nexit 3\n", "");
    let answer = env.run(&["up", "--json"]).failed(10);
    env.holds("up", &answer);
    let event = failed(&answer);
    assert_eq!((&event["step"], &event["exit_code"]), (&"apply".into(), &3.into()));
    let error = answer.error();
    assert_eq!(error["kind"], "bootstrap");
    let hints = error["hints"].to_string();
    assert!(hints.contains("first") && hints.contains("no such package"), "{error}");
    assert_eq!(env.row("web")["state"], "running");

    let people = env.run(&["bootstrap"]).failed(10);
    assert!(people.stderr.contains("the bootstrap of VM `web` failed at apply"), "{people}");
    assert!(people.stderr.contains("its script ended with exit code 3"), "{people}");
    env.write("web.sh", "echo repaired\n");
    env.run(&["up"]).succeeded();
}

#[test]
fn a_script_that_hangs_is_ended_with_all_it_started() {
    let env = web_up("timeout_secs = 3");
    // The script itself goes with the first hang-up; what it started does not.
    env.write("web.sh", "echo begun\n(trap '' HUP; sleep 1234; true) &\nsleep 1234\n");
    let begun = Instant::now();
    let answer = env.run(&["bootstrap", "--json"]).failed(10);
    assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", begun.elapsed());
    let event = failed(&answer);
    assert_eq!(event["step"], "apply");
    assert_eq!(event["reason"], "it was not over within 3 s");
    assert!(answer.error()["hints"].to_string().contains("begun"), "{answer}");
    env.write("web.sh", "sleep 1\nps | grep -v grep | grep 'sleep 1234' && exit 9\nexit 0\n");
    env.run(&["bootstrap", "--json"]).succeeded();
}

#[test]
fn a_hundred_megabytes_of_output_leave_a_log_of_half_one_and_a_true_gap() {
    let env = web_up("");
    env.write("web.sh", "echo the beginning\nyes 0123456789abcde | head -c 100000000\necho the end\n");
    let answer = env.run(&["bootstrap", "--json"]).succeeded();
    assert_eq!(bootstrap_of(&answer, "web")["decision"], "run");
    let lines = log(&env);
    let output: Vec<_> = lines.iter().filter(|line| line["kind"] == "output").collect();
    let gaps: Vec<_> = lines.iter().filter(|line| line["kind"] == "gap").collect();
    assert_eq!(
        (output[0]["text"].as_str(), output.last().unwrap()["text"].as_str()),
        (Some("the beginning"), Some("the end"))
    );
    let kept: u64 = output.iter().map(|line| line["text"].as_str().unwrap().len() as u64 + 1).sum();
    let missing = gaps.iter().map(|gap| gap["bytes"].as_u64().unwrap()).sum::<u64>();
    assert_eq!((gaps.len(), kept + missing), (1, 100_000_000 + "the beginning\nthe end\n".len() as u64));
    assert!(kept < 1 << 20, "{kept} bytes are in the log");
}

#[test]
fn a_guest_that_restarts_meanwhile_is_lost_and_set_up_by_the_next() {
    let env = web_up("timeout_secs = 60");
    env.write("web.sh", "echo going\nsync\nreboot -f\nsleep 60\n");
    let answer = env.run(&["bootstrap", "--json"]).failed(10);
    let event = failed(&answer);
    assert_eq!(event["step"], "apply");
    assert!(event["reason"].as_str().unwrap().starts_with("lost: "), "{event}");
    env.write("web.sh", "echo back\n");
    let answer = env.run(&["up", "--json"]).succeeded();
    assert_eq!(bootstrap_of(&answer, "web")["decision"], "run");
}

#[test]
fn a_script_that_fills_the_disk_is_no_success_and_the_next_one_is() {
    let env = web_up("");
    // A disk of two megabytes, so that none of the guest's memory is needed.
    env.write("web.sh", "mount -t tmpfs -o size=2m tmpfs /var/lib/castra\n");
    // What lay there is under it now, so that this run cannot note how far it got.
    env.run(&["bootstrap", "--json"]).failed(10);
    env.write("web.sh", "dd if=/dev/zero of=/var/lib/castra/fill bs=4k 2>&1\nexit 0\n");
    let answer = env.run(&["bootstrap", "--json"]).failed(10);
    let event = failed(&answer);
    assert_eq!(event["step"], "apply");
    assert!(event["reason"].as_str().unwrap().to_lowercase().contains("space"), "{event}");
    assert!(answer.error()["hints"].to_string().contains("df -h"), "{answer}");
    env.write("web.sh", "rm /var/lib/castra/fill\n");
    env.run(&["up", "--json"]).succeeded();
}

#[test]
fn a_castra_that_is_killed_takes_its_script_with_it_and_the_next_does_it_all() {
    let env = web_up("");
    env.write("web.sh", "echo $$ >/run/pid\necho begun\nsleep 1000\n");
    let mut victim = env.spawn(&["bootstrap", "--json"]);
    eventually("the script's begin", || {
        logs(&env).pop().is_some_and(|log| fs::read_to_string(log).unwrap().contains("begun"))
    });
    victim.kill().unwrap();
    victim.wait().unwrap();
    let gone =
        "for n in $(seq 50); do kill -0 $(cat /run/pid) 2>/dev/null || exit 0; sleep 0.1; done; exit 9\n";
    env.write("web.sh", gone);
    let answer = env.run(&["up", "--json"]).succeeded();
    assert_eq!(bootstrap_of(&answer, "web")["reason"], "never_done");
}

#[cfg(feature = "failpoints")]
#[test]
fn a_castra_that_dies_at_any_step_leaves_a_bootstrap_that_is_done_whole_by_the_next() {
    use plasmavmc_host::failpoint;
    let env = web_up("verify = \"test -e /run/applied\"");
    let all: Vec<_> = failpoint::ALL.iter().filter(|step| step.starts_with("bootstrap.")).collect();
    assert!(all.len() > 5, "{all:?}");
    // One script for all of them: only what is noted in the guest tells the next that it is not done.
    env.write("web.sh", "echo applied >>/run/applied\n");
    env.run(&["up"]).succeeded();
    let applied = || {
        let lines = env.run(&["exec", "web", "--", "wc", "-l", "/run/applied"]).succeeded().stdout;
        lines.split_whitespace().next().unwrap().parse::<usize>().unwrap()
    };
    for step in all {
        let mut victim = env.command(["up", "--bootstrap", "always"]);
        let victim = victim.env(failpoint::VARIABLE, step).spawn().unwrap();
        assert_eq!(wait(victim, BOUND).code, None, "{step} was not reached");
        // At its two ends the record stands: nothing was changed yet, or all of it.
        let is_done = matches!(*step, "bootstrap.reachable" | "bootstrap.done");
        let before = applied();
        let next = bootstrap_of(&env.run(&["up", "--json"]).succeeded(), "web");
        assert_eq!(next["decision"] == "skip", is_done, "{step}: {next}");
        assert_eq!(applied(), before + usize::from(!is_done), "{step}");
        let again = bootstrap_of(&env.run(&["up", "--json"]).succeeded(), "web");
        assert_eq!(again["decision"], "skip", "{step}");
    }
}

#[test]
fn a_step_can_be_repeated_alone_where_what_it_needs_is_there() {
    let env = web_up("verify = [\"test\", \"-e\", \"/run/ready\"]");
    let answer = env.run(&["bootstrap", "--from", "apply", "--json"]).failed(10);
    assert!(
        failed(&answer)["reason"].as_str().unwrap().contains("nothing of it lies in the guest"),
        "{answer}"
    );
    // Only its second run makes what the check looks for.
    env.write("web.sh", "echo x >>/run/count\n[ $(wc -l </run/count) -lt 2 ] || touch /run/ready\n");
    let answer = env.run(&["bootstrap", "--json"]).failed(10);
    assert_eq!(failed(&answer)["step"], "verify");
    let answer = env.run(&["bootstrap", "--from", "apply", "--json"]).succeeded();
    assert_eq!(
        steps(&answer)[4..],
        ["transfer skipped", "apply started", "apply ok", "verify started", "verify ok"]
    );
    let answer = env.run(&["bootstrap", "--from", "verify", "--json"]).succeeded();
    assert_eq!(steps(&answer)[4..], ["transfer skipped", "apply skipped", "verify started", "verify ok"]);
    assert_eq!(bootstrap_of(&env.run(&["up", "--json"]).succeeded(), "web")["reason"], "unchanged");
}

#[test]
fn several_are_set_up_at_once_and_one_that_fails_holds_up_no_other() {
    let env = shop(&[guest("web", ""), guest("db", ""), guest("off", "mode = \"skip\"")]);
    env.write("web.sh", "sleep 2\nexit 7\n");
    env.write("db.sh", "echo db\n");
    env.write("off.sh", "exit 9\n");
    let answer = env.run(&["up", "--json"]).failed(10);
    let told = answer.lines();
    let verified = |vm: &str| {
        told.iter().any(|it| {
            it["event"] == "BootstrapStep" && it["vm"] == vm && it["step"] == "apply" && it["status"] == "ok"
        })
    };
    assert!(verified("db") && !verified("web") && !verified("off"), "{answer}");
    env.write("web.sh", "echo web\n");
    let answer = env.run(&["up", "--json"]).succeeded();
    assert_eq!(bootstrap_of(&answer, "db")["decision"], "skip");
    assert_eq!(bootstrap_of(&answer, "web")["decision"], "run");
    let rows = answer.outcome()["vms"].as_array().unwrap().clone();
    assert!(rows.iter().any(|row| row["vm"] == "off" && row["bootstrap"].is_null()), "{answer}");
}

#[test]
fn what_cannot_be_done_is_told_before_anything_is_made() {
    let env = web("", "payload = \"dist\"");
    let before = TestEnv::tree(env.path());
    assert_answer!(env, env.castra(["up"]), @r#"
    exit code 3
    --- stderr
    error: VM `web` cannot be bootstrapped
      caused by: there is no payload `$TEST/project/dist`

    hint: paths are relative to castra.toml: `script = "bootstrap.sh"` is beside it
    "#);
    let unknown = env.castra(["up", "--plan", "--bootstrap", "wbe=skip"]).failed(2);
    assert!(unknown.stderr.contains("there is no VM `wbe` here"), "{unknown}");
    let unknown = env.castra(["up", "--bootstrap", "alway"]).failed(2);
    assert!(unknown.stderr.contains("did you mean `always`?"), "{unknown}");
    fs::remove_file(env.project().join("web.sh")).unwrap();
    let error = env.castra(["up", "--json"]).failed(3).error();
    assert!(error["causes"].to_string().contains("there is no bootstrap script"), "{error}");
    env.castra(["up", "--plan", "--bootstrap", "skip"]).succeeded();
    env.castra(["bootstrap"]).failed(3);
    assert_eq!(TestEnv::tree(env.path()).len(), before.len() - 1, "something was made");
}

#[test]
fn a_vm_that_does_not_run_or_has_no_bootstrap_is_said_to_be_so() {
    let env = shop(&[guest("web", ""), vm("bare", "")]);
    env.write("web.sh", "");
    env.castra(["bootstrap", "web"]).failed(6);
    assert_answer!(env, env.castra(["bootstrap", "bare"]), @r#"
    exit code 2
    --- stderr
    error: VM `bare` has no bootstrap in castra.toml

    hint: add `[vms.bootstrap]` and below it `script = "bootstrap.sh"`
    "#);
    env.castra(["bootstrap", "wbe"]).failed(2);
    env.castra(["bootstrap", "--from", "connect"]).failed(2);
}

#[test]
fn user_data_that_the_image_would_ignore_is_refused_before_anything_is_made() {
    let env = TestEnv::new();
    let image = "nocloud_alpine-3.23.4-x86_64-bios-tiny-r0.qcow2";
    env.write(
        "castra.toml",
        format!(
            "[[vms]]\nname = \"web\"\nbase_image = \"./{image}\"\ncloud_init = {{ user_data = \"u.yaml\" }}\n"
        ),
    );
    env.write("u.yaml", "#cloud-config\npackages: [curl]\nswap:\n  size: 1G\n");
    let before = TestEnv::tree(env.path());
    assert_answer!(env, env.castra(["up"]), @r#"
    exit code 3
    --- stderr
    error: the cloud-init seed of VM `web` cannot be made
      caused by: tiny-cloud would ignore `swap` of user-data

    hint: it takes `user`, `users`, `groups`, `ssh_authorized_keys`, `bootcmd`, `write_files`, `ntp`, `package_update`, `package_upgrade`, `packages`, `runcmd`
    hint: do the rest in a script: `[vms.bootstrap]` and below it `script = "bootstrap.sh"`
    "#);
    assert_eq!(TestEnv::tree(env.path()), before);
}
