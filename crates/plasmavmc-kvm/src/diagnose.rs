//! Why QEMU ended at launch, read from its own words. Pure.
//!
//! The texts are QEMU's, the same since version 6 and in 10.0; a text that is not known is shown as
//! it is. Tests: below, over texts a real QEMU wrote, and `tests/it/launch_faults.rs`.

use std::fmt;
use std::process::ExitStatus;

use plasmavmc_hypervisor::Error;
use plasmavmc_types::{Accelerator, PortForward, VmName, VmSpec};

use crate::argv;
use crate::log;

/// What kept QEMU from running.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fault {
    /// A host port is taken.
    PortInUse(PortForward),
    /// A disk is in use by another process.
    DiskLocked(String),
    /// A disk or one of its bases cannot be opened.
    DiskUnusable(String),
    /// The host has not enough memory to give.
    Memory,
    /// None of the above: perhaps the accelerator.
    Other,
}

/// A QEMU that ended before the guest ran.
#[derive(Debug, thiserror::Error)]
#[error("QEMU with {accelerator} {}{}", Ended(.status), Said(.said))]
pub struct LaunchFault {
    /// The accelerator it was started with.
    pub accelerator: Accelerator,
    /// How it ended; none where that is not known.
    pub status: Option<ExitStatus>,
    /// The last lines it said.
    pub said: String,
}

/// How a process ended, for people.
struct Ended<'a>(&'a Option<ExitStatus>);

impl fmt::Display for Ended<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(status) => write!(f, "ended ({status}) before the guest ran"),
            None => f.write_str("ended before the guest ran"),
        }
    }
}

/// What a process said, for people.
struct Said<'a>(&'a String);

impl fmt::Display for Said<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.as_str() {
            "" => f.write_str(" and said nothing"),
            said => write!(f, " and said: {said}"),
        }
    }
}

/// How many of its last lines are shown.
const LINES_SHOWN: usize = 4;

/// What the words mean for a VM of that spec.
pub(crate) fn diagnose(spec: &VmSpec, said: &str) -> Fault {
    let between = |line: &str, start: &str, end: &str| {
        let (_, rest) = line.split_once(start)?;
        rest.split_once(end).map(|(found, _)| found.to_owned())
    };
    for line in said.lines() {
        let rule = between(line, "Could not set up host forwarding rule '", "'");
        if let Some(forward) = spec.port_forwards().find(|forward| Some(argv::rule(forward)) == rule) {
            return Fault::PortInUse(forward.clone());
        }
        if let Some(path) = between(line, "Is another process using the image [", "]") {
            return Fault::DiskLocked(path);
        }
        if let Some(path) = between(line, "Could not open '", "'") {
            return Fault::DiskUnusable(path);
        }
        if line.contains("cannot set up guest memory") {
            return Fault::Memory;
        }
    }
    Fault::Other
}

/// The last lines, as one.
pub(crate) fn last_words(said: &str) -> String {
    let lines: Vec<&str> = log::complaints(said).collect();
    lines[lines.len().saturating_sub(LINES_SHOWN)..].join("; ")
}

/// The error a person sees.
pub(crate) fn error(vm: &VmName, fault: Fault, log: &std::path::Path, source: LaunchFault) -> Error {
    let read_log = format!("read what QEMU said: `tail {}`", log.display());
    let hint = match fault {
        Fault::PortInUse(forward) => return Error::PortInUse { vm: vm.clone(), forward },
        Fault::DiskLocked(path) => {
            format!("another process uses `{path}`; see which with `fuser -v {path}`, and stop it")
        }
        Fault::DiskUnusable(path) => format!("look at the disk with `qemu-img info {path}`"),
        Fault::Memory => "give the VM less `memory`; `free -h` shows what the host has".to_owned(),
        Fault::Other if source.accelerator != Accelerator::Tcg => {
            "write `accelerator = \"auto\"`, and see what works here with `castra doctor`".to_owned()
        }
        Fault::Other => read_log.clone(),
    };
    let mut hints = vec![hint];
    if hints[0] != read_log {
        hints.push(read_log);
    }
    Error::Launch { vm: vm.clone(), hints, source: Box::new(source) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use plasmavmc_hypervisor::conformance::small_spec;
    use plasmavmc_types::{MacAddr, NetworkKind, NetworkSpec};

    fn spec() -> VmSpec {
        let forwards = vec![PortForward::tcp(2222, 22).unwrap(), PortForward::tcp(8080, 80).unwrap()];
        let kind = NetworkKind::User { forwards };
        let card = NetworkSpec { id: "net".parse().unwrap(), kind, mac: MacAddr::from_seed([1, 2, 3]) };
        VmSpec { networks: vec![card], ..small_spec("web") }
    }

    #[test]
    fn what_qemu_says_is_understood() {
        let q = "qemu-system-x86_64: ";
        for (said, fault) in [
            (
                format!("{q}-netdev {{}}: Could not set up host forwarding rule 'tcp:127.0.0.1:8080-:80'\n"),
                Fault::PortInUse(PortForward::tcp(8080, 80).unwrap()),
            ),
            (
                format!(
                    "{q}-device x: Failed to get \"write\" lock\nIs another process using the image [/w/a b.qcow2]?\n"
                ),
                Fault::DiskLocked("/w/a b.qcow2".to_owned()),
            ),
            (
                format!("{q}-blockdev {{}}: Could not open '/w/none.img': No such file or directory\n"),
                Fault::DiskUnusable("/w/none.img".to_owned()),
            ),
            (format!("{q}cannot set up guest memory 'pc.ram': Cannot allocate memory\n"), Fault::Memory),
            (format!("{q}error: failed to set MSR 0x10a to 0x0\n"), Fault::Other),
            (String::new(), Fault::Other),
        ] {
            assert_eq!(diagnose(&spec(), &said), fault, "{said}");
        }
    }

    #[test]
    fn a_forward_of_another_vm_is_not_blamed() {
        let said = "Could not set up host forwarding rule 'tcp:127.0.0.1:9999-:80'\n";
        assert_eq!(diagnose(&spec(), said), Fault::Other);
    }

    #[test]
    fn the_error_shows_the_last_words_and_where_the_rest_is() {
        let said = last_words("a\nb\nc\nqemu: warning: d\ne\nf\n");
        let source = LaunchFault { accelerator: Accelerator::Kvm, status: None, said };
        assert_eq!(source.to_string(), "QEMU with kvm ended before the guest ran and said: b; c; e; f");
        let error = error(&spec().name, Fault::Other, std::path::Path::new("/w/logs/web.log"), source);
        let hints = plasmavmc_types::Explain::hints(&error);
        assert_eq!(hints.last().unwrap(), "read what QEMU said: `tail /w/logs/web.log`");
        assert_eq!(plasmavmc_types::repeated_source(&error), None);
    }
}
