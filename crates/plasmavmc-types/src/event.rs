//! What happens, as one enum with stable names: shown to people, streamed as JSON lines, kept in
//! `logs/events.jsonl`.
//!
//! Field names carry their unit (`_ms`, `_bytes`). A name or field, once released, keeps its
//! meaning; new ones may be added. Generated page: `docs/events.md`. Tests: below, one text form
//! per variant.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Accelerator, BootstrapStep, StepStatus, StopReason, Timestamp, VmName};

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// Position within the command that emitted it, from 1.
    pub seq: u64,
    /// When it happened.
    pub at: Timestamp,
    /// The VM it happened to; none for the workspace or the host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vm: Option<VmName>,
    /// What happened.
    #[serde(flatten)]
    pub kind: EventKind,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "event")]
#[non_exhaustive]
pub enum EventKind {
    /// The workspace directory exists and is private.
    WorkspacePrepared {
        /// Its root.
        root: PathBuf,
    },
    /// A file that older versions left behind was removed.
    LegacyArtifactRemoved {
        /// The file or directory.
        path: PathBuf,
    },
    /// A download begins or resumes.
    ImageDownloadStarted {
        /// The image's name.
        image: String,
        /// Where it comes from.
        url: String,
        /// Bytes already on disk from an earlier try.
        resumed_bytes: u64,
        /// The full size, where the server tells it.
        total_bytes: Option<u64>,
    },
    /// A download goes on. Not kept in `logs/events.jsonl`.
    ImageDownloadProgress {
        /// The image's name.
        image: String,
        /// Bytes on disk.
        done_bytes: u64,
        /// The full size, where the server tells it.
        total_bytes: Option<u64>,
    },
    /// A try failed and another follows.
    ImageDownloadRetried {
        /// The image's name.
        image: String,
        /// Why the try failed.
        reason: String,
        /// Time until the next try.
        wait_ms: u64,
    },
    /// An image's bytes were compared with its digest and have their final name.
    ImageVerified {
        /// The image's name.
        image: String,
        /// The SHA-512 of its bytes, in hexadecimal.
        sha512: String,
        /// Its size.
        size_bytes: u64,
    },
    /// An image is being built from the distribution's packages.
    ImageBuildStep {
        /// The image's name.
        image: String,
        /// What is being done.
        step: String,
    },
    /// The accelerator of a VM was decided.
    AcceleratorChosen {
        /// The accelerator.
        accelerator: Accelerator,
        /// Why this one.
        reason: String,
    },
    /// QEMU died at start with one accelerator; another is tried.
    AcceleratorFellBack {
        /// The one that failed.
        from: Accelerator,
        /// The one tried next.
        to: Accelerator,
        /// What QEMU said.
        reason: String,
    },
    /// The overlay a guest writes to is there.
    OverlayPrepared {
        /// The overlay.
        path: PathBuf,
        /// The image under it.
        base: PathBuf,
        /// Whether it was made now; false where a persistent one was kept.
        created: bool,
    },
    /// The cloud-init seed was written.
    SeedPrepared {
        /// The seed image.
        path: PathBuf,
    },
    /// A QEMU process was started.
    VmLaunched {
        /// Its process id.
        pid: u32,
        /// What runs its guest code.
        accelerator: Accelerator,
        /// Its log.
        log: PathBuf,
    },
    /// A live QEMU whose launcher had died was taken over.
    VmAdopted {
        /// Its process id.
        pid: u32,
    },
    /// The VM already runs; nothing was changed.
    VmAlreadyRunning {
        /// Its process id.
        pid: u32,
    },
    /// The guest got further on its way up.
    StageReached {
        /// How far.
        stage: Stage,
        /// Time since QEMU's launch.
        elapsed_ms: u64,
    },
    /// The VM is as ready as it was asked to be, its folders mounted and its bootstrap done.
    VmReady {
        /// Time since QEMU's launch.
        elapsed_ms: u64,
    },
    /// A step of a VM's bootstrap began or ended.
    BootstrapStep {
        /// Which step.
        step: BootstrapStep,
        /// How far it got.
        status: StepStatus,
        /// Time it took; missing where it begins.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        duration_ms: Option<u64>,
        /// What the program ended with that the step ran; missing where it ran none to its end.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        exit_code: Option<i32>,
        /// Why it failed or was skipped, or what is worth saying of one that is done.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
    /// The VM was found stopped although nobody ran `down`.
    VmFoundStopped {
        /// Why.
        #[serde(flatten)]
        reason: StopReason,
    },
    /// A shutdown begins.
    ShutdownRequested {
        /// Time the guest gets to power off.
        graceful_wait_ms: u64,
        /// Time its process gets after SIGTERM.
        sigterm_wait_ms: u64,
        /// Time its process gets after SIGKILL.
        sigkill_wait_ms: u64,
    },
    /// The guest was asked to power off (ACPI).
    CooperativeAttempted {
        /// Time it gets.
        timeout_ms: u64,
    },
    /// The guest could not be asked; the next rung follows at once.
    CooperativeUnavailable {
        /// Why.
        reason: String,
    },
    /// The guest powered off in time.
    CooperativeSucceeded {
        /// Time it took.
        elapsed_ms: u64,
    },
    /// The guest did not power off in time.
    CooperativeTimedOut {
        /// Time it had.
        waited_ms: u64,
    },
    /// A signal was sent to the VM's process.
    Escalation {
        /// The signal.
        signal: Escalation,
        /// Time its process gets now.
        timeout_ms: u64,
    },
    /// The VM's process is gone.
    ShutdownComplete {
        /// How it ended.
        outcome: ShutdownOutcome,
        /// Time since the request.
        total_ms: u64,
    },
    /// A disposable overlay was deleted.
    EphemeralLayerDiscarded {
        /// The overlay.
        path: PathBuf,
        /// Disk space it took.
        reclaimed_bytes: u64,
    },
    /// A persistent overlay was kept.
    PersistentLayerKept {
        /// The overlay.
        path: PathBuf,
        /// Disk space it takes.
        size_bytes: u64,
    },
    /// A broker serves the workspace's guest channels from now on.
    BrokerStarted {
        /// Its process id.
        pid: u32,
    },
    /// It does not any more.
    BrokerStopped {
        /// Its process id.
        pid: u32,
    },
    /// A guest's agent answered the broker's hello.
    GuestHandshake {
        /// What the guest can, sorted and unique; empty where it was declined.
        capabilities: Vec<String>,
        /// Whether the session is on.
        outcome: HandshakeOutcome,
        /// Why it was declined.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
    /// A guest that was reachable is not any more.
    GuestLost {
        /// Time since its last answer.
        age_ms: u64,
        /// Why.
        reason: String,
    },
    /// A guest that was lost answers again, in the same session.
    GuestReturned,
    /// The guest was reset: it boots again in the same process.
    GuestReset,
    /// The guest's kernel crashed.
    GuestPanicked,
    /// A folder of the host is there in the guest.
    MountReady {
        /// The folder of the host.
        host: PathBuf,
        /// Where the guest sees it.
        guest: String,
        /// Whether the guest may not write to it.
        read_only: bool,
    },
    /// A folder of the host is not there in the guest.
    MountFailed {
        /// The folder of the host.
        host: PathBuf,
        /// Where the guest was to see it.
        guest: String,
        /// Why not.
        reason: String,
    },
    /// A disk of the VM failed to read or write.
    BlockError {
        /// The disk.
        device: String,
        /// What went wrong.
        reason: String,
    },
    /// `clean` removed something, or would. Kept in `logs/events.jsonl` only where that file stays.
    CleanupProgress {
        /// What.
        path: PathBuf,
        /// What kind of thing.
        kind: CleanupKind,
        /// Disk space it took.
        reclaimed_bytes: u64,
        /// Whether it is still there because this was a dry run.
        dry_run: bool,
    },
}

/// How far a guest got on its way up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// QEMU answers on its control socket and its processors run.
    Machine,
    /// The guest wrote to its serial console.
    Console,
    /// The guest's kernel started, as its clock tells.
    Kernel,
    /// The guest's kernel handed over to its first process.
    Init,
    /// A network card of the guest has an address.
    Network,
    /// cloud-init is done in the guest.
    CloudInit,
    /// Something in the guest listens on the SSH port.
    Sshd,
    /// The guest's agent and the broker greeted each other.
    Handshake,
    /// The guest's SSH server sent its banner.
    Ssh,
    /// The folders of the host are mounted in the guest.
    Mounts,
    /// The guest's bootstrap ran.
    Bootstrap,
}

/// Whether a guest was accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum HandshakeOutcome {
    /// It was.
    Ok,
    /// It was not.
    Declined,
}

/// A signal to a VM's process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum Escalation {
    /// Asks QEMU to end; it closes its disks.
    #[serde(rename = "SIGTERM")]
    Sigterm,
    /// Ends QEMU without asking.
    #[serde(rename = "SIGKILL")]
    Sigkill,
}

/// How a shutdown ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ShutdownOutcome {
    /// The guest powered off.
    Graceful,
    /// The process ended after SIGTERM.
    Terminated,
    /// The process ended after SIGKILL.
    Killed,
    /// It had already stopped.
    AlreadyStopped,
    /// It still lives although every rung was tried.
    StillRunning,
}

/// What `clean` removes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CleanupKind {
    /// A cached base image.
    Image,
    /// An overlay.
    Overlay,
    /// A log.
    Log,
    /// A pidfile, socket, record or lock.
    Runtime,
    /// A half-finished file of a command that died.
    Partial,
    /// A file of an older version.
    Legacy,
}
