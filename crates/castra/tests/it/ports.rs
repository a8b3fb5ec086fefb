//! `castra ports`: what leads into a guest, what is free, and who stands in the way, by name.
//! What `up` says of a port a VM holds is in `race.rs`.

use std::fs;
use std::net::{Ipv4Addr, TcpListener};

use castra_testkit::free_port;
use serde_json::{Value, json};

use crate::env::TestEnv;
use crate::guests::{shop, vm};

/// The line of a config that forwards a host port to the guest's SSH server.
fn forward(port: u16) -> String {
    format!("port_forwards = [{{ host = {port}, guest = 22 }}]")
}

/// The forwards of a project, as `ports` tells them.
fn rows(env: &TestEnv, project: &str) -> Vec<Value> {
    let outcome = env.castra(["ports", "--json"]).succeeded().outcome();
    let workspaces = outcome["workspaces"].as_array().unwrap();
    let workspace = workspaces.iter().find(|workspace| workspace["project"] == project).unwrap();
    workspace["forwards"].as_array().unwrap().clone()
}

/// The only forward of a project.
fn row(env: &TestEnv, project: &str) -> Value {
    let rows = rows(env, project);
    assert_eq!(rows.len(), 1, "{rows:?}");
    rows[0].clone()
}

#[test]
fn a_process_that_holds_the_port_is_named_before_anything_is_made() {
    let port = free_port();
    let held = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).unwrap();
    let env = shop(&[vm("web", &forward(port))]);
    let before = TestEnv::tree(env.path());
    let error = env.run(&["up", "--wait", "none", "--json"]).failed(6).error();
    let message = error["message"].as_str().unwrap();
    let me = std::process::id();
    let expected = format!("VM `web` cannot listen on 127.0.0.1:{port} -> 22/tcp: process {me} (");
    assert!(message.starts_with(&expected), "{message}");
    assert_eq!(error["kind"], "conflict");

    let seen = row(&env, "shop");
    assert_eq!((&seen["state"], &seen["holder"]["kind"]), (&json!("conflict"), &json!("process")));
    assert_eq!(seen["holder"]["pid"], me);
    assert_eq!(TestEnv::tree(env.path()), before, "something was made");

    drop(held);
    let seen = row(&env, "shop");
    assert_eq!((&seen["state"], &seen["holder"]), (&json!("free"), &Value::Null));
}

#[test]
fn a_vm_that_holds_the_port_is_named_and_is_not_in_its_own_way() {
    let port = free_port();
    let env = shop(&[vm("web", &forward(port))]);
    env.up();
    let config = fs::read_to_string(env.project().join("castra.toml")).unwrap();
    let bank = env.path().join("bank");
    fs::create_dir(&bank).unwrap();
    fs::write(bank.join("castra.toml"), config.replace("\"shop\"", "\"bank\"")).unwrap();
    let look = |project: &str| {
        let outcome =
            env.castra(["ports", "--json", "--config", "../bank/castra.toml"]).succeeded().outcome();
        let other = row(&env, "shop");
        if project == "bank" { outcome["workspaces"][0]["forwards"][0].clone() } else { other }
    };
    let (own, rival) = (look("shop"), look("bank"));
    assert_eq!((&own["state"], &own["holder"]), (&json!("active"), &Value::Null));
    assert_eq!((&rival["state"], &rival["holder"]["kind"]), (&json!("conflict"), &json!("vm")));
    assert_eq!((&rival["holder"]["project"], &rival["holder"]["vm"]), (&json!("shop"), &json!("web")));

    env.down();
    let rival = look("bank");
    assert_eq!((&rival["state"], &rival["holder"]), (&json!("free"), &Value::Null));
    assert_eq!(rival["also_declared_by"][0]["project"], "shop", "both want it, and neither has it");
}

#[test]
fn a_forward_that_a_running_vm_was_not_started_with_is_not_called_active() {
    let (first, second) = (free_port(), free_port());
    let env = shop(&[vm("web", &forward(first))]);
    env.up();
    let config = fs::read_to_string(env.project().join("castra.toml")).unwrap();
    let both =
        format!("port_forwards = [{{ host = {first}, guest = 22 }}, {{ host = {second}, guest = 80 }}]");
    env.write("castra.toml", config.replace(&forward(first), &both));
    let state_of = |guest: u16| {
        let rows = rows(&env, "shop");
        rows.iter().find(|row| row["guest"] == guest).map(|row| row["state"].clone())
    };
    assert_eq!((state_of(22), state_of(80)), (Some(json!("active")), Some(json!("free"))));
}
