//! Who holds a host port, and who else wants it. Pure.
//!
//! Everything is a claim: a live VM holds what it was started with, a stopped one only declares what
//! its config says. Called by `ports`, by the preflight of `up`, and where QEMU could not listen.
//! Tests: below.

use std::fmt;
use std::path::PathBuf;

use plasmavmc_host::ports::{self as host_ports, Listener};
use plasmavmc_types::{PortForward, VmName, VmSpec};
use schemars::JsonSchema;
use serde::Serialize;

use crate::core::observed::ObservedWorkspace;
use crate::core::project::WorkspaceId;
use crate::core::selection::Target;

/// A VM among those of all projects.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, JsonSchema)]
pub struct VmRef {
    /// Its workspace.
    #[schemars(with = "String")]
    pub workspace: WorkspaceId,
    /// Its project.
    pub project: String,
    /// Its name.
    #[schemars(with = "String")]
    pub vm: VmName,
    /// Where its workspace is: one that moved may have left a live VM of the same name behind.
    #[serde(skip)]
    #[schemars(skip)]
    pub root: PathBuf,
}

impl VmRef {
    /// The VM `vm` of a workspace.
    pub(crate) fn of(target: &Target, vm: &VmName) -> Self {
        let (workspace, project) = (target.id.clone(), target.project_name());
        Self { workspace, project, vm: vm.clone(), root: target.layout.root().to_owned() }
    }

    /// Whether both are one VM, in whichever of its workspace's places.
    fn is_same_vm(&self, other: &Self) -> bool {
        (&self.workspace, &self.vm) == (&other.workspace, &other.vm)
    }
}

/// Shows ``VM `db` of project `shop` (workspace shop-0123456789ab)``.
impl fmt::Display for VmRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { workspace, project, vm, root: _ } = self;
        write!(f, "VM `{vm}` of project `{project}` (workspace {workspace})")
    }
}

/// Who holds a host port.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Holder {
    /// A VM of this user.
    Vm(VmRef),
    /// Another process of this user.
    Process {
        /// Its process id.
        pid: u32,
        /// The name of its program.
        command: String,
    },
    /// A process of another user.
    OtherUser {
        /// The user's id.
        uid: u32,
    },
    /// Something this user cannot see: it is in another namespace, or just ended.
    Unknown,
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Vm(vm) => vm.fmt(f),
            Self::Process { pid, command } => write!(f, "process {pid} ({command})"),
            Self::OtherUser { uid } => write!(f, "a process of another user (id {uid})"),
            Self::Unknown => f.write_str("something that cannot be seen from here"),
        }
    }
}

/// A forward that some VM has, or would have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Claim {
    /// Whose it is.
    pub(crate) by: VmRef,
    /// The forward.
    pub(crate) forward: PortForward,
    /// Whether its port is in use by that VM.
    pub(crate) hold: Hold,
}

/// Whether a claim is in force.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hold {
    /// The VM is live and listens on the port.
    Held,
    /// The VM would listen on the port if it were started now.
    Declared,
}

/// The claims of a workspace: what its live VMs hold, and what its config declares beside that.
pub(crate) fn claims_of(workspace: &ObservedWorkspace) -> Vec<Claim> {
    let target = &workspace.target;
    let mut claims = Vec::new();
    for vm in workspace.vms() {
        let known_to_config =
            target.project.as_ref().is_some_and(|project| project.vm(vm.name.as_str()).is_some());
        let live = vm.status.as_ref().is_some_and(|status| status.state.is_live());
        let hold = if live { Hold::Held } else { Hold::Declared };
        // What a stopped VM was last started with is worth telling only where no config says more.
        if hold == Hold::Held || !known_to_config {
            let claim = |forward: &PortForward| Claim {
                by: VmRef::of(target, &vm.name),
                forward: forward.clone(),
                hold,
            };
            claims.extend(vm.spec.iter().flat_map(VmSpec::port_forwards).map(claim));
        }
    }
    for vm in target.project.iter().flat_map(|project| &project.vms) {
        for forward in &vm.port_forwards {
            let by = VmRef::of(target, &vm.name);
            if !claims.iter().any(|claim| claim.by == by && claim.forward == *forward) {
                claims.push(Claim { by, forward: forward.clone(), hold: Hold::Declared });
            }
        }
    }
    claims.sort_by(|a, b| (&a.by.vm, a.forward.host).cmp(&(&b.by.vm, b.forward.host)));
    claims
}

/// Who holds the port of `forward`: a VM other than `except`, else whoever listens on it.
pub(crate) fn holder_of(
    forward: &PortForward,
    except: Option<&VmRef>,
    claims: &[Claim],
    listeners: &[Listener],
) -> Option<Holder> {
    let clashing = |claim: &&Claim| claim.forward.clashes_with(forward);
    let mut held = claims.iter().filter(|claim| claim.hold == Hold::Held).filter(clashing);
    if let Some(claim) = held.clone().find(|claim| Some(&claim.by) != except) {
        return Some(Holder::Vm(claim.by.clone()));
    }
    if held.next().is_some() {
        // The VM's own process is what listens there.
        return None;
    }
    let listener = listeners.iter().find(|listener| listener.is_in_the_way_of(forward))?;
    Some(match &listener.holder {
        host_ports::Holder::Process { pid, command } => {
            Holder::Process { pid: *pid, command: command.clone() }
        }
        host_ports::Holder::OtherUser { uid } => Holder::OtherUser { uid: *uid },
        host_ports::Holder::Unknown => Holder::Unknown,
    })
}

/// Whoever else declares the port of `claim` and does not hold it now.
pub(crate) fn also_declared_by(claim: &Claim, claims: &[Claim]) -> Vec<VmRef> {
    let others =
        claims.iter().filter(|other| other.hold == Hold::Declared && !other.by.is_same_vm(&claim.by));
    let mut found: Vec<VmRef> = others
        .filter(|other| other.forward.clashes_with(&claim.forward))
        .map(|other| other.by.clone())
        .collect();
    found.dedup();
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vm(workspace: &str, name: &str) -> VmRef {
        let id = format!("{workspace}-0123456789ab").parse().unwrap();
        let root = format!("/w/{workspace}").into();
        VmRef { workspace: id, project: workspace.to_owned(), vm: name.parse().unwrap(), root }
    }

    fn claim(by: VmRef, port: u64, hold: Hold) -> Claim {
        Claim { by, forward: PortForward::tcp(port, 22).unwrap(), hold }
    }

    fn listener(port: u16, holder: host_ports::Holder) -> Listener {
        Listener { address: PortForward::LOOPBACK, port, protocol: plasmavmc_types::Protocol::Tcp, holder }
    }

    #[test]
    fn whoever_is_in_the_way_is_named() {
        let process = |pid| host_ports::Holder::Process { pid, command: "python3".to_owned() };
        let claims = [
            claim(vm("shop", "db"), 2222, Hold::Held),
            claim(vm("web", "db"), 2222, Hold::Declared),
            claim(vm("web", "live"), 3333, Hold::Held),
        ];
        // The QEMU of `shop/db` shows up among the listeners, as any process does.
        let listeners = [
            listener(2222, process(1)),
            listener(3333, process(2)),
            listener(4444, process(3)),
            listener(5555, host_ports::Holder::OtherUser { uid: 33 }),
            listener(6666, host_ports::Holder::Unknown),
        ];
        for (port, asker, expected) in [
            (2222, vm("web", "db"), Some("VM `db` of project `shop` (workspace shop-0123456789ab)")),
            (3333, vm("web", "live"), None),
            (4444, vm("web", "db"), Some("process 3 (python3)")),
            (5555, vm("web", "db"), Some("a process of another user (id 33)")),
            (6666, vm("web", "db"), Some("something that cannot be seen from here")),
            (7777, vm("web", "db"), None),
        ] {
            let forward = PortForward::tcp(port, 22).unwrap();
            let holder = holder_of(&forward, Some(&asker), &claims, &listeners);
            assert_eq!(holder.map(|holder| holder.to_string()).as_deref(), expected, "port {port}");
        }
    }

    #[test]
    fn another_protocol_or_address_is_not_in_the_way() {
        let claims = [claim(vm("shop", "db"), 2222, Hold::Held)];
        let mut forward = PortForward::tcp(2222, 22).unwrap();
        forward.protocol = plasmavmc_types::Protocol::Udp;
        assert_eq!(holder_of(&forward, None, &claims, &[]), None);
        let mut forward = PortForward::tcp(2222, 22).unwrap();
        forward.address = std::net::Ipv4Addr::UNSPECIFIED.into();
        assert!(holder_of(&forward, None, &claims, &[]).is_some(), "every address includes the loopback one");
    }

    #[test]
    fn those_who_would_clash_are_told_once_each_and_never_the_asker() {
        let own = claim(vm("web", "db"), 2222, Hold::Declared);
        let claims = [
            own.clone(),
            claim(vm("shop", "db"), 2222, Hold::Declared),
            claim(vm("shop", "db"), 2223, Hold::Declared),
            claim(vm("zoo", "db"), 2222, Hold::Held),
        ];
        assert_eq!(also_declared_by(&own, &claims), [vm("shop", "db")]);
    }

    #[test]
    fn a_vm_left_behind_where_its_workspace_was_is_in_the_way_and_is_no_rival() {
        let now = vm("shop", "web");
        let former = VmRef { root: "/former".into(), ..now.clone() };
        let wanted = PortForward::tcp(2222, 22).unwrap();
        let held = [claim(now.clone(), 2222, Hold::Declared), claim(former.clone(), 2222, Hold::Held)];
        assert_eq!(holder_of(&wanted, Some(&now), &held, &[]), Some(Holder::Vm(former.clone())));
        let free = [claim(now, 2222, Hold::Declared), claim(former, 2222, Hold::Declared)];
        assert_eq!(also_declared_by(&free[0], &free), []);
    }
}
