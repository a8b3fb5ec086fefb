//! Whether the host can carry what is asked of it: a decision over facts. Pure.
//!
//! A blocker is what would fail, or get a VM killed, for certain; a warning is what may. All
//! findings come at once, and none has a side effect. Never does: read the host (that is
//! [`crate::facts`]) or stop a command (the face does, or not, with `--force`). Tests: the table
//! below.

use std::fmt;

use plasmavmc_types::{ByteSize, ErrorKind, Explain, VmName, VmResources};
use serde::Serialize;

use crate::facts::{DirectoryFacts, HostFacts};

/// Processors of all VMs together, for each one of the host, from which sharing is worth a
/// warning.
const SHARED_CPUS: u64 = 4;

/// Room that should be left on a file system: below it, other programs begin to fail.
const SPARE_DISK: ByteSize = ByteSize::mib(512);

/// What is asked of the host.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Demand {
    /// The VMs about to start. Those that run already have their memory, and are not among them.
    pub vms: Vec<(VmName, VmResources)>,
    /// What is about to be written, one entry for each directory.
    pub disks: Vec<DiskDemand>,
}

/// What is about to be written to a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DiskDemand {
    /// The directory, as it is.
    pub directory: DirectoryFacts,
    /// What is written for certain: a download, an image to be built.
    pub needed: ByteSize,
    /// What guests may add in time: the sizes of their disks, as far as not written yet.
    pub growth: ByteSize,
}

/// One thing that is wrong, or may become so.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// What it is about.
    pub check: Check,
    /// What is asked for.
    pub what: String,
    /// Why that is a problem.
    pub why: String,
    /// What a person can do: a sentence with something to type.
    pub next: String,
}

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// It will not work.
    Blocker,
    /// It may not work, or not well.
    Warning,
}

/// What a finding is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Check {
    /// Processors.
    Cpus,
    /// Memory.
    Memory,
    /// Disk space.
    Disk,
    /// Permission to write.
    Permission,
}

/// The host cannot carry what is asked of it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("this host cannot run it: {}", blockers(findings))]
pub struct Blocked {
    /// Everything found, blockers first.
    pub findings: Vec<Finding>,
}

/// Compares what is asked with what there is. Blockers come first.
pub fn check(demand: &Demand, host: &HostFacts) -> Vec<Finding> {
    let mut findings = cpus(demand, host);
    findings.extend(memory(demand, host));
    findings.extend(demand.disks.iter().flat_map(disk));
    findings.sort_by_key(|finding| finding.severity);
    findings
}

/// The findings as a result: an error where one of them is a blocker, else the warnings.
///
/// # Errors
/// [`Blocked`] with all of them.
pub fn require(findings: Vec<Finding>) -> Result<Vec<Finding>, Blocked> {
    if findings.iter().any(|finding| finding.severity == Severity::Blocker) {
        return Err(Blocked { findings });
    }
    Ok(findings)
}

fn cpus(demand: &Demand, host: &HostFacts) -> Vec<Finding> {
    let has = host.cpus.get();
    let too_wide = demand.vms.iter().filter(|(_, resources)| resources.cpus.get() > has);
    let mut findings: Vec<_> = too_wide
        .map(|(name, resources)| Finding {
            severity: Severity::Blocker,
            check: Check::Cpus,
            what: format!("VM `{name}` has {} processors", resources.cpus),
            why: format!("this host has {has}, and a guest with more runs slower, not faster"),
            next: format!("write `cpus = {has}` or less for it"),
        })
        .collect();
    let total: u64 = demand.vms.iter().map(|(_, resources)| u64::from(resources.cpus.get())).sum();
    if findings.is_empty() && total > u64::from(has) * SHARED_CPUS {
        findings.push(Finding {
            severity: Severity::Warning,
            check: Check::Cpus,
            what: format!("{} VMs have {total} processors together", demand.vms.len()),
            why: format!("they share the {has} of this host"),
            next: "start fewer at once, or lower `cpus` or `count`".to_owned(),
        });
    }
    findings
}

fn memory(demand: &Demand, host: &HostFacts) -> Option<Finding> {
    let sizes = demand.vms.iter().map(|(_, resources)| resources.memory.as_bytes());
    let asked = ByteSize::bytes(sizes.fold(0, u64::saturating_add));
    let what = match &demand.vms[..] {
        [] => return None,
        [(name, _)] => format!("VM `{name}` has {asked} of memory"),
        vms => format!("{} VMs have {asked} of memory together", vms.len()),
    };
    let (severity, why) = if asked > host.memory.total {
        (Severity::Blocker, format!("this host has {}", host.memory.total))
    } else if asked > host.memory.available {
        (Severity::Warning, format!("{} are left, so the kernel may kill one", host.memory.available))
    } else {
        return None;
    };
    let next = match severity {
        Severity::Blocker => "lower `memory`, or start fewer with `castra up`",
        Severity::Warning => "lower `memory`, or stop other VMs: `castra status` lists them",
    };
    Some(Finding { severity, check: Check::Memory, what, why, next: next.to_owned() })
}

fn disk(demand: &DiskDemand) -> Vec<Finding> {
    let path = demand.directory.path.display();
    if !demand.directory.writable {
        return vec![Finding {
            severity: Severity::Blocker,
            check: Check::Permission,
            what: format!("files are to be written to `{path}`"),
            why: "you may not write there".to_owned(),
            next: "make it writable for you, or move the workspace with `[project] state_dir`".to_owned(),
        }];
    }
    let free = demand.directory.free;
    let after = free.as_bytes().checked_sub(demand.needed.as_bytes());
    let asked = || format!("`{path}` is to take {}", demand.needed);
    let finding = |severity, what, why| {
        let next = format!("free some space (`df -h {path}`, `castra clean --dry-run`)");
        vec![Finding { severity, check: Check::Disk, what, why, next }]
    };
    let left = |after| ByteSize::bytes(after);
    match after {
        None => finding(Severity::Blocker, asked(), format!("it has room for {free}")),
        Some(after) if left(after) < SPARE_DISK => {
            finding(Severity::Warning, asked(), format!("only {} are left then", left(after)))
        }
        Some(after) if left(after) < demand.growth => finding(
            Severity::Warning,
            format!("disks in `{path}` may grow by {}", demand.growth),
            format!("it has room for {}; a guest whose disk cannot grow is paused", left(after)),
        ),
        Some(_) => Vec::new(),
    }
}

fn blockers(findings: &[Finding]) -> String {
    let blockers = findings.iter().filter(|finding| finding.severity == Severity::Blocker);
    blockers.map(Finding::to_string).collect::<Vec<_>>().join("; ")
}

/// Shows what and why.
impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, but {}", self.what, self.why)
    }
}

impl Explain for Blocked {
    fn kind(&self) -> ErrorKind {
        ErrorKind::Preflight
    }

    fn hints(&self) -> Vec<String> {
        let blockers = self.findings.iter().filter(|finding| finding.severity == Severity::Blocker);
        blockers.map(|finding| finding.next.clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;
    use std::path::PathBuf;

    use super::*;
    use crate::facts::Memory;
    use crate::process::BootId;

    fn host() -> HostFacts {
        HostFacts {
            cpus: NonZeroU32::new(2).unwrap(),
            memory: Memory { total: ByteSize::gib(8), available: ByteSize::gib(4) },
            kernel: "6.12.0".to_owned(),
            boot_id: BootId::current().unwrap(),
        }
    }

    fn vms(each: &[(u32, u64)]) -> Demand {
        let vm = |(index, &(cpus, gib)): (usize, &(u32, u64))| {
            let resources = VmResources { cpus: NonZeroU32::new(cpus).unwrap(), memory: ByteSize::gib(gib) };
            (format!("vm-{index}").parse().unwrap(), resources)
        };
        Demand { vms: each.iter().enumerate().map(vm).collect(), disks: Vec::new() }
    }

    fn writes(needed: ByteSize, growth: ByteSize, writable: bool) -> Demand {
        let directory = DirectoryFacts { path: PathBuf::from("/w"), free: ByteSize::gib(10), writable };
        Demand { vms: Vec::new(), disks: vec![DiskDemand { directory, needed, growth }] }
    }

    #[test]
    fn what_is_found_is_exactly_this() {
        use Check as C;
        use Severity::{Blocker, Warning};
        let (gib, none) = (ByteSize::gib, ByteSize::bytes(0));
        type Case<'a> = (&'a str, Demand, &'a [(Severity, Check)]);
        let cases: [Case<'_>; 14] = [
            ("nothing asked", Demand::default(), &[]),
            ("one that fits", vms(&[(2, 4)]), &[]),
            ("wider than the host", vms(&[(3, 1)]), &[(Blocker, C::Cpus)]),
            ("many narrow ones", vms(&[(2, 1); 4]), &[]),
            ("too many to share", vms(&[(1, 0); 9]), &[(Warning, C::Cpus)]),
            ("more than is left", vms(&[(1, 5)]), &[(Warning, C::Memory)]),
            ("more than is left together", vms(&[(1, 3), (1, 2)]), &[(Warning, C::Memory)]),
            ("more than there is", vms(&[(1, 5), (1, 4)]), &[(Blocker, C::Memory)]),
            ("all wrong", vms(&[(4, 9)]), &[(Blocker, C::Cpus), (Blocker, C::Memory)]),
            ("a write that fits", writes(gib(1), gib(9), true), &[]),
            ("a write that leaves little", writes(ByteSize::mib(9_900), none, true), &[(Warning, C::Disk)]),
            ("a write too large", writes(gib(11), none, true), &[(Blocker, C::Disk)]),
            ("a disk that may fill", writes(gib(1), gib(20), true), &[(Warning, C::Disk)]),
            ("no permission", writes(none, none, false), &[(Blocker, C::Permission)]),
        ];
        for (name, demand, expected) in cases {
            let findings = check(&demand, &host());
            let found: Vec<_> = findings.iter().map(|f| (f.severity, f.check)).collect();
            assert_eq!(found, expected, "{name}");
        }
    }

    #[test]
    fn sizes_that_overflow_are_blocked_and_not_wrapped() {
        let mut demand = vms(&[(1, 1), (1, 1)]);
        for (_, resources) in &mut demand.vms {
            resources.memory = ByteSize::bytes(u64::MAX);
        }
        assert_eq!(check(&demand, &host())[0].severity, Severity::Blocker);
    }

    #[test]
    fn a_blocker_is_an_error_with_what_to_do_and_a_warning_is_not() {
        let warnings = require(check(&vms(&[(1, 5)]), &host())).unwrap();
        assert_eq!(
            warnings[0].to_string(),
            "VM `vm-0` has 5 GiB of memory, but 4 GiB are left, so the kernel may kill one"
        );
        let blocked = require(check(&vms(&[(3, 5)]), &host())).unwrap_err();
        assert_eq!(
            blocked.to_string(),
            "this host cannot run it: VM `vm-0` has 3 processors, but this host has 2, and a guest with more runs slower, not faster"
        );
        assert_eq!(blocked.hints(), ["write `cpus = 2` or less for it"]);
        assert_eq!(blocked.findings.len(), 2, "the warning is kept");
    }
}
