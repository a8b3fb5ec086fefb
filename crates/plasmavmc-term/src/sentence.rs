//! Events as sentences.
//!
//! One sentence per event, in the words of the command's reader; the facts stay in the event. Pure.
//! Tests: below, over every event.

use std::time::Duration;

use plasmavmc_types::{BootstrapStep, ByteSize, Escalation, EventKind, ShutdownOutcome, Stage, StepStatus};

use crate::text::duration;

/// What an event says to a person, as the rest of a line that begins with the VM's name. None for
/// events that only move a progress bar.
pub fn sentence(event: &EventKind) -> Option<String> {
    use EventKind as E;
    let text = match event {
        E::ImageDownloadProgress { .. } => return None,
        E::WorkspacePrepared { root } => format!("workspace {}", root.display()),
        E::LegacyArtifactRemoved { path } => {
            format!("removed {}, left behind by an older version", path.display())
        }
        E::ImageDownloadStarted { .. }
        | E::ImageDownloadRetried { .. }
        | E::ImageVerified { .. }
        | E::ImageBuildStep { .. } => image(event)?,
        E::AcceleratorChosen { accelerator, reason } => format!("accelerator {accelerator}: {reason}"),
        E::AcceleratorFellBack { from, to, reason } => {
            format!("QEMU died with accelerator {from}, trying {to}: {reason}")
        }
        E::OverlayPrepared { path, created: true, .. } => format!("overlay {}", path.display()),
        E::OverlayPrepared { path, created: false, .. } => format!("overlay {} kept", path.display()),
        E::SeedPrepared { .. } => "cloud-init seed written".to_owned(),
        E::VmLaunched { pid, accelerator, .. } => format!("QEMU launched (pid {pid}, {accelerator})"),
        E::VmAdopted { pid } => format!("took over the QEMU that was already there (pid {pid})"),
        E::VmAlreadyRunning { pid } => format!("already running (pid {pid}), nothing changed"),
        E::StageReached { stage: Stage::Machine, .. } => "machine runs".to_owned(),
        E::StageReached { stage: Stage::Console, .. } => "guest writes to its console".to_owned(),
        E::StageReached { stage: Stage::Kernel, .. } => "kernel started".to_owned(),
        E::StageReached { stage: Stage::Init, .. } => "init started".to_owned(),
        E::StageReached { stage: Stage::Network, .. } => "network has an address".to_owned(),
        E::StageReached { stage: Stage::CloudInit, .. } => "cloud-init is done".to_owned(),
        E::StageReached { stage: Stage::Sshd, .. } => "SSH server listens".to_owned(),
        E::StageReached { stage: Stage::Handshake, .. } => "agent in the guest answers".to_owned(),
        E::StageReached { stage: Stage::Ssh, .. } => "SSH server answers".to_owned(),
        E::StageReached { stage: Stage::Mounts, .. } => "folders are mounted".to_owned(),
        E::StageReached { stage: Stage::Bootstrap, .. } => "bootstrap is done".to_owned(),
        E::VmReady { elapsed_ms } => format!("up after {}", millis(*elapsed_ms)),
        E::BootstrapStep { .. } => bootstrap(event)?,
        E::VmFoundStopped { reason } => format!("had stopped: {reason}"),
        E::PersistentLayerKept { path, size_bytes } => {
            format!("kept its disk {} ({})", path.display(), ByteSize::bytes(*size_bytes))
        }
        E::EphemeralLayerDiscarded { reclaimed_bytes, .. } => {
            format!("discarded its overlay, {} reclaimed", ByteSize::bytes(*reclaimed_bytes))
        }
        E::CleanupProgress { path, reclaimed_bytes, dry_run, .. } => {
            let verb = if *dry_run { "would remove" } else { "removed" };
            format!("{verb} {} ({})", path.display(), ByteSize::bytes(*reclaimed_bytes))
        }
        _ => return shutdown(event).or_else(|| channel(event)),
    };
    Some(text)
}

fn image(event: &EventKind) -> Option<String> {
    use EventKind as E;
    Some(match event {
        E::ImageDownloadStarted { image, url, resumed_bytes: 0, .. } => {
            format!("downloading image {image} from {url}")
        }
        E::ImageDownloadStarted { image, url, resumed_bytes, .. } => {
            format!("downloading image {image} from {url}, from {} on", ByteSize::bytes(*resumed_bytes))
        }
        E::ImageDownloadRetried { image, reason, wait_ms } => {
            format!("download of image {image} failed, next try in {}: {reason}", millis(*wait_ms))
        }
        E::ImageVerified { image, size_bytes, .. } => {
            format!("image {image} verified ({})", ByteSize::bytes(*size_bytes))
        }
        E::ImageBuildStep { image, step } => format!("building image {image}: {step}"),
        _ => return None,
    })
}

fn bootstrap(event: &EventKind) -> Option<String> {
    let EventKind::BootstrapStep { step, status, duration_ms, exit_code, reason } = event else {
        return None;
    };
    let took = duration_ms.map(|ms| format!(" after {}", millis(ms))).unwrap_or_default();
    let code = exit_code.map(|code| format!(" with exit code {code}")).unwrap_or_default();
    let why = reason.as_deref().map(|reason| format!(": {reason}")).unwrap_or_default();
    Some(match status {
        StepStatus::Started => format!("bootstrap: {step}"),
        StepStatus::Ok => format!("bootstrap: {step} done{took}{why}"),
        StepStatus::Failed => format!("bootstrap: {step} failed{code}{took}{why}"),
        StepStatus::Skipped => format!("bootstrap: {step} skipped{why}"),
    })
}

fn shutdown(event: &EventKind) -> Option<String> {
    use EventKind as E;
    Some(match event {
        E::ShutdownRequested { .. } => "shutting down".to_owned(),
        E::CooperativeAttempted { timeout_ms } => {
            format!("guest asked to power off, it has {}", millis(*timeout_ms))
        }
        E::CooperativeUnavailable { reason } => format!("guest could not be asked to power off: {reason}"),
        E::CooperativeSucceeded { elapsed_ms } => format!("guest powered off after {}", millis(*elapsed_ms)),
        E::CooperativeTimedOut { waited_ms } => {
            format!("guest did not power off within {}", millis(*waited_ms))
        }
        E::Escalation { signal, timeout_ms } => {
            let signal = match signal {
                Escalation::Sigterm => "SIGTERM",
                Escalation::Sigkill => "SIGKILL",
            };
            format!("{signal} sent to QEMU, it has {}", millis(*timeout_ms))
        }
        E::ShutdownComplete { outcome, total_ms } => {
            let took = millis(*total_ms);
            match outcome {
                ShutdownOutcome::Graceful => format!("stopped after {took}: the guest powered off"),
                ShutdownOutcome::Terminated => format!("stopped after {took} with SIGTERM"),
                ShutdownOutcome::Killed => format!("stopped after {took} with SIGKILL"),
                ShutdownOutcome::AlreadyStopped => "had already stopped".to_owned(),
                ShutdownOutcome::StillRunning => {
                    format!("still runs after {took}, although everything was tried")
                }
            }
        }
        _ => return None,
    })
}

fn channel(event: &EventKind) -> Option<String> {
    use EventKind as E;
    Some(match event {
        E::BrokerStarted { pid } => format!("broker started (pid {pid})"),
        E::BrokerStopped { pid } => format!("broker stopped (pid {pid})"),
        E::GuestHandshake { reason: Some(reason), .. } => format!("its agent was declined: {reason}"),
        E::GuestHandshake { capabilities, .. } if capabilities.is_empty() => "its agent answers".to_owned(),
        E::GuestHandshake { capabilities, .. } => {
            format!("its agent answers: {}", capabilities.join(", "))
        }
        E::GuestLost { age_ms, reason } => {
            format!("lost its agent, heard {} ago: {reason}", millis(*age_ms))
        }
        E::GuestReturned => "its agent answers again".to_owned(),
        E::GuestReset => "was reset, its guest boots again".to_owned(),
        E::MountReady { host, guest, read_only } => {
            let access = if *read_only { "read-only" } else { "writable" };
            format!("mounted {} at {guest}, {access}", host.display())
        }
        E::MountFailed { host, guest, reason } => {
            format!("could not mount {} at {guest}: {reason}", host.display())
        }
        E::GuestPanicked => "its guest's kernel crashed".to_owned(),
        E::BlockError { device, reason } => format!("disk {device} failed: {reason}"),
        _ => return None,
    })
}

/// What is awaited after an event, as a line that goes on until the next one. None where the VM has
/// come to rest.
pub fn waiting_for(event: &EventKind) -> Option<&'static str> {
    use EventKind as E;
    match event {
        E::AcceleratorChosen { .. } | E::OverlayPrepared { .. } | E::SeedPrepared { .. } => Some("preparing"),
        E::AcceleratorFellBack { .. } => Some("launching QEMU again"),
        E::ImageBuildStep { .. } => Some("building the image"),
        E::VmLaunched { .. } | E::VmAdopted { .. } => Some("waiting for the machine"),
        E::StageReached { .. } => Some("waiting for the guest"),
        E::BootstrapStep { step, status: StepStatus::Started, .. } => Some(match step {
            BootstrapStep::WaitHandshake => "waiting for the guest's agent",
            BootstrapStep::Connect => "connecting to the guest",
            BootstrapStep::Transfer => "moving the bootstrap into the guest",
            BootstrapStep::Apply => "running the bootstrap",
            BootstrapStep::Verify => "verifying the bootstrap",
        }),
        E::ShutdownRequested { .. } | E::CooperativeAttempted { .. } => {
            Some("waiting for the guest to power off")
        }
        E::CooperativeUnavailable { .. } | E::CooperativeTimedOut { .. } | E::Escalation { .. } => {
            Some("waiting for QEMU to end")
        }
        _ => None,
    }
}

fn millis(millis: u64) -> String {
    duration(Duration::from_millis(millis))
}

#[cfg(test)]
mod tests {
    use super::*;
    use plasmavmc_types::{Accelerator, CleanupKind, HandshakeOutcome, StopReason};

    /// One of each event.
    fn samples() -> Vec<EventKind> {
        use EventKind as E;
        let image = || "alpine".to_owned();
        let reason = || "why".to_owned();
        vec![
            E::WorkspacePrepared { root: "/w".into() },
            E::LegacyArtifactRemoved { path: "/w/handshakes".into() },
            E::ImageDownloadStarted {
                image: image(),
                url: "u".into(),
                resumed_bytes: 2048,
                total_bytes: None,
            },
            E::ImageDownloadProgress { image: image(), done_bytes: 1, total_bytes: None },
            E::ImageDownloadRetried { image: image(), reason: reason(), wait_ms: 500 },
            E::ImageVerified { image: image(), sha512: "00".into(), size_bytes: 1 << 20 },
            E::ImageBuildStep { image: image(), step: "kernel".into() },
            E::AcceleratorChosen { accelerator: Accelerator::Tcg, reason: reason() },
            E::AcceleratorFellBack { from: Accelerator::Kvm, to: Accelerator::Tcg, reason: reason() },
            E::OverlayPrepared { path: "/o".into(), base: "/b".into(), created: false },
            E::SeedPrepared { path: "/s".into() },
            E::VmLaunched { pid: 42, accelerator: Accelerator::Tcg, log: "/l".into() },
            E::VmAdopted { pid: 42 },
            E::VmAlreadyRunning { pid: 42 },
            E::StageReached { stage: Stage::Ssh, elapsed_ms: 1 },
            E::VmReady { elapsed_ms: 2_700 },
            step(BootstrapStep::Transfer, StepStatus::Started, None, None),
            step(BootstrapStep::Transfer, StepStatus::Ok, Some(250), None),
            step(BootstrapStep::Apply, StepStatus::Failed, Some(2_000), Some(3)),
            step(BootstrapStep::Verify, StepStatus::Skipped, Some(0), None),
            E::VmFoundStopped { reason: StopReason::Vanished },
            E::ShutdownRequested { graceful_wait_ms: 1, sigterm_wait_ms: 2, sigkill_wait_ms: 3 },
            E::CooperativeAttempted { timeout_ms: 20_000 },
            E::CooperativeUnavailable { reason: reason() },
            E::CooperativeSucceeded { elapsed_ms: 900 },
            E::CooperativeTimedOut { waited_ms: 20_000 },
            E::Escalation { signal: Escalation::Sigkill, timeout_ms: 5_000 },
            E::ShutdownComplete { outcome: ShutdownOutcome::Killed, total_ms: 25_000 },
            E::EphemeralLayerDiscarded { path: "/o".into(), reclaimed_bytes: 1 << 21 },
            E::PersistentLayerKept { path: "/o".into(), size_bytes: 1 << 21 },
            E::BrokerStarted { pid: 42 },
            E::BrokerStopped { pid: 42 },
            E::GuestHandshake {
                capabilities: vec!["exec".into(), "files".into()],
                outcome: HandshakeOutcome::Ok,
                reason: None,
            },
            E::GuestHandshake {
                capabilities: Vec::new(),
                outcome: HandshakeOutcome::Declined,
                reason: Some(reason()),
            },
            E::GuestLost { age_ms: 6_500, reason: reason() },
            E::GuestReturned,
            E::GuestReset,
            E::MountReady { host: "/o".into(), guest: "/srv/o".into(), read_only: true },
            E::MountFailed { host: "/o".into(), guest: "/srv/o".into(), reason: reason() },
            E::GuestPanicked,
            E::BlockError { device: "root".into(), reason: reason() },
            E::CleanupProgress {
                path: "/o".into(),
                kind: CleanupKind::Overlay,
                reclaimed_bytes: 0,
                dry_run: true,
            },
        ]
    }

    fn step(
        step: BootstrapStep,
        status: StepStatus,
        duration_ms: Option<u64>,
        exit_code: Option<i32>,
    ) -> EventKind {
        let reason = (status == StepStatus::Skipped).then(|| "why".to_owned());
        EventKind::BootstrapStep { step, status, duration_ms, exit_code, reason }
    }

    #[test]
    fn every_event_has_a_sentence() {
        let names: Vec<String> = samples().iter().map(name).collect();
        let schema = serde_json::to_value(schemars::schema_for!(EventKind)).unwrap();
        let variants = schema["oneOf"].as_array().expect("the schema lists one shape per event");
        for variant in variants {
            let known =
                variant["properties"]["event"]["const"].as_str().expect("an event is known by its name");
            assert!(names.iter().any(|name| name == known), "`{known}` has no sample here");
        }
        let text: Vec<_> =
            samples().iter().map(|event| format!("{}: {}", name(event), shown(event))).collect();
        insta::assert_snapshot!(text.join("\n"), @r"
        WorkspacePrepared: workspace /w
        LegacyArtifactRemoved: removed /w/handshakes, left behind by an older version
        ImageDownloadStarted: downloading image alpine from u, from 2 KiB on
        ImageDownloadProgress: (moves a bar)
        ImageDownloadRetried: download of image alpine failed, next try in 500 ms: why
        ImageVerified: image alpine verified (1 MiB)
        ImageBuildStep: building image alpine: kernel [building the image]
        AcceleratorChosen: accelerator tcg: why [preparing]
        AcceleratorFellBack: QEMU died with accelerator kvm, trying tcg: why [launching QEMU again]
        OverlayPrepared: overlay /o kept [preparing]
        SeedPrepared: cloud-init seed written [preparing]
        VmLaunched: QEMU launched (pid 42, tcg) [waiting for the machine]
        VmAdopted: took over the QEMU that was already there (pid 42) [waiting for the machine]
        VmAlreadyRunning: already running (pid 42), nothing changed
        StageReached: SSH server answers [waiting for the guest]
        VmReady: up after 2.7 s
        BootstrapStep: bootstrap: transfer [moving the bootstrap into the guest]
        BootstrapStep: bootstrap: transfer done after 250 ms
        BootstrapStep: bootstrap: apply failed with exit code 3 after 2.0 s
        BootstrapStep: bootstrap: verify skipped: why
        VmFoundStopped: had stopped: its process vanished: crashed, or killed by something else
        ShutdownRequested: shutting down [waiting for the guest to power off]
        CooperativeAttempted: guest asked to power off, it has 20 s [waiting for the guest to power off]
        CooperativeUnavailable: guest could not be asked to power off: why [waiting for QEMU to end]
        CooperativeSucceeded: guest powered off after 900 ms
        CooperativeTimedOut: guest did not power off within 20 s [waiting for QEMU to end]
        Escalation: SIGKILL sent to QEMU, it has 5.0 s [waiting for QEMU to end]
        ShutdownComplete: stopped after 25 s with SIGKILL
        EphemeralLayerDiscarded: discarded its overlay, 2 MiB reclaimed
        PersistentLayerKept: kept its disk /o (2 MiB)
        BrokerStarted: broker started (pid 42)
        BrokerStopped: broker stopped (pid 42)
        GuestHandshake: its agent answers: exec, files
        GuestHandshake: its agent was declined: why
        GuestLost: lost its agent, heard 6.5 s ago: why
        GuestReturned: its agent answers again
        GuestReset: was reset, its guest boots again
        MountReady: mounted /o at /srv/o, read-only
        MountFailed: could not mount /o at /srv/o: why
        GuestPanicked: its guest's kernel crashed
        BlockError: disk root failed: why
        CleanupProgress: would remove /o (0 B)
        ");
    }

    fn name(event: &EventKind) -> String {
        serde_json::to_value(event).unwrap()["event"].as_str().unwrap().to_owned()
    }

    fn shown(event: &EventKind) -> String {
        let sentence = sentence(event).unwrap_or_else(|| "(moves a bar)".to_owned());
        match waiting_for(event) {
            Some(what) => format!("{sentence} [{what}]"),
            None => sentence,
        }
    }
}
