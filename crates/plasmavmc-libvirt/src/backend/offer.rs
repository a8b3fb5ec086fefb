//! What of a spec libvirt can do, told before anything is defined. Pure.
//!
//! Port forwards need `passt`, which QEMU's own user network is not; a microvm is no machine that libvirt
//! knows. Tests: below.

use std::path::Path;

use plasmavmc_hypervisor::Error;
use plasmavmc_types::{Accelerator, AcceleratorChoice, Firmware, MachineType, NetworkKind, VmSpec};

use crate::facts::{HostFacts, Kind};
use crate::xml;

/// Disks that get a target of one letter: more than anyone has.
const DISKS_MAX: usize = 26;

/// libvirt's kind of domain for an accelerator.
pub(super) const fn kind_of(accelerator: Accelerator) -> Option<&'static str> {
    match accelerator {
        Accelerator::Kvm => Some("kvm"),
        Accelerator::Tcg => Some("qemu"),
        Accelerator::Hvf => None,
    }
}

/// The kind of domain that a spec becomes.
///
/// # Errors
/// [`Error::Unsupported`] with the first thing that libvirt cannot do.
pub(super) fn check<'f>(
    spec: &VmSpec,
    facts: &'f HostFacts,
    proven: &[Accelerator],
) -> Result<&'f Kind, Error> {
    let unsupported = |(what, hint): Fault| Error::Unsupported { vm: spec.name.clone(), what, hint };
    let kind = kind(spec, facts, proven).map_err(unsupported)?;
    match board(spec, kind).or_else(|| devices(spec)) {
        Some(fault) => Err(unsupported(fault)),
        None => Ok(kind),
    }
}

/// What is needed and missing, and what to do about it.
type Fault = (String, String);

fn fault(what: &str, hint: &str) -> Option<Fault> {
    Some((what.to_owned(), hint.to_owned()))
}

fn kind<'f>(spec: &VmSpec, facts: &'f HostFacts, proven: &[Accelerator]) -> Result<&'f Kind, Fault> {
    let accelerator = match spec.accelerator {
        AcceleratorChoice::Auto => proven.first().copied().unwrap_or(Accelerator::Tcg),
        choice => choice.required().unwrap_or(Accelerator::Tcg),
    };
    let known = kind_of(accelerator).and_then(|kind| facts.kind(kind));
    known.ok_or_else(|| {
        let what = format!("the accelerator `{accelerator}`, which this libvirt does not offer");
        let shown = HostFacts::shown_by(kind_of(accelerator).unwrap_or("qemu"));
        let hint = match &facts.kinds_unknown {
            Some(why) => format!("it could not be asked: {why}"),
            None => format!("write `accelerator = \"auto\"`; `{shown}` shows what it says"),
        };
        (what, hint)
    })
}

fn board(spec: &VmSpec, kind: &Kind) -> Option<Fault> {
    if spec.machine != MachineType::Q35 {
        return fault("a microvm, which libvirt has no machine for", "write `machine = \"q35\"`");
    }
    if spec.resources.memory.as_mib() == 0 {
        return fault("at least 1 MiB of memory", "write for example `memory = \"512 MiB\"`");
    }
    if spec.firmware == Firmware::Uefi && !kind.uefi {
        return fault("UEFI firmware, which is not installed", "install it: `sudo apt-get install ovmf`");
    }
    None
}

fn devices(spec: &VmSpec) -> Option<Fault> {
    if spec.disks.len() > DISKS_MAX {
        let what = format!("{} disks; {DISKS_MAX} fit", spec.disks.len());
        return fault(&what, "put several data sets on one disk");
    }
    if let Some(forward) = spec.port_forwards().next() {
        let what = format!("the port forward {forward}, which this backend cannot do");
        return fault(&what, "leave it out, or use the `kvm` backend");
    }
    if spec.networks.iter().any(|card| !matches!(card.kind, NetworkKind::User { .. })) {
        return fault("a network of a kind that this backend does not know", "use the `kvm` backend");
    }
    let backing = spec.disks.iter().filter_map(|disk| disk.backing.as_ref()).map(|backing| &backing.path);
    let paths = spec.disks.iter().map(|disk| &disk.path).chain(backing);
    let mut paths = paths.chain(spec.shares.iter().map(|share| &share.path));
    let bad = paths.find(|path| !is_writable(path))?;
    let what = format!("the path {bad:?}, which XML cannot hold");
    fault(&what, "rename the file")
}

/// Whether a path is absolute and made of what XML can say.
fn is_writable(path: &Path) -> bool {
    let said = |text: &str| xml::is_writable(text) && !text.contains(char::is_control);
    path.is_absolute() && path.to_str().is_some_and(said)
}

#[cfg(test)]
mod tests {
    use plasmavmc_hypervisor::conformance::small_spec;
    use plasmavmc_types::{DiskFormat, DiskSpec, NetworkSpec, Persistence};

    use super::*;

    fn facts() -> HostFacts {
        let kind = |name: &str| Kind { name: name.to_owned(), ..Kind::default() };
        HostFacts { kinds: vec![kind("kvm"), kind("qemu")], ..HostFacts::default() }
    }

    #[test]
    fn auto_takes_the_fastest_that_was_proven() {
        let chosen = |accelerator, proven: &[Accelerator]| {
            let spec = VmSpec { accelerator, ..small_spec("web") };
            check(&spec, &facts(), proven).unwrap().name.clone()
        };
        assert_eq!(chosen(AcceleratorChoice::Auto, &[]), "qemu");
        assert_eq!(chosen(AcceleratorChoice::Auto, &[Accelerator::Kvm, Accelerator::Tcg]), "kvm");
        assert_eq!(chosen(AcceleratorChoice::Kvm, &[]), "kvm");
    }

    #[test]
    fn what_libvirt_cannot_do_is_said_before_it_is_tried() {
        let spec = small_spec("web");
        let disk = |path: &str| DiskSpec {
            id: "root".parse().unwrap(),
            path: path.into(),
            format: DiskFormat::Qcow2,
            backing: None,
            read_only: false,
            persistence: Persistence::Persistent,
        };
        let forward =
            serde_json::from_str(r#"{"address": "127.0.0.1", "host": 8080, "guest": 80, "protocol": "tcp"}"#)
                .unwrap();
        let card = NetworkSpec {
            id: "net0".parse().unwrap(),
            kind: NetworkKind::User { forwards: vec![forward] },
            mac: "52:54:00:00:00:01".parse().unwrap(),
        };
        for (spec, what) in [
            (VmSpec { accelerator: AcceleratorChoice::Hvf, ..spec.clone() }, "the accelerator `hvf`"),
            (VmSpec { machine: MachineType::Microvm, ..spec.clone() }, "a microvm"),
            (VmSpec { firmware: Firmware::Uefi, ..spec.clone() }, "UEFI firmware"),
            (VmSpec { disks: vec![disk("/x\ny")], ..spec.clone() }, "the path \"/x\\ny\""),
            (VmSpec { disks: vec![disk("x")], ..spec.clone() }, "the path \"x\""),
            (VmSpec { disks: vec![disk("/x"); 27], ..spec.clone() }, "27 disks"),
            (VmSpec { networks: vec![card], ..spec.clone() }, "the port forward"),
        ] {
            let error = check(&spec, &facts(), &[]).unwrap_err();
            assert!(error.to_string().starts_with(&format!("VM `web` needs {what}")), "{error}");
        }
        check(&VmSpec { disks: vec![disk("/a, b&<'\">.qcow2")], ..spec }, &facts(), &[]).unwrap();
    }
}
