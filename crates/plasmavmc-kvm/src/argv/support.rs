//! Which specs can become a command line here, asked before anything is written or started.
//!
//! Tests: below.

use plasmavmc_hypervisor::Error;
use plasmavmc_types::{Accelerator, Firmware, MachineType, NetworkKind, VmSpec};

use super::{share, slot};
use crate::offer::Offer;

/// Disks a VM can have: the slots up to the network cards'.
const DISKS_MAX: usize = (slot::NETWORKS - slot::DISKS) as usize;
/// Network cards a VM can have: the slots up to the guest channel's.
const NETWORKS_MAX: usize = 12;

/// Whether this backend can run the spec with that QEMU.
///
/// # Errors
/// [`Error::Unsupported`] with what the spec needs and what to do about it.
pub(crate) fn check(spec: &VmSpec, offer: &Offer, uefi_installed: bool) -> Result<(), Error> {
    match first_fault(spec, offer, uefi_installed) {
        None => Ok(()),
        Some((what, hint)) => Err(Error::Unsupported { vm: spec.name.clone(), what, hint }),
    }
}

/// What is needed and missing, and what to do about it.
type Fault = (String, String);

fn first_fault(spec: &VmSpec, offer: &Offer, uefi_installed: bool) -> Option<Fault> {
    board(spec, offer, uefi_installed)
        .or_else(|| disks(spec))
        .or_else(|| networks(spec))
        .or_else(|| shares(spec))
}

fn board(spec: &VmSpec, offer: &Offer, uefi_installed: bool) -> Option<Fault> {
    if spec.accelerator.required() == Some(Accelerator::Hvf) && !cfg!(target_os = "macos") {
        return fault("the accelerator `hvf`, which only macOS has", "write `accelerator = \"auto\"`");
    }
    if offer.machine(spec.machine).is_none() {
        let what = format!("a machine type this QEMU ({}) does not offer", offer.version);
        return fault(&what, "write `machine = \"q35\"`");
    }
    if spec.resources.memory.as_mib() == 0 {
        return fault("at least 1 MiB of memory", "write for example `memory = \"512 MiB\"`");
    }
    match (spec.firmware, spec.machine) {
        (Firmware::Uefi, MachineType::Microvm) => {
            fault("UEFI firmware on a microvm, which has none", "write `firmware = \"bios\"`")
        }
        (Firmware::Uefi, MachineType::Q35) if !uefi_installed => {
            fault("UEFI firmware, which is not installed", "install it: `sudo apt-get install ovmf`")
        }
        _ => None,
    }
}

fn disks(spec: &VmSpec) -> Option<Fault> {
    if spec.disks.len() > DISKS_MAX {
        let what = format!("{} disks; {DISKS_MAX} fit", spec.disks.len());
        return fault(&what, "put several data sets on one disk");
    }
    let paths = spec.disks.iter().flat_map(|disk| {
        std::iter::once(&disk.path).chain(disk.backing.as_ref().map(|backing| &backing.path))
    });
    for path in paths {
        if path.to_str().is_none() {
            let what = format!("the disk `{}`, whose path is not UTF-8", path.display());
            return fault(&what, "rename it with `mv`");
        }
    }
    None
}

fn networks(spec: &VmSpec) -> Option<Fault> {
    if spec.networks.len() > NETWORKS_MAX {
        let what = format!("{} network cards; {NETWORKS_MAX} fit", spec.networks.len());
        return fault(&what, "forward more ports through one card");
    }
    for network in &spec.networks {
        let NetworkKind::User { forwards } = &network.kind else {
            return fault("a kind of network this backend does not know", "use the user-mode network");
        };
        // QEMU's user-mode network takes IPv4 host addresses only (10.0: "Bad host address").
        if let Some(forward) = forwards.iter().find(|forward| forward.address.is_ipv6()) {
            let what = format!("the forward {forward}; QEMU listens on IPv4 addresses only");
            return fault(&what, "leave the host address out: it is 127.0.0.1 then");
        }
    }
    None
}

fn shares(spec: &VmSpec) -> Option<Fault> {
    if spec.shares.len() > share::MAX {
        let what = format!("{} shared folders; {} fit", spec.shares.len(), share::MAX);
        return fault(&what, "share a folder that holds several of them");
    }
    // The command line would hold another name.
    let unnamed = spec.shares.iter().find(|share| share.path.to_str().is_none())?;
    fault(&format!("the folder `{}`, whose path is not UTF-8", unnamed.path.display()), "rename it with `mv`")
}

fn fault(what: &str, hint: &str) -> Option<Fault> {
    Some((what.to_owned(), hint.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use plasmavmc_hypervisor::conformance::small_spec;
    use plasmavmc_types::{
        AcceleratorChoice, ByteSize, DiskFormat, DiskSpec, NetworkSpec, PortForward, ShareSpec,
    };
    use std::os::unix::ffi::OsStringExt;

    /// What is refused, and how a spec comes to ask for it.
    type Case<'a> = (&'a str, &'a dyn Fn(&mut VmSpec));

    fn unsupported(change: impl Fn(&mut VmSpec)) -> String {
        let mut spec = small_spec("web");
        assert!(check(&spec, &Offer::sample(), false).is_ok());
        change(&mut spec);
        check(&spec, &Offer::sample(), false).unwrap_err().to_string()
    }

    fn disk(path: impl Into<std::path::PathBuf>) -> DiskSpec {
        DiskSpec {
            id: "root".parse().unwrap(),
            path: path.into(),
            format: DiskFormat::Raw,
            backing: None,
            read_only: false,
            persistence: plasmavmc_types::Persistence::Disposable,
        }
    }

    fn share(path: impl Into<std::path::PathBuf>) -> ShareSpec {
        ShareSpec {
            id: "share".parse().unwrap(),
            path: path.into(),
            mount_point: "/d".to_owned(),
            read_only: true,
        }
    }

    #[test]
    fn what_cannot_be_built_is_refused_with_its_reason() {
        let cases: [Case<'_>; 9] = [
            ("VM `web` needs UEFI firmware, which is not installed", &|s| s.firmware = Firmware::Uefi),
            ("VM `web` needs UEFI firmware on a microvm, which has none", &|s| {
                s.machine = MachineType::Microvm;
                s.firmware = Firmware::Uefi;
            }),
            ("VM `web` needs the accelerator `hvf`, which only macOS has", &|s| {
                s.accelerator = AcceleratorChoice::Hvf;
            }),
            ("VM `web` needs at least 1 MiB of memory", &|s| s.resources.memory = ByteSize::bytes(1023)),
            ("VM `web` needs 15 disks; 14 fit", &|s| s.disks = vec![disk("/w/d"); 15]),
            ("VM `web` needs the disk `/w/�`, whose path is not UTF-8", &|s| {
                s.disks = vec![disk(std::ffi::OsString::from_vec(b"/w/\xff".to_vec()))];
            }),
            ("VM `web` needs 9 shared folders; 8 fit", &|s| s.shares = vec![share("/w/d"); 9]),
            ("VM `web` needs the folder `/w/�`, whose path is not UTF-8", &|s| {
                s.shares = vec![share(std::ffi::OsString::from_vec(b"/w/\xff".to_vec()))];
            }),
            ("VM `web` needs the forward ::1:2222 -> 22/tcp; QEMU listens on IPv4 addresses only", &|s| {
                let forward = PortForward::tcp(2222, 22).unwrap();
                let forward = PortForward { address: std::net::Ipv6Addr::LOCALHOST.into(), ..forward };
                let kind = NetworkKind::User { forwards: vec![forward] };
                let mac = plasmavmc_types::MacAddr::from_seed([1, 2, 3]);
                s.networks = vec![NetworkSpec { id: "net".parse().unwrap(), kind, mac }];
            }),
        ];
        for (expected, change) in cases {
            assert_eq!(unsupported(change), expected);
        }
    }
}
