//! `castra status --watch`.

use std::fs;
use std::io::{BufRead, BufReader};
use std::time::Duration;

use serde_json::Value;

use crate::env::{TestEnv, wait};

#[test]
fn a_watcher_is_told_of_changes_and_of_nothing_else() {
    let env = TestEnv::with_project();
    let mut child = env.command(["status", "--watch", "--json"]).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap());
    let mut next = || {
        let mut line = String::new();
        lines.read_line(&mut line).unwrap();
        let value: Value = serde_json::from_str(&line).unwrap();
        value["outcome"]["workspaces"][0]["vms"].as_array().unwrap().len()
    };
    assert_eq!(next(), 1);
    let config = fs::read_to_string(env.project().join("castra.toml")).unwrap();
    env.write(".castra.toml.new", config + "\n[[vms]]\nname = \"second\"\n");
    fs::rename(env.project().join(".castra.toml.new"), env.project().join("castra.toml")).unwrap();
    // Had it told the same again meanwhile, this would be that.
    assert_eq!(next(), 2);
    child.kill().unwrap();
    wait(child, Duration::from_secs(10));
}
