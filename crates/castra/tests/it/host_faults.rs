//! Hosts that lack something: `up` says what, and leaves nothing half done.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use plasmavmc_host::Layout;
use serde_json::Value;

use crate::env::{Answer, TestEnv, wait};
use crate::guests::{BOUND, assert_files_are_whole, shop, vm, web};

/// The answer of an `up` that fails, and the proof that it made nothing.
#[track_caller]
fn up_makes_nothing(env: &TestEnv, args: &[&str], code: i32) -> Value {
    up_in_makes_nothing(env, env.command(["up", "--wait", "none", "--json"]).args(args), code)
}

#[track_caller]
fn up_in_makes_nothing(env: &TestEnv, up: &mut Command, code: i32) -> Value {
    let before = TestEnv::tree(env.path());
    let error = wait(up.spawn().unwrap(), BOUND).failed(code).error();
    assert_eq!(TestEnv::tree(env.path()), before, "{error}");
    assert_eq!(env.qemus(), []);
    error
}

/// All that an error says: its message, its causes, its hints.
fn text(error: &Value) -> String {
    error.to_string()
}

#[test]
fn more_than_the_host_has_is_refused_and_overruled() {
    let cpus = std::thread::available_parallelism().unwrap().get() + 1;
    let env = shop(&[vm("web", &format!("cpus = {cpus}"))]);
    let error = up_makes_nothing(&env, &[], 4);
    assert!(text(&error).contains(&format!("{cpus} processors")), "{error}");
    assert!(text(&error).contains("--force"), "{error}");
    let outcome = env.run(&["up", "--wait", "none", "--json", "--force"]).succeeded().outcome();
    assert!(outcome["diagnostics"].to_string().contains("processors"), "{outcome}");
    env.only_qemu();
    env.down();

    let config = vm("web", "").replace("64 MiB", "900 TiB");
    let error = up_makes_nothing(&shop(&[config]), &[], 4);
    assert!(text(&error).contains("900 TiB") && text(&error).contains("memory"), "{error}");
}

#[test]
fn a_host_without_qemu_is_told_the_package() {
    let env = web();
    let error = up_in_makes_nothing(&env, env.command(["up", "--json"]).env("PATH", env.project()), 4);
    assert!(text(&error).contains("qemu-system-x86"), "{error}");
    // What needs no QEMU still works.
    for verb in ["status", "down", "ports"] {
        let command = env.command([verb, "--json"]).env("PATH", env.project()).spawn().unwrap();
        wait(command, BOUND).succeeded();
    }
    let mut up = env.command(["up", "--json"]);
    let error = up_in_makes_nothing(&env, up.env("CASTRA_QEMU", "/nowhere/qemu"), 4);
    assert!(text(&error).contains("/nowhere/qemu"), "{error}");
}

/// A directory in which there is QEMU and nothing else.
fn only_qemu_in_path(env: &TestEnv) -> PathBuf {
    let bin = env.path().join("bin");
    fs::create_dir(&bin).unwrap();
    for name in ["qemu-system-x86_64", "qemu-system-aarch64"] {
        if let Some(found) = which(name) {
            std::os::unix::fs::symlink(found, bin.join(name)).unwrap();
        }
    }
    bin
}

fn which(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|dir| dir.join(name)).find(|file| file.is_file())
}

#[test]
fn an_up_needs_no_program_but_qemu() {
    let env = web();
    let bin = only_qemu_in_path(&env);
    let up = env.command(["up", "--wait", "none", "--json"]).env("PATH", bin).spawn().unwrap();
    wait(up, BOUND).succeeded();
    env.only_qemu();
    env.down();
}

/// A QEMU that ends at once on KVM, and works on TCG.
fn qemu_without_working_kvm(env: &TestEnv) -> PathBuf {
    let path = env.path().join("qemu");
    let real = which("qemu-system-x86_64").unwrap();
    let script = format!(
        "#!/bin/sh\ncase \" $* \" in\n*\" kvm\"[\\ ,]*) echo 'kvm run failed Bad address' >&2; exit 1;;\nesac\nexec {} \"$@\"\n",
        real.display()
    );
    // Written by a process of its own: nobody can run a file that a fork of this one has open.
    let mut sh = Command::new("sh");
    sh.args(["-c", "printf %s \"$1\" > \"$2\"; chmod 755 \"$2\"", "sh", &script]).arg(&path);
    assert!(sh.status().unwrap().success());
    path
}

#[test]
fn an_accelerator_that_fails_at_launch_is_given_up_within_the_same_up() {
    let env = shop(&[vm("web", "").replace("\"tcg\"", "\"auto\"")]);
    let qemu = qemu_without_working_kvm(&env);
    let up = || {
        let mut up = env.command(["up", "--wait", "none", "--json"]);
        wait(up.env("CASTRA_QEMU", &qemu).spawn().unwrap(), BOUND)
    };
    up().succeeded();
    env.down();
    // The proof is made to say that KVM ran guests, as it would on a host where it breaks later.
    let proof = env.castra_home().join("cache").join(plasmavmc_host::accelerator::CACHE_FILE);
    let mut entry: Value = serde_json::from_slice(&fs::read(&proof).unwrap()).unwrap();
    let ran = |accelerator: &str, elapsed_ms: u64| serde_json::json!({ "accelerator": accelerator, "outcome": { "outcome": "ran", "elapsed_ms": elapsed_ms } });
    entry["measurements"] = serde_json::json!([ran("kvm", 100), ran("tcg", 400)]);
    fs::write(&proof, entry.to_string()).unwrap();
    let answer = up().succeeded();
    assert_eq!(answer.outcome()["vms"][0]["accelerator"], "tcg");
    let lines = answer.lines();
    let fell_back = lines.iter().find(|line| line.to_string().contains("AcceleratorFellBack"));
    let fell_back = fell_back.unwrap_or_else(|| panic!("nobody was told: {answer}")).to_string();
    assert!(fell_back.contains("kvm") && fell_back.contains("Bad address"), "{fell_back}");
    assert_eq!(env.row("web")["accelerator"], "tcg");
    env.only_qemu();
    env.down();
}

#[test]
fn an_image_that_is_no_image_starts_nothing() {
    let image = castra_testkit::tiny_image();
    let env = web();
    let bytes = fs::read(&image).unwrap();
    env.write("cut.qcow2", &bytes[..bytes.len() / 2]);
    env.write("stub.qcow2", &bytes[..40]);
    env.write("empty.qcow2", "");
    env.write("text.qcow2", "no image\n".repeat(100));
    fs::create_dir(env.project().join("dir.qcow2")).unwrap();
    for name in ["cut", "stub", "empty", "text", "dir", "missing"] {
        let file = format!("{name}.qcow2");
        let error = up_makes_nothing(&env, &["--qcow", &file], 5);
        assert!(error["message"].as_str().unwrap().contains(&file), "{error}");
        env.write("castra.toml", format!("[[vms]]\nname = \"web\"\nbase_image = \"{file}\"\n"));
        let by_config = up_makes_nothing(&env, &[], 5);
        assert_eq!(by_config["message"], error["message"]);
    }
}

#[test]
fn an_image_that_was_deleted_under_a_kept_disk_is_named_and_the_disk_stays() {
    let image = castra_testkit::tiny_image();
    let env = shop(&[vm("web", "persistent = true").replace(image.to_str().unwrap(), "base.qcow2")]);
    let base = env.project().join("base.qcow2");
    fs::copy(&image, &base).unwrap();
    env.up();
    env.down();
    let kept = fs::read(env.overlay()).unwrap();
    fs::rename(&base, env.project().join("elsewhere")).unwrap();
    let error = up_makes_nothing(&env, &[], 5);
    assert!(text(&error).contains("base.qcow2"), "{error}");
    assert_eq!(env.row("web")["state"], "stopped");
    assert_eq!(fs::read(env.overlay()).unwrap(), kept);
    fs::rename(env.project().join("elsewhere"), &base).unwrap();
    env.up();
    // Deleted under a VM that lives: the VM goes on, and ends as any other.
    fs::remove_file(&base).unwrap();
    assert_ne!(env.row("web")["state"], "stopped");
    env.down();
    assert!(env.overlay().exists(), "the disk of a persistent VM was discarded");
}

#[test]
fn without_a_network_all_ways_out_are_named_and_nothing_runs() {
    let env = TestEnv::new();
    env.write("castra.toml", "[[vms]]\nname = \"web\"\nbase_image = \"alpine\"\nmemory = \"64 MiB\"\n");
    // A port nobody listens on: the fastest of all broken networks.
    let mut up = env.command(["up", "--json"]);
    let answer = wait(up.env("CASTRA_IMAGE_MIRROR", "http://127.0.0.1:1").spawn().unwrap(), BOUND).failed(5);
    let error = text(&answer.error());
    for way in ["alpine", "CASTRA_IMAGE_MIRROR", "--qcow", "castra image build"] {
        assert!(error.contains(way), "`{way}` is not named: {error}");
    }
    assert_eq!(env.qemus(), []);
    let tree = TestEnv::tree(env.path());
    assert!(!tree.iter().any(|name| name.ends_with(".qcow2") || name.ends_with("castra.lock")), "{tree:?}");
    assert_eq!(env.row("web")["state"], "stopped");
}

/// Runs a script that may mount file systems of its own, with `$1` the workspace and `$2` the command.
fn with_mounts(env: &TestEnv, script: &str, workspace: &Path) -> Answer {
    let castra = env.command(["--version"]);
    let mut command = Command::new("unshare");
    if !rustix::process::geteuid().is_root() {
        command.args(["--user", "--map-root-user"]);
    }
    command.args(["--mount", "--propagation", "private", "sh", "-c", script, "sh"]);
    command.arg(workspace).arg(castra.get_program());
    command.current_dir(env.project()).env_clear();
    command.envs(castra.get_envs().filter_map(|(name, value)| Some((name, value?))));
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    wait(command.spawn().unwrap(), BOUND)
}

/// A world whose workspace is a directory of its own, made before.
fn shop_in(workspace: &str) -> (TestEnv, PathBuf) {
    let env = web();
    let root = env.path().join(workspace);
    fs::create_dir(&root).unwrap();
    fs::set_permissions(&root, fs::Permissions::from_mode(0o700)).unwrap();
    let config = fs::read_to_string(env.project().join("castra.toml")).unwrap();
    let state_dir = format!("name = \"shop\"\nstate_dir = \"{}\"", root.display());
    env.write("castra.toml", config.replace("name = \"shop\"", &state_dir));
    (env, root)
}

#[test]
fn a_workspace_that_cannot_be_written_is_told_before_anything_is_made() {
    let (env, root) = shop_in("read-only");
    let before = TestEnv::tree(env.path());
    let script = "mount -t tmpfs -o ro none \"$1\" && exec \"$2\" up --wait none --json";
    let error = with_mounts(&env, script, &root).failed(4).error();
    assert!(text(&error).contains("read-only") && text(&error).contains("state_dir"), "{error}");
    assert_eq!(TestEnv::tree(env.path()), before);
}

#[test]
fn down_stops_a_vm_on_a_disk_that_is_full() {
    let (env, root) = shop_in("filled");
    // Filled to the last byte while the VM runs, as by its own overlay.
    let script = "mount -t tmpfs -o size=16M,mode=700 none \"$1\" && \"$2\" up --wait none --json && \
        { cat /dev/zero > \"$1/fill\" 2> /dev/null; printf x > \"$1/more\" 2> /dev/null && exit 99; \
        \"$2\" down --json; }; code=$?; \"$2\" down > /dev/null 2>&1; exit $code";
    let answer = with_mounts(&env, script, &root).succeeded();
    let vm = &answer.outcome()["workspaces"][0]["vms"][0];
    assert_eq!((&vm["vm"], &vm["outcome"]), (&"web".into(), &"killed".into()), "{answer}");
    assert_eq!(env.qemus(), []);
}

/// Runs `up` on a file system of so many KiB, copies what it left for a look from outside, and ends it.
const UP_ON_A_SMALL_DISK: &str = "mount -t tmpfs -o size=\"${SIZE}\"k,mode=700 none \"$1\" && \
    \"$2\" up --wait none --json; code=$?; df -k --output=used \"$1\" > \"$1-used\"; \
    cp -a \"$1\" \"$1-left\"; \"$2\" down --json > \"$1-down\" 2>&1; echo $? > \"$1-code\"; exit $code";

/// What holds after an `up` on a disk of so many KiB. Gives what it took where it succeeded.
fn up_on_a_disk_of(kib: u64) -> Option<u64> {
    let (env, root) = shop_in("small");
    let answer = with_mounts(&env, &UP_ON_A_SMALL_DISK.replace("${SIZE}", &kib.to_string()), &root);
    let path = |suffix: &str| env.path().join(format!("small-{suffix}"));
    assert_files_are_whole(&Layout::new(path("left")));
    assert_eq!(fs::read_to_string(path("code")).unwrap(), "0\n", "{kib} KiB: `down` failed");
    assert_eq!(env.qemus(), [], "{kib} KiB");
    if answer.code == Some(0) {
        let used = fs::read_to_string(path("used")).unwrap();
        return Some(used.lines().last().unwrap().trim().parse().unwrap());
    }
    let error = answer.failed(4).error();
    assert!(text(&error).contains("df -h"), "{kib} KiB: {error}");
    None
}

#[test]
fn a_full_disk_at_any_moment_leaves_nothing_half_and_nothing_running() {
    let used = up_on_a_disk_of(1 << 14).expect("16 MiB are enough");
    // The first files, the disk, the seed; then, page by page, what a launch writes.
    let sizes = [4, 8, 12, 16, 24, 32, 64].into_iter().chain((1..=8).rev().map(|page| used - 4 * page));
    let failed = sizes.filter(|kib| up_on_a_disk_of(*kib).is_none()).count();
    assert!(failed > 8, "only {failed} disks were too small");
}
