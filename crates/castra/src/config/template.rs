//! The config that `castra init` writes, and the one of a project without a config.
//!
//! Pure: texts. Tests: below.

use super::project::ProjectName;

/// The config of a made up project: one VM, reached over SSH.
pub(super) const SYNTHETIC: &str = r#"
[[vms]]
name = "devbox"
port_forwards = [{ host = 2222, guest = 22 }]
"#;

/// A config to begin with: it works as it is, and shows what else there is. `ssh_port` of the host leads to
/// the VM's SSH server.
pub fn starter(project: &ProjectName, ssh_port: u16) -> String {
    let name = toml::Value::from(project.as_str());
    format!(
        r#"# The virtual machines of this project. `castra up` starts them, `castra down` stops them.
# Every key: docs/config.md. For editors: `castra schema`.

version = 1

[project]
name = {name}
# Where VMs, images and logs are kept. Default: ~/.castra/projects/<name>-<hash>.
# state_dir = ".castra"

[[vms]]
name = "devbox"
# An image of the catalogue (`castra image list`), or the path of a qcow2 file.
base_image = "alpine"
cpus = 1
memory = "1 GiB"
# Ports of this host that lead into the VM: `ssh -p {ssh_port} 127.0.0.1`.
port_forwards = [{{ host = {ssh_port}, guest = 22 }}]
# Keep the disk when the VM stops. Default: every start is a fresh machine.
# persistent = true
# What the VM does on its first boot.
# cloud_init = {{ user_data = "user-data.yaml" }}

# Seconds that each step of `castra down` may take: power button, SIGTERM, SIGKILL.
# [lifecycle]
# graceful_shutdown_wait_secs = 20
# sigterm_wait_secs = 10
# sigkill_wait_secs = 5
"#
    )
}
