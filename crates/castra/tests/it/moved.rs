//! Workspaces that `state_dir` has moved: what runs in the former place is never out of sight.

use castra_testkit::obedient_disk;
use serde_json::Value;

use crate::env::{TestEnv, wait};
use crate::guests::BOUND;
use crate::sectors::one_vm;

/// Writes the project's config with its state in that directory.
fn move_to(env: &TestEnv, state_dir: &str) {
    let moved = format!("name = \"shop\"\nstate_dir = \"{state_dir}\"");
    env.write("castra.toml", one_vm("").replace("name = \"shop\"", &moved));
}

/// What a command says of each workspace from outside of the project: root, and state of its VM.
fn elsewhere(env: &TestEnv, words: &[&str]) -> Vec<(String, String)> {
    let status = env.command([words, &["--json"]].concat()).current_dir(env.path()).spawn().unwrap();
    workspaces(&wait(status, BOUND).succeeded().outcome())
}

fn workspaces(status: &Value) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let all = status["workspaces"].as_array().unwrap().iter();
    all.map(|it| (text(&it["root"]), text(&it["vms"][0]["state"]))).collect()
}

#[test]
fn a_vm_in_the_former_place_of_its_workspace_is_seen_and_stopped() {
    let env = TestEnv::with_guest(&obedient_disk(), "");
    env.start();
    let root = |layout: plasmavmc_host::Layout| layout.root().to_str().unwrap().to_owned();
    let default = root(env.layout());
    let [first, second] = ["first", "second"].map(|dir| format!("{}/{dir}", env.project().display()));
    let is = |root: &String, state: &str| (root.clone(), state.to_owned());

    // The config alone is enough to look for both, the current place first.
    move_to(&env, "./first");
    let own =
        || workspaces(&env.castra(["status", "--json", "--config", "castra.toml"]).succeeded().outcome());
    assert_eq!(own(), [is(&first, "stopped"), is(&default, "running")]);
    env.start();
    move_to(&env, "./second");
    env.start();
    let expected = [is(&second, "running"), is(&first, "running"), is(&default, "running")];
    assert_eq!(own(), expected);
    assert_eq!(elsewhere(&env, &["status"]), expected);
    let id = env.castra(["status", "--json"]).outcome()["workspaces"][0]["id"].as_str().unwrap().to_owned();
    assert_eq!(elsewhere(&env, &["status", "--workspace", &id]), expected);
    assert_eq!(elsewhere(&env, &["status", "--skip-discovery"]), expected);
    let shown = env.castra(["status"]).succeeded().stdout;
    for root in [&default, &first, &second] {
        assert!(shown.contains(&format!("state  {root}\n")), "{shown}");
    }

    env.run(&["down", "web", "--config", "castra.toml"]).succeeded();
    assert_eq!(env.qemus(), []);
    assert_eq!(own(), expected.map(|(root, _)| is(&root, "stopped")));
}

#[test]
fn down_by_id_stops_the_vms_of_every_place_of_the_workspace() {
    let env = TestEnv::with_guest(&obedient_disk(), "");
    env.start();
    move_to(&env, "./state");
    let up = env.run(&["up", "--json", "--wait", "none"]).succeeded().outcome();
    assert_eq!(env.qemus().len(), 2);
    let down = env.run(&["down", "--json", "--workspace", up["workspace"].as_str().unwrap()]).succeeded();
    env.holds("down", &down);
    assert_eq!(down.outcome()["workspaces"].as_array().unwrap().len(), 2);
    assert_eq!(env.qemus(), []);
}
