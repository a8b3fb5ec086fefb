//! A resolved project as a `castra.toml` again, for `metadata/config_snapshot.toml`.
//!
//! Every default is written out, every path is absolute and every replica is a VM of its own, so
//! the text means the same wherever it lies. Pure. Tests: `tests/config/properties.rs`, both ways.

use std::path::Path;

use plasmavmc_types::{Persistence, PortForward};

use super::document::{
    BootstrapTable, ChannelTable, CloudInitTable, Document, ForwardTable, InlineTable, KeysTable,
    LifecycleTable, MountTable, ProjectTable, SourceValue, VerifyValue, VmTable,
};
use super::limits::VERSION;
use super::project::{Bootstrap, Mount, Project, Source, Verify, VmConfig};
use super::{Environment, Fault, parse};
use crate::env::UserDirs;

/// The project of a snapshot, which was made from the config at `config_path`: that file need not
/// be there any more, but the workspace is called after it.
///
/// # Errors
/// Every fault of the text, where something else wrote it.
pub fn from_snapshot(text: &str, config_path: &Path, dirs: &UserDirs) -> Result<Project, Vec<Fault>> {
    parse(text, &Environment::new(config_path, dirs))
}

/// The project as the text of a config.
pub fn to_snapshot(project: &Project) -> String {
    let document = Document {
        version: Some(VERSION),
        project: Some(ProjectTable {
            name: Some(project.name.to_string()),
            state_dir: Some(text(&project.state_root)),
        }),
        lifecycle: Some(LifecycleTable {
            graceful_shutdown_wait_secs: Some(project.lifecycle.graceful_shutdown_wait.as_secs()),
            sigterm_wait_secs: Some(project.lifecycle.sigterm_wait.as_secs()),
            sigkill_wait_secs: Some(project.lifecycle.sigkill_wait.as_secs()),
        }),
        channel: Some(ChannelTable {
            freshness_window_secs: Some(project.channel.freshness_window.as_secs()),
        }),
        vms: project.vms.iter().map(vm_table).collect(),
    };
    let text = toml::to_string(&document).expect("a document has text keys and values TOML can hold");
    format!(
        "# The config of the last `castra up`, resolved. Castra writes this file; changes are lost.\n\n{text}"
    )
}

fn vm_table(vm: &VmConfig) -> VmTable {
    VmTable {
        name: vm.name.to_string(),
        count: None,
        keys: KeysTable {
            base_image: Some(vm.base_image.to_string()),
            overlay: Some(text(&vm.overlay)),
            cpus: Some(vm.cpus.get()),
            memory: Some(format!("{} MiB", vm.memory.as_mib())),
            accelerator: Some(vm.accelerator),
            firmware: vm.firmware,
            persistent: Some(vm.persistence == Persistence::Persistent),
            port_forwards: Some(vm.port_forwards.iter().map(forward_table).collect()),
            mounts: Some(vm.mounts.iter().map(mount_table).collect()),
            cloud_init: Some(CloudInitTable {
                user_data: vm.cloud_init.user_data.as_ref().map(source_value),
                network_config: vm.cloud_init.network_config.as_ref().map(source_value),
            }),
            bootstrap: vm.bootstrap.as_ref().map(bootstrap_table),
        },
        replicas: None,
    }
}

fn forward_table(forward: &PortForward) -> ForwardTable {
    ForwardTable {
        host: forward.host.get().into(),
        guest: forward.guest.get().into(),
        protocol: Some(forward.protocol),
        address: Some(forward.address.to_string()),
    }
}

fn mount_table(mount: &Mount) -> MountTable {
    MountTable { host: text(&mount.host), guest: mount.guest.clone(), read_only: Some(mount.read_only) }
}

fn bootstrap_table(bootstrap: &Bootstrap) -> BootstrapTable {
    BootstrapTable {
        mode: Some(bootstrap.mode),
        script: text(&bootstrap.script),
        payload: bootstrap.payload.as_deref().map(text),
        timeout_secs: Some(bootstrap.timeout.as_secs()),
        verify: bootstrap.verify.clone().map(|verify| match verify {
            Verify::Shell(line) => VerifyValue::Line(line),
            Verify::Program(words) => VerifyValue::Program(words),
        }),
        env: Some(bootstrap.env.clone()),
    }
}

fn source_value(source: &Source) -> SourceValue {
    match source {
        Source::Inline(text) => SourceValue::Inline(InlineTable { inline: text.clone() }),
        Source::Path(path) => SourceValue::Path(text(path)),
    }
}

/// A path as text: what a config can name is UTF-8.
fn text(path: &Path) -> String {
    path.display().to_string()
}
