//! A world of its own for one test: a home, a repository, and the command with nothing of the machine's
//! environment but `PATH`.

use std::ffi::OsStr;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

/// How long a command may take.
const BOUND: Duration = Duration::from_secs(60);

/// A world of its own.
pub(crate) struct TestEnv {
    _root: tempfile::TempDir,
    path: PathBuf,
    pattern: String,
}

/// What a command answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// A manifest with one VM.
pub(crate) const ONE: &str = r#"{
  "vms": {
    "web": {
      "memory_gb": 2,
      "vcpus": 2,
      "disk_path": "/images/web.qcow2",
      "disk_size_gb": 20,
      "boot": "bios",
      "network": "default",
      "graphics": "none"
    }
  }
}
"#;

impl TestEnv {
    /// A world without a manifest.
    pub(crate) fn new() -> Self {
        let root = tempfile::Builder::new().prefix("bkt-cli-").tempdir().unwrap();
        let path = root.path().canonicalize().unwrap();
        for dir in ["home", "repo"] {
            fs::create_dir(path.join(dir)).unwrap();
        }
        let pattern = path.to_str().unwrap().replace('.', r"\.");
        Self { _root: root, path, pattern }
    }

    /// A world with that manifest.
    pub(crate) fn with(manifest: &str) -> Self {
        let env = Self::new();
        env.write("manifests/vms.json", manifest);
        env
    }

    /// The repository: where commands run.
    pub(crate) fn repo(&self) -> PathBuf {
        self.path.join("repo")
    }

    /// Writes a file of the repository.
    pub(crate) fn write(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.repo().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        path
    }

    /// Reads a file of the repository.
    pub(crate) fn read(&self, name: &str) -> String {
        fs::read_to_string(self.repo().join(name)).unwrap()
    }

    /// The command, ready to be run in `dir` of the repository.
    pub(crate) fn command<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_bkt"));
        command.args(args).current_dir(self.repo()).env_clear();
        command.env("HOME", self.path.join("home")).env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.env("LC_ALL", "C.UTF-8").env("RUST_BACKTRACE", "0");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Runs the command to its end.
    pub(crate) fn bkt<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Answer {
        run(self.command(args))
    }

    /// Checks the one line of an answer against the schema of that name.
    #[track_caller]
    pub(crate) fn holds(&self, schema: &str, answer: &Answer) {
        let schema: Value = serde_json::from_str(&self.bkt(["schema", schema]).ended(0).stdout).unwrap();
        let validator = jsonschema::validator_for(&schema).unwrap();
        let line = answer.line();
        let faults: Vec<_> = validator.iter_errors(&line).map(|fault| fault.to_string()).collect();
        assert!(faults.is_empty(), "{faults:?}\n{line}");
    }

    /// Every file below a directory, relative to it, in order.
    pub(crate) fn tree(dir: &Path) -> Vec<String> {
        let mut found: Vec<String> = fs::read_dir(dir)
            .into_iter()
            .flatten()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        found.sort();
        found
    }

    /// What differs between two runs of a snapshot, and what to put in its place.
    pub(crate) fn filters(&self) -> Vec<(&str, &str)> {
        vec![(&self.pattern, "$$TEST")]
    }
}

/// Compares an answer with a snapshot.
macro_rules! assert_answer {
    ($env:expr, $answer:expr, @$snapshot:literal) => {
        insta::with_settings!({ filters => $env.filters() }, {
            insta::assert_snapshot!($answer.to_string(), @$snapshot);
        })
    };
    ($env:expr, $name:literal, $answer:expr) => {
        insta::with_settings!({ filters => $env.filters() }, {
            insta::assert_snapshot!($name, $answer.to_string());
        })
    };
}
pub(crate) use assert_answer;

/// Runs a command to its end; kills it and fails where it takes longer than its bound.
pub(crate) fn run(mut command: Command) -> Answer {
    let mut child = command.spawn().unwrap();
    let (stdout, stderr) = (reader(child.stdout.take()), reader(child.stderr.take()));
    let deadline = Instant::now() + BOUND;
    let code = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status.code();
        }
        if Instant::now() > deadline {
            child.kill().unwrap();
            child.wait().unwrap();
            panic!("not over after {BOUND:?}: {}", stderr.join().unwrap());
        }
        thread::sleep(Duration::from_millis(2));
    };
    Answer { code, stdout: stdout.join().unwrap(), stderr: stderr.join().unwrap() }
}

fn reader(from: Option<impl Read + Send + 'static>) -> thread::JoinHandle<String> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        from.map(|mut from| from.read_to_end(&mut bytes)).transpose().unwrap();
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

impl Answer {
    /// The answer, which has to have that exit code.
    #[track_caller]
    pub(crate) fn ended(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{self}");
        self
    }

    /// The one line of JSON.
    #[track_caller]
    pub(crate) fn line(&self) -> Value {
        assert_eq!(self.stdout.lines().count(), 1, "{self}");
        serde_json::from_str(&self.stdout).unwrap()
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
