//! The agent's program, as bytes to put into guests.
//!
//! Owns: how it is built, in `build.rs`: for this machine's kind of processor, static, small. Tests:
//! below.

/// `castra-agent`, an ELF program that needs nothing of the guest but its kernel.
pub const AGENT: &[u8] = include_bytes!(env!("CASTRA_AGENT"));

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;
    use std::process::Command;

    use super::*;

    /// The most it may have: it travels on every seed.
    const MAX_SIZE: usize = 3 << 19;

    fn number(at: usize, bytes: usize) -> u64 {
        AGENT[at..at + bytes].iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte))
    }

    #[test]
    fn the_agent_is_small_and_needs_no_other_file() {
        const INTERPRETER: u64 = 3;
        assert_eq!(&AGENT[..5], b"\x7fELF\x02");
        assert!(AGENT.len() <= MAX_SIZE, "the agent has grown to {} bytes", AGENT.len());
        let (table, size, count) = (number(32, 8), number(54, 2), number(56, 2));
        let kinds = (0..count).map(|row| number(usize::try_from(table + row * size).unwrap(), 4));
        assert!(kinds.into_iter().all(|kind| kind != INTERPRETER), "the agent wants a loader");
    }

    #[test]
    fn the_agent_runs_without_any_environment() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("castra-agent");
        fs::write(&path, AGENT).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).unwrap();
        let output = Command::new(&path).arg("--version").env_clear().output().unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        assert_eq!(said, format!("castra-agent {}\n", env!("CARGO_PKG_VERSION")));
    }
}
