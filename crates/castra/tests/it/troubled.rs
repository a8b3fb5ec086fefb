//! Real guests in trouble: their agent dies or freezes, their clock is wrong, they are paused, restart
//! or panic. What `status` tells meanwhile is true, and they are reachable soon after it is over.
//!
//! A guest is told what to do on its serial console, whose shell needs no agent.

use std::fs;
use std::io::Write;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use castra_testkit::qga_archive;
use plasmavmc_guest::client::{Channel, Request, ShutdownMode};
use plasmavmc_host::Layout;
use plasmavmc_hypervisor::{EventSink, HypervisorBackend, Observe, block_on};
use plasmavmc_kvm::{KvmBackend, KvmConfig};
use plasmavmc_types::{EventKind, VmName};
use serde_json::Value;

use crate::broker::unserved;
use crate::channel::{BOOT, age, is_reachable, linux, until};
use crate::env::{TestEnv, eventually};
use crate::sectors::serial;

/// How long a guest may take that is well again.
const SOON: Duration = Duration::from_secs(5);
/// How long it may take to be missed: the window of [`linux`], a keepalive, and a busy machine.
const MISSED: Duration = Duration::from_secs(10);

/// A guest with a root shell on its serial console.
struct Console {
    env: TestEnv,
    layout: Layout,
    line: UnixStream,
}

impl Console {
    /// A guest that has booted and is reachable.
    fn of_reachable_guest() -> Self {
        let env = linux();
        let layout = env.layout();
        until(&env, BOOT, is_reachable);
        let console = Self { line: serial(&layout), env, layout };
        console.says("root@web:/# ");
        console
    }

    /// Waits until the guest has said these words.
    fn says(&self, words: &str) {
        let log = self.layout.serial_log(&web());
        eventually(words, || fs::read(&log).is_ok_and(|said| String::from_utf8_lossy(&said).contains(words)));
    }

    /// Types a line.
    fn types(&self, line: &str) {
        (&self.line).write_all(format!("{line}\n").as_bytes()).unwrap();
    }

    /// Waits until the guest is missed, for as long as its last answer is older than the window. Tells
    /// what is shown then.
    fn is_missed(&self) -> Value {
        let (row, _) = until(&self.env, MISSED, |row| !is_reachable(row));
        assert_eq!((&row["state"], &row["broker"]), (&"running".into(), &"waiting".into()));
        let (older, _) = until(&self.env, MISSED, |row| age(row) > 4_000);
        assert!(!is_reachable(&older), "{older}");
        older
    }

    /// Waits until the guest is there again, heard a moment ago.
    fn is_back(&self) {
        until(&self.env, SOON, |row| is_reachable(row) && age(row) < 2_500);
    }

    /// How often the broker's log has these words.
    fn logged(&self, words: &str) -> usize {
        fs::read_to_string(self.layout.broker_log()).unwrap().matches(words).count()
    }

    /// How often an event was told.
    fn told(&self, event: &str) -> usize {
        fs::read_to_string(self.layout.events_log()).unwrap().matches(&format!("\"{event}\"")).count()
    }

    fn backend(&self) -> KvmBackend<'static> {
        struct Nobody;
        impl EventSink for Nobody {
            fn emit(&self, _: Option<&VmName>, _: EventKind) {}
        }
        let layout = self.layout.clone();
        KvmBackend::new(KvmConfig { layout, qemu: "/".into(), accelerators: Vec::new() }, Arc::new(Nobody))
    }
}

fn web() -> VmName {
    "web".parse().unwrap()
}

#[test]
fn an_agent_that_freezes_or_dies_is_missed_and_soon_back() {
    let guest = Console::of_reachable_guest();
    guest.types("killall -STOP castra-agent");
    guest.is_missed();
    guest.types("killall -CONT castra-agent");
    guest.is_back();
    assert_eq!(guest.logged(" handshake vm=web "), 1, "its session went on");
    // Init starts an agent that died; here it finds none for a while.
    guest.types("mv /bin/castra-agent /tmp/agent; killall -9 castra-agent");
    let row = guest.is_missed();
    guest.types("mv /tmp/agent /bin/castra-agent");
    guest.is_back();
    assert_eq!((guest.logged(" handshake vm=web "), guest.logged("hello from vm:web")), (2, 1));
    assert_eq!(guest.env.row("web")["pid"], row["pid"], "the VM was touched");
    guest.env.castra(["down", "--now"]).succeeded();
}

#[test]
fn a_guest_that_is_paused_or_has_a_wrong_clock_is_as_old_as_its_last_answer() {
    let guest = Console::of_reachable_guest();
    let mut channel = Channel::attach(&guest.layout, &web(), SOON).unwrap();
    // A year back, and a year ahead: only the host's clock counts.
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let year = Duration::from_secs(365 * 24 * 3600);
    for time in [now - year, now + year, now] {
        channel.call(&Request::SetTime { unix_ns: u64::try_from(time.as_nanos()).unwrap() }).unwrap();
        let said = guest.env.castra(["exec", "--", "date", "+%s"]).succeeded().stdout;
        let off = said.trim().parse::<u64>().unwrap().abs_diff(time.as_secs());
        assert!(off < 60, "the guest's clock was not set: {off} s");
        let (older, _) = until(&guest.env, SOON, |row| age(row) > 1_000);
        let (younger, _) = until(&guest.env, SOON, |row| age(row) < age(&older));
        assert!(is_reachable(&older) && is_reachable(&younger), "{older} {younger}");
    }
    let backend = guest.backend();
    let vm = block_on(backend.list_vms()).unwrap().remove(0);
    block_on(backend.pause_vm(&vm)).unwrap();
    guest.is_missed();
    block_on(backend.resume_vm(&vm)).unwrap();
    guest.is_back();
    assert_eq!(guest.logged(" handshake vm=web "), 1, "its session went on");
    // It shuts itself down when it is asked over the channel, and leaves nothing behind.
    channel.call(&Request::Shutdown { mode: ShutdownMode::Poweroff }).unwrap();
    unserved(&guest.layout);
    assert_eq!(guest.env.row("web")["state"], "stopped");
    assert!(!guest.env.overlay().exists(), "the broker discards what the guest wrote");
}

#[test]
fn a_guest_that_restarts_is_greeted_anew_and_one_that_panics_is_told_of() {
    let guest = Console::of_reachable_guest();
    let pid = guest.env.row("web")["pid"].clone();
    let boot_id = |guest: &Console| {
        let record: Value = serde_json::from_slice(&fs::read(guest.layout.session(&web())).unwrap()).unwrap();
        record["guest_boot_id"].as_str().unwrap().to_owned()
    };
    let before = boot_id(&guest);
    guest.types("reboot");
    until(&guest.env, MISSED, |row| !is_reachable(row));
    until(&guest.env, BOOT, is_reachable);
    guest.is_back();
    assert_ne!(boot_id(&guest), before);
    assert_eq!((guest.logged(" handshake vm=web "), guest.logged("hello from vm:web")), (2, 1));
    // A kernel that is not gone at once resets the machine again, in another way.
    assert!(guest.told("GuestReset") >= 1 && guest.told("GuestPanicked") == 0);
    assert_eq!(guest.env.row("web")["pid"], pid, "the VM was started anew");
    let ready = "castra-guest: ready";
    let log = guest.layout.serial_log(&web());
    eventually("ready again", || fs::read_to_string(&log).unwrap_or_default().matches(ready).count() == 2);
    // Who runs it is lost with the guest, and that is told.
    guest.env.run(&["exec", "--", "sh", "-c", "echo c > /proc/sysrq-trigger"]).failed(125);
    unserved(&guest.layout);
    let row = guest.env.row("web");
    assert_eq!((&row["state"], &row["broker"]), (&"stopped".into(), &"offline".into()));
    assert_eq!(guest.told("GuestPanicked"), 1);
    assert!(guest.env.overlay().exists(), "what a guest wrote that panicked is kept to look into");
}

#[test]
fn a_guest_with_only_qemu_guest_agent_is_reachable_and_can_what_that_can() {
    let guest = Console::of_reachable_guest();
    guest.env.write("qga.tar", fs::read(qga_archive()).unwrap());
    guest.env.run(&["cp", "qga.tar", "web:/tmp/qga.tar"]).succeeded();
    guest.types(
        "tar -x -C / -f /tmp/qga.tar; ln -s /bin /sbin; mv /bin/castra-agent /tmp; killall -9 castra-agent",
    );
    until(&guest.env, MISSED, |row| !is_reachable(row));
    guest.types(
        "port=$(basename $(dirname $(grep -l org.qemu.guest_agent.0 /sys/class/virtio-ports/*/name)))",
    );
    guest.types("/usr/sbin/qemu-ga -m virtio-serial -p /dev/$port -t /run > /run/qga.log 2>&1 &");
    // Castra's agent is waited for first.
    let (row, _) = until(&guest.env, Duration::from_secs(25), is_reachable);
    assert!(age(&row) < 2_500, "{row}");
    assert_eq!(guest.logged("handshake vm=web capabilities=shutdown,time outcome=ok"), 1);
    let refused = guest.env.castra(["exec", "--", "true"]).failed(125);
    assert!(refused.stderr.contains("has only qemu-guest-agent"), "{refused}");
    let mut channel = Channel::attach(&guest.layout, &web(), SOON).unwrap();
    channel.call(&Request::SetTime { unix_ns: 1_000_000_000_000_000_000 }).unwrap();
    guest.types("date -u");
    guest.says("Sun Sep  9 01:4");
    guest.types("killall -STOP qemu-ga");
    guest.is_missed();
    guest.types("killall -CONT qemu-ga");
    guest.is_back();
    guest.types("killall qemu-ga; mv /tmp/castra-agent /bin/castra-agent");
    eventually("the better agent", || guest.logged("handshake vm=web capabilities=bus-v1,") == 2);
    guest.env.castra(["exec", "--", "true"]).succeeded();
    guest.env.castra(["down", "--now"]).succeeded();
}
