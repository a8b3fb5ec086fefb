//! `castra image`, and how `up` comes by the image its config names.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use plasmavmc_host::image::catalogue::{self, Known};
use plasmavmc_host::image::{Arch, Sha512};
use serde_json::{Value, json};
use sha2::Digest;

use crate::env::{Answer, TestEnv, wait};
use crate::guests::BOUND;
use castra_testkit::Server;

/// The row of an image in `image list`.
pub(crate) fn listed(env: &TestEnv, name: &str) -> Value {
    let outcome = env.castra(["image", "list", "--json"]).succeeded().outcome();
    outcome["images"].as_array().unwrap().iter().find(|row| row["name"] == name).cloned().unwrap_or_default()
}

/// A raw disk: empty but for the signature a boot sector ends with.
pub(crate) fn disk(byte: u8) -> Vec<u8> {
    let mut disk = vec![byte; 8192];
    disk[510..512].copy_from_slice(&[0x55, 0xaa]);
    disk
}

pub(crate) fn sha512(bytes: &[u8]) -> String {
    Sha512::from_bytes(sha2::Sha512::digest(bytes).into()).to_string()
}

/// A server that has the catalogue's Alpine image, with our own bytes in it.
pub(crate) fn publisher(bytes: &[u8], digest: &str) -> Server {
    let Some(Known::Published(alpine)) = catalogue::find("alpine") else { panic!("the default image") };
    let url = alpine.source(Arch::host().unwrap()).unwrap().url;
    let file = url.rsplit('/').next().unwrap().to_owned();
    let sums = format!("{file}.sha512");
    Server::new(BTreeMap::from([(file, bytes.to_vec()), (sums, format!("{digest}\n").into_bytes())]))
}

/// Runs a command that asks `server` instead of the publishers.
pub(crate) fn at(env: &TestEnv, server: &Server, args: &[&str]) -> Answer {
    let mut command = env.command(args);
    wait(command.env("CASTRA_IMAGE_MIRROR", server.url()).spawn().unwrap(), BOUND)
}

/// A project with one VM on the image `base`.
pub(crate) fn project(env: &TestEnv, base: &str) {
    let vm = format!("[[vms]]\nname = \"web\"\nbase_image = \"{base}\"\nmemory = \"64 MiB\"\n");
    env.write("castra.toml", format!("version = 1\n[project]\nname = \"shop\"\n{vm}"));
}

/// Its lock file.
pub(crate) fn lock(env: &TestEnv) -> PathBuf {
    env.project().join("castra.lock")
}

#[test]
fn an_image_of_ones_own_runs_a_vm_and_outlives_its_removal_from_the_store() {
    let env = TestEnv::new();
    let image = castra_testkit::tiny_image();
    let import = ["image", "import", image.to_str().unwrap(), "--name", "mine", "--json"];
    let stored = env.castra(import).succeeded().outcome();
    assert_eq!(stored["sha512"], sha512(&fs::read(&image).unwrap()));
    project(&env, "mine");
    let config = fs::read_to_string(env.project().join("castra.toml")).unwrap();
    env.write("castra.toml", config + "persistent = true\n");
    env.up();
    assert!(!lock(&env).exists(), "nobody else could download it");
    assert_eq!(listed(&env, "mine")["used_by"][0]["project"], "shop");

    env.castra(["image", "rm", "mine"]).succeeded();
    assert_eq!(listed(&env, "mine"), Value::Null);
    assert_ne!(env.row("web")["state"], "stopped");
    let own = env.layout().images().join("mine.qcow2");
    assert_eq!(fs::read(&own).unwrap(), fs::read(&image).unwrap());
    env.run(&["down", "--now"]).succeeded();
    let plan = env.castra(["up", "--plan", "--json"]).succeeded().outcome();
    assert!(!plan.to_string().contains("fetch_image"), "{plan}");
    env.up();
    assert_ne!(env.row("web")["state"], "stopped");
    env.run(&["down", "--now"]).succeeded();

    // Bytes that are not those of the sidecar are no image of anybody's.
    fs::remove_file(&own).unwrap();
    fs::write(&own, disk(7)).unwrap();
    env.run(&["up", "--wait", "none"]).failed(5);
    assert!(env.overlay().exists());
}

#[test]
fn bytes_that_changed_in_the_store_are_found_and_named() {
    let env = TestEnv::new();
    let path = env.write("disk.raw", disk(7));
    let import = ["image", "import", path.to_str().unwrap(), "--name", "mine", "--json"];
    let stored = env.castra(import).succeeded().outcome();
    env.castra(["image", "verify"]).succeeded();
    let file = Path::new(stored["path"].as_str().unwrap());
    fs::set_permissions(file, fs::Permissions::from_mode(0o600)).unwrap();
    fs::write(file, disk(8)).unwrap();
    let verified = env.castra(["image", "verify", "mine", "--json"]).failed(5).outcome();
    assert_eq!(verified["images"][0]["check"], "altered");
    env.castra(["image", "verify", "nothing-like-it"]).failed(5);
}

#[test]
fn what_is_no_image_or_has_a_published_name_is_not_taken() {
    let env = TestEnv::new();
    let empty = env.write("empty.img", "");
    let good = env.write("disk.raw", disk(7));
    for (path, name) in [(&empty, "mine"), (&good, "debian-13"), (&PathBuf::from("missing.img"), "mine")] {
        let answer = env.castra(["image", "import", path.to_str().unwrap(), "--name", name, "--json"]);
        assert!(matches!(answer.code, Some(5 | 9)), "{answer}");
    }
    assert!(listed(&env, "mine").is_null());
}

#[test]
fn an_image_is_pulled_once_pinned_and_linked_into_the_workspace() {
    let env = TestEnv::new();
    let bytes = fs::read(castra_testkit::tiny_image()).unwrap();
    let server = publisher(&bytes, &sha512(&bytes));
    project(&env, "alpine");
    let pulled = at(&env, &server, &["image", "pull", "alpine", "--json"]).succeeded();
    let names: Vec<_> = pulled.lines().iter().map(|line| line["event"].clone()).collect();
    assert_eq!(names.first(), Some(&json!("ImageDownloadStarted")), "{pulled}");
    assert!(names.contains(&json!("ImageVerified")), "{pulled}");
    let pins = fs::read_to_string(lock(&env)).unwrap();
    assert!(pins.contains(&sha512(&bytes)) && pins.contains("name = \"alpine\""), "{pins}");
    assert!(pins.contains("https://"), "the pin names the publisher, not the mirror: {pins}");

    let asked = server.requests();
    at(&env, &server, &["image", "pull"]).succeeded();
    let up = at(&env, &server, &["up", "--wait", "none", "--json"]).succeeded().outcome();
    assert_eq!(server.requests(), asked, "what is here was asked for again");
    let images = PathBuf::from(up["root"].as_str().unwrap()).join("images");
    let stored = listed(&env, "alpine-3.23")["stored"]["path"].as_str().unwrap().to_owned();
    let copy = fs::read_dir(&images).unwrap().map(|entry| entry.unwrap().path());
    let copy = copy.into_iter().find(|path| path.extension().is_some_and(|it| it == "qcow2")).unwrap();
    assert_eq!(fs::metadata(&copy).unwrap().size(), fs::metadata(&stored).unwrap().size());
    let sidecar = format!("{}.sha512", copy.display());
    assert!(fs::read_to_string(sidecar).unwrap().starts_with(&sha512(&bytes)));
}

#[test]
fn wrong_bytes_never_become_an_image_and_start_no_vm() {
    let env = TestEnv::new();
    let bytes = fs::read(castra_testkit::tiny_image()).unwrap();
    let server = publisher(&bytes, &sha512(b"something else"));
    project(&env, "alpine");
    let error = at(&env, &server, &["up", "--wait", "none", "--json"]).failed(5).error();
    assert_eq!(error["kind"], "image");
    assert!(listed(&env, "alpine-3.23")["stored"].is_null());
    assert!(!lock(&env).exists());
    assert_eq!((env.qemus(), &env.row("web")["state"]), (Vec::new(), &json!("stopped")));
}

#[test]
fn a_persistent_vm_on_an_image_that_lives_in_memory_is_warned_of() {
    let env = TestEnv::new();
    let path = env.write("disk.raw", disk(7));
    let warned = |image: &str| {
        env.castra(["image", "import", path.to_str().unwrap(), "--name", image]).succeeded();
        project(&env, image);
        let config = fs::read_to_string(env.project().join("castra.toml")).unwrap();
        env.write("castra.toml", config + "persistent = true\n");
        let plan = env.castra(["up", "--plan", "--json"]).succeeded().outcome();
        plan["diagnostics"].to_string().contains("nothing its guest writes is kept")
    };
    assert_eq!((warned("tiny"), warned("mine")), (true, false));
}

#[test]
fn a_built_image_has_its_name_and_leaves_nothing_else_behind() {
    let env = TestEnv::new();
    let build = env.command(["image", "build", "tiny", "--json"]).spawn().unwrap();
    let built = wait(build, Duration::from_secs(400)).succeeded();
    let steps = built.lines().iter().filter(|line| line["event"] == "ImageBuildStep").count();
    assert!(steps >= 4, "{built}");
    assert_eq!(built.outcome()["name"], "tiny");
    let row = listed(&env, "tiny");
    assert_eq!(row["source"], json!({ "kind": "built", "recipe": "tiny" }));
    assert_eq!(row["stored"]["sha512"], built.outcome()["sha512"]);
    assert_eq!(TestEnv::tree(&env.castra_home().join("cache")), [""; 0]);
    assert_eq!(TestEnv::tree(&env.castra_home().join("images/partial")), [""; 0]);
}
