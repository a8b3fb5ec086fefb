//! What can be in the way of an `up`, and which of it `--force` overrules. Pure.
//!
//! Tests: below.

use std::error::Error;
use std::fmt;

use plasmavmc_host::preflight::{Check, Finding, Severity};
use plasmavmc_host::qemu::QemuError;
use plasmavmc_types::{ErrorKind, Explain, PortForward, VmName};

use crate::core::mounts::MountError;
use crate::core::output::Diagnostic;
use crate::core::ports::Holder;
use crate::core::up::Force;

/// Everything that is in the way of an `up`, at least one thing.
#[derive(Debug)]
pub struct Blockers {
    /// The things.
    pub blockers: Vec<Blocker>,
}

/// One thing that is in the way.
#[derive(Debug)]
#[non_exhaustive]
pub enum Blocker {
    /// There is no QEMU.
    Qemu(QemuError),
    /// A VM asks for UEFI and the host has no firmware.
    NoFirmware {
        /// The VM.
        vm: VmName,
    },
    /// Something holds a port.
    Port {
        /// The VM that wants it.
        vm: VmName,
        /// Its forward.
        forward: PortForward,
        /// Who holds it.
        holder: Holder,
    },
    /// This user may not listen on a port.
    PortForbidden {
        /// The VM that wants it.
        vm: VmName,
        /// Its forward.
        forward: PortForward,
    },
    /// The host has no such address.
    NoSuchAddress {
        /// The VM that wants it.
        vm: VmName,
        /// Its forward.
        forward: PortForward,
    },
    /// A folder cannot be shared.
    Mount {
        /// The VM whose guest wants it.
        vm: VmName,
        /// Why not.
        source: MountError,
    },
    /// The host has less than is asked, or may not be written to.
    Host(Finding),
}

/// Parts what stops `up` from what it only points out. `--force` overrules what is a matter of
/// degree, never a lack of permission.
pub(super) fn sort(findings: Vec<Finding>, force: Force) -> (Vec<Blocker>, Vec<Diagnostic>) {
    let (mut blockers, mut warnings) = (Vec::new(), Vec::new());
    for finding in findings {
        let overruled = force == Force::Yes && finding.check != Check::Permission;
        if finding.severity == Severity::Blocker && !overruled {
            blockers.push(Blocker::Host(finding));
        } else {
            warnings.push(Diagnostic::warning(finding.to_string()).with_hint(finding.next));
        }
    }
    (blockers, warnings)
}

/// An error on one line.
fn with_causes(f: &mut fmt::Formatter<'_>, error: &dyn Error) -> fmt::Result {
    write!(f, "{error}")?;
    let mut source = error.source();
    while let Some(cause) = source {
        write!(f, ": {cause}")?;
        source = cause.source();
    }
    Ok(())
}

impl fmt::Display for Blocker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Qemu(error) => with_causes(f, error),
            Self::Mount { vm, source } => {
                write!(f, "VM `{vm}`: ")?;
                with_causes(f, source)
            }
            Self::NoFirmware { vm } => {
                write!(f, "VM `{vm}` boots by UEFI, but no UEFI firmware is installed")
            }
            Self::Port { vm, forward, holder } => {
                write!(f, "VM `{vm}` cannot listen on {forward}: {holder} does")
            }
            Self::PortForbidden { vm, forward } => {
                write!(f, "VM `{vm}` cannot listen on {forward}: ports below 1024 are for root")
            }
            Self::NoSuchAddress { vm, forward } => {
                write!(f, "VM `{vm}` cannot listen on {forward}: this host does not have that address")
            }
            Self::Host(finding) => finding.fmt(f),
        }
    }
}

impl Blocker {
    fn hints(&self) -> Vec<String> {
        match self {
            Self::Qemu(error) => error.hints(),
            Self::Mount { source, .. } => source.hints(),
            Self::NoFirmware { vm } => vec![format!(
                "install it: `sudo apt-get install ovmf`, or write `firmware = \"bios\"` for `{vm}`"
            )],
            Self::Port { forward, holder: Holder::Vm(holder), .. } => vec![format!(
                "stop it with `castra down {} --workspace {}`, or give the forward another `host` port than {} in castra.toml",
                holder.vm, holder.workspace, forward.host
            )],
            Self::Port { forward, .. } | Self::PortForbidden { forward, .. } => vec![format!(
                "give the forward another `host` port than {} in castra.toml, such as {}",
                forward.host,
                another(forward)
            )],
            Self::NoSuchAddress { .. } => {
                vec!["leave `address` out of the forward to listen on 127.0.0.1".to_owned()]
            }
            Self::Host(finding) => {
                let mut hints = vec![finding.next.clone()];
                if finding.check != Check::Permission {
                    hints.push("to try all the same: `castra up --force`".to_owned());
                }
                hints
            }
        }
    }
}

/// A port of ordinary users that reminds of the wanted one.
fn another(forward: &PortForward) -> u16 {
    match forward.host.get() {
        port @ 0..1024 => port + 8000,
        port => port.checked_add(1).unwrap_or(port - 1),
    }
}

/// Shows one as itself, and several each on a line of its own.
impl fmt::Display for Blockers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let [only] = &self.blockers[..] {
            return only.fmt(f);
        }
        write!(f, "{} things are in the way:", self.blockers.len())?;
        self.blockers.iter().try_for_each(|blocker| write!(f, "\n    {blocker}"))
    }
}

/// The texts of the causes stand in its own: of several errors none is *the* source.
impl Error for Blockers {}

impl Explain for Blockers {
    fn kind(&self) -> ErrorKind {
        let is_port = |blocker: &Blocker| matches!(blocker, Blocker::Port { .. });
        if self.blockers.iter().all(is_port) { ErrorKind::Conflict } else { ErrorKind::Preflight }
    }

    fn hints(&self) -> Vec<String> {
        let mut hints: Vec<String> = Vec::new();
        for hint in self.blockers.iter().flat_map(Blocker::hints) {
            if !hints.contains(&hint) {
                hints.push(hint);
            }
        }
        hints
    }
}

#[cfg(test)]
mod tests {
    use plasmavmc_host::HostError;

    use super::*;

    fn finding(severity: Severity, check: Check) -> Finding {
        Finding { severity, check, what: "this".to_owned(), why: "that".to_owned(), next: "do".to_owned() }
    }

    fn port() -> Blocker {
        let holder = Holder::Process { pid: 7, command: "python3".to_owned() };
        Blocker::Port { vm: "db".parse().unwrap(), forward: PortForward::tcp(2222, 22).unwrap(), holder }
    }

    #[test]
    fn force_overrules_what_is_a_matter_of_degree_and_nothing_else() {
        let all = || {
            [Check::Cpus, Check::Memory, Check::Disk, Check::Permission]
                .map(|c| finding(Severity::Blocker, c))
        };
        let (blockers, warnings) = sort(all().to_vec(), Force::No);
        assert_eq!((blockers.len(), warnings.len()), (4, 0));
        let (blockers, warnings) = sort(all().to_vec(), Force::Yes);
        assert_eq!((blockers.len(), warnings.len()), (1, 3));
        assert!(matches!(&blockers[0], Blocker::Host(found) if found.check == Check::Permission));
        let (blockers, warnings) = sort(vec![finding(Severity::Warning, Check::Memory)], Force::No);
        assert!(blockers.is_empty());
        assert_eq!(warnings, [Diagnostic::warning("this, but that").with_hint("do")]);
    }

    #[test]
    fn everything_in_the_way_is_told_at_once_with_its_way_out() {
        let missing = HostError::MissingProgram { program: "qemu".to_owned(), package: "qemu-system-x86" };
        let qemu = Blocker::Qemu(QemuError::Host { source: missing });
        let error = Blockers { blockers: vec![qemu, port()] };
        assert_eq!(
            error.to_string(),
            "2 things are in the way:\n    there is no QEMU to run guests with: `qemu` is not installed\n    VM `db` cannot listen on 127.0.0.1:2222 -> 22/tcp: process 7 (python3) does"
        );
        assert_eq!(error.kind(), ErrorKind::Preflight);
        assert_eq!(
            error.hints(),
            [
                "install it: `sudo apt-get install qemu-system-x86`",
                "give the forward another `host` port than 2222 in castra.toml, such as 2223",
            ]
        );
    }

    #[test]
    fn ports_alone_are_a_conflict_and_no_lack_of_the_host() {
        let error = Blockers { blockers: vec![port(), port()] };
        assert_eq!(error.kind(), ErrorKind::Conflict);
        assert_eq!(error.hints().len(), 1, "the same advice is given once");
    }
}
