//! How the guest's agent gets into guests: its services, and what a seed says and does for it.
//!
//! ```text
//!  image built here ── has it ─────────────────────────────────────────┐
//!  any other ── seed volume: castra-agent, castra-agent.sh             ├─► running agent
//!                 └─ vendor-data (cloud-init), bootcmd (tiny-cloud) ───┘
//! ```
//!
//! Owns the texts. Never does: look into the agent's bytes, which the caller has. Pure. Tests: below;
//! `tests/guest_agent.rs` on real guests.

/// The name of the agent's file in guests and on the seed.
pub(crate) const NAME: &str = "castra-agent";
/// The name of the script beside it on the seed.
pub(crate) const SCRIPT_NAME: &str = "castra-agent.sh";

const UNIT: &str = include_str!("castra-agent.service");
const OPENRC: &str = include_str!("castra-agent.openrc");
const INSTALL: &str = include_str!("install.sh");

/// Where the agent's path belongs in a service.
const PROGRAM: &str = "@PROGRAM@";

/// The systemd unit of an agent whose program is at `program`.
pub(crate) fn systemd_unit(program: &str) -> String {
    UNIT.replace(PROGRAM, program)
}

/// The script that puts the agent into a guest.
pub(crate) fn install_script() -> String {
    INSTALL.replace("@SYSTEMD_UNIT@", UNIT.trim_end()).replace("@OPENRC_SERVICE@", OPENRC.trim_end())
}

/// A line for a shell that finds the seed volume and runs the script on it. It holds no quotes, so
/// that it survives every reader of YAML.
pub(crate) fn install_line() -> String {
    let seed = "/run/castra-seed";
    let find = "findfs LABEL=CIDATA || findfs LABEL=cidata";
    format!(
        "mkdir -p {seed} && mount -t vfat -o ro $({find}) {seed} && \
         sh {seed}/{SCRIPT_NAME}; umount {seed}; rmdir {seed}"
    )
}

/// What cloud-init does at every boot.
pub(crate) fn boothook() -> String {
    format!("#cloud-boothook\n#!/bin/sh\n# Castra's agent comes from the seed volume.\n{}\n", install_line())
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn the_script_has_both_services_and_a_shell_reads_it() {
        let script = install_script();
        assert!(script.contains("\nWantedBy=sysinit.target\nEND\n"), "{script}");
        assert!(script.contains("\nrespawn_max=0\nEND\n"), "{script}");
        assert_eq!(script.matches('@').count(), 3 * 2, "places that nobody filled in");
        for text in [script, boothook()] {
            let status = Command::new("sh").args(["-n", "-c", &text]).status().unwrap();
            assert!(status.success(), "a shell does not read: {text}");
        }
    }

    #[test]
    fn a_line_for_yaml_has_nothing_that_yaml_reads_otherwise() {
        let line = install_line();
        assert!(!line.contains(['"', '\'', '\\', '#', '\n']) && !line.contains(": "), "{line}");
    }
}
