//! Where a workspace keeps its files: one place that knows the names.
//!
//! ```text
//! <root>/                        0700
//!   <vm>.pid  <vm>.qmp  <vm>.serial          pidfile, control socket, serial console socket
//!   <vm>.agent  <vm>.qga                     the guest channel's socket, and qemu-guest-agent's
//!   broker.sock                              where commands speak to the broker
//!   ssh_config                               what `ssh` and its friends read to reach the guests
//!   overlays/<vm>.qcow2                      what the guest writes to
//!   images/<name>.qcow2  <name>.qcow2.sha512 cached base images
//!   logs/<vm>.log  <vm>-serial.log  <vm>-serial.log.1
//!   logs/events.jsonl  host-broker.log  bootstrap/
//!   bootstrap/<vm>/                          staging of a bootstrap while it runs
//!   bootstrap/.<vm>.ssh/                     its connection, where it goes over SSH
//!   metadata/workspace.json  config_snapshot.toml
//!   metadata/vms/<vm>.json                   the VM's record: definition and current run
//!   metadata/operations/<vm>.json            who is starting or stopping it right now
//!   metadata/seeds/<vm>.img                  the cloud-init seed
//!   metadata/uefi/<vm>.fd                    the UEFI variables
//!   metadata/journals/<vm>.jsonl             what QEMU reported of the current or last run
//!   metadata/sessions/<vm>.json              the last handshake with the VM's guest, and its age
//!   metadata/timings/<vm>.jsonl              how long the last runs took to come up
//!   metadata/bootstrap/<vm>.json             what the last bootstrap of this VM did
//!   metadata/mounts/<vm>.json                which folders of the host its guest has mounted
//!   metadata/keys/                           the workspace's SSH keys, and each guest's host key
//!   metadata/qemu.json                       what the installed QEMU offers
//!   metadata/locks/<vm>.lock  <vm>.live  <vm>.console  <vm>.bootstrap
//!   metadata/locks/.workspace.lock           shared by those who bring VMs up, alone `clean`'s
//!   metadata/locks/.broker.lock              held by the broker for as long as it lives
//! ```
//!
//! Locks that are no VM's begin with a dot, as no VM's name does.
//!
//! Pure: joins paths, touches nothing. Tests: below.

use std::path::{Path, PathBuf};

use plasmavmc_types::VmName;

/// The paths of one workspace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    root: PathBuf,
}

impl Layout {
    /// The workspace at `root`, an absolute path.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// The workspace's root.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The pidfile: who runs the VM.
    pub fn pid_file(&self, vm: &VmName) -> PathBuf {
        self.root.join(format!("{vm}.pid"))
    }

    /// The file name of the QMP control socket, relative to the root.
    ///
    /// Socket addresses hold 107 bytes on Linux, so sockets are bound and connected relative to
    /// the root and never by their full path.
    pub fn qmp_socket_name(vm: &VmName) -> String {
        format!("{vm}.qmp")
    }

    /// The QMP control socket.
    pub fn qmp_socket(&self, vm: &VmName) -> PathBuf {
        self.root.join(Self::qmp_socket_name(vm))
    }

    /// The file name of the serial console socket, relative to the root.
    pub fn serial_socket_name(vm: &VmName) -> String {
        format!("{vm}.serial")
    }

    /// The serial console socket.
    pub fn serial_socket(&self, vm: &VmName) -> PathBuf {
        self.root.join(Self::serial_socket_name(vm))
    }

    /// The file name of the guest channel's socket, relative to the root.
    pub fn agent_socket_name(vm: &VmName) -> String {
        format!("{vm}.agent")
    }

    /// The guest channel's socket: whoever connects speaks to the agent in that guest alone.
    pub fn agent_socket(&self, vm: &VmName) -> PathBuf {
        self.root.join(Self::agent_socket_name(vm))
    }

    /// The file name of the socket of a guest's `qemu-guest-agent`, relative to the root.
    pub fn guest_agent_socket_name(vm: &VmName) -> String {
        format!("{vm}.qga")
    }

    /// The socket of a guest's `qemu-guest-agent`.
    pub fn guest_agent_socket(&self, vm: &VmName) -> PathBuf {
        self.root.join(Self::guest_agent_socket_name(vm))
    }

    /// The files that are there only while a VM runs: its pidfile and its sockets.
    pub fn run_files(&self, vm: &VmName) -> [PathBuf; 5] {
        [
            self.pid_file(vm),
            self.qmp_socket(vm),
            self.serial_socket(vm),
            self.agent_socket(vm),
            self.guest_agent_socket(vm),
        ]
    }

    /// The file name of the broker's socket, relative to the root. No VM's file can have it: theirs
    /// end in other words.
    pub const BROKER_SOCKET_NAME: &str = "broker.sock";

    /// The broker's socket.
    pub fn broker_socket(&self) -> PathBuf {
        self.root.join(Self::BROKER_SOCKET_NAME)
    }

    /// The directory of overlays whose place the config does not name.
    pub fn overlays(&self) -> PathBuf {
        self.root.join("overlays")
    }

    /// The overlay of a VM whose place the config does not name.
    pub fn overlay(&self, vm: &VmName) -> PathBuf {
        self.overlays().join(format!("{vm}.qcow2"))
    }

    /// The directory of cached base images.
    pub fn images(&self) -> PathBuf {
        self.root.join("images")
    }

    /// The directory of logs.
    pub fn logs(&self) -> PathBuf {
        self.root.join("logs")
    }

    /// What QEMU itself says.
    pub fn vm_log(&self, vm: &VmName) -> PathBuf {
        self.logs().join(format!("{vm}.log"))
    }

    /// What the guest writes to its serial console.
    pub fn serial_log(&self, vm: &VmName) -> PathBuf {
        self.logs().join(format!("{vm}-serial.log"))
    }

    /// What it wrote before that, where the serial log had become too long.
    pub fn serial_log_before(&self, vm: &VmName) -> PathBuf {
        self.logs().join(format!("{vm}-serial.log.1"))
    }

    /// The events of every command, one JSON object a line.
    pub fn events_log(&self) -> PathBuf {
        self.logs().join("events.jsonl")
    }

    /// What the broker says: a line for each handshake, and what went wrong.
    pub fn broker_log(&self) -> PathBuf {
        self.logs().join("host-broker.log")
    }

    /// The directory of bootstrap logs: one file per run, one JSON object a line.
    pub fn bootstrap_logs(&self) -> PathBuf {
        self.logs().join("bootstrap")
    }

    /// The staging area of bootstrap runs.
    pub fn bootstrap(&self) -> PathBuf {
        self.root.join("bootstrap")
    }

    /// The staging area of a VM's bootstrap.
    pub fn bootstrap_stage(&self, vm: &VmName) -> PathBuf {
        self.bootstrap().join(vm.as_str())
    }

    /// Where ssh's connection for a VM's bootstrap lives.
    pub fn bootstrap_connection(&self, vm: &VmName) -> PathBuf {
        self.bootstrap().join(format!(".{vm}.ssh"))
    }

    /// The directory of metadata.
    pub fn metadata(&self) -> PathBuf {
        self.root.join("metadata")
    }

    /// The workspace's own record.
    pub fn workspace_record(&self) -> PathBuf {
        self.metadata().join("workspace.json")
    }

    /// The resolved config of the last `up`.
    pub fn config_snapshot(&self) -> PathBuf {
        self.metadata().join("config_snapshot.toml")
    }

    /// The directory of VM records.
    pub fn vm_records(&self) -> PathBuf {
        self.metadata().join("vms")
    }

    /// The record of a VM: its definition and its current run.
    pub fn vm_record(&self, vm: &VmName) -> PathBuf {
        self.vm_records().join(format!("{vm}.json"))
    }

    /// Who is starting or stopping a VM at this moment.
    pub fn operation(&self, vm: &VmName) -> PathBuf {
        self.metadata().join("operations").join(format!("{vm}.json"))
    }

    /// The cloud-init seed of a VM.
    pub fn seed(&self, vm: &VmName) -> PathBuf {
        self.metadata().join("seeds").join(format!("{vm}.img"))
    }

    /// The UEFI variables of a VM.
    pub fn uefi_vars(&self, vm: &VmName) -> PathBuf {
        self.metadata().join("uefi").join(format!("{vm}.fd"))
    }

    /// What QEMU reported of a VM's current or last run, one JSON object a line.
    pub fn journal(&self, vm: &VmName) -> PathBuf {
        self.metadata().join("journals").join(format!("{vm}.jsonl"))
    }

    /// The directory of guest sessions.
    pub fn sessions(&self) -> PathBuf {
        self.metadata().join("sessions")
    }

    /// The last handshake with a VM's guest.
    pub fn session(&self, vm: &VmName) -> PathBuf {
        self.sessions().join(format!("{vm}.json"))
    }

    /// How long the last runs of a VM took to come up, one JSON object a line.
    pub fn timings(&self, vm: &VmName) -> PathBuf {
        self.metadata().join("timings").join(format!("{vm}.jsonl"))
    }

    /// What the last bootstrap of a VM did.
    pub fn bootstrap_record(&self, vm: &VmName) -> PathBuf {
        self.metadata().join("bootstrap").join(format!("{vm}.json"))
    }

    /// Which folders of the host are there in a VM's guest.
    pub fn mounts(&self, vm: &VmName) -> PathBuf {
        self.metadata().join("mounts").join(format!("{vm}.json"))
    }

    /// The directory of the workspace's SSH keys.
    pub fn keys(&self) -> PathBuf {
        self.metadata().join("keys")
    }

    /// The workspace's SSH key: what its user gets into every guest with.
    pub fn client_key(&self) -> PathBuf {
        self.keys().join("id_ed25519")
    }

    /// The public half of the workspace's SSH key.
    pub fn client_public_key(&self) -> PathBuf {
        self.keys().join("id_ed25519.pub")
    }

    /// The host key of a VM's guest.
    pub fn host_key(&self, vm: &VmName) -> PathBuf {
        self.keys().join(format!("{vm}.host_ed25519"))
    }

    /// The public half of a guest's host key, as ssh looks it up.
    pub fn known_hosts(&self, vm: &VmName) -> PathBuf {
        self.keys().join(format!("{vm}.known_hosts"))
    }

    /// The generated configuration of ssh.
    pub fn ssh_config(&self) -> PathBuf {
        self.root.join("ssh_config")
    }

    /// What the installed QEMU offers, asked once per binary.
    pub fn qemu_offer(&self) -> PathBuf {
        self.metadata().join("qemu.json")
    }

    /// The directory of locks.
    pub fn locks(&self) -> PathBuf {
        self.metadata().join("locks")
    }

    /// Shared by every `up` until its VMs are defined; held alone by `clean`.
    pub fn workspace_lock(&self) -> PathBuf {
        self.locks().join(".workspace.lock")
    }

    /// Held by the command that changes a VM.
    pub fn vm_lock(&self, vm: &VmName) -> PathBuf {
        self.locks().join(format!("{vm}.lock"))
    }

    /// Held by the command that has a VM's serial console.
    pub fn console_lock(&self, vm: &VmName) -> PathBuf {
        self.locks().join(format!("{vm}.console"))
    }

    /// Held by the command that bootstraps a VM.
    pub fn bootstrap_lock(&self, vm: &VmName) -> PathBuf {
        self.locks().join(format!("{vm}.bootstrap"))
    }

    /// Held by the broker for as long as it lives.
    pub fn broker_lock(&self) -> PathBuf {
        self.locks().join(".broker.lock")
    }

    /// Inherited by the VM's process and held for as long as it lives.
    pub fn live_lock(&self, vm: &VmName) -> PathBuf {
        self.locks().join(format!("{vm}.live"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_of_a_vm_makes_its_lock_the_workspaces() {
        let layout = Layout::new("/w");
        for name in ["workspace", "broker"] {
            let lock = layout.vm_lock(&name.parse().unwrap());
            assert!(lock != layout.workspace_lock() && lock != layout.broker_lock(), "{name}");
        }
        assert!(".workspace".parse::<VmName>().is_err());
    }

    #[test]
    fn no_two_names_of_a_vm_meet() {
        let layout = Layout::new("/w");
        let vm: VmName = "web".parse().unwrap();
        let mut paths = [
            layout.overlay(&vm),
            layout.vm_log(&vm),
            layout.serial_log(&vm),
            layout.serial_log_before(&vm),
            layout.vm_record(&vm),
            layout.operation(&vm),
            layout.seed(&vm),
            layout.uefi_vars(&vm),
            layout.journal(&vm),
            layout.vm_lock(&vm),
            layout.live_lock(&vm),
            layout.console_lock(&vm),
            layout.bootstrap_lock(&vm),
            layout.bootstrap_stage(&vm),
            layout.session(&vm),
            layout.timings(&vm),
            layout.bootstrap_record(&vm),
            layout.broker_socket(),
            layout.broker_lock(),
            layout.broker_log(),
            layout.client_key(),
            layout.mounts(&vm),
            layout.client_public_key(),
            layout.host_key(&vm),
            layout.known_hosts(&vm),
            layout.ssh_config(),
        ]
        .to_vec();
        paths.extend(layout.run_files(&vm));
        paths.sort();
        assert!(paths.windows(2).all(|pair| pair[0] != pair[1]));
    }
}
