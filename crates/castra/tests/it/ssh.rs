//! `castra ssh` and `castra ssh-config` on a real guest, by OpenSSH itself.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use castra_testkit::{free_port, tiny_image};
use plasmavmc_host::keys::KeyPair;

use crate::env::{Answer, TestEnv, assert_answer, wait};
use crate::sectors::one_vm;

const BOUND: Duration = Duration::from_secs(60);

/// A project whose VM is a tiny guest with a forward to its SSH server; `head` goes into `[project]`.
fn guest(head: &str, keys: &str) -> TestEnv {
    let env = TestEnv::new();
    crate::guests::prove_accelerators(&env);
    let text = one_vm(&format!("port_forwards = [{{ host = {}, guest = 22 }}]\n{keys}", free_port()));
    let text = text.replace("64 MiB", "256 MiB").replace("./guest.img", tiny_image().to_str().unwrap());
    env.write("castra.toml", text.replace("[project]\n", &format!("[project]\n{head}\n")));
    env
}

/// Plain ssh with that configuration and nothing else.
fn ssh(config: &Path, words: &[&str]) -> Answer {
    let mut command = Command::new("ssh");
    command.args(["-o", "BatchMode=yes", "-o", "IdentityAgent=none", "-F"]).arg(config).args(words);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    wait(command.spawn().unwrap(), BOUND)
}

#[test]
fn ssh_gets_in_with_nothing_but_what_up_made() {
    let env = guest("", "");
    env.run(&["up"]).succeeded();
    // What the user's own configuration says does not matter, and no key of theirs is needed.
    fs::create_dir_all(env.path().join("home/.ssh")).unwrap();
    fs::write(env.path().join("home/.ssh/config"), "Bogus yes\n").unwrap();

    let answer = env.castra(["ssh", "web", "--", "hostname; id -un"]).succeeded();
    assert_eq!(answer.stdout, "web\nroot\n", "{answer}");
    assert_eq!(answer.stderr, "", "the first connection asks and tells nothing");
    env.castra(["ssh", "--", "exit 7"]).failed(7);
    let answer = env.castra_with(["ssh", "web", "--", "cat"], b"through a pipe").succeeded();
    assert_eq!(answer.stdout, "through a pipe");

    let config = env.castra(["ssh-config"]).succeeded().stdout;
    let config = env.write("ssh.conf", config);
    for name in ["web", "shop.web"] {
        assert_eq!(ssh(&config, &[name, "hostname"]).succeeded().stdout, "web\n");
    }

    let mut command = env.command(["ssh", "web"]);
    command.env("PATH", "/nowhere");
    let answer = wait(command.spawn().unwrap(), BOUND);
    assert_answer!(env, answer, @r"
    exit code 4
    --- stderr
    error: `ssh` is not installed

    hint: install it: `sudo apt-get install openssh-client`
    ");
}

#[test]
fn a_guest_with_another_host_key_is_refused() {
    let env = guest("", "");
    env.run(&["up"]).succeeded();
    let known = env.layout().known_hosts(&"web".parse().unwrap());
    let right = fs::read_to_string(&known).unwrap();
    let alias = right.split(' ').next().unwrap();
    fs::write(&known, format!("{alias} {}\n", KeyPair::generate().unwrap().public_line())).unwrap();
    let refused = env.castra(["ssh", "web", "--", "true"]).failed(255);
    assert!(refused.stderr.contains("Host key verification failed"), "{refused}");

    fs::remove_file(&known).unwrap();
    let error = env.castra(["ssh", "web", "--json"]).failed(6).error();
    assert_eq!(error["message"], "the host key of VM `web` is not known: it was started without one");
    // The next start gives it the key it had.
    env.down();
    env.run(&["up"]).succeeded();
    assert_eq!(fs::read_to_string(&known).unwrap(), right);
    env.castra(["ssh", "web", "--", "true"]).succeeded();
}

#[test]
fn a_workspace_at_a_difficult_path_is_reached_through_an_include_line() {
    let env = guest(r#"state_dir = 'st ate%h [x] "q" \b'"#, "");
    env.run(&["up"]).succeeded();
    env.castra(["ssh", "web", "--", "true"]).succeeded();
    let written = env.castra(["ssh-config", "--write", "--json"]).succeeded();
    env.holds("ssh-config", &written);
    let outer = env.write("outer.conf", written.outcome()["include"].as_str().unwrap());
    ssh(&outer, &["shop.web", "true"]).succeeded();

    // What was written once follows the ports.
    env.down();
    let port = free_port();
    let text = fs::read_to_string(env.project().join("castra.toml")).unwrap();
    let before = written.outcome()["hosts"][0]["port"].to_string();
    env.write("castra.toml", text.replace(&before, &port.to_string()));
    env.run(&["up"]).succeeded();
    ssh(&outer, &["web", "true"]).succeeded();
}

#[test]
fn a_vm_that_cannot_be_reached_is_told_with_the_way_out() {
    let env = TestEnv::with_vm("");
    assert_answer!(env, env.castra(["ssh", "web"]), @r"
    exit code 6
    --- stderr
    error: VM `web` does not run

    hint: start it with `castra up`; `castra logs web` shows its last run
    ");
    assert_answer!(env, env.castra(["ssh", "db"]), @r"
    exit code 2
    --- stderr
    error: there is no VM `db` here

    hint: there is `web`
    ");
    assert_answer!(env, env.castra(["ssh-config"]), @r"
    exit code 0
    --- stdout
    # The guests of castra's workspace shop-<hash>, as `castra ssh-config` writes them.
    # Use it with `ssh -F`, or with an Include line at the top of ~/.ssh/config.
    --- stderr
    note: no VM forwards a host port to its port 22
    hint: forward a port to it in castra.toml: `port_forwards = [{ host = 2222, guest = 22 }]`
    ");
    env.up();
    assert_answer!(env, env.castra(["ssh"]), @r"
    exit code 2
    --- stderr
    error: VM `web` forwards no host port to its port 22, so ssh cannot reach it

    hint: forward a port to it in castra.toml: `port_forwards = [{ host = 2222, guest = 22 }]`
    hint: without it: `castra exec web -- <command>`, `castra shell web`, `castra console web`
    ");
    assert_answer!(env, env.castra(["ssh-config", "web"]), @r"
    exit code 2
    --- stderr
    error: VM `web` forwards no host port to its port 22, so ssh cannot reach it

    hint: forward a port to it in castra.toml: `port_forwards = [{ host = 2222, guest = 22 }]`
    hint: without it: `castra exec web -- <command>`, `castra shell web`, `castra console web`
    ");
}
