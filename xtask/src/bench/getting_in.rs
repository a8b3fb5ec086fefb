//! Running a program in a guest and copying a file into it, beside SSH with a connection that is warm.
//!
//! Both sides are whole commands; SSH's does not log in, for its control connection is there. The
//! guest has no SFTP server, so for `scp` stands what it does at best: the file's bytes through one
//! SSH channel into `cat`.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::error::{BenchError, IoAbout};
use super::guest::config;
use super::lab::{Lab, free_port, installed, output, timed};
use super::outcome::{Goal, Line, Unit};
use super::rows::{ratio, skipped};

/// The file that is copied: an eighth of what the goal names, for SSH into an emulated guest takes
/// fifteen seconds for it.
const FILE_BYTES: usize = 64 << 20;
/// Memory of the guest, which has no other place for files.
const MEMORY: &str = "512 MiB";
const EXEC: &str = "`exec true`, `ssh true` over a warm connection";
const COPY: &str = "`cp` of 64 MiB into a guest, the same through `ssh`";

/// A guest, and the way to it by SSH.
struct Reached {
    dir: PathBuf,
    ssh_config: PathBuf,
    control: PathBuf,
}

/// Measures both rows, each so often; none where a number is zero.
///
/// # Errors
/// [`BenchError`].
pub(crate) fn measure(lab: &Lab<'_>, execs: usize, copies: usize) -> Result<Vec<Line>, BenchError> {
    let (exec_goal, copy_goal) = (Goal::AtMost(0.8), Goal::AtMost(1.0 / 1.5));
    if !installed("ssh") {
        let line = |what, goal| skipped(what, "no ssh", Unit::Times, goal);
        return Ok(vec![line(EXEC, exec_goal), line(COPY, copy_goal)]);
    }
    lab.say("Booting a guest to get into");
    let guest = Reached::boot(lab)?;
    let mut lines = Vec::new();
    if execs > 0 {
        let ours = || timed(&mut lab.castra(&guest.dir, &["exec", "--", "true"]));
        let theirs = || timed(guest.ssh("true").as_mut());
        lines.push(ratio(EXEC, &lab.pairs(execs, ours, theirs)?, exec_goal));
    }
    if copies > 0 {
        lab.say("Copying into it");
        let file = lab.path("copied");
        fill(&file)?;
        let ours = || timed(lab.castra(&guest.dir, &["cp", "--quiet"]).arg(&file).arg(":/root/copied"));
        let theirs = || timed(guest.ssh("cat > /root/copied").input(&file).as_mut());
        lines.push(ratio(COPY, &lab.pairs(copies, ours, theirs)?, copy_goal));
    }
    guest.end(lab)?;
    Ok(lines)
}

impl Reached {
    fn boot(lab: &Lab<'_>) -> Result<Self, BenchError> {
        let config = config("getting-in", &[free_port()?]).replace("128 MiB", MEMORY);
        let dir = lab.project("getting-in", &config)?;
        output(&mut lab.castra(&dir, &["up", "--wait", "ssh", "--quiet"]))?;
        output(&mut lab.castra(&dir, &["exec", "--wait", "120", "--", "true"]))?;
        let ssh_config = lab.path("ssh_config");
        let text = output(&mut lab.castra(&dir, &["ssh-config"]))?.stdout;
        fs::write(&ssh_config, text).about("write", &ssh_config)?;
        let reached = Self { dir, ssh_config, control: lab.path("control") };
        // Makes the connection that is used from then on.
        output(reached.ssh("true").as_mut())?;
        Ok(reached)
    }

    /// A command in the guest by way of SSH.
    fn ssh(&self, script: &str) -> Ssh {
        let mut command = Command::new("sh");
        let words = "if [ -n \"$INPUT\" ]; then exec < \"$INPUT\"; fi; exec ssh \"$@\"";
        command.args(["-c", words, "ssh", "-F"]).arg(&self.ssh_config);
        command.args(["-o", "ControlMaster=auto", "-o", "ControlPersist=600", "-o"]);
        command.arg(format!("ControlPath={}", self.control.display())).args(["vm-0", script]);
        Ssh(command)
    }

    fn end(&self, lab: &Lab<'_>) -> Result<(), BenchError> {
        let mut end = Command::new("ssh");
        end.arg("-F").arg(&self.ssh_config).args(["-O", "exit", "-o"]);
        output(end.arg(format!("ControlPath={}", self.control.display())).arg("vm-0"))?;
        output(&mut lab.castra(&self.dir, &["down", "--now", "--quiet", "--config", "castra.toml"])).map(drop)
    }
}

/// A command over SSH.
struct Ssh(Command);

impl Ssh {
    /// With a file as its input.
    fn input(mut self, file: &Path) -> Self {
        self.0.env("INPUT", file);
        self
    }

    const fn as_mut(&mut self) -> &mut Command {
        &mut self.0
    }
}

/// Fills a file with bytes that have no holes and cannot be pressed.
fn fill(path: &Path) -> Result<(), BenchError> {
    let mut state: u64 = 0x9E37_79B9_7F4A_7C15;
    let mut bytes = Vec::with_capacity(FILE_BYTES);
    while bytes.len() < FILE_BYTES {
        // Marsaglia's xorshift.
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    File::create(path).and_then(|mut file| file.write_all(&bytes)).about("write", path)
}
