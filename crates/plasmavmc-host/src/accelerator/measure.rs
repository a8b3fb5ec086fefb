//! Runs the test guest on one accelerator and says what came of it.
//!
//! QEMU gets the guest's disk as an open memory file, so nothing is written anywhere, and a limit
//! on processor time, so that a guest that never ends dies even if this process is killed before
//! it. Never does: decide. Tests: below, on real QEMU where it can fail so, and else with programs
//! that fail as QEMU was seen to.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, ExitStatus};
use std::time::{Duration, Instant};

use command_fds::{CommandFdExt, FdMapping};
use plasmavmc_types::Accelerator;
use rustix::fs::MemfdFlags;

use super::boot_sector::{ANSWER, DISK_LEN, EXIT_PORT, RIGHT, TURNS, WRONG, boot_sector, exit_status};
use super::{GUEST_BOUND, Outcome};
use crate::HostError;
use crate::exec::{self, Program};
use crate::qemu::{GuestArch, QemuBinary};

/// The device behind KVM.
pub(super) const KVM_DEVICE: &str = "/dev/kvm";

/// Sets a limit on processor time before it becomes the program it is given.
const PRLIMIT: Program = Program::new("prlimit", "util-linux");

/// Processor time of one QEMU, in seconds: above what its bound lets it use on two threads.
const CPU_LIMIT: &str = "--cpu=3";

/// The descriptor QEMU finds the guest's disk at.
const DISK_FD: i32 = 3;

/// Most characters of QEMU's account that are kept.
const SAID_LIMIT: usize = 240;

/// Runs the test guest once on `accelerator`, within [`GUEST_BOUND`].
pub fn measure(qemu: &QemuBinary, accelerator: Accelerator) -> Outcome {
    if accelerator == Accelerator::Kvm
        && let Err(outcome) = open_device(Path::new(KVM_DEVICE))
    {
        return outcome;
    }
    if qemu.arch() != GuestArch::X86_64 {
        return Outcome::Unproven;
    }
    run_guest(qemu, accelerator, TURNS, ANSWER, GUEST_BOUND)
}

/// Whether a device can be opened at all: an answer in microseconds that spares a QEMU.
fn open_device(path: &Path) -> Result<(), Outcome> {
    match File::options().read(true).write(true).open(path) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Err(Outcome::NoPermission),
        Err(error) if error.kind() == io::ErrorKind::ResourceBusy => Err(Outcome::Busy),
        Err(_) => Err(Outcome::NoDevice),
    }
}

fn run_guest(
    qemu: &QemuBinary,
    accelerator: Accelerator,
    turns: u32,
    answer: u64,
    bound: Duration,
) -> Outcome {
    let prepared = disk(turns, answer).map_err(|error| error.to_string()).and_then(|disk| {
        let mut command = command(qemu, accelerator);
        command
            .fd_mappings(vec![FdMapping { parent_fd: disk, child_fd: DISK_FD }])
            .map_err(|error| error.to_string())?;
        Ok(command)
    });
    let command = match prepared {
        Ok(command) => command,
        Err(said) => return Outcome::Failed { status: 0, said },
    };
    let start = Instant::now();
    let result = exec::run(command, bound);
    let elapsed_ms = u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX);
    match result {
        Ok(_) => Outcome::Failed { status: 0, said: "it ended before the guest did".to_owned() },
        Err(HostError::CommandFailed { status, stderr, .. }) => judge(status, &stderr, elapsed_ms),
        Err(HostError::CommandTimedOut { .. }) => {
            Outcome::TimedOut { bound_ms: u64::try_from(bound.as_millis()).unwrap_or(u64::MAX) }
        }
        Err(other) => Outcome::Failed { status: 0, said: other.to_string() },
    }
}

/// The guest's disk: a file in memory with no name.
fn disk(turns: u32, answer: u64) -> io::Result<OwnedFd> {
    let disk = File::from(rustix::fs::memfd_create("castra-test-guest", MemfdFlags::CLOEXEC)?);
    disk.set_len(DISK_LEN)?;
    disk.write_all_at(&boot_sector(turns, answer), 0)?;
    Ok(disk.into())
}

/// QEMU's command line: the machine, disk controller and processor model that VMs get.
fn command(qemu: &QemuBinary, accelerator: Accelerator) -> Command {
    let mut command = match PRLIMIT.command() {
        Ok(mut limited) => {
            limited.args([CPU_LIMIT, "--core=0"]).arg(qemu.path());
            limited
        }
        // Without it a measuring that is killed in the middle could leave a busy QEMU behind.
        Err(_) => qemu.command(),
    };
    let model = if accelerator == Accelerator::Tcg { "max" } else { "host" };
    command.args(["-nodefaults", "-no-user-config", "-display", "none", "-machine", "q35", "-m", "32"]);
    command.args(["-accel", accelerator.as_str(), "-cpu", model]);
    command.arg("-blockdev");
    command.arg(format!("driver=file,node-name=guest,filename=/dev/fd/{DISK_FD},read-only=on"));
    command.args(["-device", "virtio-blk-pci,drive=guest", "-device"]);
    command.arg(format!("isa-debug-exit,iobase={EXIT_PORT:#x},iosize=1"));
    command
}

/// What QEMU's end means. Pure.
fn judge(status: ExitStatus, stderr: &str, elapsed_ms: u64) -> Outcome {
    if status.code() == Some(exit_status(RIGHT)) {
        return Outcome::Ran { elapsed_ms };
    }
    if status.code() == Some(exit_status(WRONG)) {
        return Outcome::WrongAnswer;
    }
    let said = telling_line(stderr);
    if let Some(signal) = status.signal() {
        return Outcome::Crashed { signal, said };
    }
    // QEMU's own words, 4.2 to 10: system/vl.c and accel/kvm/kvm-all.c.
    if stderr.contains("invalid accelerator") {
        Outcome::NotBuiltIn
    } else if stderr.contains("Device or resource busy") {
        Outcome::Busy
    } else if stderr.contains("Permission denied") {
        Outcome::NoPermission
    } else if stderr.contains("No such file or directory") && stderr.contains("KVM kernel module") {
        Outcome::NoDevice
    } else {
        Outcome::Failed { status: status.code().unwrap_or_default(), said }
    }
}

/// The line of QEMU's account that tells most: the first that speaks of an error, else the last
/// that is no warning.
fn telling_line(stderr: &str) -> String {
    let lines =
        || stderr.lines().map(str::trim).filter(|line| !line.is_empty() && !line.contains("warning:"));
    let line = lines()
        .find(|line| line.contains("error:") || line.contains("failed"))
        .or_else(|| lines().next_back());
    let line = line.unwrap_or("it said nothing");
    let line = line.strip_prefix("qemu-system-x86_64: ").unwrap_or(line);
    line.strip_prefix("error: ").unwrap_or(line).chars().take(SAID_LIMIT).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::qemu::locate;

    const LONG: Duration = Duration::from_secs(30);

    fn qemu() -> QemuBinary {
        locate(GuestArch::X86_64, None).unwrap()
    }

    /// A program in QEMU's place that ends as QEMU was seen to.
    fn ending_with(script: &str) -> Outcome {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("qemu");
        // Written by another process: a file this one holds open for writing while another test
        // forks cannot be executed.
        let mut sh = Program::new("sh", "dash").command().unwrap();
        sh.args(["-c", "printf '#!/bin/sh\\n%s\\n' \"$1\" > \"$2\"; chmod 755 \"$2\"", "sh", script])
            .arg(&path);
        exec::run(sh, LONG).unwrap();
        let qemu = locate(GuestArch::X86_64, Some(&path)).unwrap();
        run_guest(&qemu, Accelerator::Kvm, TURNS, ANSWER, LONG)
    }

    #[test]
    fn the_guest_runs_on_real_qemu_and_tells_right_from_wrong() {
        let right = run_guest(&qemu(), Accelerator::Tcg, TURNS, ANSWER, LONG);
        assert!(matches!(right, Outcome::Ran { .. }), "{right:?}");
        assert_eq!(run_guest(&qemu(), Accelerator::Tcg, TURNS, ANSWER ^ 1, LONG), Outcome::WrongAnswer);
    }

    #[test]
    fn a_guest_that_takes_too_long_is_ended() {
        let bound = Duration::from_millis(300);
        let start = Instant::now();
        let outcome = run_guest(&qemu(), Accelerator::Tcg, u32::MAX, ANSWER, bound);
        assert_eq!(outcome, Outcome::TimedOut { bound_ms: 300 });
        assert!(start.elapsed() < LONG);
    }

    #[test]
    fn a_guest_that_nobody_waits_for_any_more_dies_by_itself() {
        let outcome = run_guest(&qemu(), Accelerator::Tcg, u32::MAX, ANSWER, LONG);
        assert!(matches!(outcome, Outcome::Crashed { signal: 9, .. }), "{outcome:?}");
    }

    #[test]
    fn an_accelerator_that_qemu_was_built_without_is_told() {
        assert_eq!(run_guest(&qemu(), Accelerator::Hvf, TURNS, ANSWER, LONG), Outcome::NotBuiltIn);
    }

    #[test]
    fn a_crash_is_told_with_its_signal_and_cause() {
        let script = "echo 'qemu-system-x86_64: warning: no matter' >&2
            echo 'qemu-system-x86_64: error: failed to set MSR 0x10a to 0x0' >&2
            echo 'qemu-system-x86_64: kvm.c:3356: Assertion `ret == n` failed.' >&2
            kill -ABRT $$";
        let said = "failed to set MSR 0x10a to 0x0".to_owned();
        assert_eq!(ending_with(script), Outcome::Crashed { signal: 6, said });
    }

    #[test]
    fn every_way_to_fail_is_told_apart() {
        for (script, expected) in [
            ("echo 'ioctl(KVM_CREATE_VM) failed: 16 Device or resource busy' >&2; exit 1", Outcome::Busy),
            (
                "echo 'Could not access KVM kernel module: Permission denied' >&2; exit 1",
                Outcome::NoPermission,
            ),
            (
                "echo 'Could not access KVM kernel module: No such file or directory' >&2; exit 1",
                Outcome::NoDevice,
            ),
            ("exit 3", Outcome::Failed { status: 3, said: "it said nothing".to_owned() }),
            ("exit 0", Outcome::Failed { status: 0, said: "it ended before the guest did".to_owned() }),
            ("echo a >&2; echo b >&2; exit 1", Outcome::Failed { status: 1, said: "b".to_owned() }),
        ] {
            assert_eq!(ending_with(script), expected, "{script}");
        }
    }

    #[test]
    fn a_device_that_cannot_be_opened_spares_a_qemu() {
        assert_eq!(open_device(Path::new("/dev/no-such-device")), Err(Outcome::NoDevice));
        assert_eq!(open_device(Path::new("/dev/null")), Ok(()));
    }
}
