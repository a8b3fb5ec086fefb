//! A world of its own for one test: a home, a project, and the command with nothing of the machine's
//! environment but `PATH`.
//!
//! Whatever QEMU a test starts is gone when its world is dropped: it is known by the world's path on
//! its command line.

use std::ffi::OsStr;
use std::fs;
use std::io::Write;
use std::ops::Deref;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use castra_testkit::World;
pub(crate) use castra_testkit::{Answer, assert_answer, eventually, wait};
use plasmavmc_host::Layout;
use rustix::process::{Pid, Signal, kill_process};

/// How long a command may take that starts no VM.
const BOUND: Duration = Duration::from_secs(60);

/// A world of its own, in which commands run in a project's directory.
pub(crate) struct TestEnv(World);

impl Deref for TestEnv {
    type Target = World;

    fn deref(&self) -> &World {
        &self.0
    }
}

impl TestEnv {
    /// A world with an empty home and an empty project directory.
    pub(crate) fn new() -> Self {
        Self(World::new("project"))
    }

    /// A world whose project is the one `castra init` makes.
    pub(crate) fn with_project() -> Self {
        let env = Self::new();
        env.castra(["init", "--name", "shop"]).succeeded();
        env
    }

    /// The project's directory: where commands run.
    pub(crate) fn project(&self) -> PathBuf {
        self.dir()
    }

    /// The directory of Castra's own files.
    pub(crate) fn castra_home(&self) -> PathBuf {
        self.home().join(".castra")
    }

    /// A world whose project has a VM `web` with an empty disk: its QEMU runs, and finds nothing to
    /// boot. `more` are further keys of the VM.
    pub(crate) fn with_vm(more: &str) -> Self {
        let env = Self::new();
        let mut command = Command::new("qemu-img");
        command.args(["create", "-q", "-f", "qcow2", "disk.qcow2", "16M"]).current_dir(env.project());
        assert!(command.status().unwrap().success());
        let vm = "name = \"web\"\nbase_image = \"disk.qcow2\"\nmemory = \"64 MiB\"\naccelerator = \"tcg\"";
        env.write("castra.toml", format!("[project]\nname = \"shop\"\n[[vms]]\n{vm}\n{more}\n"));
        env
    }

    /// The project's workspace, as the command itself tells it.
    pub(crate) fn layout(&self) -> Layout {
        let status = self.castra(["status", "--json", "--config", "castra.toml"]).outcome();
        Layout::new(status["workspaces"][0]["root"].as_str().unwrap())
    }

    /// The command, ready to be run in the project's directory.
    pub(crate) fn command<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Command {
        self.program(env!("CARGO_BIN_EXE_castra"), args)
    }

    /// Runs the command to its end.
    pub(crate) fn castra<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Answer {
        wait(self.command(args).spawn().unwrap(), BOUND)
    }

    /// Runs the command with `input` to its end.
    pub(crate) fn castra_with<S: AsRef<OsStr>>(
        &self,
        args: impl IntoIterator<Item = S>,
        input: &[u8],
    ) -> Answer {
        let mut child = self.command(args).stdin(Stdio::piped()).spawn().unwrap();
        // A command that takes no input has closed its end.
        let _ = child.stdin.take().unwrap().write_all(input);
        wait(child, BOUND)
    }

    /// Checks every line of an answer against the schema of that name.
    #[track_caller]
    pub(crate) fn holds(&self, schema: &str, answer: &Answer) {
        castra_testkit::fits(&self.castra(["schema", schema]).succeeded(), answer);
    }

    /// Every file and directory below `dir`, relative to it, in order.
    pub(crate) fn tree(dir: &Path) -> Vec<String> {
        castra_testkit::tree(dir)
    }

    /// What differs between two runs of a snapshot, and what to put in its place.
    pub(crate) fn filters(&self) -> Vec<(&str, &str)> {
        vec![
            self.filter(),
            (r"-[0-9a-f]{12}\b", "-<hash>"),
            (r"(?m)^ +\d+(\.\d)? m?s  ", "  <time>  "),
            // What a small file takes is the file system's business.
            (r"\(\d+(\.\d)? [KMG]?i?B\)", "(<size>)"),
            (r"(?m), \d+(\.\d)? [KMG]?i?B$", ", <size>"),
            (r"(?m)^\d+(\.\d)? [KMG]?i?B ", "<size> "),
        ]
    }
}

impl Drop for TestEnv {
    fn drop(&mut self) {
        let mark = self.path().as_os_str().as_bytes();
        for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
            let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
            let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
            let is_ours = line.windows(mark.len()).any(|window| window == mark);
            if is_ours && let Some(pid) = Pid::from_raw(pid) {
                let _ = kill_process(pid, Signal::KILL);
            }
        }
    }
}
