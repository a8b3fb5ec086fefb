//! A disk that was made to be kept is there until a person removes it, whatever becomes of its config.

use std::fs;
use std::path::PathBuf;

use castra_testkit::counting_disk;

use crate::env::TestEnv;
use crate::guests::{prove_accelerators, shop, vm};
use crate::sectors::one_vm;

const UP: [&str; 4] = ["up", "--json", "--wait", "running"];

/// A VM `db` on the image `mine`, to be kept.
const DB: &str = "[[vms]]\nname = \"db\"\nbase_image = \"mine\"\nmemory = \"64 MiB\"\n\
                  accelerator = \"tcg\"\npersistent = true\n";

/// A world whose project had a persistent VM `db` beside `web`, which ran once, and has it no longer.
fn without_db() -> (TestEnv, PathBuf) {
    let env = TestEnv::with_guest(&counting_disk(), "");
    env.castra(["image", "import", "guest.img", "--name", "mine"]).succeeded();
    env.write("castra.toml", one_vm(DB));
    env.run(&UP).succeeded();
    env.run(&["down"]).succeeded();
    env.write("castra.toml", one_vm(""));
    let disk = env.layout().overlay(&"db".parse().unwrap());
    assert!(disk.exists());
    (env, disk)
}

#[test]
fn a_kept_disk_outlives_its_vm_in_the_config_and_every_cleaning() {
    let (env, disk) = without_db();
    let up = env.run(&UP).succeeded().outcome();
    assert!(up["diagnostics"].to_string().contains("no longer has VM `db`"), "{up}");
    env.run(&["down"]).succeeded();
    for words in [&["clean"][..], &["clean", "--global"], &["clean", "--workspace"]] {
        env.castra(words).succeeded();
        assert!(disk.exists(), "{words:?} removed it");
        assert!(env.layout().images().join("mine.raw").exists(), "{words:?} removed what is under it");
    }
    env.write("castra.toml", one_vm(DB));
    env.run(&[&UP[..], &["db"]].concat()).succeeded();
    let log = env.layout().serial_log(&"db".parse().unwrap());
    crate::env::eventually("the guest's second boot", || {
        fs::read(&log).is_ok_and(|said| said.starts_with(b"1U"))
    });
}

#[test]
fn a_disk_nobody_knows_stays_with_the_image_under_it() {
    let (env, disk) = without_db();
    let layout = env.layout();
    fs::remove_file(layout.vm_record(&"db".parse().unwrap())).unwrap();
    for words in [&["clean", "--json", "--global"][..], &["clean", "--json"]] {
        let outcome = env.castra(words).succeeded().outcome();
        assert!(disk.exists(), "{words:?} removed it");
        assert!(layout.images().join("mine.raw").exists(), "{words:?} removed what is under it");
        let told = outcome["diagnostics"].to_string().contains("nothing tells whose it is");
        assert_eq!(told, words.len() == 2, "{outcome}");
    }
}

#[test]
fn a_vm_that_is_no_longer_persistent_keeps_its_disk_until_it_is_removed() {
    let env = TestEnv::with_guest(&counting_disk(), "persistent = true");
    env.start();
    env.run(&["down"]).succeeded();
    let before = fs::read(env.overlay()).unwrap();
    env.write("castra.toml", one_vm(""));
    for words in [&UP[..], &["up", "--plan", "--json"], &["up", "--force", "--json"]] {
        let error = env.run(words).failed(6).error();
        assert!(error["message"].as_str().unwrap().contains("web.qcow2"), "{error}");
        assert!(error["hints"].to_string().contains("persistent = true"), "{error}");
    }
    env.run(&["down"]).succeeded();
    assert_eq!(fs::read(env.overlay()).unwrap(), before);
    fs::remove_file(env.overlay()).unwrap();
    env.start();
}

/// Two projects with one `state_dir`, whose VMs have one name; only the first one's is persistent.
fn one_place_for_two() -> TestEnv {
    let env = shop(&[vm("web", "persistent = true")]);
    let config = fs::read_to_string(env.project().join("castra.toml")).unwrap();
    let config = config.replace("name = \"shop\"", "name = \"shop\"\nstate_dir = \"../vms\"");
    env.write("castra.toml", &config);
    let bank = config.replace("\"shop\"", "\"bank\"").replace("persistent = true", "");
    fs::create_dir(env.path().join("bank")).unwrap();
    fs::write(env.path().join("bank/castra.toml"), bank).unwrap();
    env
}

const UP_BANK: [&str; 6] = ["up", "--wait", "none", "--json", "--config", "../bank/castra.toml"];

#[test]
fn a_workspace_of_another_project_is_not_taken_over() {
    let env = one_place_for_two();
    env.up();
    env.only_qemu();
    for words in [&UP_BANK[..], &["up", "--plan", "--json", "--config", "../bank/castra.toml"]] {
        let error = env.run(words).failed(6).error();
        assert!(error["message"].as_str().unwrap().contains("project/castra.toml"), "{error}");
    }
    env.down();
    env.run(&UP_BANK).failed(6);
    assert!(env.overlay().exists(), "the disk of another project's VM was deleted");
    assert_eq!(env.qemus(), []);

    // Whose project is gone, or went elsewhere, has no claim; its disk is a person's all the same.
    let config = fs::read_to_string(env.project().join("castra.toml")).unwrap();
    let disk = env.overlay();
    env.write("castra.toml", config.replace("../vms", "../elsewhere"));
    let error = env.run(&UP_BANK).failed(6).error();
    assert!(error["message"].as_str().unwrap().contains("web.qcow2"), "{error}");
    fs::remove_file(disk).unwrap();
    env.run(&UP_BANK).succeeded();
}

#[test]
fn two_configs_in_one_directory_are_two_projects() {
    let env = TestEnv::with_vm("");
    prove_accelerators(&env);
    env.up();
    let config = fs::read_to_string(env.project().join("castra.toml")).unwrap();
    env.write("other.toml", &config);
    let up = ["up", "--wait", "none", "--json", "--config", "other.toml"];
    let error = env.run(&up).failed(6).error();
    assert!(error["hints"].to_string().contains("[project]"), "{error}");
    env.write("other.toml", config.replace("\"shop\"", "\"other\""));
    env.run(&up).succeeded();
    assert_eq!(env.qemus().len(), 2);
}
