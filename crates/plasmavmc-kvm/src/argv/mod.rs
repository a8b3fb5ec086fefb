//! QEMU's command line, from typed values. Pure: no file is looked at, nothing is started.
//!
//! Every device and block node has an id made from the spec's, and every PCI device a slot made
//! from its place in the spec: adding a disk renames no network card, and a memory checkpoint finds
//! the same machine again. Values that can hold a `,` travel as JSON, or with it doubled where QEMU takes no
//! JSON; all others cannot hold one by their type. Tests: below and in [`golden`].

mod block;
#[cfg(test)]
mod golden;
mod network;
mod share;
mod support;

use std::path::Path;

use plasmavmc_types::{Accelerator, Firmware, MachineType, RunToken, VmName, VmSpec};

use crate::firmware::UefiFiles;

pub(crate) use network::rule;
pub(crate) use support::check;

/// Descriptor numbers the process inherits. They stand on its command line, so they never change.
pub(crate) mod fd {
    /// The listening control socket.
    pub(crate) const QMP: i32 = 3;
    /// The listening serial console socket.
    pub(crate) const SERIAL: i32 = 4;
    /// A pipe with the command that opens the journal.
    pub(crate) const JOURNAL_INPUT: i32 = 5;
    /// The pipe's other end: held by the reader itself, so that its input never ends.
    pub(crate) const JOURNAL_INPUT_WRITER: i32 = 6;
    /// The lock that is held for as long as the process lives.
    pub(crate) const LIVE_LOCK: i32 = 7;
    /// The listening socket of the guest channel.
    pub(crate) const AGENT: i32 = 8;
    /// The listening socket of the guest's `qemu-guest-agent`.
    pub(crate) const GUEST_AGENT: i32 = 9;
}

/// Everything the command line is made from.
#[derive(Debug, Clone)]
pub(crate) struct Machine<'a> {
    /// What the VM shall be.
    pub(crate) spec: &'a VmSpec,
    /// The machine type with its version.
    pub(crate) machine: &'a str,
    /// What runs its guest code.
    pub(crate) accelerator: Accelerator,
    /// This run.
    pub(crate) token: RunToken,
    /// The firmware's files, where the spec asks for UEFI.
    pub(crate) uefi: Option<UefiFiles>,
    /// The serial log, relative to the working directory.
    pub(crate) serial_log: &'a Path,
    /// The journal, relative to the working directory.
    pub(crate) journal: &'a Path,
}

/// How a VM's devices are attached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Bus {
    /// PCI Express (`q35`).
    Pci,
    /// Memory-mapped virtio (`microvm`).
    Mmio,
}

impl Bus {
    fn of(machine: MachineType) -> Self {
        match machine {
            MachineType::Q35 => Self::Pci,
            MachineType::Microvm => Self::Mmio,
        }
    }

    /// A virtio device at a slot of its own.
    fn virtio(self, kind: &str, slot: u8) -> String {
        match self {
            Self::Pci => format!("virtio-{kind}-pci,addr={slot:#x}"),
            Self::Mmio => format!("virtio-{kind}-device"),
        }
    }
}

/// The port of the agent's, as the guest sees it in `/dev/virtio-ports`.
const AGENT_PORT: &str = castra_agent_proto::limits::PORT_NAME;

/// The id of the agent's port, by which QEMU's events name it.
pub(crate) const AGENT_PORT_ID: &str = "agent-port";

/// The port `qemu-guest-agent` opens by default.
const GUEST_AGENT_PORT: &str = "org.qemu.guest_agent.0";

/// The slots of bus `pcie.0`. Slot 0 is the host bridge, slot 31 the chipset.
mod slot {
    /// The folders': each is a function of it.
    pub(super) const SHARES: u8 = 0x01;
    /// The first disk's.
    pub(super) const DISKS: u8 = 0x02;
    /// The first network card's.
    pub(super) const NETWORKS: u8 = 0x10;
    /// The guest channel's bus.
    pub(super) const CHANNEL: u8 = 0x1c;
    /// The device through which the guest's kernel reports a crash.
    pub(super) const PANIC: u8 = 0x1d;
    /// The source of randomness.
    pub(super) const RNG: u8 = 0x1e;
}

/// How the argument begins by which any of our processes is recognised.
pub(crate) const MARKER_PREFIX: &str = "guest=castra/";

/// The argument by which a run's process is recognised.
pub(crate) fn marker(vm: &VmName, token: RunToken) -> String {
    format!("{MARKER_PREFIX}{vm}/{token},debug-threads=on")
}

/// Whose process carries that argument; none where it is not a [`marker`].
pub(crate) fn parse_marker(argument: &str) -> Option<(VmName, RunToken)> {
    let (vm, rest) = argument.strip_prefix(MARKER_PREFIX)?.split_once('/')?;
    let (token, _) = rest.split_once(',')?;
    Some((vm.parse().ok()?, token.parse().ok()?))
}

/// The command line, without the program.
pub(crate) fn build(machine: &Machine<'_>) -> Vec<String> {
    let spec = machine.spec;
    let bus = Bus::of(spec.machine);
    let mut argv = Vec::new();
    identity(&mut argv, machine);
    board(&mut argv, machine);
    sockets(&mut argv, machine);
    if let Some(uefi) = &machine.uefi {
        block::firmware(&mut argv, uefi);
    }
    for (index, disk) in (0..).zip(&spec.disks) {
        block::disk(&mut argv, disk, bus, index);
    }
    for (index, network) in (0..).zip(&spec.networks) {
        network::card(&mut argv, network, bus, index);
    }
    for (index, share) in (0..).zip(&spec.shares) {
        share::folder(&mut argv, share, bus, index);
    }
    channel(&mut argv, bus);
    push(&mut argv, "-object", r#"{"qom-type":"rng-builtin","id":"rng"}"#);
    push(&mut argv, "-device", format!("{},id=rng-device,rng=rng", bus.virtio("rng", slot::RNG)));
    if bus == Bus::Pci {
        push(&mut argv, "-device", format!("pvpanic-pci,id=panic,addr={:#x}", slot::PANIC));
    }
    argv
}

/// Who it is, and what it may do. First, so that the marker is near the front.
fn identity(argv: &mut Vec<String>, machine: &Machine<'_>) {
    push(argv, "-name", marker(&machine.spec.name, machine.token));
    push(argv, "-uuid", machine.spec.id.to_string());
    argv.extend(["-nodefaults", "-no-user-config"].map(str::to_owned));
    push(argv, "-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny");
}

/// The board, its processors, its memory, its clock.
fn board(argv: &mut Vec<String>, machine: &Machine<'_>) {
    let spec = machine.spec;
    let mut board = machine.machine.to_owned();
    match spec.machine {
        // Without ACPI the guest could not be asked to power off.
        MachineType::Microvm => board.push_str(",acpi=on,rtc=on"),
        MachineType::Q35 if spec.firmware == Firmware::Uefi => {
            board.push_str(",pflash0=uefi-code,pflash1=uefi-vars");
        }
        MachineType::Q35 => {}
    }
    push(argv, "-machine", board);
    push(argv, "-accel", machine.accelerator.as_str());
    // TCG has no host processor to pass on; `max` is all it can emulate.
    push(argv, "-cpu", if machine.accelerator == Accelerator::Tcg { "max" } else { "host" });
    push(argv, "-smp", spec.resources.cpus.to_string());
    push(argv, "-m", format!("{}M", spec.resources.memory.as_mib()));
    push(argv, "-rtc", "base=utc");
    push(argv, "-display", "none");
    // A guest whose kernel crashed has stopped, and its journal says why; rebooting is for the
    // guest to ask, and stays possible.
    push(argv, "-action", "reboot=reset,shutdown=poweroff,panic=shutdown,watchdog=reset");
}

/// Control socket, journal and serial console.
fn sockets(argv: &mut Vec<String>, machine: &Machine<'_>) {
    push(argv, "-chardev", format!("socket,id=qmp,fd={},server=on,wait=off", fd::QMP));
    push(argv, "-mon", "chardev=qmp,mode=control");
    let journal = machine.journal.display();
    let input = format!("/proc/self/fd/{}", fd::JOURNAL_INPUT);
    push(argv, "-chardev", format!("file,id=journal,path={journal},append=on,input-path={input}"));
    push(argv, "-mon", "chardev=journal,mode=control");
    let log = machine.serial_log.display();
    let socket = format!("fd={},server=on,wait=off", fd::SERIAL);
    push(argv, "-chardev", format!("socket,id=serial,{socket},logfile={log},logappend=on"));
    push(argv, "-serial", "chardev:serial");
}

/// The guest channel: a virtio-serial bus with a port for Castra's agent and one for QEMU's own.
fn channel(argv: &mut Vec<String>, bus: Bus) {
    push(argv, "-device", format!("{},id=channel", bus.virtio("serial", slot::CHANNEL)));
    for (id, fd, name) in [("agent", fd::AGENT, AGENT_PORT), ("qga", fd::GUEST_AGENT, GUEST_AGENT_PORT)] {
        push(argv, "-chardev", format!("socket,id={id},fd={fd},server=on,wait=off"));
        push(argv, "-device", format!("virtserialport,bus=channel.0,chardev={id},name={name},id={id}-port"));
    }
    debug_assert!(argv.iter().any(|argument| argument.ends_with(&format!("id={AGENT_PORT_ID}"))));
}

fn push(argv: &mut Vec<String>, option: &str, value: impl Into<String>) {
    argv.extend([option.to_owned(), value.into()]);
}
