//! A real Linux guest: reached through its port forward, and off at the press of its button.

use std::io::Read;
use std::net::TcpStream;
use std::time::Duration;

use castra_testkit::{eventually, free_port, tiny_image};
use plasmavmc_hypervisor::conformance::small_spec;
use plasmavmc_hypervisor::{HypervisorBackend, StopMethod, block_on};
use plasmavmc_types::{
    BackingSpec, ByteSize, DiskFormat, DiskSpec, Firmware, MacAddr, NetworkKind, NetworkSpec, PortForward,
    StopReason, VmSpec,
};

use crate::bench::{Bench, chain, overlay, raw_disk};

#[test]
fn a_linux_guest_is_reached_through_its_forward_and_powers_off_when_asked() {
    a_guest_comes_and_goes(Firmware::Bios);
}

#[test]
fn a_linux_guest_boots_by_uefi_from_variables_of_its_own() {
    a_guest_comes_and_goes(Firmware::Uefi);
}

fn a_guest_comes_and_goes(firmware: Firmware) {
    let bench = Bench::new();
    let (port, spec) = linux(&bench, firmware);
    let vm = bench.create(&spec);
    block_on(bench.backend.start_vm(&vm)).unwrap_or_else(|error| panic!("{}", chain(&error)));
    eventually("the banner of its SSH server", || greets_as_ssh(port));
    assert!(String::from_utf8_lossy(&bench.said("linux")).contains("Linux version"));
    assert_eq!(bench.layout().uefi_vars(&vm.name).exists(), firmware == Firmware::Uefi);
    block_on(bench.backend.stop_vm(&vm, StopMethod::Powerdown)).unwrap();
    assert_eq!(bench.wait_stopped(&vm), StopReason::Requested);
}

/// A VM on an overlay of the tiny image, and the host port that leads to its SSH server.
fn linux(bench: &Bench, firmware: Firmware) -> (u16, VmSpec) {
    let path = bench.path("linux.qcow2");
    let backing = BackingSpec { path: tiny_image(), format: DiskFormat::Qcow2 };
    overlay(&backing, &path);
    let disk = DiskSpec { format: DiskFormat::Qcow2, backing: Some(backing), ..raw_disk(path) };
    let port = free_port();
    let kind = NetworkKind::User { forwards: vec![PortForward::tcp(port.into(), 22).unwrap()] };
    let card = NetworkSpec { id: "net".parse().unwrap(), kind, mac: MacAddr::from_seed([1, 2, 3]) };
    let mut spec = VmSpec { firmware, disks: vec![disk], networks: vec![card], ..small_spec("linux") };
    spec.resources.memory = ByteSize::mib(256);
    (port, spec)
}

fn greets_as_ssh(port: u16) -> bool {
    let Ok(mut stream) = TcpStream::connect(("127.0.0.1", port)) else { return false };
    stream.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
    let mut banner = [0; 8];
    stream.read_exact(&mut banner).is_ok_and(|()| banner == *b"SSH-2.0-")
}
