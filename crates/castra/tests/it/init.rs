//! `castra init`.

use std::fs;

use crate::env::{TestEnv, assert_answer};

#[test]
fn init_writes_a_config_and_tells_both_places() {
    let env = TestEnv::new();
    assert_answer!(env, env.castra(["init"]), @r#"
    exit code 0
    --- stdout
    Wrote $TEST/project/castra.toml, project `project`

    VMs, images and logs will be in
      $TEST/home/.castra/projects/project-<hash>
    With `state_dir = ".castra"` under [project] they would be in
      $TEST/project/.castra

    Next: `castra up` starts the VM
    "#);
    assert!(!env.castra_home().exists(), "state is made before it is needed");
}

#[test]
fn what_init_wrote_is_a_config_without_faults() {
    let env = TestEnv::new();
    env.castra(["init"]).succeeded();
    let told = env.castra(["init", "--force", "--json"]).succeeded().outcome();
    let seen = env.castra(["status", "--json"]).succeeded().outcome();
    assert_eq!(seen["workspaces"][0]["id"], told["id"]);
    assert_eq!(seen["workspaces"][0]["root"], told["workspace"]);
    assert_eq!(seen["workspaces"][0]["vms"][0]["state"], "stopped");
}

#[test]
fn init_never_replaces_a_config_unless_told_to() {
    let env = TestEnv::new();
    env.write("castra.toml", "mine");
    assert_answer!(env, env.castra(["init"]), @r"
    exit code 6
    --- stderr
    error: `$TEST/project/castra.toml` exists already

    hint: `--force` replaces it
    ");
    assert_eq!(fs::read_to_string(env.project().join("castra.toml")).unwrap(), "mine");
    env.castra(["init", "--force"]).succeeded();
}

#[test]
fn a_place_that_is_no_file_is_refused() {
    let env = TestEnv::new();
    env.castra(["init", "--config", ".", "--force"]).failed(3);
    env.castra(["init", "--config", "no/such/place/castra.toml"]).failed(9);
    env.castra(["init", "--name", "../x"]).failed(2);
    assert_eq!(TestEnv::tree(&env.project()), [""; 0]);
}

#[test]
fn the_local_place_works_as_told() {
    let env = TestEnv::with_project();
    let config = fs::read_to_string(env.project().join("castra.toml")).unwrap();
    env.write("castra.toml", config.replace("# state_dir", "state_dir"));
    let told = env.castra(["init", "--config", "other.toml", "--json"]).succeeded().outcome();
    let seen = env.castra(["status", "--json"]).succeeded().outcome();
    assert_eq!(seen["workspaces"][0]["root"], told["local_workspace"]);
}

#[test]
fn a_second_project_gets_a_port_of_its_own() {
    let env = TestEnv::with_guest(
        &castra_testkit::obedient_disk(),
        "port_forwards = [{ host = 2222, guest = 22 }]",
    );
    // Known is what was up; that it comes no further here than its record is enough.
    let layout = env.layout();
    fs::create_dir_all(layout.metadata()).unwrap();
    let own = env.castra(["init", "--force", "--name", "shop", "--json"]).succeeded().outcome();
    assert_eq!(own["ssh_port"], 2222);
    let record = serde_json::json!({
        "schema": 1,
        "workspace": {
            "id": own["id"], "project": "shop", "root": layout.root(), "config": own["config"], "origin": "file",
        },
        "created_at": "2026-01-01T00:00:00Z",
        "updated_at": "2026-01-01T00:00:00Z",
        "invocation": { "version": "0", "force": false, "wait": "auto", "bootstrap": "auto" },
    });
    fs::write(layout.workspace_record(), record.to_string()).unwrap();
    fs::copy(env.project().join("castra.toml"), layout.config_snapshot()).unwrap();

    fs::create_dir(env.project().join("second")).unwrap();
    let second = env.castra(["init", "--config", "second/castra.toml"]).succeeded();
    assert!(second.stdout.contains("SSH is forwarded from port 2223: other projects have 2222"), "{second}");
    let text = fs::read_to_string(env.project().join("second/castra.toml")).unwrap();
    assert!(text.contains("{ host = 2223, guest = 22 }") && text.contains("ssh -p 2223"), "{text}");
    // Its own port is no other project's.
    let again = env.castra(["init", "--force", "--name", "shop", "--json"]).succeeded().outcome();
    assert_eq!(again["ssh_port"], 2222);
}
