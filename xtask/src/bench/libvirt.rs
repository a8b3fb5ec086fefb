//! The peer of `status`: libvirt, with daemons of its own for as long as it is measured.

use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use super::error::BenchError;
use super::lab::{installed, output};

/// How long the daemons may take until `virsh` is answered.
const BOUND: Duration = Duration::from_secs(30);

/// Daemons that answer `virsh`; those that were started here are ended where it is dropped.
#[derive(Debug)]
pub(crate) struct Libvirt {
    started: Vec<Child>,
}

impl Libvirt {
    /// The daemons of the system, started where none answer; none where libvirt is not installed or
    /// does not come up, with the reason.
    pub(crate) fn open() -> Result<Self, String> {
        for program in ["virsh", "libvirtd", "virtlogd"] {
            if !installed(program) {
                let hint = "`apt-get install libvirt-daemon-system libvirt-clients` brings it";
                return Err(format!("{program} is not installed; {hint}"));
            }
        }
        let mut found = Self { started: Vec::new() };
        if answers() {
            return Ok(found);
        }
        for daemon in ["virtlogd", "libvirtd"] {
            let mut command = Command::new(daemon);
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
            match command.spawn() {
                Ok(child) => found.started.push(child),
                Err(error) => return Err(format!("{daemon} cannot be started: {error}")),
            }
        }
        let begun = Instant::now();
        while begun.elapsed() < BOUND {
            if answers() {
                return Ok(found);
            }
            thread::sleep(Duration::from_millis(200));
        }
        Err(format!("libvirtd did not answer within {} s", BOUND.as_secs()))
    }
}

/// The daemon of the system.
pub(crate) const SYSTEM: &str = "qemu:///system";

/// `virsh list --all` at the daemon of the system.
pub(crate) fn list() -> Command {
    virsh(SYSTEM)
}

/// The same at the driver that lives inside `virsh`, without a daemon.
pub(crate) fn list_in_process() -> Command {
    virsh("test:///default")
}

fn virsh(uri: &str) -> Command {
    let mut command = Command::new("virsh");
    command.args(["-c", uri, "list", "--all"]);
    command
}

fn answers() -> bool {
    let answered: Result<_, BenchError> = output(&mut list());
    answered.is_ok()
}

impl Drop for Libvirt {
    fn drop(&mut self) {
        for child in self.started.iter_mut().rev() {
            // SIGTERM first, so that the daemons remove their pidfiles and sockets.
            let _ = Command::new("kill").arg(child.id().to_string()).status();
            let begun = Instant::now();
            while begun.elapsed() < Duration::from_secs(5) && matches!(child.try_wait(), Ok(None)) {
                thread::sleep(Duration::from_millis(50));
            }
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
