//! Projects whose VMs are guests of one sector, on real QEMU, and what tests ask of them.

use std::fs;
use std::io::Write;
use std::os::unix::net::UnixStream;
use std::path::Path;

use plasmavmc_host::Layout;
use plasmavmc_host::socket::{self, Connected};
use serde_json::Value;

use crate::env::{Answer, TestEnv, eventually};
use crate::guests::prove_accelerators;

/// The config of a project with one VM, `web`, on the disk `guest.img`; `keys` are more keys of the VM
/// and the tables that follow it.
///
/// TCG by name, so that every host tests the same.
pub(crate) fn one_vm(keys: &str) -> String {
    format!(
        "[project]\nname = \"shop\"\n\n[[vms]]\nname = \"web\"\nbase_image = \"./guest.img\"\n\
         memory = \"64 MiB\"\naccelerator = \"tcg\"\n{keys}\n"
    )
}

/// A short wait for a guest that ignores its power button, and long ones for what follows.
pub(crate) const SHORT_WAITS: &str =
    "[lifecycle]\ngraceful_shutdown_wait_secs = 1\nsigterm_wait_secs = 20\nsigkill_wait_secs = 20\n";

/// The serial line of `web`, read by a thread for as long as QEMU lives: a guest stops at a line that
/// nobody reads. What is written last may be lost where it is closed at once: the guest takes a few
/// letters at a time.
pub(crate) fn serial(layout: &Layout) -> UnixStream {
    let name = Layout::serial_socket_name(&"web".parse().unwrap());
    let Connected::Stream(line) = socket::connect(layout.root(), &name).unwrap() else {
        panic!("nobody listens on the serial line");
    };
    let mut said = line.try_clone().unwrap();
    std::thread::spawn(move || std::io::copy(&mut said, &mut std::io::sink()));
    line
}

/// The names of events, in order.
pub(crate) fn names(events: &[Value]) -> Vec<&str> {
    events.iter().filter_map(|event| event["event"].as_str()).collect()
}

/// The only event of that name.
#[track_caller]
pub(crate) fn only<'a>(events: &'a [Value], name: &str) -> &'a Value {
    let found: Vec<_> = events.iter().filter(|event| event["event"] == name).collect();
    assert_eq!(found.len(), 1, "{name} among {:?}", names(events));
    found[0]
}

/// Every file and directory below `dir` with its inode, size and time of change.
pub(crate) fn details(dir: &Path) -> Vec<(String, u64, u64, i64, i64)> {
    use std::os::unix::fs::MetadataExt;
    let detail = |name: String| {
        let meta = fs::symlink_metadata(dir.join(&name)).unwrap();
        (name, meta.ino(), meta.size(), meta.ctime(), meta.ctime_nsec())
    };
    TestEnv::tree(dir).into_iter().map(detail).collect()
}

impl TestEnv {
    /// A world whose project has one VM, `web`, that boots `disk`.
    pub(crate) fn with_guest(disk: &[u8], keys: &str) -> Self {
        let env = Self::new();
        prove_accelerators(&env);
        env.write("guest.img", disk);
        env.write("castra.toml", one_vm(keys));
        env
    }

    /// Brings the project up as far as its guests' first words; gives what became of its VMs.
    #[track_caller]
    pub(crate) fn start(&self) -> Vec<Value> {
        vms(&self.run(&["up", "--json", "--wait", "running"]).succeeded())
    }

    /// The events of commands the project's workspace has kept: those of its broker are told apart by
    /// their names.
    pub(crate) fn kept_events(&self) -> Vec<Value> {
        let text = fs::read_to_string(self.layout().events_log()).unwrap();
        let events = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        events.filter(|event| !is_of_broker(event)).collect()
    }

    /// Waits until the guest of `web` has said `words` and nothing after them.
    pub(crate) fn heard(&self, layout: &Layout, words: &[u8]) {
        let log = layout.serial_log(&"web".parse().unwrap());
        eventually("the guest's words", || fs::read(&log).is_ok_and(|said| said.ends_with(words)));
    }

    /// Writes to the serial line of `web`.
    pub(crate) fn tell(&self, layout: &Layout, words: &[u8]) {
        serial(layout).write_all(words).unwrap();
    }

    /// Waits until `web` has no process.
    pub(crate) fn stopped(&self) -> Value {
        let mut row = Value::Null;
        eventually("the end of the VM", || {
            row = self.row("web");
            row["state"] == "stopped"
        });
        row
    }
}

/// What `up` or `down` tells of each VM, of all workspaces in order.
#[track_caller]
pub(crate) fn vms(answer: &Answer) -> Vec<Value> {
    let outcome = answer.outcome();
    match outcome["workspaces"].as_array() {
        Some(all) => all.iter().flat_map(|one| one["vms"].as_array().unwrap().clone()).collect(),
        None => outcome["vms"].as_array().unwrap().clone(),
    }
}

fn is_of_broker(event: &Value) -> bool {
    let name = event["event"].as_str().unwrap();
    name.starts_with("Broker") || name.starts_with("Guest")
}
