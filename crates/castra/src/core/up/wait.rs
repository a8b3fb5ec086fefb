//! Waits until a launched guest is as ready as asked, and tells how far it gets.

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use plasmavmc_host::Layout;
use plasmavmc_hypervisor::{EventSink, Observe, block_on};
use plasmavmc_types::{EventKind, PortForward, Stage, VmHandle};

use super::{StageTime, WaitFor};
use crate::config::VmConfig;
use crate::core::error::Error;
use crate::core::logs::last_lines;
use crate::core::ready::{
    SshWait, Waited, console_has_spoken, guest_stages, is_reachable, reachable_address, ssh_forward, stall,
};

/// Time between two looks at the serial log.
const POLL: Duration = Duration::from_millis(20);
/// Time between two looks at the process. Each asks QEMU, on the thread that also serves the disks
/// and the network of the guest that is waited for.
const LOOK_AT_PROCESS: Duration = Duration::from_millis(200);
/// Lines of the serial log shown where a guest does not come up.
const LAST_LINES: usize = 8;
/// Lines of the serial log in which the reason is looked for.
const LINES_READ: usize = 200;

/// Whether what is asked can be waited for at all.
///
/// # Errors
/// [`Error::NoSshForward`]: without a forward nobody can tell from here whether SSH is up.
pub(super) fn check(wait: WaitFor, vms: &[&VmConfig]) -> Result<(), Error> {
    let hidden = vms.iter().find(|vm| ssh_forward(vm.port_forwards.iter()).is_none());
    match (wait, hidden) {
        (WaitFor::Ssh, Some(vm)) => Err(Error::NoSshForward { vm: vm.name.clone() }),
        _ => Ok(()),
    }
}

/// One guest to wait for.
pub(super) struct Wait<'a> {
    pub(super) backend: &'a dyn Observe,
    pub(super) vm: &'a VmHandle,
    pub(super) layout: &'a Layout,
    pub(super) sink: &'a dyn EventSink,
    pub(super) serial_log: &'a Path,
    /// Bytes the serial log held before this launch.
    pub(super) console_before: u64,
    /// When QEMU was launched.
    pub(super) launched: Instant,
    /// The same moment in milliseconds since the host's boot; none where it ran before.
    pub(super) launched_ms: Option<u64>,
    /// How old an answer of its guest may be, in milliseconds.
    pub(super) window_ms: u64,
    pub(super) timeout: Duration,
    pub(super) timeline: Vec<StageTime>,
}

impl Wait<'_> {
    /// Waits for what `wait` asks; what `auto` means is decided from `forwards`.
    pub(super) fn run(&mut self, wait: WaitFor, forwards: &[PortForward]) -> Result<(), Error> {
        let ssh = ssh_forward(forwards.iter());
        match (wait, ssh) {
            (WaitFor::None, _) => Ok(()),
            (WaitFor::Ssh | WaitFor::Auto, Some(forward)) => self.ssh(forward),
            (WaitFor::Ssh, None) => Err(Error::NoSshForward { vm: self.vm.name.clone() }),
            (WaitFor::Running | WaitFor::Auto, _) => {
                self.watch(Stage::Console, "the first sign of life on its serial console")
            }
            (WaitFor::Reachable, _) => self.watch(Stage::Handshake, "the agent in it"),
        }
    }

    /// Notes that a stage was reached now, once.
    pub(super) fn reached(&mut self, stage: Stage) {
        let at_ms = self.elapsed_ms();
        self.reached_at(stage, at_ms);
    }

    fn has_reached(&self, stage: Stage) -> bool {
        self.timeline.iter().any(|entry| entry.stage == stage)
    }

    fn reached_at(&mut self, stage: Stage, at_ms: u64) {
        if !self.has_reached(stage) {
            self.timeline.push(StageTime { stage, at_ms });
            self.sink.emit(Some(&self.vm.name), EventKind::StageReached { stage, elapsed_ms: at_ms });
        }
    }

    pub(super) fn elapsed_ms(&self) -> u64 {
        u64::try_from(self.launched.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Notes the stages that can be seen from the console and from what the broker wrote down.
    pub(super) fn look(&mut self) {
        if !self.has_reached(Stage::Console) && console_has_spoken(self.serial_log, self.console_before) {
            self.reached(Stage::Console);
        }
        match self.launched_ms {
            Some(launched_ms) => {
                for seen in guest_stages(self.layout, &self.vm.name, launched_ms) {
                    self.reached_at(seen.stage, seen.at_ms);
                }
            }
            None if !self.has_reached(Stage::Handshake)
                && is_reachable(self.layout, &self.vm.name, self.window_ms) =>
            {
                self.reached(Stage::Handshake);
            }
            None => {}
        }
    }

    /// Waits until a stage is seen.
    fn watch(&mut self, stage: Stage, waited_for: &'static str) -> Result<(), Error> {
        let deadline = self.launched + self.timeout;
        let mut looked = Instant::now();
        loop {
            self.look();
            if self.has_reached(stage) {
                return Ok(());
            }
            if self.is_gone(&mut looked) {
                return Err(self.stopped());
            }
            if Instant::now() >= deadline {
                return Err(self.not_ready(waited_for));
            }
            thread::sleep(POLL);
        }
    }

    fn ssh(&mut self, forward: &PortForward) -> Result<(), Error> {
        let deadline = self.launched + self.timeout;
        let (mut looked, mut listened) = (Instant::now(), Instant::now());
        let mut wait = SshWait::new(reachable_address(forward));
        let waited = wait.run(deadline, || {
            if listened.elapsed() >= POLL {
                listened = Instant::now();
                self.look();
            }
            self.is_gone(&mut looked)
        });
        match waited {
            Waited::Ready => {
                self.reached(Stage::Ssh);
                self.look();
                Ok(())
            }
            Waited::Abandoned => Err(self.stopped()),
            Waited::TimedOut => Err(self.not_ready("its SSH server")),
        }
    }

    /// Whether the process is gone, looked at where it is due.
    fn is_gone(&self, looked: &mut Instant) -> bool {
        if looked.elapsed() < LOOK_AT_PROCESS {
            return false;
        }
        *looked = Instant::now();
        block_on(self.backend.get_status(self.vm)).is_ok_and(|status| !status.state.is_live())
    }

    fn stopped(&self) -> Error {
        let reason = block_on(self.backend.get_status(self.vm)).ok().and_then(|status| status.stop_reason);
        Error::StoppedWhileStarting {
            vm: self.vm.name.clone(),
            reason: reason.unwrap_or(plasmavmc_types::StopReason::Vanished),
            console: self.last_words(),
        }
    }

    fn not_ready(&self, waited_for: &'static str) -> Error {
        let stages: Vec<Stage> = self.timeline.iter().map(|reached| reached.stage).collect();
        let console = last_lines(self.serial_log, self.console_before, LINES_READ);
        Error::NotReady {
            vm: self.vm.name.clone(),
            waited_for,
            waited: self.timeout,
            stall: stall(&console.join("\n"), &stages),
            console: console[console.len().saturating_sub(LAST_LINES)..].to_vec(),
        }
    }

    fn last_words(&self) -> Vec<String> {
        last_lines(self.serial_log, self.console_before, LAST_LINES)
    }
}
