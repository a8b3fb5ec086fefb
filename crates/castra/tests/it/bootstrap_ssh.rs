//! Bootstraps of a real guest that has no agent, over SSH.

use std::fs;
use std::os::unix::fs::symlink;
use std::time::{Duration, Instant};

use castra_testkit::{free_port, tiny_image_without_agent};
use serde_json::Value;

use crate::env::{Answer, TestEnv, eventually};
use crate::guests::{BOUND, prove_accelerators};
use crate::sectors::one_vm;

/// A project whose guest has an SSH server and no agent; `keys` are those of its bootstrap.
fn guest(keys: &str) -> TestEnv {
    let env = TestEnv::new();
    prove_accelerators(&env);
    let forward = format!("port_forwards = [{{ host = {}, guest = 22 }}]\n", free_port());
    let text = one_vm(&format!("{forward}[vms.bootstrap]\nscript = \"web.sh\"\n{keys}\n"));
    let image = tiny_image_without_agent();
    env.write(
        "castra.toml",
        text.replace("64 MiB", "256 MiB").replace("./guest.img", image.to_str().unwrap()),
    );
    env
}

fn shell(env: &TestEnv, line: &str) -> Answer {
    env.run(&["ssh", "web", "--", line])
}

/// The lines of the newest log, of one kind.
fn log(env: &TestEnv, kind: &str) -> Vec<Value> {
    let dir = fs::read_dir(env.layout().bootstrap_logs()).unwrap();
    let newest = dir.map(|entry| entry.unwrap().path()).max().unwrap();
    let text = fs::read_to_string(newest).unwrap();
    let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    lines.filter(|line| line["kind"] == kind).collect()
}

/// The step that failed, and why.
#[track_caller]
fn failed(answer: Answer) -> (String, String) {
    let answer = answer.failed(10);
    let event = answer.lines().into_iter().find(|event| event["status"] == "failed").unwrap();
    (event["step"].as_str().unwrap().to_owned(), event["reason"].as_str().unwrap().to_owned())
}

#[track_caller]
fn assert_nothing_is_left(env: &TestEnv) {
    assert!(
        TestEnv::tree(&env.layout().bootstrap()).is_empty(),
        "{:?}",
        TestEnv::tree(&env.layout().bootstrap())
    );
    let left = shell(env, "ls -d /run/castra-[0-9a-f]*[0-9a-f] /var/lib/castra/.castra-* 2>/dev/null");
    assert_eq!(left.stdout, "", "{left}");
}

#[test]
fn a_guest_without_an_agent_is_set_up_over_ssh_once_and_again_when_it_changes() {
    let env = guest(
        "payload = \"dist\"\nenv = { GREETING = \"it's $HOME\" }\nverify = \"test -x $CASTRA_PAYLOAD/web\"",
    );
    env.write(
        "web.sh",
        "set -eu\necho \"$GREETING from $CASTRA_VM in $PWD\"\ncat\nid -u >&2\nrm -rf /installed\ncp -R . /installed\n",
    );
    env.write("dist/web", "v1");
    env.write("dist/a dir/it's", "deep");
    symlink("web", env.project().join("dist/link")).unwrap();
    std::process::Command::new("chmod").arg("755").arg(env.project().join("dist/web")).status().unwrap();

    let up = env.run(&["up", "--json"]).succeeded();
    env.holds("up", &up);
    let done = up.outcome()["vms"][0]["bootstrap"].clone();
    assert_eq!((&done["transport"], &done["reason"]), (&"ssh".into(), &"never_done".into()), "{done}");
    let steps: Vec<_> = done["steps"].as_array().unwrap().iter().map(|it| it["status"].clone()).collect();
    assert_eq!(steps, ["ok"; 5], "{done}");
    assert_eq!(log(&env, "decided")[0]["transport"], "ssh");
    let said: Vec<_> = log(&env, "output").iter().map(|it| it["text"].as_str().unwrap().to_owned()).collect();
    assert_eq!(said, ["it's $HOME from web in /var/lib/castra/bootstrap/payload", "0"]);
    let there =
        shell(&env, "cat /installed/link '/installed/a dir/it'\\''s'; ls -l /installed/web").succeeded();
    assert!(there.stdout.starts_with("v1deep-rwxr-xr-x"), "{there}");
    assert_eq!(env.row("web")["reachable"], false);
    assert_nothing_is_left(&env);

    let again = env.run(&["up", "--json"]).succeeded();
    assert_eq!(again.outcome()["vms"][0]["bootstrap"]["reason"], "unchanged");
    env.write("dist/web", "v2");
    let changed = env.run(&["up", "--json"]).succeeded();
    assert_eq!(changed.outcome()["vms"][0]["bootstrap"]["reason"], "changed");
    let people = env.run(&["bootstrap"]).succeeded();
    assert!(people.stdout.contains("done over ssh"), "{people}");
    assert!(people.stderr.contains("no agent answers, ssh leads into the guest"), "{people}");
}

#[test]
fn what_goes_wrong_over_ssh_is_told_as_it_is_over_the_channel() {
    let env = guest("timeout_secs = 20");
    env.write("web.sh", "echo first\necho 'no such package' >&2\nexit 3\n");
    let answer = env.run(&["up", "--json"]);
    let hints = answer.error()["hints"].to_string();
    assert!(hints.contains("first") && hints.contains("no such package"), "{hints}");
    assert_eq!(failed(answer), ("apply".to_owned(), "its script ended with exit code 3".to_owned()));

    // The code that ssh itself fails with.
    env.write("web.sh", "exit 255\n");
    let answer = env.run(&["bootstrap", "--json"]);
    assert_eq!(failed(answer), ("apply".to_owned(), "its script ended with exit code 255".to_owned()));

    env.write("web.sh", "trap '' HUP\nsleep 1234 &\nsleep 1234\n");
    let begun = Instant::now();
    let answer = env.run(&["bootstrap", "--json"]);
    assert!(begun.elapsed() < Duration::from_secs(90), "{:?}", begun.elapsed());
    assert_eq!(failed(answer), ("apply".to_owned(), "it was not over within 20 s".to_owned()));
    assert_eq!(shell(&env, "ps | grep -v grep | grep -c 'sleep 1234'").stdout, "0\n");

    env.write("web.sh", "sleep 1234 >/dev/null 2>&1 &\nsleep 1235 &\necho done\n");
    env.run(&["bootstrap", "--json"]).succeeded();
    assert_eq!(shell(&env, "ps | grep -v grep | grep -c 'sleep 123'").stdout, "2\n");
    assert_nothing_is_left(&env);

    env.write("web.sh", "sync\nreboot -f\nsleep 60\n");
    let (step, reason) = failed(env.run(&["bootstrap", "--json"]));
    assert_eq!(step, "apply");
    assert!(reason.starts_with("lost: its guest") || reason.starts_with("it was not over"), "{reason}");
}

#[test]
fn a_guest_with_another_host_key_gets_no_bootstrap() {
    let env = guest("");
    env.write("web.sh", "echo hello\n");
    env.run(&["up", "--bootstrap", "skip"]).succeeded();
    let known = env.layout().known_hosts(&"web".parse().unwrap());
    let right = fs::read_to_string(&known).unwrap();
    let alias = right.split(' ').next().unwrap();
    let other = plasmavmc_host::keys::KeyPair::generate().unwrap().public_line();
    fs::write(&known, format!("{alias} {other}\n")).unwrap();
    let (step, reason) = failed(env.run(&["up", "--json", "--timeout", "15"]));
    assert_eq!(step, "wait-handshake");
    assert!(reason.contains("Host key verification failed"), "{reason}");
    shell(&env, "true").failed(255);
}

/// The processes of this host that work in the workspace's `bootstrap` directory.
fn at_work(env: &TestEnv) -> usize {
    let dir = env.layout().bootstrap();
    let processes = fs::read_dir("/proc").unwrap().flatten();
    let places = processes.filter_map(|process| fs::read_link(process.path().join("cwd")).ok());
    places.filter(|place| place.starts_with(&dir)).count()
}

#[test]
fn a_castra_that_is_killed_takes_its_ssh_and_its_script_with_it() {
    let env = guest("");
    env.run(&["up", "--bootstrap", "skip"]).succeeded();
    env.write("web.sh", "touch /begun\nsleep 1234\n");
    let mut castra = env.spawn(&["bootstrap"]);
    let deadline = Instant::now() + BOUND;
    while shell(&env, "test -e /begun").code != Some(0) {
        assert!(Instant::now() < deadline, "the script never began");
    }
    assert!(at_work(&env) > 0, "no ssh is found, so none could be missed");
    castra.kill().unwrap();
    castra.wait().unwrap();
    eventually("every ssh is gone", || at_work(&env) == 0);
    eventually("the script is gone", || {
        shell(&env, "ps | grep -v grep | grep -c 'sleep 1234'").stdout == "0\n"
    });

    env.write("web.sh", "echo repaired\n");
    env.run(&["bootstrap"]).succeeded();
    assert_nothing_is_left(&env);
}
