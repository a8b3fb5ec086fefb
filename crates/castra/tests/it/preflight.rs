//! What is in the way of an `up` is told all at once, before anything is made. Each single obstacle
//! is in `host_faults.rs` and `ports.rs`.

use std::fs;
use std::net::{Ipv4Addr, TcpListener};

use crate::env::{TestEnv, wait};
use crate::guests::{BOUND, shop, vm, web};

#[test]
fn everything_in_the_way_is_told_at_once_each_with_its_way_out() {
    let held = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = held.local_addr().unwrap().port();
    let more = format!("cpus = 250\nport_forwards = [{{ host = {port}, guest = 22 }}]");
    let env = shop(&[vm("web", &more).replace("64 MiB", "900 TiB")]);
    let before = TestEnv::tree(env.path());
    let up = |force: &[&str]| {
        let mut command = env.command([&["up", "--json"], force].concat());
        wait(command.env("CASTRA_QEMU", "/nowhere/qemu").spawn().unwrap(), BOUND).failed(4).error()
    };
    let error = up(&[]);
    let message = error["message"].as_str().unwrap();
    let lines: Vec<_> = message.lines().collect();
    assert_eq!((lines.len(), lines[0]), (5, "4 things are in the way:"), "{message}");
    let (port, pid) = (port.to_string(), std::process::id().to_string());
    for part in ["/nowhere/qemu", &port, &pid, "250 processors", "900 TiB of memory"] {
        assert!(message.contains(part), "{part} is missing: {message}");
    }
    assert!(error["hints"].as_array().unwrap().len() >= 4, "{error}");

    let forced = up(&["--force"]);
    let message = forced["message"].as_str().unwrap();
    assert!(message.starts_with("2 things are in the way:"), "degrees are overruled: {message}");
    assert!(message.contains("/nowhere/qemu") && message.contains(&port), "{message}");
    assert_eq!(TestEnv::tree(env.path()), before, "something was made");
}

#[test]
fn a_workspace_where_something_else_is_cannot_be_made_and_force_does_not_help() {
    let env = web();
    env.write("file", "");
    let config = fs::read_to_string(env.project().join("castra.toml")).unwrap();
    let state_dir = "name = \"shop\"\nstate_dir = \"file/state\"";
    env.write("castra.toml", config.replace("name = \"shop\"", state_dir));
    let error = env.run(&["up", "--force", "--wait", "none", "--json"]).failed(4).error();
    let message = error["message"].as_str().unwrap();
    assert!(message.contains("file/state") && message.contains("may not write"), "{message}");
}

#[test]
fn a_vm_that_lives_needs_nothing_more_of_the_host() {
    let env = web();
    env.up();
    let pid = env.only_qemu();
    let config = fs::read_to_string(env.project().join("castra.toml")).unwrap();
    env.write("castra.toml", config.replace("64 MiB", "900 TiB"));
    env.up();
    assert_eq!(env.only_qemu(), pid, "what runs has its memory already");
}
