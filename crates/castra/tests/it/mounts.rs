//! Folders of the host in a real guest: `[[vms.mounts]]`.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

use castra_testkit::{free_port, tiny_full_image, tiny_image, until};
use serde_json::{Value, json};

use crate::env::{Answer, TestEnv, assert_answer, eventually};
use crate::guests::{BOUND, prove_accelerators};
use crate::sectors::{names, one_vm};

/// A project whose guest has these mounts and is reached by SSH.
fn guest(image: &std::path::Path, mounts: &str) -> TestEnv {
    let env = TestEnv::new();
    prove_accelerators(&env);
    let keys = format!("port_forwards = [{{ host = {}, guest = 22 }}]\n{mounts}", free_port());
    let text = one_vm(&keys).replace("64 MiB", "256 MiB");
    env.write("castra.toml", text.replace("./guest.img", image.to_str().unwrap()));
    env
}

/// What the guest's shell makes of a line.
fn shell(env: &TestEnv, line: &str) -> Answer {
    env.run(&["ssh", "web", "--", line])
}

fn mounts(env: &TestEnv) -> Value {
    let row = env.row("web");
    let mounts = row["mounts"].as_array().unwrap().iter();
    mounts.map(|it| json!([it["guest"], it["read_only"], it["state"]])).collect()
}

#[test]
fn a_guest_that_reboots_itself_gets_its_folders_again_without_a_command() {
    let env = guest(&tiny_full_image(), "[[vms.mounts]]\nhost = \"src\"\nguest = \"/srv/src\"\n");
    env.write("src/hello", "from the host");
    env.run(&["up"]).succeeded();
    let boot = |env: &TestEnv| env.run(&["exec", "web", "--", "cat", "/proc/sys/kernel/random/boot_id"]);
    let first = boot(&env).succeeded().stdout;
    env.run(&["exec", "web", "--", "reboot"]).succeeded();
    let events = || fs::read_to_string(env.layout().events_log()).unwrap();
    let count = |name: &str| events().matches(&format!("\"event\":\"{name}\"")).count();
    let ready = || count("MountReady");
    until(BOUND, || if ready() < 2 { Err(events()) } else { Ok(()) });
    assert_eq!(mounts(&env), json!([["/srv/src", true, "mounted"]]));
    assert_ne!(boot(&env).succeeded().stdout, first, "it did not reboot");
    let read = env.run(&["exec", "web", "--", "cat", "/srv/src/hello"]).succeeded();
    assert_eq!(read.stdout, "from the host");
    // An agent that starts again in the same boot is no reason to mount anything.
    let greeted = count("GuestHandshake");
    // It takes its channel with it.
    env.run(&["exec", "web", "--", "sh", "-c", "kill -9 $(pidof castra-agent)"]).failed(125);
    eventually("the agent is back", || count("GuestHandshake") > greeted);
    env.run(&["exec", "web", "--", "true"]).succeeded();
    assert_eq!(ready(), 2);
}

#[test]
fn a_guest_sees_what_is_shared_and_writes_only_where_it_may() {
    let env = guest(
        &tiny_full_image(),
        "[[vms.mounts]]\nhost = \"in, and out\"\nguest = \"/srv/rw\"\nread_only = false\n\
         [[vms.mounts]]\nhost = \"src\"\nguest = \"/srv/ro\"\n",
    );
    env.write("src/hello", "from the host");
    env.write("secret", "not shared");
    symlink("../secret", env.project().join("src/link")).unwrap();
    fs::create_dir(env.project().join("in, and out")).unwrap();
    let up = env.run(&["up", "--json"]).succeeded();
    env.holds("up", &up);
    let phases = up.outcome()["vms"][0]["phases"].clone();
    assert!(phases.as_array().unwrap().iter().any(|it| it["phase"] == "mounts"), "{phases}");
    let events = env.kept_events();
    assert_eq!(names(&events).iter().filter(|name| **name == "MountReady").count(), 2, "{events:?}");
    assert_eq!(mounts(&env), json!([["/srv/rw", false, "mounted"], ["/srv/ro", true, "mounted"]]));
    env.holds("status", &env.castra(["status", "--json"]).succeeded());
    let status = env.castra(["status"]).succeeded();
    assert!(status.stdout.contains("web: sees /srv/rw (writable), /srv/ro (read-only)\n"), "{status}");

    assert_eq!(shell(&env, "cat /srv/ro/hello").succeeded().stdout, "from the host");
    // Not even a guest that takes the mount for writable gets a byte into it.
    let refused = shell(&env, "mount -o remount,rw /srv/ro; touch /srv/ro/x").failed(1);
    assert!(refused.stderr.contains("Read-only file system"), "{refused}");
    // A link is the guest's to follow, in the guest.
    shell(&env, "cat /srv/ro/link").failed(1);
    assert_eq!(TestEnv::tree(&env.project().join("src")), ["hello", "link"]);

    shell(
        &env,
        "echo from the guest > /srv/rw/word && ln -s /etc/shadow /srv/rw/trap && chmod 4777 /srv/rw/word",
    )
    .succeeded();
    let shared = env.project().join("in, and out");
    assert_eq!(fs::read_to_string(shared.join("word")).unwrap(), "from the guest\n");
    let mode = |name: &str| fs::symlink_metadata(shared.join(name)).unwrap().permissions().mode();
    assert_eq!(mode("word") & 0o7000, 0, "a set-uid program reached the host");
    assert!(!shared.join("trap").is_symlink(), "a link reached the host");

    // Mounted again by an `up` that finds it running, and not twice.
    shell(&env, "umount /srv/ro").succeeded();
    env.run(&["up"]).succeeded();
    assert_eq!(shell(&env, "grep -c 9p /proc/mounts").succeeded().stdout, "2\n");
}

#[test]
fn a_guest_whose_kernel_knows_no_9p_is_told_so_and_left_running() {
    let env = guest(&tiny_image(), "[[vms.mounts]]\nhost = \"src\"\nguest = \"/srv/src\"\n");
    env.write("src/hello", "from the host");
    let error = env.run(&["up", "--json"]).failed(6).error();
    let expected = format!(
        "`{}/src` could not be mounted at `/srv/src` in VM `web`, which runs on",
        env.project().display()
    );
    assert_eq!(error["message"], expected.as_str());
    assert!(error["causes"][0].as_str().unwrap().contains("this guest's kernel knows no 9p"), "{error}");
    assert!(error["hints"][0].as_str().unwrap().contains("tiny-full"), "{error}");
    assert_eq!(env.row("web")["state"], "running");
    assert_eq!(mounts(&env), json!([["/srv/src", true, "failed"]]));
}

#[test]
fn a_folder_that_is_not_there_or_leads_away_is_told_before_anything_is_made() {
    let env = TestEnv::with_vm(
        "mounts = [{ host = \"missing\", guest = \"/a\" }, { host = \"castra.toml\", guest = \"/b\" }, { host = \"out\", guest = \"/c\" }]",
    );
    symlink("/etc", env.project().join("out")).unwrap();
    assert_answer!(env, env.castra(["up"]), @r#"
    exit code 4
    --- stderr
    error: 3 things are in the way:
               VM `web`: `$TEST/project/missing` cannot be mounted: No such file or directory (os error 2)
               VM `web`: `$TEST/project/castra.toml` cannot be mounted: it is not a folder
               VM `web`: `$TEST/project/out` cannot be mounted: a link in it leads to `/etc`, outside of the project

    hint: make it: `mkdir -p $TEST/project/missing`
    hint: mount the folder it is in
    hint: name that folder itself: `host = "/etc"`
    "#);
    assert!(!env.castra_home().join("projects").exists(), "something was made");
}
