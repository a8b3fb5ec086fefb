//! How far the guest's boot got: looked at a few times a second until it is done.
//!
//! Owns: what counts as a stage. Reads files in `/proc` and `/run`, starts nothing. Tests: below.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use castra_agent_proto::message::{GuestStage, Report};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags};

use crate::facts::uptime_ms;
use crate::port::Shared;

/// From this uptime on the rest of the boot is looked at less often.
const SETTLED_MS: u64 = 300_000;
/// How often then.
const SETTLED: Duration = Duration::from_secs(5);
/// Lines of the kernel's log that are looked through for the start of the first process.
const MAX_RECORDS: usize = 5000;

/// Looks at the boot in a thread of its own, until all of it is known or `stop` closes.
pub(crate) fn start(shared: &Arc<Shared>, stop: &Arc<OwnedFd>) -> io::Result<()> {
    let Some(pace) = shared.config.stages else { return Ok(()) };
    let (shared, stop) = (Arc::clone(shared), Arc::clone(stop));
    std::thread::Builder::new().name("stages".to_owned()).stack_size(64 * 1024).spawn(move || {
        let root = shared.config.root.clone();
        let init = init_ms().unwrap_or(shared.facts.agent_started_ms);
        tell(&shared, GuestStage::Init, init);
        let mut left = vec![GuestStage::Network, GuestStage::Sshd];
        if awaits_cloud_init(&root) {
            left.push(GuestStage::CloudInit);
        }
        while !left.is_empty() {
            left.retain(|stage| {
                let is_reached = is_reached(*stage, &root);
                if is_reached {
                    tell(&shared, *stage, uptime_ms());
                }
                !is_reached
            });
            let pace = if uptime_ms() > SETTLED_MS { SETTLED.max(pace) } else { pace };
            if sleep_or_stop(&stop, pace) {
                return;
            }
        }
    })?;
    Ok(())
}

fn tell(shared: &Shared, stage: GuestStage, uptime_ms: u64) {
    shared.reached(stage, uptime_ms);
    shared.outbox.report(&Report::Stage { stage, uptime_ms });
}

/// Waits; true where the agent ends.
fn sleep_or_stop(stop: &OwnedFd, pace: Duration) -> bool {
    let timeout = Timespec::try_from(pace).ok();
    poll(&mut [PollFd::new(stop, PollFlags::IN)], timeout.as_ref()).is_ok_and(|ready| ready > 0)
}

fn is_reached(stage: GuestStage, root: &Path) -> bool {
    let text = |path: &str| fs::read_to_string(root.join(path)).unwrap_or_default();
    match stage {
        GuestStage::Init => true,
        GuestStage::Network => has_address(&text("proc/net/fib_trie"), &text("proc/net/if_inet6")),
        GuestStage::CloudInit => root.join("run/cloud-init/result.json").exists(),
        GuestStage::Sshd => ["proc/net/tcp", "proc/net/tcp6"].iter().any(|path| listens_on_22(&text(path))),
    }
}

/// Whether cloud-init is there and will run.
fn awaits_cloud_init(root: &Path) -> bool {
    let programs = ["usr/bin/cloud-init", "usr/local/bin/cloud-init"].map(|path| root.join(path));
    programs.iter().any(|program| program.exists()) && !root.join("run/cloud-init/disabled").exists()
}

/// Whether a card that is not the loopback has an address of the network: IPv4, or IPv6 beyond its
/// own link.
fn has_address(fib_trie: &str, if_inet6: &str) -> bool {
    let mut address = "";
    for line in fib_trie.lines().map(str::trim) {
        if let Some(leaf) = line.strip_prefix("|-- ") {
            address = leaf;
        } else if line == "/32 host LOCAL" && !address.starts_with("127.") {
            return true;
        }
    }
    if_inet6.lines().any(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        matches!(fields[..], [_, _, _, scope, _, card] if scope == "00" && card != "lo")
    })
}

/// Whether a row of the kernel's table of connections listens on port 22.
fn listens_on_22(table: &str) -> bool {
    table.lines().skip(1).any(|line| {
        let mut fields = line.split_whitespace().skip(1);
        let is_ssh = fields.next().is_some_and(|local| local.ends_with(":0016"));
        is_ssh && fields.nth(1) == Some("0A")
    })
}

/// When the kernel started its first process, from its log.
fn init_ms() -> Option<u64> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let log = rustix::fs::open(PathBuf::from("/dev/kmsg"), flags, Mode::empty()).ok()?;
    let mut record = vec![0; 8192];
    for _ in 0..MAX_RECORDS {
        match rustix::io::read(&log, &mut record[..]) {
            Ok(count) => {
                if let Some(ms) = init_record(&String::from_utf8_lossy(&record[..count])) {
                    return Some(ms);
                }
            }
            // Overwritten while it was read: the next one follows.
            Err(rustix::io::Errno::PIPE) => {}
            Err(_) => return None,
        }
    }
    None
}

/// The time in a record of the kernel's log that says it starts the first process.
fn init_record(record: &str) -> Option<u64> {
    let (head, text) = record.split_once(';')?;
    if !(text.starts_with("Run ") && text.trim_end().ends_with(" as init process")) {
        return None;
    }
    head.split(',').nth(2)?.parse::<u64>().ok().map(|microseconds| microseconds / 1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRIE: &str = "Main:\n  +-- 0.0.0.0/0 3 0 5\n     |-- 0.0.0.0\n        /0 universe UNICAST\n     \
                        |-- 127.0.0.1\n        /32 host LOCAL\n     |-- 127.255.255.255\n        /32 link BROADCAST\n";

    #[test]
    fn an_address_beyond_the_guest_itself_is_a_network() {
        assert!(!has_address(TRIE, "00000000000000000000000000000001 01 80 10 80 lo\n"));
        assert!(has_address(&format!("{TRIE}     |-- 10.0.2.15\n        /32 host LOCAL\n"), ""));
        assert!(!has_address(TRIE, "fe800000000000005054000000000001 02 40 20 80 eth0\n"));
        assert!(has_address("", "fec0000000000000505400fffe000001 02 40 00 00 eth0\n"));
    }

    #[test]
    fn a_server_that_listens_on_port_22_is_told_from_connections_to_one() {
        let head = "  sl  local_address rem_address   st\n";
        let row = |local: &str, state: &str| format!("{head}   0: {local} 00000000:0000 {state} 0:0 00\n");
        assert!(listens_on_22(&row("00000000:0016", "0A")));
        assert!(listens_on_22(&row("00000000000000000000000000000000:0016", "0A")));
        assert!(!listens_on_22(&row("00000000:0016", "01")));
        assert!(!listens_on_22(&row("00000000:1600", "0A")));
        assert!(!listens_on_22(head));
    }

    #[test]
    fn the_first_process_starts_when_the_kernel_says_so() {
        assert_eq!(init_record("6,512,1234567,-;Run /init as init process\n"), Some(1234));
        assert_eq!(init_record("6,512,1234567,-;Run away\n"), None);
    }
}
