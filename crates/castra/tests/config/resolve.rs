//! What a `castra.toml` means: defaults, paths, replicas, forwards.

use std::path::{Path, PathBuf};
use std::time::Duration;

use castra::config::{
    BaseImage, Bootstrap, Channel, CloudInit, Lifecycle, Mount, Project, Source, Verify, limits, parse,
    starter,
};
use castra::core::project::{WorkspaceId, config_state_root, default_projects_root, default_state_root};
use plasmavmc_types::{
    AcceleratorChoice, BootstrapMode, ByteSize, Firmware, Persistence, PortForward, Protocol,
};

use crate::{dirs, env};

fn resolve(text: &str) -> Project {
    parse(text, &env()).unwrap_or_else(|faults| panic!("{faults:#?}"))
}

fn names(project: &Project) -> Vec<&str> {
    project.vms.iter().map(|vm| vm.name.as_str()).collect()
}

#[test]
fn one_name_is_a_whole_config() {
    let project = resolve("[[vms]]\nname = \"devbox\"\n");
    assert_eq!(project.name.as_str(), "web");
    let config = Path::new("/src/web/castra.toml");
    assert_eq!(config_state_root(&project), default_state_root(&dirs(), config, &project.name));
    assert_eq!(config_state_root(&project).parent(), Some(default_projects_root(&dirs()).as_path()));
    assert_eq!(project.lifecycle, Lifecycle::default());
    assert_eq!(project.channel.freshness_window_ms(), 6_000);
    let vm = &project.vms[0];
    assert_eq!(vm.base_image.to_string(), "alpine");
    assert_eq!(vm.overlay, project.state_root.join("overlays/devbox.qcow2"));
    assert_eq!((vm.cpus, vm.memory), (limits::DEFAULT_CPUS, limits::DEFAULT_MEMORY));
    assert!(vm.port_forwards.is_empty());
    assert_eq!((vm.accelerator, vm.firmware), (AcceleratorChoice::Auto, None));
    assert_eq!((vm.persistence, &vm.cloud_init), (Persistence::Disposable, &CloudInit::default()));
}

#[test]
fn every_key_reaches_the_project() {
    let project = resolve(
        r##"
version = 1
[project]
name = "Web App"
state_dir = ".castra"
[lifecycle]
graceful_shutdown_wait_secs = 0
sigterm_wait_secs = 3600
sigkill_wait_secs = 1
[channel]
freshness_window_secs = 300
[[vms]]
name = "db"
base_image = "images/a,b.qcow2"
overlay = ".castra/disks/db.qcow2"
cpus = 0x4
memory = "2 GiB"
port_forwards = [
  { host = 5432, guest = 5432 },
  { host = 53, guest = 5_3, protocol = "udp", address = "0.0.0.0" },
]
accelerator = "tcg"
firmware = "uefi"
persistent = true
cloud_init = { user_data = { inline = "#cloud-config\n" }, network_config = "~/net.yaml" }
"##,
    );
    assert_eq!(
        (project.name.as_str(), project.state_root.as_path()),
        ("Web App", Path::new("/src/web/.castra"))
    );
    assert_eq!(project.workspace_id, WorkspaceId::of(&project.config_path, &project.name));
    assert_eq!(
        project.lifecycle,
        Lifecycle {
            graceful_shutdown_wait: Duration::ZERO,
            sigterm_wait: Duration::from_secs(3600),
            sigkill_wait: Duration::from_secs(1),
        }
    );
    assert_eq!(project.channel, Channel { freshness_window: Duration::from_secs(300) });
    let vm = project.vm("DB").unwrap();
    assert_eq!(vm.base_image, BaseImage::Path("/src/web/images/a,b.qcow2".into()));
    assert_eq!(vm.overlay, Path::new("/src/web/.castra/disks/db.qcow2"));
    assert_eq!((vm.cpus.get(), vm.memory), (4, ByteSize::gib(2)));
    let dns = PortForward {
        address: "0.0.0.0".parse().unwrap(),
        protocol: Protocol::Udp,
        ..PortForward::tcp(53, 53).unwrap()
    };
    assert_eq!(vm.port_forwards, [PortForward::tcp(5432, 5432).unwrap(), dns]);
    assert_eq!((vm.accelerator, vm.firmware), (AcceleratorChoice::Tcg, Some(Firmware::Uefi)));
    assert_eq!(vm.persistence, Persistence::Persistent);
    assert_eq!(
        vm.cloud_init,
        CloudInit {
            user_data: Some(Source::Inline("#cloud-config\n".into())),
            network_config: Some(Source::Path("/home/me/net.yaml".into())),
        }
    );
}

#[test]
fn a_bootstrap_is_its_script_and_defaults() {
    let project =
        resolve("[[vms]]\nname = \"a\"\nbootstrap = { script = \"setup/web.sh\" }\n[[vms]]\nname = \"b\"\n");
    let expected = Bootstrap {
        mode: BootstrapMode::Auto,
        script: "/src/web/setup/web.sh".into(),
        payload: None,
        env: [].into(),
        timeout: Duration::from_secs(600),
        verify: None,
    };
    assert_eq!(project.vms[0].bootstrap, Some(expected));
    assert_eq!(project.vms[1].bootstrap, None);
}

#[test]
fn every_key_of_a_bootstrap_reaches_the_project_and_a_replica_has_its_own() {
    let project = resolve(
        r#"
[[vms]]
name = "api"
count = 2
[vms.bootstrap]
mode = "always"
script = "~/web.sh"
payload = "./dist/"
timeout_secs = 30
verify = "curl -f localhost"
env = { PORT = "80", EMPTY = "" }
[vms.replicas.api-1.bootstrap]
mode = "skip"
script = "other.sh"
verify = ["test", "-e", "/etc/web"]
"#,
    );
    let [shared, own] = [0, 1].map(|n: usize| project.vms[n].bootstrap.clone().unwrap());
    let env = [("PORT", "80"), ("EMPTY", "")].map(|(name, value)| (name.to_owned(), value.to_owned()));
    assert_eq!(
        shared,
        Bootstrap {
            mode: BootstrapMode::Always,
            script: "/home/me/web.sh".into(),
            payload: Some("/src/web/dist".into()),
            env: env.into(),
            timeout: Duration::from_secs(30),
            verify: Some(Verify::Shell("curl -f localhost".into())),
        }
    );
    assert_eq!((own.mode, own.payload, own.env.len()), (BootstrapMode::Skip, None, 0));
    let words = ["test", "-e", "/etc/web"].map(str::to_owned).to_vec();
    assert_eq!(own.verify, Some(Verify::Program(words)));
}

#[test]
fn a_mount_is_read_only_unless_it_says_otherwise_and_a_replica_has_its_own() {
    let project = resolve(
        r#"
[[vms]]
name = "api"
count = 2
[[vms.mounts]]
host = "src/"
guest = "/srv/./src/"
[[vms.mounts]]
host = "~/data"
guest = "/data"
read_only = false
[[vms.replicas.api-1.mounts]]
host = "/opt/x"
guest = "/x"
"#,
    );
    let mount =
        |host: &str, guest: &str, read_only| Mount { host: host.into(), guest: guest.to_owned(), read_only };
    let expected = [mount("/src/web/src", "/srv/src", true), mount("/home/me/data", "/data", false)];
    assert_eq!(project.vms[0].mounts, expected);
    assert_eq!(project.vms[1].mounts, [mount("/opt/x", "/x", true)]);
}

#[test]
fn replicas_are_numbered_and_listen_side_by_side() {
    let project = resolve(
        r#"
[[vms]]
name = "api"
count = 3
memory = "512 MiB"
port_forwards = [{ host = 8080, guest = 80 }]
[vms.replicas.api-1]
memory = "4 GiB"
port_forwards = [{ host = 9000, guest = 80 }]
[[vms]]
name = "one"
count = 1
"#,
    );
    assert_eq!(names(&project), ["api-0", "api-1", "api-2", "one-0"]);
    let facts: Vec<(u64, Vec<u16>)> = project
        .vms
        .iter()
        .map(|vm| (vm.memory.as_mib(), vm.port_forwards.iter().map(|forward| forward.host.get()).collect()))
        .collect();
    assert_eq!(facts, [(512, vec![8080]), (4096, vec![9000]), (512, vec![8082]), (1024, vec![])]);
    let overlays: Vec<PathBuf> = project.vms.iter().map(|vm| vm.overlay.clone()).collect();
    assert_eq!(overlays[1], project.state_root.join("overlays/api-1.qcow2"));
}

#[test]
fn an_override_takes_the_place_of_the_whole_key() {
    let project = resolve(
        r#"
[[vms]]
name = "api"
count = 2
cloud_init = { user_data = "u.yaml", network_config = "n.yaml" }
replicas = { api-0 = { cloud_init = { user_data = "own.yaml" }, overlay = "own.qcow2", persistent = true } }
"#,
    );
    let own = &project.vms[0].cloud_init;
    assert_eq!(
        (own.user_data.as_ref(), own.network_config.as_ref()),
        (Some(&Source::Path("/src/web/own.yaml".into())), None)
    );
    assert_eq!(project.vms[0].overlay, Path::new("/src/web/own.qcow2"));
    assert_eq!(project.vms[1].persistence, Persistence::Disposable);
    assert!(project.vms[1].cloud_init.network_config.is_some());
}

#[test]
fn one_port_may_serve_tcp_udp_and_two_addresses() {
    let project = resolve(
        r#"
[[vms]]
name = "a"
port_forwards = [
  { host = 53, guest = 53 },
  { host = 53, guest = 53, protocol = "udp" },
  { host = 53, guest = 53, address = "127.0.0.2" },
]
"#,
    );
    assert_eq!(project.vms[0].port_forwards.len(), 3);
}

#[test]
fn the_starter_config_works_as_it_is() {
    for name in ["web", "it's \"quoted\"", "日本", "a = 1 # b"] {
        let project = resolve(&starter(&name.parse().unwrap(), 2222));
        assert_eq!(project.name.as_str(), name);
        assert_eq!(names(&project), ["devbox"]);
        assert_eq!(project.vms[0].port_forwards, [PortForward::tcp(2222, 22).unwrap()]);
        assert_eq!(project.vms[0].base_image.to_string(), "alpine");
    }
}
