//! `bkt vm sync` that has nothing to do: with a hundred domains beside a shell that dumps each, and of a
//! thousand dumps without libvirt.
//!
//! The domains are this bench's own, defined by a first sync and undefined in the end.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Map, Value, json};

use super::error::{BenchError, IoAbout};
use super::lab::{Lab, output, timed};
use super::libvirt::{Libvirt, SYSTEM};
use super::outcome::{Goal, Line, Unit};
use super::rows::{ratio, skipped, time};

const DOMAINS: usize = 100;
const DUMPS: usize = 1000;
const CLEAN: &str = "`bkt vm sync` of 100 domains, `virsh dumpxml` of each in a shell";
const OFFLINE: &str = "`bkt vm plan` of 1,000 dumps without libvirt";

/// The bench's domains, undefined when dropped.
struct Domains {
    names: Vec<String>,
}

/// Measures both rows.
///
/// # Errors
/// [`BenchError`].
pub(crate) fn measure(lab: &Lab<'_>, runs: usize) -> Result<Vec<Line>, BenchError> {
    let (clean_goal, offline_goal) = (Goal::AtMost(0.3), Goal::Under(1000.0));
    let _daemons = match Libvirt::open() {
        Ok(daemons) => daemons,
        Err(why) => return Ok(vec![skipped(CLEAN, &why, Unit::Times, clean_goal)]),
    };
    let bkt = lab.beside("bkt");
    let dir = lab.path("host");
    fs::create_dir(&dir).about("create", &dir)?;
    // A disk is not made where everyone may write.
    fs::set_permissions(&dir, fs::Permissions::from_mode(0o755)).about("open up", &dir)?;
    let domains = Domains::named(&lab.path(""));
    lab.say("Defining 100 domains");
    let manifest = manifest(&dir, "vms.json", &domains.names, true)?;
    let sync = || command(lab, &bkt, &dir, &["vm", "sync", "--quiet", "--connect", SYSTEM], &manifest);
    output(&mut sync())?;
    lab.say("Syncing them, and dumping them one by one");
    let each =
        format!("for domain in {}; do virsh -c {SYSTEM} dumpxml \"$domain\"; done", domains.names.join(" "));
    let pairs = lab.pairs(runs, || timed(&mut sync()), || timed(Command::new("sh").args(["-c", &each])))?;
    let dumps = dump(&domains, &dir)?;
    lab.say("Planning a thousand dumps");
    let names: Vec<String> = (0..DUMPS).map(|number| format!("d{number}")).collect();
    let many = self::manifest(&dir, "many.json", &names, false)?;
    let against = dumps.to_string_lossy().into_owned();
    let words = ["vm", "plan", "--quiet", "--against", &against];
    let times = (0..runs).map(|_| pending(&mut command(lab, &bkt, &dir, &words, &many)));
    let times = times.collect::<Result<Vec<_>, _>>()?;
    Ok(vec![ratio(CLEAN, &pairs, clean_goal), time(OFFLINE, &times, offline_goal)])
}

/// `bkt` with these words and that manifest.
fn command(lab: &Lab<'_>, bkt: &Path, dir: &Path, words: &[&str], manifest: &Path) -> Command {
    let mut command = Command::new(bkt);
    command.args(words).arg("--manifest").arg(manifest).env_remove("XDG_STATE_HOME");
    lab.settle(&mut command, dir);
    command
}

/// How long a plan takes; one that finds differences ends with 2, and is as good.
fn pending(command: &mut Command) -> Result<std::time::Duration, BenchError> {
    let begun = std::time::Instant::now();
    match output(command) {
        Ok(_) => {}
        Err(BenchError::Failed { said, .. }) if said.is_empty() || said.ends_with("exit status: 2") => {}
        Err(error) => return Err(error),
    }
    Ok(begun.elapsed())
}

/// A manifest of small VMs.
fn manifest(dir: &Path, file: &str, names: &[String], make: bool) -> Result<PathBuf, BenchError> {
    let vms: Map<String, Value> = names
        .iter()
        .map(|name| {
            let vm = json!({
                "memory_mb": 64, "vcpus": 1, "disk_path": dir.join(format!("{name}.qcow2")), "disk_size_gb": 1,
                "create_if_missing": make, "boot": "bios", "network": "none", "graphics": "none",
            });
            (name.clone(), vm)
        })
        .collect();
    let path = dir.join(file);
    fs::write(&path, json!({ "vms": vms }).to_string()).about("write", &path)?;
    Ok(path)
}

/// A folder of a thousand dumps, made from that of one domain.
fn dump(domains: &Domains, dir: &Path) -> Result<PathBuf, BenchError> {
    let name = &domains.names[0];
    let said = output(Command::new("virsh").args(["-c", SYSTEM, "dumpxml", "--inactive", name]))?.stdout;
    let text = String::from_utf8_lossy(&said).into_owned();
    let dumps = dir.join("dumps");
    fs::create_dir(&dumps).about("create", &dumps)?;
    for number in 0..DUMPS {
        let path = dumps.join(format!("d{number}.xml"));
        let id = format!("00000000-0000-4000-8000-{number:012x}");
        let text = text.replace(name, &format!("d{number}"));
        let (before, rest) = text.split_once("<uuid>").unwrap_or_default();
        let after = rest.split_once("</uuid>").unwrap_or_default().1;
        fs::write(&path, format!("{before}<uuid>{id}</uuid>{after}")).about("write", &path)?;
    }
    Ok(dumps)
}

impl Domains {
    /// Names nobody else has: they hold that of the lab.
    fn named(lab: &Path) -> Self {
        let lab = lab.components().next_back().map(|part| part.as_os_str().to_string_lossy().into_owned());
        let lab = lab.unwrap_or_default().replace('.', "");
        Self { names: (0..DOMAINS).map(|number| format!("{lab}-{number}")).collect() }
    }
}

impl Drop for Domains {
    fn drop(&mut self) {
        for name in &self.names {
            let _ = output(Command::new("virsh").args(["-c", SYSTEM, "undefine", name]));
        }
    }
}
