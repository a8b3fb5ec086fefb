//! `castra clean`: what goes, what stays, and when it refuses. A live VM is one whose lock is held, as
//! its QEMU holds it; VMs that really run are in the tests of VMs.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use castra_testkit::throughout;
use plasmavmc_host::{FileLock, Layout};

use crate::env::{TestEnv, assert_answer, wait};

/// A project whose workspace holds one of everything.
fn env() -> (TestEnv, Layout) {
    let env = TestEnv::with_project();
    let layout = env.layout();
    fill(layout.root());
    (env, layout)
}

fn fill(root: &Path) {
    for name in [
        "images/alpine.qcow2",
        "images/alpine.qcow2.sha512",
        "images/by-hand.qcow2",
        "overlays/devbox.qcow2",
        "logs/devbox.log",
        "logs/devbox-serial.log",
        "logs/events.jsonl",
        "logs/bootstrap/run.jsonl",
        "devbox.pid",
        "devbox.qmp",
        "metadata/workspace.json",
        "metadata/seeds/devbox.img",
        "metadata/locks/devbox.live",
        "bootstrap/devbox/run.sh",
        "handshakes/devbox.json",
        "broker.pid",
        "images/.castra-tmp-old",
        "images/.castra-tmp-new",
        "notes.txt",
    ] {
        let path = root.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "x").unwrap();
    }
    let old = fs::File::options().write(true).open(root.join("images/.castra-tmp-old")).unwrap();
    old.set_modified(SystemTime::now() - Duration::from_secs(3600)).unwrap();
}

fn files(root: &Path) -> Vec<String> {
    TestEnv::tree(root).into_iter().filter(|name| root.join(name).is_file()).collect()
}

#[test]
fn clean_removes_what_commands_left_and_nothing_else() {
    let (env, layout) = env();
    assert_answer!(env, env.castra(["clean"]), @r"
    exit code 0
    --- stdout
      2 image files, <size>
      1 overlay, <size>
      4 logs, <size>
      4 runtime files, <size>
      1 unfinished file, <size>
      2 files of an older version, <size>
    <size> reclaimed
    --- stderr
      <time>  removed $TEST/home/.castra/projects/shop-<hash>/overlays/devbox.qcow2 (<size>)
      <time>  removed $TEST/home/.castra/projects/shop-<hash>/images/alpine.qcow2 (<size>)
      <time>  removed $TEST/home/.castra/projects/shop-<hash>/images/alpine.qcow2.sha512 (<size>)
      <time>  removed $TEST/home/.castra/projects/shop-<hash>/logs/bootstrap (<size>)
      <time>  removed $TEST/home/.castra/projects/shop-<hash>/logs/devbox-serial.log (<size>)
      <time>  removed $TEST/home/.castra/projects/shop-<hash>/logs/devbox.log (<size>)
      <time>  removed $TEST/home/.castra/projects/shop-<hash>/logs/events.jsonl (<size>)
      <time>  removed $TEST/home/.castra/projects/shop-<hash>/devbox.pid (<size>)
      <time>  removed $TEST/home/.castra/projects/shop-<hash>/devbox.qmp (<size>)
      <time>  removed $TEST/home/.castra/projects/shop-<hash>/metadata/seeds/devbox.img (<size>)
      <time>  removed $TEST/home/.castra/projects/shop-<hash>/bootstrap/devbox (<size>)
      <time>  removed $TEST/home/.castra/projects/shop-<hash>/images/.castra-tmp-old (<size>)
      <time>  removed $TEST/home/.castra/projects/shop-<hash>/handshakes (<size>)
      <time>  removed $TEST/home/.castra/projects/shop-<hash>/broker.pid (<size>)
    note: `$TEST/home/.castra/projects/shop-<hash>/images/by-hand.qcow2` stays: it has no checksum, so it was put there by hand
    hint: to remove it: `rm -r $TEST/home/.castra/projects/shop-<hash>/images/by-hand.qcow2`
    ");
    assert_eq!(
        files(layout.root()),
        [
            "images/.castra-tmp-new",
            "images/by-hand.qcow2",
            "metadata/locks/.workspace.lock",
            "metadata/locks/devbox.live",
            "metadata/locks/devbox.lock",
            "metadata/workspace.json",
            "notes.txt",
        ]
    );
    assert_answer!(env, env.castra(["clean"]), @r"
    exit code 0
    --- stdout
    Nothing to remove
    --- stderr
    note: `$TEST/home/.castra/projects/shop-<hash>/images/by-hand.qcow2` stays: it has no checksum, so it was put there by hand
    hint: to remove it: `rm -r $TEST/home/.castra/projects/shop-<hash>/images/by-hand.qcow2`
    ");
}

#[test]
fn a_dry_run_lists_everything_and_touches_nothing() {
    let (env, layout) = env();
    let before = files(layout.root());
    let listed = env.castra(["clean", "--dry-run", "--json"]).succeeded();
    assert_eq!(files(layout.root()), before);
    assert_eq!(listed.outcome()["dry_run"], true);
    let removed = env.castra(["clean", "--json"]).succeeded();
    assert_eq!(listed.outcome()["items"], removed.outcome()["items"], "a dry run tells something else");
    assert_eq!(listed.outcome()["totals"], removed.outcome()["totals"]);
}

#[test]
fn a_live_vm_is_in_the_way_and_nothing_is_removed() {
    let (env, layout) = env();
    let before = files(layout.root());
    let _live = FileLock::try_acquire(&layout.live_lock(&"devbox".parse().unwrap())).unwrap().unwrap();
    assert_answer!(env, env.castra(["clean"]), @r"
    exit code 6
    --- stderr
    error: VM `devbox` of workspace `shop-<hash>` is live

    hint: stop it first: `castra down --workspace shop-<hash>`
    hint: `castra clean --force` removes what does not belong to it
    ");
    let after: Vec<_> = files(layout.root()).into_iter().filter(|name| !name.ends_with(".lock")).collect();
    assert_eq!(after, before);
}

#[test]
fn force_spares_all_that_belongs_to_a_live_vm() {
    let (env, layout) = env();
    fs::write(layout.logs().join("gone.log"), "x").unwrap();
    fs::write(layout.overlays().join("gone.qcow2"), "x").unwrap();
    let _live = FileLock::try_acquire(&layout.live_lock(&"devbox".parse().unwrap())).unwrap().unwrap();
    let outcome = env.castra(["clean", "--force", "--json"]).succeeded().outcome();
    assert_eq!(outcome["workspaces"][0]["live"], serde_json::json!(["devbox"]));
    let left = files(layout.root());
    for name in [
        "devbox.pid",
        "devbox.qmp",
        "overlays/devbox.qcow2",
        "logs/devbox.log",
        "logs/devbox-serial.log",
        "logs/events.jsonl",
        "metadata/seeds/devbox.img",
    ] {
        assert!(left.contains(&name.to_owned()), "{name} is gone");
    }
    for name in ["logs/gone.log", "overlays/gone.qcow2", "broker.pid"] {
        assert!(!left.contains(&name.to_owned()), "{name} is still there");
    }
    let log = fs::read_to_string(layout.events_log()).unwrap();
    assert_eq!(log.matches("CleanupProgress").count(), outcome["items"].as_array().unwrap().len(), "{log}");
}

#[test]
fn a_vm_another_command_works_on_counts_as_live() {
    let (env, layout) = env();
    let _busy = FileLock::try_acquire(&layout.vm_lock(&"devbox".parse().unwrap())).unwrap().unwrap();
    env.castra(["clean"]).failed(6);
    assert!(layout.root().join("overlays/devbox.qcow2").exists());
}

#[test]
fn a_vm_that_is_about_to_be_made_counts_as_live() {
    let (env, layout) = env();
    let _busy = FileLock::try_acquire(&layout.vm_lock(&"newcomer".parse().unwrap())).unwrap().unwrap();
    let before = files(layout.root());
    assert!(env.castra(["clean"]).failed(6).stderr.contains("VM `newcomer`"));
    let _up = FileLock::acquire_shared(&layout.workspace_lock(), Duration::ZERO).unwrap();
    assert_answer!(env, env.castra(["clean"]), @r"
    exit code 6
    --- stderr
    error: another command is changing workspace `shop-<hash>`
      caused by: another command has held `$TEST/home/.castra/projects/shop-<hash>/metadata/locks/.workspace.lock` for over 10 s

    hint: see who holds it with `fuser -v $TEST/home/.castra/projects/shop-<hash>/metadata/locks/.workspace.lock`, or try again
    ");
    assert!(before.iter().all(|name| layout.root().join(name).exists()), "something was removed");
}

#[test]
fn cleaning_waits_for_who_is_filling_the_workspace() {
    let (env, layout) = env();
    let up = FileLock::acquire_shared(&layout.workspace_lock(), Duration::ZERO).unwrap();
    let clean = env.command(["clean"]).spawn().unwrap();
    throughout(Duration::from_millis(300), "it waits", || layout.root().join("images/alpine.qcow2").exists());
    env.castra(["clean", "--dry-run"]).succeeded();
    drop(up);
    wait(clean, Duration::from_secs(20)).succeeded();
    assert!(!layout.root().join("images/alpine.qcow2").exists());
}

#[test]
fn an_overlay_somebody_has_open_stays() {
    let (env, layout) = env();
    let overlay = layout.root().join("overlays/devbox.qcow2");
    let file = fs::File::options().read(true).write(true).open(&overlay).unwrap();
    // As QEMU and its tools lock a disk.
    rustix::fs::fcntl_lock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive).unwrap();
    let outcome = env.castra(["clean", "--json"]).succeeded().outcome();
    assert!(overlay.exists());
    assert!(outcome["diagnostics"].to_string().contains("another process has it open"), "{outcome}");
}

#[test]
fn a_persistent_disk_stays_even_where_its_record_is_lost() {
    let (env, layout) = env();
    let config = fs::read_to_string(env.project().join("castra.toml")).unwrap();
    env.write("castra.toml", config.replace("# persistent", "persistent"));
    env.castra(["clean"]).succeeded();
    assert!(layout.root().join("overlays/devbox.qcow2").exists());
}

#[test]
fn links_out_of_the_workspace_are_not_followed() {
    let (env, layout) = env();
    let outside = env.path().join("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("precious.log"), "x").unwrap();
    fs::remove_dir_all(layout.logs()).unwrap();
    std::os::unix::fs::symlink(&outside, layout.logs()).unwrap();
    std::os::unix::fs::symlink(outside.join("precious.log"), layout.overlays().join("link.qcow2")).unwrap();
    env.castra(["clean"]).succeeded();
    assert!(outside.join("precious.log").exists());
    assert!(!layout.overlays().join("link.qcow2").exists());
}

#[test]
fn global_cleaning_sweeps_every_project_and_leaves_overlays() {
    let (env, layout) = env();
    let stray: PathBuf = env.castra_home().join("projects/not-a-workspace");
    fill(&stray);
    fs::create_dir_all(env.castra_home().join("workspaces")).unwrap();
    let link = env.castra_home().join("workspaces/gone-0123456789ab");
    std::os::unix::fs::symlink(env.path().join("gone"), &link).unwrap();
    let outcome = env.castra(["clean", "--global", "--json"]).succeeded().outcome();
    assert_eq!(outcome["workspaces"].as_array().unwrap().len(), 2, "{outcome}");
    for root in [layout.root(), &stray] {
        let left = files(root);
        assert!(left.contains(&"overlays/devbox.qcow2".to_owned()), "{left:?}");
        assert!(!left.contains(&"logs/devbox.log".to_owned()), "{left:?}");
        assert!(!left.contains(&"images/alpine.qcow2".to_owned()), "{left:?}");
    }
    assert!(link.symlink_metadata().is_err(), "a link that leads nowhere is still there");
}

#[test]
fn global_cleaning_takes_what_a_killed_build_left_and_doctor_tells_of_it_at_once() {
    let env = TestEnv::with_project();
    let cache = env.castra_home().join("cache");
    fs::create_dir_all(&cache).unwrap();
    let left = ["tiny-1.qcow2", "tiny-1.qcow2.lock"].map(|name| cache.join(format!(".castra-tmp-{name}")));
    for path in &left {
        fs::write(path, "x").unwrap();
    }
    let held = FileLock::try_acquire(&left[1]).unwrap().unwrap();
    env.castra(["clean", "--global"]).succeeded();
    assert!(left.iter().all(|path| path.exists()), "a build under way was cleaned away");
    drop(held);
    assert!(env.castra(["doctor"]).stdout.contains(".castra-tmp-tiny-1.qcow2 was never finished"));
    env.castra(["clean", "--global"]).succeeded();
    assert!(left.iter().all(|path| !path.exists()));
}

#[test]
fn one_live_vm_anywhere_stops_a_global_cleaning_before_it_begins() {
    let (env, layout) = env();
    let other = Layout::new(env.castra_home().join("projects/a-first-one"));
    fill(other.root());
    let _live = FileLock::try_acquire(&layout.live_lock(&"devbox".parse().unwrap())).unwrap().unwrap();
    env.castra(["clean", "--global"]).failed(6);
    assert!(other.root().join("logs/devbox.log").exists());
}

#[test]
fn cleaning_a_project_that_never_ran_makes_nothing() {
    let env = TestEnv::with_project();
    assert_answer!(env, env.castra(["clean"]), @r"
    exit code 0
    --- stdout
    Nothing to remove
    ");
    assert!(!env.castra_home().exists());
}

#[test]
fn a_workspace_whose_project_is_gone_is_forgotten_once_nothing_is_left_in_it() {
    let env = TestEnv::with_guest(&castra_testkit::obedient_disk(), "");
    env.start();
    env.run(&["down"]).succeeded();
    let (layout, elsewhere) = (env.layout(), env.path().join("home"));
    let id = env.castra(["status", "--json"]).outcome()["workspaces"][0]["id"].as_str().unwrap().to_owned();
    let notes = layout.root().join("notes.txt");
    fs::write(&notes, "mine").unwrap();
    fs::rename(env.project(), env.path().join("gone")).unwrap();
    let run = |words: &[&str]| {
        wait(env.command(words).current_dir(&elsewhere).spawn().unwrap(), Duration::from_secs(30)).succeeded()
    };
    let known = || run(&["status", "--json"]).outcome()["workspaces"].as_array().unwrap().len();

    run(&["clean", "--workspace", &id]);
    assert_eq!((known(), notes.exists()), (1, true), "a file nobody knows was lost");
    fs::remove_file(&notes).unwrap();
    let told = format!("forgotten: its project's directory `{}` is gone", env.project().display());
    let dry = run(&["clean", "--dry-run", "--global"]);
    assert!(dry.stderr.contains(&format!("workspace `{id}` would be {told}")), "{dry}");
    assert_eq!(known(), 1, "a dry run forgot it");
    let clean = run(&["clean", "--global", "--json"]);
    assert_eq!(clean.outcome()["workspaces"][0]["forgotten"], true, "{clean}");
    assert!(clean.outcome()["diagnostics"].to_string().contains(&told), "{clean}");
    assert_eq!((known(), layout.root().exists()), (0, false));
}

#[test]
fn a_workspace_of_a_project_that_is_there_is_never_forgotten() {
    let env = TestEnv::with_guest(&castra_testkit::obedient_disk(), "");
    env.start();
    env.run(&["down"]).succeeded();
    fs::remove_file(env.project().join("castra.toml")).unwrap();
    let clean = env.run(&["clean", "--global", "--json"]).succeeded().outcome();
    assert_eq!(clean["workspaces"][0]["forgotten"], false, "{clean}");
    assert_eq!(env.castra(["status", "--json"]).outcome()["workspaces"].as_array().unwrap().len(), 1);
}
