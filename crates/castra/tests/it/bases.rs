//! No overlay ever finds other bytes under it than those it was made on.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::env::TestEnv;
use crate::guests::prove_accelerators;
use crate::images::{at, publisher, sha512};

fn vm(name: &str, base: &str, more: &str) -> String {
    format!(
        "[[vms]]\nname = \"{name}\"\nbase_image = \"{base}\"\nmemory = \"64 MiB\"\naccelerator = \"tcg\"\n{more}\n"
    )
}

fn config(env: &TestEnv, vms: &[String]) {
    let waits = "[lifecycle]\ngraceful_shutdown_wait_secs = 0\nsigterm_wait_secs = 0\n";
    env.write("castra.toml", format!("[project]\nname = \"shop\"\n{waits}{}", vms.concat()));
}

/// An image that is not the guest's.
fn other_image(env: &TestEnv) -> Vec<u8> {
    let path = env.path().join("other.qcow2");
    let mut create = Command::new("qemu-img");
    create.args(["create", "-q", "-f", "qcow2"]).arg(&path).arg("32M");
    assert!(create.status().unwrap().success());
    fs::read(path).unwrap()
}

fn import(env: &TestEnv, path: &Path) {
    env.castra(["image", "import", path.to_str().unwrap(), "--name", "mine"]).succeeded();
}

#[test]
fn a_disk_of_a_vm_the_config_lost_keeps_the_bytes_under_it() {
    let env = TestEnv::new();
    prove_accelerators(&env);
    let image = castra_testkit::tiny_image();
    import(&env, &image);
    config(&env, &[vm("db", "mine", "persistent = true")]);
    env.up();
    env.down();
    other_image(&env);
    import(&env, &env.path().join("other.qcow2"));
    config(&env, &[vm("web", "mine", "")]);
    let own = env.layout().images().join("mine.qcow2");
    for record in ["there", "lost"] {
        env.up();
        assert_eq!(fs::read(&own).unwrap(), fs::read(&image).unwrap(), "with its record {record}");
        env.down();
        fs::remove_file(env.layout().vm_record(&"db".parse().unwrap())).unwrap_or_default();
    }
    fs::remove_file(env.layout().overlay(&"db".parse().unwrap())).unwrap();
    env.up();
    assert_eq!(fs::read(&own).unwrap(), fs::read(env.path().join("other.qcow2")).unwrap());
}

#[test]
fn another_name_of_an_image_puts_no_other_bytes_under_a_disk() {
    let env = TestEnv::new();
    prove_accelerators(&env);
    let [old, new] = [fs::read(castra_testkit::tiny_image()).unwrap(), other_image(&env)];
    let up = ["up", "--wait", "none", "--json"];
    let db = vm("db", "alpine", "persistent = true");
    config(&env, std::slice::from_ref(&db));
    at(&env, &publisher(&old, &sha512(&old)), &up).succeeded();
    env.down();
    // The store's image moves on, as another project would have it.
    let server = publisher(&new, &sha512(&new));
    at(&env, &server, &["image", "pull", "alpine", "--skip-discovery"]).succeeded();

    config(&env, &[db, vm("web", "alpine-3.23", "")]);
    let own = env.layout().images().join("alpine-minimal.qcow2");
    let error = at(&env, &server, &up).failed(5).error();
    let message = error["message"].as_str().unwrap();
    assert!(message.contains("`alpine` and `alpine-3.23`"), "{error}");
    assert_eq!(fs::read(&own).unwrap(), old);
    at(&env, &server, &[&up[..], &["web"]].concat()).succeeded();
    assert_eq!(fs::read(&own).unwrap(), old, "`db` lost the bytes its disk lies on");
}
