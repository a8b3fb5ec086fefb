//! The cloud-init seed, as a real guest reads it.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use castra_testkit::{free_port, tiny_image};

use crate::env::{Answer, TestEnv, wait};
use crate::sectors::one_vm;

#[test]
fn plain_ssh_logs_in_with_the_users_own_key_and_with_one_of_the_user_data() {
    let (env, port) = (TestEnv::new(), free_port());
    let own = key(&env.path().join("home/.ssh"), "id_ed25519");
    let other = key(env.path(), "other");
    let stranger = key(env.path(), "stranger");
    let public = std::fs::read_to_string(other.with_extension("pub")).unwrap();
    let user_data = format!("#cloud-config\nssh_authorized_keys:\n  - {}\n", public.trim());
    let keys = format!(
        "port_forwards = [{{ host = {port}, guest = 22 }}]\ncloud_init.user_data.inline = {}",
        toml::Value::from(user_data)
    );
    let text = one_vm(&keys).replace("64 MiB", "256 MiB");
    env.write("castra.toml", text.replace("./guest.img", tiny_image().to_str().unwrap()));
    env.run(&["up"]).succeeded();
    for identity in [&own, &other] {
        let answer = ssh(port, identity).succeeded();
        assert_eq!(answer.stdout, "web\n", "{answer}");
    }
    let refused = ssh(port, &stranger).failed(255);
    assert!(refused.stderr.contains("Permission denied"), "{refused}");
    env.run(&["down"]).succeeded();
}

/// Makes a key pair and gives the path of its private half.
fn key(dir: &Path, name: &str) -> PathBuf {
    std::fs::create_dir_all(dir).unwrap();
    let path = dir.join(name);
    let mut command = Command::new("ssh-keygen");
    command.args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(&path);
    assert!(command.status().expect("openssh-client is installed").success());
    path
}

/// Asks the guest for its name.
fn ssh(port: u16, identity: &Path) -> Answer {
    let mut command = Command::new("ssh");
    command.args(["-F", "/dev/null", "-o", "IdentitiesOnly=yes", "-o", "BatchMode=yes"]);
    command.args(["-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null"]);
    command.args(["-o", "IdentityAgent=none", "-o", "ConnectTimeout=30", "-p", &port.to_string(), "-i"]);
    command.arg(identity).args(["root@127.0.0.1", "hostname"]);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    wait(command.spawn().unwrap(), Duration::from_secs(60))
}
