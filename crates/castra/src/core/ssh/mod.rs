//! `ssh` and `ssh-config`: into a guest with OpenSSH, by keys that both sides were given beforehand.
//!
//! Owns: which VM is reached where, as whom and how its guest proves who it is. Never does: wait for a
//! guest, or read and write ssh's own files under `~/.ssh`. What ssh reads is written in `config`.
//! Tests: there, and `tests/it/ssh.rs`.

mod config;

use std::ffi::OsString;
use std::net::IpAddr;
use std::path::PathBuf;

use plasmavmc_host::image::catalogue;
use plasmavmc_host::{Layout, exec, publish};
use plasmavmc_types::{PortForward, VmName, VmSpec};
use schemars::JsonSchema;
use serde::Serialize;

use super::error::Error;
use super::guest::known_vms;
use super::observed::{self, ObservedVm};
use super::output::{Diagnostic, OperationOutput};
use super::project::WorkspaceId;
use super::ready::{reachable_address, ssh_forward};
use super::selection::{Target, WorkspaceSelection, target};
use super::session::Session;
use crate::config::BaseImage;

/// The user where the image is a file, of which nobody knows whom it has.
const UNKNOWN_IMAGE_USER: &str = "root";

/// What `ssh` is asked.
#[derive(Debug, Clone, Default)]
pub struct SshOptions {
    /// Which workspace.
    pub selection: WorkspaceSelection,
    /// Which VM; may be left out where there is only one.
    pub vm: Option<VmName>,
    /// As whom; the image's own user where nobody is named.
    pub user: Option<String>,
    /// Whether the command gets a terminal.
    pub terminal: Terminal,
    /// What to run; a login where it is empty.
    pub command: Vec<OsString>,
}

/// Whether a command in a guest gets a terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Terminal {
    /// A login gets one, a command does not.
    #[default]
    Auto,
    /// It gets one in any case.
    Always,
}

/// A way into a guest, ready to be gone.
#[derive(Debug)]
pub struct SshCall {
    args: Vec<OsString>,
    /// What a person should know about how the guest was found.
    pub note: Option<Diagnostic>,
}

/// What `ssh-config` is asked.
#[derive(Debug, Clone, Default)]
pub struct SshConfigOptions {
    /// Which workspace.
    pub selection: WorkspaceSelection,
    /// Which VMs; all of them where empty.
    pub vms: Vec<VmName>,
    /// Whether to put it into the workspace.
    pub write: Write,
}

/// Whether a configuration is written to a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Write {
    /// It is only given.
    #[default]
    No,
    /// It is put into the workspace too.
    Yes,
}

/// A configuration for ssh.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct SshConfigOutcome {
    /// The workspace.
    #[schemars(with = "String")]
    pub workspace: WorkspaceId,
    /// The ways in, in the order of their VMs' names.
    pub hosts: Vec<SshHost>,
    /// The configuration, as ssh reads it.
    pub text: String,
    /// Where it was written; null where it was not.
    pub path: Option<PathBuf>,
    /// The line that makes plain ssh use that file; null where it was not written.
    pub include: Option<String>,
}

/// How one VM is reached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct SshHost {
    /// The VM.
    #[schemars(with = "String")]
    pub vm: VmName,
    /// What ssh may call it: its name, and its name with its project's before it.
    pub names: Vec<String>,
    /// The address of the host where it is reached.
    pub address: IpAddr,
    /// The port there.
    pub port: u16,
    /// Who logs in.
    pub user: String,
    /// The private key to log in with.
    pub identity_file: PathBuf,
    /// The file with the guest's host key.
    pub known_hosts: PathBuf,
    /// The name the guest's host key has there.
    pub host_key_alias: String,
}

/// The name ssh knows a guest's host key by: no address, so it holds on every port.
///
/// In lower case, as ssh compares it.
pub(crate) fn host_key_alias(workspace: &WorkspaceId, vm: &VmName) -> String {
    format!("{workspace}.{vm}").to_ascii_lowercase()
}

/// Finds the way into a guest.
///
/// # Errors
/// [`Error::NotRunning`], [`Error::NoWayForSsh`], [`Error::NoHostKey`], and [`Error`] where the VM is
/// not known or the configuration cannot be written.
pub fn ssh(session: &Session, options: &SshOptions) -> Result<SshCall, Error> {
    let target = target(session, &options.selection)?;
    let vm = known_vms(&target)?.choose(options.vm.as_ref())?;
    let observed = observed::observe(&target)?;
    if !observed.iter().any(|other| other.name == vm && other.may_live()) {
        return Err(Error::NotRunning { vm });
    }
    let hosts = hosts(&target, &observed);
    if !hosts.iter().any(|host| host.vm == vm) {
        return Err(Error::NoWayForSsh { vm });
    }
    if !target.layout.known_hosts(&vm).exists() {
        return Err(Error::NoHostKey { vm });
    }
    let path = write(&target.layout, &config::text(&target.id, &hosts)?)?;

    let mut args: Vec<OsString> = vec!["-F".into(), path.into()];
    if options.terminal == Terminal::Always {
        args.push("-t".into());
    }
    if let Some(user) = &options.user {
        args.extend(["-l".into(), user.into()]);
    }
    args.extend(["--".into(), vm.as_str().into()]);
    args.extend(options.command.iter().cloned());
    Ok(SshCall { args, note: target.note })
}

impl SshCall {
    /// Lets this process become ssh, with its exit code. Comes back only where that fails.
    pub fn take_over(self) -> Error {
        exec::SSH.take_over(&self.args).into()
    }
}

/// Gives the configuration with which ssh, and whatever uses it, reaches the guests.
///
/// # Errors
/// [`Error::UnknownVm`]; [`Error::NoWayForSsh`] where a VM that was named cannot be reached.
pub fn ssh_config(
    session: &Session,
    options: &SshConfigOptions,
) -> Result<OperationOutput<SshConfigOutcome>, Error> {
    let target = target(session, &options.selection)?;
    let named =
        options.vms.iter().map(|vm| known_vms(&target)?.choose(Some(vm))).collect::<Result<Vec<_>, _>>()?;
    let mut hosts = hosts(&target, &observed::observe(&target)?);
    if !named.is_empty() {
        if let Some(vm) = named.iter().find(|vm| hosts.iter().all(|host| host.vm != **vm)) {
            return Err(Error::NoWayForSsh { vm: vm.clone() });
        }
        hosts.retain(|host| named.contains(&host.vm));
    }
    let text = config::text(&target.id, &hosts)?;
    let path = match options.write {
        Write::No => None,
        Write::Yes => Some(write(&target.layout, &text)?),
    };
    let mut diagnostics: Vec<Diagnostic> = target.note.into_iter().collect();
    if hosts.is_empty() {
        diagnostics
            .push(Diagnostic::note("no VM forwards a host port to its port 22").with_hint(FORWARD_HINT));
    }
    let include = path.as_deref().map(config::include).transpose()?;
    let value = SshConfigOutcome { workspace: target.id, hosts, text, path, include };
    Ok(OperationOutput { value, diagnostics })
}

/// The way into a guest for Castra itself.
#[derive(Debug, Clone)]
pub(crate) struct OwnWay {
    /// What ssh reads; it calls the guest by its VM's name.
    pub(crate) config: String,
    /// Who logs in.
    pub(crate) user: String,
}

/// The way into a VM that runs as `spec` says; none where no port leads there, where one end was not given
/// its key, or where there is no ssh.
pub(crate) fn own_way(target: &Target, spec: &VmSpec) -> Option<OwnWay> {
    let host = host(target, &spec.name, ssh_forward(spec.port_forwards())?);
    if !host.identity_file.exists() || !host.known_hosts.exists() {
        return None;
    }
    exec::SSH.find()?;
    let config = config::text(&target.id, std::slice::from_ref(&host)).ok()?;
    Some(OwnWay { config, user: host.user })
}

/// What makes a guest reachable by ssh.
pub(crate) const FORWARD_HINT: &str =
    "forward a port to it in castra.toml: `port_forwards = [{ host = 2222, guest = 22 }]`";

/// Writes the configuration anew where it is in use: ports may have changed.
pub(crate) fn refresh(target: &Target) -> Result<(), Error> {
    if !target.layout.ssh_config().exists() {
        return Ok(());
    }
    let hosts = hosts(target, &observed::observe(target)?);
    write(&target.layout, &config::text(&target.id, &hosts)?)?;
    Ok(())
}

fn write(layout: &Layout, text: &str) -> Result<PathBuf, Error> {
    let path = layout.ssh_config();
    if !std::fs::read(&path).is_ok_and(|there| there == text.as_bytes()) {
        publish::private_dir(layout.root())?;
        publish::write(&path, text.as_bytes())?;
    }
    Ok(path)
}

/// Every VM that is reached by ssh, or would be if it ran. A live VM is reached as it was started.
fn hosts(target: &Target, observed: &[ObservedVm]) -> Vec<SshHost> {
    let mut found: Vec<SshHost> = Vec::new();
    let live = observed.iter().filter(|vm| vm.may_live());
    let live = live.filter_map(|vm| Some((&vm.name, ssh_forward(vm.spec.as_ref()?.port_forwards()))));
    let live: Vec<_> = live.collect();
    let declared = target.project.iter().flat_map(|project| &project.vms);
    let declared = declared.filter(|vm| live.iter().all(|(name, _)| **name != vm.name));
    let declared = declared.map(|vm| (&vm.name, ssh_forward(vm.port_forwards.iter())));
    for (vm, forward) in live.iter().copied().chain(declared) {
        found.extend(forward.map(|forward| host(target, vm, forward)));
    }
    found.sort_by(|a, b| a.vm.cmp(&b.vm));
    found
}

fn host(target: &Target, vm: &VmName, forward: &PortForward) -> SshHost {
    let address = reachable_address(forward);
    SshHost {
        vm: vm.clone(),
        names: vec![vm.to_string(), format!("{}.{vm}", target.id.slug())],
        address: address.ip(),
        port: address.port(),
        user: user(target, vm).to_owned(),
        identity_file: target.layout.client_key(),
        known_hosts: target.layout.known_hosts(vm),
        host_key_alias: host_key_alias(&target.id, vm),
    }
}

/// The user whom the keys in a VM's seed are for.
fn user(target: &Target, vm: &VmName) -> &'static str {
    let vm = target.project.as_ref().and_then(|project| project.vm(vm.as_str()));
    let known = match vm.map(|vm| &vm.base_image) {
        Some(BaseImage::Catalogue(name)) => catalogue::find(name.as_str()),
        Some(BaseImage::Path(_)) | None => None,
    };
    known.map_or(UNKNOWN_IMAGE_USER, catalogue::Known::default_user)
}
