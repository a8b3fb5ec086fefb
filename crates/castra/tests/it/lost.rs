//! VMs whose workspace or disk was deleted under them: said by every command that meets them, and ended.

use std::fs;
use std::path::Path;
use std::time::Duration;

use castra_testkit::obedient_disk;
use plasmavmc_host::process::Process;
use rustix::process::Signal;

use crate::broker::broker;
use crate::env::{TestEnv, eventually, wait};
use crate::guests::BOUND;

/// A project whose VM runs, with a forward that a second one could not have.
fn running() -> TestEnv {
    let env = TestEnv::with_guest(&obedient_disk(), "");
    env.start();
    env
}

/// Deletes a directory although a broker may be writing into it.
fn delete(root: &Path) {
    eventually("its deletion", || {
        let _ = fs::remove_dir_all(root);
        !root.exists()
    });
}

#[test]
fn a_vm_whose_workspace_was_deleted_is_told_and_ended() {
    let env = running();
    let (layout, pid) = (env.layout(), env.only_qemu());
    let broker = broker(&layout);
    delete(layout.root());
    assert!(broker.exits_within(Duration::from_secs(20)).unwrap(), "the broker stays");
    assert!(!layout.root().exists(), "the broker made {} again", layout.root().display());

    let told = format!(
        "VM `web` still runs as process {pid} although `{}` was deleted under it",
        layout.root().display()
    );
    let hint = format!("`castra down --config {}` ends it", env.project().join("castra.toml").display());
    for words in [&["status"][..], &["status", "--config", "castra.toml"]] {
        let answer = env.run(words).succeeded();
        assert!(answer.stderr.contains(&told) && answer.stderr.contains(&hint), "{words:?}: {answer}");
    }
    let elsewhere = |words: &[&str]| wait(env.command(words).current_dir(env.path()).spawn().unwrap(), BOUND);
    for words in [&["status"][..], &["down"]] {
        let answer = elsewhere(words).succeeded();
        assert!(answer.stderr.contains(&told), "{words:?}: {answer}");
    }
    for words in [&["up"][..], &["up", "--plan"]] {
        let answer = env.run(words).failed(6);
        assert!(answer.stderr.contains(&told) && answer.stderr.contains(&hint), "{words:?}: {answer}");
    }
    assert!(!layout.root().exists(), "a refused command made it again");

    let down = env.run(&["down", "--json"]).succeeded();
    env.holds("down", &down);
    assert_eq!(down.outcome()["workspaces"][0]["vms"][0]["outcome"], "terminated", "{down}");
    assert_eq!(env.qemus(), []);
    assert!(env.run(&["status"]).succeeded().stderr.is_empty());
    env.start();
    env.run(&["down"]).succeeded();
}

#[test]
fn a_stray_that_does_not_listen_is_killed() {
    let env = TestEnv::with_guest(&obedient_disk(), crate::sectors::SHORT_WAITS.replace("20", "1").as_str());
    env.start();
    let layout = env.layout();
    env.signal_qemu(Signal::STOP);
    delete(layout.root());
    let down = env.run(&["down"]).succeeded();
    assert!(down.stdout.contains("ended with SIGKILL"), "{down}");
    assert_eq!(env.qemus(), []);
}

#[test]
fn a_workspace_that_was_moved_away_is_told_and_its_vm_left_alone() {
    let env = running();
    let (root, pid) = (env.layout().root().to_owned(), env.only_qemu());
    let away = env.path().join("away");
    fs::rename(&root, &away).unwrap();
    let back = format!("move it back: `mv {} {}`", away.display(), root.display());
    let answers =
        [env.run(&["status"]).succeeded(), env.run(&["down"]).succeeded(), env.run(&["up"]).failed(6)];
    for answer in answers {
        assert!(answer.stderr.contains(&back), "{answer}");
    }
    assert!(Process::of_pid(pid).unwrap().is_some(), "it was ended");
    // The broker has left by now and made nothing; a VM whose workspace is back is as before.
    fs::rename(&away, &root).unwrap();
    assert_eq!(env.row("web")["pid"], pid);
    env.run(&["down"]).succeeded();
    assert_eq!(env.qemus(), []);
}

#[test]
fn a_disk_that_was_deleted_under_its_vm_is_told_while_it_can_be_saved() {
    let env = running();
    fs::remove_file(env.overlay()).unwrap();
    let told = format!("the disk `{}` was deleted under VM `web`", env.overlay().display());
    for words in [&["status"][..], &["up"]] {
        let answer = env.run(words).succeeded();
        assert!(answer.stderr.contains(&told), "{words:?}: {answer}");
        assert!(answer.stderr.contains("`castra cp web:<path> .`"), "{words:?}: {answer}");
    }
    let down = env.run(&["down"]).succeeded();
    assert!(down.stderr.contains(&told) && down.stderr.contains("was lost"), "{down}");
    assert!(env.run(&["status"]).succeeded().stderr.is_empty());
}

#[test]
fn a_vm_under_the_former_name_of_its_project_is_told_with_the_way_to_end_it() {
    let env = running();
    let id = env.castra(["status", "--json"]).outcome()["workspaces"][0]["id"].as_str().unwrap().to_owned();
    let config = fs::read_to_string(env.project().join("castra.toml")).unwrap();
    env.write("castra.toml", config.replace("name = \"shop\"", "name = \"store\""));
    let told = "VM `web` still runs under the name `shop`, which this project had before";
    for words in [&["status"][..], &["status", "--config", "castra.toml"], &["up", "--wait", "running"]] {
        let answer = env.run(words).succeeded();
        assert!(answer.stderr.contains(told), "{words:?}: {answer}");
        assert!(answer.stderr.contains(&format!("`castra down --workspace {id}`")), "{words:?}: {answer}");
    }
    env.run(&["down", "--workspace", &id]).succeeded();
    assert!(env.run(&["status"]).succeeded().stderr.is_empty());
    env.run(&["down"]).succeeded();
    assert_eq!(env.qemus(), []);
}

#[test]
fn a_vm_of_a_project_that_was_moved_is_told_with_the_way_to_end_it() {
    let env = running();
    let from = env.project().join("castra.toml");
    let to = env.project().join("moved");
    fs::create_dir(&to).unwrap();
    fs::rename(&from, to.join("castra.toml")).unwrap();
    let at = |words: &[&str]| wait(env.command(words).current_dir(&to).spawn().unwrap(), BOUND);
    let told = format!(
        "VM `web` still runs for a project of the same name whose config was `{}`, which is gone",
        from.display()
    );
    let answer = at(&["status"]).succeeded();
    assert!(answer.stderr.contains(&told), "{answer}");
    at(&["down"]).succeeded();
    assert!(at(&["status"]).succeeded().stderr.is_empty());
}
