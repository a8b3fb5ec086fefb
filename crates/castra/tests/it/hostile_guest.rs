//! A real guest whose agent's port a hostile program has taken: it spoils its own row alone.

use std::fs;
use std::io::Write;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use castra_agent_proto::message::{HelloReply, session_frame};
use castra_agent_proto::{Frame, Kind};
use plasmavmc_host::Layout;
use serde_json::Value;

use crate::broker::broker;
use crate::channel::{BOOT, is_reachable, until};
use crate::env::{TestEnv, eventually, wait};
use crate::guests::{self, BOUND};
use crate::sectors::serial;

/// How long each misuse goes on.
const MISUSE: Duration = Duration::from_secs(2);
/// How long it may take until it is shown: the window, a keepalive, and a busy machine.
const SHOWN: Duration = Duration::from_secs(15);
/// The text that stands for a session in a reply that was made before it was known.
const UNKNOWN: &str = "00000000000000000000000000000000";

/// The VM beside the hostile one.
const GOOD: &str =
    "[[vms]]\nname = \"good\"\nbase_image = \"./guest.img\"\nmemory = \"64 MiB\"\naccelerator = \"tcg\"";

/// A frame as a program sends it that answers a hello, cut where the session belongs.
fn reply() -> (Vec<u8>, Vec<u8>) {
    let reply = HelloReply {
        protocol: castra_agent_proto::limits::PROTOCOL,
        session: UNKNOWN.to_owned(),
        vm: "web".to_owned(),
        agent: "6.6.6".to_owned(),
        boot_id: "b".to_owned(),
        capabilities: vec!["exec".to_owned()],
        agent_started_ms: 0,
        uptime_ms: 0,
    };
    let bytes = session_frame(Kind::HelloReply, &reply).to_bytes();
    let at = bytes.windows(UNKNOWN.len()).position(|part| part == UNKNOWN.as_bytes()).unwrap();
    (bytes[..at].to_vec(), bytes[at + UNKNOWN.len()..].to_vec())
}

/// Heads of frames of 4 GiB, right in everything else.
fn huge() -> Vec<u8> {
    let mut head = Frame::stream(Kind::Data, 1, *b"").to_bytes()[..16].to_vec();
    head[8..12].copy_from_slice(&u32::MAX.to_le_bytes());
    let check = head[..12]
        .iter()
        .fold(0x811C_9DC5_u32, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193));
    head[12..].copy_from_slice(&check.to_le_bytes());
    head.repeat(256)
}

/// Two guests of one workspace: `web`, which is hostile, and `good`.
struct Two {
    env: TestEnv,
    layout: Layout,
    /// The hostile guest's console.
    line: UnixStream,
}

impl Two {
    /// Both are reachable, and `web` has the hostile program with all it needs.
    fn new() -> Self {
        let env = guests::linux("256 MiB", GOOD);
        let layout = env.layout();
        let both = Self { line: serial(&layout), layout, env };
        until(&both.env, BOOT, is_reachable);
        both.env.run(&["exec", "--wait", "120", "good", "--", "true"]).succeeded();
        let pong = Frame::session(Kind::Pong, vec![0; 8]).to_bytes();
        let (begin, end) = reply();
        let script = include_bytes!("hostile_guest.sh").to_vec();
        for (name, bytes) in [
            ("reply.1", begin),
            ("reply.2", end),
            ("pongs", pong.repeat(1_000)),
            ("huge", huge()),
            ("hostile.sh", script),
        ] {
            both.env.write(name, bytes);
            both.env.run(&["cp", name, &format!("web:/tmp/{name}")]).succeeded();
        }
        let log = both.layout.serial_log(&"web".parse().unwrap());
        eventually("its shell", || fs::read_to_string(&log).is_ok_and(|said| said.contains("root@web:/# ")));
        both
    }

    /// Types a line on the hostile guest's console.
    fn types(&self, line: &str) {
        (&self.line).write_all(format!("{line}\n").as_bytes()).unwrap();
    }

    /// What `status` shows of `web` once it is as wanted, while `good` is well at every look.
    fn shown(&self, bound: Duration, wanted: impl Fn(&Value) -> bool) -> Value {
        castra_testkit::until(bound, || {
            let good = self.env.row("good");
            assert!(is_reachable(&good) && good["channel_fault"].is_null(), "{good}");
            let row = self.env.row("web");
            if wanted(&row) { Ok(row) } else { Err(row) }
        })
    }

    /// Lets a misuse go on for a while: the other guest answers meanwhile.
    fn endures(&self) {
        let begun = Instant::now();
        while begun.elapsed() < MISUSE {
            let child = self.env.spawn(&["exec", "good", "--", "echo", "well"]);
            assert_eq!(wait(child, BOUND).succeeded().stdout, "well\n");
            assert!(is_reachable(&self.env.row("good")));
        }
    }

    /// What the broker holds in memory, in KiB.
    fn resident_kib(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", broker(&self.layout).pid())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }

    fn size(path: &std::path::Path) -> u64 {
        fs::metadata(path).unwrap().len()
    }
}

#[test]
fn a_program_that_takes_the_port_spoils_its_own_row_alone() {
    let both = Two::new();
    let before = both.resident_kib();
    both.types("mv /bin/castra-agent /tmp/agent; killall -9 castra-agent; chmod +x /tmp/hostile.sh");
    both.types("/tmp/hostile.sh flood &");
    let row = both.shown(SHOWN, |row| row["channel_fault"]["fault"] == "flooded");
    both.endures();
    // It answers no ping: what it said of itself gets old.
    both.shown(SHOWN, |row| !is_reachable(row) && row["broker"] == "waiting");
    both.types("killall hostile.sh cat; /tmp/hostile.sh huge &");
    both.endures();
    both.shown(SHOWN, |row| !is_reachable(row));
    both.types("killall hostile.sh cat; /tmp/hostile.sh toggle &");
    both.endures();
    let grown = both.resident_kib().saturating_sub(before);
    assert!(grown < 4 * 1024, "the broker grew by {grown} KiB");
    let journal = Two::size(&both.layout.journal(&"web".parse().unwrap()));
    let log = Two::size(&both.layout.broker_log());
    assert!(journal < 32 * 1024 && log < 8 * 1024, "{journal} {log}");
    // A guest that comes to its senses is served again.
    both.types("killall hostile.sh; mv /tmp/agent /bin/castra-agent");
    let well = both.shown(BOOT, is_reachable);
    assert_eq!(well["pid"], row["pid"]);
    both.env.castra(["down", "--now"]).succeeded();
}
