//! From exec of `castra up` to exec of QEMU, and what is left running beside QEMU: the broker of the
//! workspace, and nothing per VM.
//!
//! Taken from the kernel: `strace` notes every `execve` with its time. It stops the process for each
//! new thread and child, so that the real overhead is a little less than what is shown.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::error::{BenchError, IoAbout};
use super::guest::Guest;
use super::lab::{Lab, installed, output};
use super::outcome::{Goal, Line, Unit};
use super::rows::{skipped, time};

const WHAT: &str = "exec of `castra up` to exec of QEMU";
const GOAL: Goal = Goal::AtMost(60.0);
/// How long a launch may take.
const BOUND: Duration = Duration::from_secs(60);

/// Measures `runs` launches.
///
/// # Errors
/// [`BenchError`]; also where more of Castra runs on beside QEMU than the broker.
pub(crate) fn measure(lab: &Lab<'_>, guest: &Guest, runs: usize) -> Result<Vec<Line>, BenchError> {
    let beside = beside_qemu(lab, guest)?;
    if beside > 1 {
        let found = format!("{beside} processes of castra");
        return Err(BenchError::Unexpected { what: "what runs beside QEMU", found });
    }
    lab.say("No process of Castra runs beside QEMU but the broker");
    if !installed("strace") {
        return Ok(vec![skipped(WHAT, "strace is not installed", Unit::Millis, GOAL)]);
    }
    let mut times = Vec::new();
    for _ in 0..runs {
        lab.check_interrupted()?;
        times.push(launch(lab, guest)?);
    }
    Ok(vec![time(WHAT, &times, GOAL)])
}

/// One launch.
fn launch(lab: &Lab<'_>, guest: &Guest) -> Result<Duration, BenchError> {
    let trace = lab.path("trace");
    let _ = fs::remove_file(&trace);
    let mut command = Command::new("strace");
    command.args(["-f", "--seccomp-bpf", "-qq", "-ttt", "-e", "trace=execve", "-o"]).arg(&trace);
    command.arg(lab.program()).args(["up", "--wait", "none", "--quiet"]);
    lab.settle(&mut command, &guest.dir);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let spawned = command.spawn();
    // It follows QEMU too, and so ends after QEMU.
    let mut strace = spawned.map_err(|source| BenchError::Run { program: "strace".to_owned(), source })?;
    let found = until_qemu(&trace);
    let stopped = output(&mut lab.castra(&guest.dir, &["down", "--now", "--quiet"]));
    if found.is_err() || stopped.is_err() {
        let _ = strace.kill();
    }
    strace.wait().about("wait for", "strace")?;
    stopped?;
    found
}

/// The time between the first exec and that of QEMU, once the trace has both.
fn until_qemu(trace: &Path) -> Result<Duration, BenchError> {
    let begun = Instant::now();
    while begun.elapsed() < BOUND {
        let text = fs::read_to_string(trace).unwrap_or_default();
        if let Some(found) = overhead(&text) {
            return Ok(found);
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Err(BenchError::Timeout { what: "the launch of QEMU", bound: BOUND })
}

/// The time between the first successful exec of a trace and that of a system emulator. `-ttt` shows
/// seconds since the epoch; a program tried at each directory of `PATH` fails until it is found.
fn overhead(trace: &str) -> Option<Duration> {
    let execs = trace.lines().filter(|line| line.contains("execve(") && line.ends_with("= 0"));
    let times: Vec<(f64, &str)> =
        execs.filter_map(|line| Some((line.split_whitespace().find_map(seconds)?, line))).collect();
    let (first, _) = times.first()?;
    let launches = |line: &str| line.contains("qemu-system-") && line.contains("guest=castra/");
    let (last, _) = times.iter().find(|(_, line)| launches(line))?;
    Duration::try_from_secs_f64(last - first).ok()
}

/// A word such as `1700000000.123456`.
fn seconds(word: &str) -> Option<f64> {
    word.contains('.').then(|| word.parse().ok()).flatten()
}

/// How many processes of this `castra` run while a VM of its does.
fn beside_qemu(lab: &Lab<'_>, guest: &Guest) -> Result<usize, BenchError> {
    output(&mut lab.castra(&guest.dir, &["up", "--wait", "none", "--quiet"]))?;
    let mut found = 0;
    for entry in fs::read_dir("/proc").about("list", "/proc")?.flatten() {
        let exe = fs::read_link(entry.path().join("exe"));
        found += usize::from(exe.is_ok_and(|exe| exe == lab.program()));
    }
    output(&mut lab.castra(&guest.dir, &["down", "--now", "--quiet"]))?;
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_overhead_runs_from_the_first_exec_to_that_of_the_vm() {
        let trace = "\
10 1700000000.100000 execve(\"/t/castra\", [\"castra\", \"up\"], 0x1 /* 9 vars */) = 0
11 1700000000.110000 execve(\"/usr/bin/qemu-system-x86_64\", [\"qemu\", \"-version\"], 0x1 /* 9 vars */) = 0
12 1700000000.120000 execve(\"/bin/qemu-system-x86_64\", [\"qemu\", \"-name\", \"guest=castra/a/0\"], 0x1 /* 9 vars */) = -1 ENOENT (No such file or directory)
12 1700000000.125000 execve(\"/usr/bin/qemu-system-x86_64\", [\"qemu\", \"-name\", \"guest=castra/a/0\"], 0x1 /* 9 vars */) = 0
";
        let found = overhead(trace).unwrap();
        assert!((found.as_secs_f64() - 0.025).abs() < 1e-6, "{found:?}");
        assert_eq!(overhead(trace.split_inclusive('\n').next().unwrap()), None);
    }
}
