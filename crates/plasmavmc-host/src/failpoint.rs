//! Named steps at which a test can end the process, to prove that a crash there loses nothing.
//!
//! `CASTRA_FAILPOINT=<name>` ends the process with SIGKILL at that step. Compiled to nothing
//! without the `failpoints` feature, which no release has. The names are in [`ALL`], so that the
//! crash tests try every one. Tests: `crates/castra/tests/it/crash.rs` and `bootstrap.rs`,
//! `crates/bkt/tests/it/sync_crash.rs`.

/// Every failpoint, in the order `up` and `down` reach them, then those of `bkt vm sync`.
pub const ALL: &[&str] = &[
    "up.workspace-prepared",
    "up.records-written",
    "image-verified",
    "image-recorded",
    "image-published",
    "up.images-ready",
    "up.locked",
    "up.old-overlay-discarded",
    "up.defined",
    "up.overlay-created",
    "up.seed-written",
    "launch.intent-written",
    "launch.spawned",
    "launch.pidfile-written",
    "launch.running",
    "up.launched",
    "up.ready",
    "bootstrap.reachable",
    "bootstrap.cleared",
    "bootstrap.transferred",
    "bootstrap.applying",
    "bootstrap.applied",
    "bootstrap.verified",
    "bootstrap.done",
    "down.marked",
    "stop.kill-recorded",
    "stop.end-recorded",
    "down.stopped",
    "down.discarded",
    "sync.backed-up",
    "sync.disk-made",
    "sync.defined",
    "sync.proved",
];

/// The environment variable that names the failpoint to die at.
pub const VARIABLE: &str = "CASTRA_FAILPOINT";

/// Dies here where the environment says so.
///
/// # Panics
/// In test builds, where `name` is not in [`ALL`].
#[cfg(feature = "failpoints")]
pub fn hit(name: &str) {
    assert!(ALL.contains(&name), "failpoint `{name}` is not listed");
    if std::env::var(VARIABLE).is_ok_and(|wanted| wanted == name) {
        let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
    }
}

/// Does nothing: failpoints are for tests.
#[cfg(not(feature = "failpoints"))]
#[inline]
pub fn hit(_name: &str) {}
