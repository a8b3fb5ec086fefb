//! The commands Castra sends, each with the type of its reply.
//!
//! Only what is used, so that the list can be compared with what the installed QEMU offers.
//! Tests: `tests/it/qmp.rs` does that.

use serde::de::{DeserializeOwned, IgnoredAny};
use serde::{Deserialize, Serialize};

/// A command that can be sent. Serialises as its arguments.
pub trait Command: Serialize {
    /// Its name in QMP.
    const NAME: &'static str;
    /// What it returns.
    type Reply: DeserializeOwned;
}

macro_rules! commands {
    ($($(#[$doc:meta])* $command:ident = $name:literal -> $reply:ty;)*) => {
        $(
            $(#[$doc])*
            #[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
            pub struct $command {}

            impl Command for $command {
                const NAME: &'static str = $name;
                type Reply = $reply;
            }
        )*

        /// The name of every command that is sent.
        pub const NAMES: &[&str] = &[$($name),*];
    };
}

commands! {
    /// Ends the negotiation; every session begins with it.
    Capabilities = "qmp_capabilities" -> IgnoredAny;
    /// Asks whether the guest's processors run.
    QueryStatus = "query-status" -> RunStatus;
    /// Asks which machine types there are.
    QueryMachines = "query-machines" -> Vec<MachineInfo>;
    /// Presses the guest's power button (ACPI).
    Powerdown = "system_powerdown" -> IgnoredAny;
    /// Presses the guest's reset button.
    Reset = "system_reset" -> IgnoredAny;
    /// Stops the guest's processors.
    Stop = "stop" -> IgnoredAny;
    /// Lets the guest's processors run on.
    Continue = "cont" -> IgnoredAny;
    /// Ends QEMU.
    Quit = "quit" -> IgnoredAny;
}

/// The reply to [`QueryStatus`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub struct RunStatus {
    /// What the machine as a whole is doing.
    pub status: RunState,
}

/// QEMU's own states of a machine (`RunState` in its schema).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RunState {
    /// A debugger holds it.
    Debug,
    /// Its memory is being sent off.
    FinishMigrate,
    /// Its memory is arriving.
    Inmigrate,
    /// A processor failed in the accelerator.
    InternalError,
    /// A disk failed and the guest waits.
    IoError,
    /// Someone stopped it.
    Paused,
    /// It was sent off whole.
    Postmigrate,
    /// QEMU is still being set up.
    Preconfig,
    /// QEMU is set up; the processors have not run yet.
    Prelaunch,
    /// A snapshot is being loaded.
    RestoreVm,
    /// The guest runs.
    Running,
    /// A snapshot is being written.
    SaveVm,
    /// The guest powered off, or QEMU is ending.
    Shutdown,
    /// The guest sleeps (ACPI S3).
    Suspended,
    /// The guest's watchdog bit.
    Watchdog,
    /// The guest's kernel reported a crash.
    GuestPanicked,
    /// A replica of a fault-tolerant pair.
    Colo,
    /// A state newer than this program.
    #[serde(other)]
    Unknown,
}

/// One machine type, from the reply to [`QueryMachines`].
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct MachineInfo {
    /// Its name, such as `pc-q35-10.0`.
    pub name: String,
    /// The name that always means the newest of its kind, such as `q35`.
    pub alias: Option<String>,
}
