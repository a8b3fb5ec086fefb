//! A world of its own for one test: a home, a project, and the command with nothing of the machine's
//! environment but `PATH`.
//!
//! Whatever QEMU a test starts is gone when its world is dropped: it is known by the world's path on
//! its command line.

use std::ffi::OsStr;
use std::fs;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use plasmavmc_host::Layout;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

/// How long a command may take that starts no VM.
const BOUND: Duration = Duration::from_secs(60);

/// A world of its own.
pub(crate) struct TestEnv {
    root: tempfile::TempDir,
    path: PathBuf,
    /// A pattern that finds `path` in a text.
    pattern: String,
}

/// What a command answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl TestEnv {
    /// A world with an empty home and an empty project directory.
    pub(crate) fn new() -> Self {
        let root = tempfile::Builder::new().prefix("castra-it-").tempdir().unwrap();
        let path = root.path().canonicalize().unwrap();
        for dir in ["home", "project"] {
            fs::create_dir(path.join(dir)).unwrap();
        }
        // No path of a test holds a character that means something in a pattern but the dot.
        let pattern = path.to_str().unwrap().replace('.', r"\.");
        Self { root, path, pattern }
    }

    /// A world whose project is the one `castra init` makes.
    pub(crate) fn with_project() -> Self {
        let env = Self::new();
        env.castra(["init", "--name", "shop"]).succeeded();
        env
    }

    /// Its directory.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The project's directory: where commands run.
    pub(crate) fn project(&self) -> PathBuf {
        self.path.join("project")
    }

    /// The directory of Castra's own files.
    pub(crate) fn castra_home(&self) -> PathBuf {
        self.path.join("home/.castra")
    }

    /// Writes a file of the project.
    pub(crate) fn write(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.project().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        path
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
        let mut command = Command::new(env!("CARGO_BIN_EXE_castra"));
        command.args(args).current_dir(self.project()).env_clear();
        command.env("HOME", self.path.join("home")).env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.env("LC_ALL", "C.UTF-8").env("RUST_BACKTRACE", "0");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
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
        let schema: Value =
            serde_json::from_str(&self.castra(["schema", schema]).succeeded().stdout).unwrap();
        let validator = jsonschema::validator_for(&schema).unwrap();
        let lines = answer.lines();
        assert!(!lines.is_empty(), "{answer}");
        for line in lines {
            let faults: Vec<_> = validator.iter_errors(&line).map(|fault| fault.to_string()).collect();
            assert!(faults.is_empty(), "{faults:?}\n{line}");
        }
    }

    /// Every file and directory below `dir`, relative to it, in order.
    pub(crate) fn tree(dir: &Path) -> Vec<String> {
        let mut found = Vec::new();
        collect(dir, dir, &mut found);
        found.sort();
        found
    }

    /// What differs between two runs of a snapshot, and what to put in its place.
    pub(crate) fn filters(&self) -> Vec<(&str, &str)> {
        vec![
            (&self.pattern, "$$TEST"),
            (r"-[0-9a-f]{12}\b", "-<hash>"),
            (r"(?m)^ +\d+(\.\d)? m?s  ", "  <time>  "),
            // What a small file takes is the file system's business.
            (r"\(\d+(\.\d)? [KMG]?i?B\)", "(<size>)"),
            (r"(?m), \d+(\.\d)? [KMG]?i?B$", ", <size>"),
            (r"(?m)^\d+(\.\d)? [KMG]?i?B ", "<size> "),
        ]
    }
}

/// Compares an answer with a snapshot.
macro_rules! assert_answer {
    ($env:expr, $answer:expr, @$snapshot:literal) => {
        insta::with_settings!({ filters => $env.filters() }, {
            insta::assert_snapshot!($answer.to_string(), @$snapshot);
        })
    };
}
pub(crate) use assert_answer;

fn collect(root: &Path, dir: &Path, found: &mut Vec<String>) {
    for entry in fs::read_dir(dir).into_iter().flatten() {
        let path = entry.unwrap().path();
        found.push(path.strip_prefix(root).unwrap().to_str().unwrap().to_owned());
        if path.symlink_metadata().unwrap().is_dir() {
            collect(root, &path, found);
        }
    }
}

/// Waits for a command to end; kills it and fails where it does not within `bound`.
pub(crate) fn wait(mut child: Child, bound: Duration) -> Answer {
    let deadline = Instant::now() + bound;
    let (stdout, stderr) = (reader(child.stdout.take()), reader(child.stderr.take()));
    let code = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status.code();
        }
        if Instant::now() > deadline {
            child.kill().unwrap();
            child.wait().unwrap();
            panic!("not over after {bound:?}: {}", stderr.join().unwrap());
        }
        thread::sleep(Duration::from_millis(2));
    };
    Answer { code, stdout: stdout.join().unwrap(), stderr: stderr.join().unwrap() }
}

fn reader(from: Option<impl std::io::Read + Send + 'static>) -> thread::JoinHandle<String> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        from.map(|mut from| from.read_to_end(&mut bytes)).transpose().unwrap();
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

/// Waits until `condition` holds; fails where it does not within half a minute.
pub(crate) fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !condition() {
        assert!(Instant::now() < deadline, "{what} never happened");
        thread::sleep(Duration::from_millis(5));
    }
}

impl Answer {
    /// The answer, which has to be a success.
    #[track_caller]
    pub(crate) fn succeeded(self) -> Self {
        assert_eq!(self.code, Some(0), "{self}");
        self
    }

    /// The answer, which has to be a failure of that exit code.
    #[track_caller]
    pub(crate) fn failed(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{self}");
        self
    }

    /// Every line of JSON.
    #[track_caller]
    pub(crate) fn lines(&self) -> Vec<Value> {
        let parse = |line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        self.stdout.lines().map(parse).collect()
    }

    /// The outcome: the last line.
    #[track_caller]
    pub(crate) fn outcome(&self) -> Value {
        let last = self.lines().pop().unwrap_or_default();
        assert!(last["outcome"].is_object(), "{self}");
        last["outcome"].clone()
    }

    /// The error: the last line.
    #[track_caller]
    pub(crate) fn error(&self) -> Value {
        let last = self.lines().pop().unwrap_or_default();
        assert!(last["error"].is_object(), "{self}");
        last["error"].clone()
    }
}

/// Shows what a person sees: the exit code, and each stream that has something.
impl std::fmt::Display for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.code {
            Some(code) => writeln!(f, "exit code {code}")?,
            None => writeln!(f, "ended by a signal")?,
        }
        for (name, text) in [("stdout", &self.stdout), ("stderr", &self.stderr)] {
            if !text.is_empty() {
                write!(f, "--- {name}\n{text}")?;
            }
        }
        Ok(())
    }
}

impl Drop for TestEnv {
    fn drop(&mut self) {
        let mark = self.path.as_os_str().as_bytes();
        for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
            let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
            let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
            let is_ours = line.windows(mark.len()).any(|window| window == mark);
            if is_ours && let Some(pid) = Pid::from_raw(pid) {
                let _ = kill_process(pid, Signal::KILL);
            }
        }
        // Workspaces are removed with the directory itself.
        let _ = &self.root;
    }
}
