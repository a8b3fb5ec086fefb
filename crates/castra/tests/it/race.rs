//! Commands at the same time: one VM whoever starts it, one end whoever ends it, one owner of a port.

use std::fs;
use std::time::Duration;

use castra_testkit::{free_port, throughout};
use plasmavmc_host::FileLock;

use crate::env::{Answer, TestEnv, eventually};
use crate::guests::{assert_files_are_whole, finish, prove_accelerators, shop, vm, web};

const UP: [&str; 4] = ["up", "--wait", "none", "--json"];

#[test]
fn twenty_ups_at_once_start_one_vm() {
    let env = web();
    let answers = finish((0..20).map(|_| env.spawn(&UP)).collect::<Vec<_>>());
    let vms: Vec<_> =
        answers.into_iter().map(|answer| answer.succeeded().outcome()["vms"][0].clone()).collect();
    let pid = env.only_qemu();
    assert!(vms.iter().all(|vm| vm["pid"] == pid), "{vms:?}");
    assert_eq!(vms.iter().filter(|vm| vm["change"] == "started").count(), 1, "{vms:?}");
    assert_files_are_whole(&env.layout());
    env.down();
    assert_eq!(env.qemus(), []);
}

#[test]
fn up_against_down_ends_clean_and_the_next_command_works() {
    let env = web();
    for round in 0..8 {
        // Each begins with a VM that runs and with one that does not.
        if round % 2 == 0 {
            env.up()
        } else {
            env.down()
        };
        let answers = finish([env.spawn(&UP), env.spawn(&["down", "--json"])]);
        for answer in answers {
            answer.succeeded();
        }
        let qemus = env.qemus();
        assert!(qemus.len() <= 1, "round {round}: {qemus:?}");
        let row = env.row("web");
        assert_eq!(row["state"] != "stopped", qemus.len() == 1, "round {round}: {row}");
        assert_eq!(env.overlay().exists(), qemus.len() == 1, "round {round}: {row}");
    }
    env.up();
    env.only_qemu();
    env.down();
    assert_eq!(env.qemus(), []);
}

/// A world whose VM `web` lies on an image of the store.
fn web_on_a_named_image() -> TestEnv {
    let env = TestEnv::new();
    let image = castra_testkit::tiny_image();
    env.castra(["image", "import", image.to_str().unwrap(), "--name", "mine"]).succeeded();
    let config = vm("web", "").replace(image.to_str().unwrap(), "mine");
    env.write("castra.toml", format!("[project]\nname = \"shop\"\n{config}"));
    env
}

#[test]
fn what_an_up_has_fetched_is_not_cleaned_away_before_it_is_used() {
    // Nothing proved the accelerators here, so the image lies unused for the second that takes.
    let env = web_on_a_named_image();
    let image = env.layout().images().join("mine.qcow2.sha512");
    let up = env.spawn(&UP);
    eventually("the image", || image.exists());
    env.run(&["clean"]).failed(6);
    finish([up]).remove(0).succeeded();
    env.only_qemu();
}

#[test]
fn up_against_clean_ends_with_a_vm_that_lacks_nothing() {
    let env = web_on_a_named_image();
    prove_accelerators(&env);
    for round in 0..4 {
        let mut answers = finish([env.spawn(&UP), env.spawn(&["clean", "--json"])]);
        let clean = answers.pop().unwrap();
        assert!(matches!(clean.code, Some(0 | 6)), "round {round}: {clean}");
        answers.remove(0).succeeded();
        env.only_qemu();
        let (layout, web) = (env.layout(), "web".parse().unwrap());
        for path in [layout.overlay(&web), layout.vm_record(&web), layout.seed(&web), layout.pid_file(&web)] {
            assert!(path.exists(), "round {round}: {} is gone under a live VM", path.display());
        }
        assert!(layout.images().join("mine.qcow2").exists(), "round {round}");
        env.run(&["down", "--now"]).succeeded();
    }
}

#[test]
fn an_up_makes_nothing_while_the_workspace_is_being_cleaned() {
    let env = web();
    env.up();
    env.down();
    let layout = env.layout();
    let web = "web".parse().unwrap();
    fs::remove_file(layout.vm_record(&web)).unwrap();
    let clean = FileLock::try_acquire(&layout.workspace_lock()).unwrap().unwrap();
    let up = env.spawn(&UP);
    throughout(Duration::from_millis(500), "it waits", || {
        !layout.vm_record(&web).exists() && env.qemus().is_empty()
    });
    drop(clean);
    finish([up]).remove(0).succeeded();
    env.only_qemu();
}

#[test]
fn two_downs_at_once_both_succeed() {
    let env = web();
    env.up();
    for answer in finish([env.spawn(&["down", "--json"]), env.spawn(&["down", "--json"])]) {
        answer.succeeded();
    }
    assert_eq!(env.qemus(), []);
    assert!(!env.overlay().exists());
}

/// A world with the projects `shop` and `bank`, whose VMs want the same port. Gives that port too.
fn rivals() -> (TestEnv, u16) {
    let port = free_port();
    let forward = format!("port_forwards = [{{ host = {port}, guest = 22 }}]");
    let env = shop(&[vm("web", &forward)]);
    let config = fs::read_to_string(env.project().join("castra.toml")).unwrap();
    let config = config.replace("\"shop\"", "\"bank\"").replace("\"web\"", "\"vault\"");
    fs::create_dir(env.path().join("bank")).unwrap();
    fs::write(env.path().join("bank/castra.toml"), config).unwrap();
    (env, port)
}

/// The answer of an `up` that lost a port to a VM, which it has to name.
#[track_caller]
fn lost(answer: Answer, port: u16, holder: &str) {
    let error = answer.failed(6).error();
    let message = error["message"].as_str().unwrap();
    assert!(message.contains(&port.to_string()) && message.contains(holder), "{error}");
}

const SHOP: &str = "VM `web` of project `shop`";
const BANK: &str = "VM `vault` of project `bank`";
const UP_BANK: [&str; 6] = ["up", "--wait", "none", "--json", "--config", "../bank/castra.toml"];

#[test]
fn who_comes_second_to_a_port_is_told_who_has_it() {
    let (env, port) = rivals();
    env.up();
    lost(env.run(&UP_BANK), port, SHOP);
    assert_eq!(env.qemus().len(), 1);
    env.down();
    env.run(&UP_BANK).succeeded();
    lost(env.run(&UP), port, BANK);
    env.down();
    eventually("the end of all VMs", || env.qemus().is_empty());
}

#[test]
fn of_two_that_want_a_port_at_once_one_gets_it() {
    let (env, port) = rivals();
    for _ in 0..3 {
        let mut answers = finish([env.spawn(&UP), env.spawn(&UP_BANK)]);
        let (bank, shop) = (answers.pop().unwrap(), answers.pop().unwrap());
        if shop.code == Some(0) {
            lost(bank, port, SHOP);
        } else {
            bank.succeeded();
            lost(shop, port, BANK);
        }
        assert_eq!(env.qemus().len(), 1);
        let disks = TestEnv::tree(env.path()).iter().filter(|name| name.ends_with(".qcow2")).count();
        assert_eq!(disks, 1, "who lost left its disk behind");
        env.down();
    }
}
