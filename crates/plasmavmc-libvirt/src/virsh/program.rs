//! One run of `virsh`: its environment, its bound, and its failures as [`VirshError`].
//!
//! Tests: `tests/it/faults.rs`.

use std::ffi::OsStr;
use std::process::Command;
use std::time::Duration;

use plasmavmc_host::exec::{self, Program};

use super::{Connection, VirshError, parse};

/// The program.
pub(super) const VIRSH: Program = Program::new("virsh", "libvirt-clients");

/// Whether the connection can change anything: libvirt itself holds a reader to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    /// `virsh -r`.
    Read,
    /// `virsh`.
    Write,
}

impl Connection {
    /// A quiet `virsh` on this connection, without a command yet.
    pub(super) fn command(&self, access: Access) -> Command {
        let mut command = Command::new(&self.virsh);
        command.env("LC_ALL", "C");
        // A person's settings for their own virsh would mix debug output into the answers.
        for name in ["VIRSH_DEBUG", "VIRSH_LOG_FILE", "LIBVIRT_DEBUG"] {
            command.env_remove(name);
        }
        command.arg("-q");
        if access == Access::Read {
            command.arg("-r");
        }
        if let Some(uri) = &self.uri {
            command.args(["-c", uri]);
        }
        command
    }

    /// Runs one command of virsh and returns what it printed. `action` is an infinitive: "start it".
    pub(super) fn run<A: AsRef<OsStr>>(
        &self,
        access: Access,
        action: &'static str,
        args: &[A],
        input: &[u8],
        bound: Duration,
    ) -> Result<String, VirshError> {
        let mut command = self.command(access);
        command.args(args);
        let result = exec::run_with_input(command, input, bound);
        let output = result.map_err(|error| VirshError::from_host(self, action, bound, error))?;
        parse::text(output.stdout).map_err(|why| self.garbage(action, why))
    }

    pub(super) fn garbage(&self, action: &'static str, why: &'static str) -> VirshError {
        VirshError::Garbage { action, why, uri: self.shown_uri() }
    }
}
