//! The broker: how soon a guest is reachable, and what the broker costs at rest with twenty of them.
//!
//! *Soon* runs from the agent's start in the guest, as the guest's own clock tells it, to the handshake
//! the broker wrote down. *At rest* nobody asks anything of it but the guests' keepalives; its
//! processor time is read from the kernel before and after.

use std::fs;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::error::{BenchError, IoAbout};
use super::guest::{Guest, config};
use super::lab::{Lab, free_port, output};
use super::outcome::{Goal, Line, Unit};
use super::rows::{figures, time};

const VMS: usize = 20;
/// Boots of a single guest.
const SINGLE_BOOTS: usize = 5;
/// Time for twenty guests to boot on two processors under emulation.
const BOOT_BOUND: Duration = Duration::from_secs(300);
/// How long each look at a broker at rest lasts.
const REST: Duration = Duration::from_secs(10);

/// Measures a broker with twenty guests; `runs` looks at it at rest.
///
/// # Errors
/// [`BenchError`].
pub(crate) fn measure(lab: &Lab<'_>, _: &Guest, runs: usize) -> Result<Vec<Line>, BenchError> {
    let alone = alone(lab)?;
    lab.say("Booting 20 guests of one workspace");
    let ports = (0..VMS).map(|_| free_port()).collect::<Result<Vec<_>, _>>()?;
    let dir = lab.project("twenty", &config("twenty", &ports))?;
    output(&mut lab.castra(&dir, &["up", "--wait", "none", "--force", "--quiet"]))?;
    let root = all_reachable(lab, &dir, VMS)?;
    let greeted = greetings(&root)?;
    lab.say("Watching the broker at rest");
    let broker = process(&root)?;
    let (mut shares, mut sizes) = (Vec::new(), Vec::new());
    for _ in 0..runs {
        lab.check_interrupted()?;
        let (before, begun) = (processor_time(broker)?, Instant::now());
        thread::sleep(REST);
        let spent = processor_time(broker)?.saturating_sub(before);
        shares.push(100.0 * spent.as_secs_f64() / begun.elapsed().as_secs_f64());
        sizes.push(resident_mib(broker)?);
    }
    output(&mut lab.castra(&dir, &["down", "--now", "--quiet", "--config", "castra.toml"]))?;
    Ok(vec![
        time("from the agent's start to its handshake", &alone, Goal::Under(200.0)),
        time("the same with 20 guests booting at once", &greeted, Goal::None),
        figures("broker at rest with 20 VMs: share of a core", &shares, Unit::Percent, Goal::Under(0.5)),
        figures("its resident memory", &sizes, Unit::Mib, Goal::AtMost(8.0)),
    ])
}

/// How long after its agent's start a guest was greeted that booted with no other beside it, several times.
fn alone(lab: &Lab<'_>) -> Result<Vec<Duration>, BenchError> {
    lab.say("Booting one guest, five times");
    let dir = lab.project("alone", &config("alone", &[free_port()?]))?;
    let mut greeted = Vec::new();
    for _ in 0..SINGLE_BOOTS {
        output(&mut lab.castra(&dir, &["up", "--wait", "none", "--force", "--quiet"]))?;
        let root = all_reachable(lab, &dir, 1)?;
        greeted.extend(greetings(&root)?);
        output(&mut lab.castra(&dir, &["down", "--now", "--quiet", "--config", "castra.toml"]))?;
    }
    Ok(greeted)
}

/// Waits until all `vms` guests are reachable; tells where the workspace is.
fn all_reachable(lab: &Lab<'_>, dir: &Path, vms: usize) -> Result<String, BenchError> {
    let end = Instant::now() + BOOT_BOUND;
    loop {
        lab.check_interrupted()?;
        let status = lab.ask(dir, &["status", "--config", "castra.toml"])?;
        let workspace = &status["outcome"]["workspaces"][0];
        let found = workspace["vms"].as_array().map(Vec::as_slice).unwrap_or_default();
        if found.len() == vms && found.iter().all(|vm| vm["reachable"] == true) {
            return Ok(workspace["root"].as_str().unwrap_or_default().to_owned());
        }
        if Instant::now() >= end {
            return Err(BenchError::Timeout { what: "guests to be reachable", bound: BOOT_BOUND });
        }
        thread::sleep(Duration::from_millis(500));
    }
}

/// How long after its agent's start each guest was greeted.
fn greetings(root: &str) -> Result<Vec<Duration>, BenchError> {
    let sessions = Path::new(root).join("metadata/sessions");
    let entries = fs::read_dir(&sessions).about("list", &sessions)?;
    let mut found = Vec::new();
    for path in entries.flatten().map(|entry| entry.path()) {
        let text = fs::read(&path).about("read", &path)?;
        let record: Value = serde_json::from_slice(&text).unwrap_or_default();
        let ms = |name: &str| record[name].as_u64();
        let (Some(greeted), Some(started)) = (ms("guest_uptime_ms"), ms("agent_started_ms")) else {
            let found = record.to_string();
            return Err(BenchError::Unexpected { what: "the record of a session", found });
        };
        found.push(Duration::from_millis(greeted.saturating_sub(started)));
    }
    Ok(found)
}

/// The broker of the workspace at `root`, known by its command line.
fn process(root: &str) -> Result<u32, BenchError> {
    let entries = fs::read_dir("/proc").about("list", "/proc")?;
    let is_broker = |pid: &u32| {
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let words: Vec<_> = line.split(|byte| *byte == 0).map(String::from_utf8_lossy).collect();
        words.iter().any(|word| word == "broker") && words.iter().any(|word| word == root)
    };
    let mut pids = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.find(is_broker).ok_or(BenchError::Unexpected { what: "the broker", found: "none".to_owned() })
}

/// Processor time a process has used, from its statistics (proc(5): `utime` and `stime`, in hundredths
/// of a second).
fn processor_time(pid: u32) -> Result<Duration, BenchError> {
    let path = format!("/proc/{pid}/stat");
    let text = fs::read_to_string(&path).about("read", &path)?;
    // The name, in brackets, may hold blanks; field 3 follows it.
    let fields: Vec<_> = text.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |field: usize| fields.get(field - 3).and_then(|text| text.parse::<u64>().ok()).unwrap_or(0);
    Ok(Duration::from_millis(10 * (ticks(14) + ticks(15))))
}

/// What a process holds in memory (proc(5): `VmRSS`).
fn resident_mib(pid: u32) -> Result<f64, BenchError> {
    let path = format!("/proc/{pid}/status");
    let text = fs::read_to_string(&path).about("read", &path)?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib: Option<f64> = line.and_then(|line| line.trim().trim_end_matches(" kB").trim().parse().ok());
    Ok(kib.unwrap_or(0.0) / 1024.0)
}
