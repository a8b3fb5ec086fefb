//! The cloud-init seed of a VM: what the config says, the guest's host key, and a login for the user who
//! runs Castra, by the workspace's key and by keys of their own.
//!
//! The guest's instance-id is its VM's id. cloud-init keeps what it did on the guest's disk, so a
//! disposable guest is set up at every start and a persistent one once. Tests: `tests/it/seed.rs`.

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use castra_agent_embed::AGENT;
use plasmavmc_host::seed::{
    Ignored, InstanceId, MAX_FILE, Seed, SeedError, SeedNetwork, SeedReader, SshPublicKey,
};
use plasmavmc_host::{HostError, IoContext, Layout, keys};
use plasmavmc_types::{Persistence, VmSpec};

use crate::config::{Source, VmConfig};
use crate::core::error::Error;
use crate::core::output::Diagnostic;
use crate::core::project::WorkspaceId;
use crate::core::session::Session;
use crate::core::ssh;

/// Writes the seed of the VM `spec` describes and tells where it is.
pub(super) fn write(
    session: &Session,
    workspace: &WorkspaceId,
    layout: &Layout,
    vm: &VmConfig,
    spec: &VmSpec,
) -> Result<PathBuf, Error> {
    let own_network = vm.cloud_init.network_config.as_ref().map(read).transpose()?;
    let macs = spec.networks.iter().map(|network| network.mac).collect();
    let client = format!("{} {}", keys::client_key(layout)?.public_line(), keys::CLIENT_COMMENT);
    let client = client.parse().map_err(|source| Error::Seed { vm: vm.name.clone(), source })?;
    let host_key = keys::host_key(layout, &vm.name, &ssh::host_key_alias(workspace, &vm.name))?;
    let seed = Seed {
        instance_id: InstanceId::from_uuid(*spec.id.as_uuid()),
        hostname: vm.name.to_hostname(),
        ssh_keys: [vec![client], own_keys(session)].concat(),
        host_key: Some(host_key),
        user_data: vm.cloud_init.user_data.as_ref().map(read).transpose()?,
        network: own_network.map_or(SeedNetwork::Dhcp(macs), SeedNetwork::Own),
        agent: (vm.base_image.seed_reader() != SeedReader::TinyGuest).then_some(AGENT),
    };
    let path = layout.seed(&vm.name);
    seed.write(&path).map_err(|source| Error::Seed { vm: vm.name.clone(), source })?;
    Ok(path)
}

/// Whether the guest of a VM takes all of its user-data: what it would skip is told before anything
/// is made.
///
/// # Errors
/// [`Error::Seed`]; [`Error::Host`] where a file of user-data cannot be read.
pub(super) fn check(vm: &VmConfig) -> Result<(), Error> {
    let reader = vm.base_image.seed_reader();
    let Some(source) = vm.cloud_init.user_data.as_ref().filter(|_| reader.taken().is_some()) else {
        return Ok(());
    };
    let found = match reader.ignored(&read(source)?) {
        None => return Ok(()),
        Some(Ignored::Kind(start)) => format!("all, which begins with {start:?},"),
        Some(Ignored::Keys(keys)) => keys.iter().map(|key| format!("`{key}`")).collect::<Vec<_>>().join(", "),
    };
    Err(Error::Seed { vm: vm.name.clone(), source: SeedError::Ignored { reader, found } })
}

/// Points out that nothing is kept although the config says so.
pub(super) fn forgets(vm: &VmConfig) -> Option<Diagnostic> {
    let lives_in_memory = vm.base_image.seed_reader() == SeedReader::TinyGuest;
    (vm.persistence == Persistence::Persistent && lives_in_memory).then(|| {
        let (vm, image) = (&vm.name, &vm.base_image);
        Diagnostic::warning(format!(
            "VM `{vm}` is `persistent`, and nothing its guest writes is kept: `{image}` lives in memory"
        ))
        .with_hint("take an image that has its root on its disk: `castra image list`")
    })
}

/// One byte more than a seed holds is enough to see that it is too much.
fn read(source: &Source) -> Result<Vec<u8>, HostError> {
    let path = match source {
        Source::Inline(text) => return Ok(text.clone().into_bytes()),
        Source::Path(path) => path,
    };
    let mut bytes = Vec::new();
    let file = File::open(path).context("open", path)?;
    file.take(MAX_FILE.as_bytes() + 1).read_to_end(&mut bytes).context("read", path)?;
    Ok(bytes)
}

/// The user's own public keys, so that plain `ssh` gets in. A key that cannot be read is left out:
/// the user can still log in with the others, or on the console.
fn own_keys(session: &Session) -> Vec<SshPublicKey> {
    let Some(home) = session.dirs.home() else { return Vec::new() };
    let folder: &Path = &home.join(".ssh");
    let mut names: Vec<PathBuf> = fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "pub"))
        .collect();
    names.sort();
    names.iter().filter_map(|path| fs::read_to_string(path).ok()?.parse().ok()).collect()
}
