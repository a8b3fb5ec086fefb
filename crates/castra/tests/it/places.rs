//! Projects and workspaces at places with awkward names.

use std::path::Path;

use castra_testkit::{counting_disk, obedient_disk};
use plasmavmc_host::Layout;

use crate::env::TestEnv;
use crate::sectors::{one_vm, vms};

/// A VM's whole life with its project, image, overlay and workspace below `place`.
fn lives_at(place: &str) {
    let env = TestEnv::new();
    env.write(&format!("{place}/im,age/guest.img"), counting_disk());
    let text = one_vm("persistent = true\noverlay = \"./dis,ks/web.qcow2\"");
    let text = text.replace("./guest.img", "./im,age/guest.img");
    let text = text.replace("name = \"shop\"", "name = \"shop\"\nstate_dir = \"./sta,te\"");
    let config = env.write(&format!("{place}/castra.toml"), text);
    let run = |words: &[&str]| {
        env.castra([words, &["--json", "--config", config.to_str().unwrap()]].concat()).succeeded()
    };
    let up = run(&["up", "--wait", "running"]);
    let root = up.outcome()["root"].as_str().unwrap().to_owned();
    assert_eq!(Path::new(&root), config.with_file_name("sta,te"));
    let layout = Layout::new(root);
    env.heard(&layout, b"0U");
    let row = run(&["status"]).outcome()["workspaces"][0]["vms"][0].clone();
    assert_eq!((&row["state"], &row["responsive"]), (&"running".into(), &true.into()));
    env.tell(&layout, b"x");
    env.heard(&layout, b"0Ux");
    assert_eq!(vms(&run(&["down"]))[0]["outcome"], "graceful");
    run(&["up", "--wait", "running"]);
    env.heard(&layout, b"1U");
    assert!(config.with_file_name("dis,ks").join("web.qcow2").exists());
}

#[test]
fn paths_may_hold_what_qemu_and_shells_split_at() {
    lives_at("a,b, c='d' \"e\";$(f)&\\g%h");
}

#[test]
fn paths_may_hold_other_letters_and_a_leading_dash() {
    lives_at("-ünï cödé 日本");
}

#[test]
fn paths_may_be_longer_than_the_address_of_a_socket() {
    lives_at(&["long".repeat(20), "longer".repeat(20)].join("/"));
}

#[test]
fn a_project_reached_through_a_link_has_one_workspace() {
    let env = TestEnv::with_guest(&obedient_disk(), "");
    let first = env.start().remove(0);
    let link = env.path().join("link");
    std::os::unix::fs::symlink(env.project(), &link).unwrap();
    let config = link.join("castra.toml");
    let words = ["up", "--json", "--wait", "none", "--config", config.to_str().unwrap()];
    let again = env.castra(words).succeeded();
    assert_eq!(vms(&again)[0]["pid"], first["pid"]);
}
