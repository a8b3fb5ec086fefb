//! A world of its own for one test: a home, a directory to work in, and a command with nothing of the
//! machine's environment but `PATH`.
//!
//! Tests: every test that has one.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use crate::Answer;

/// A world of its own; its files go with it.
pub struct World {
    _root: TempDir,
    path: PathBuf,
    dir: &'static str,
    /// A pattern that finds `path` in a text.
    pattern: String,
}

impl World {
    /// A world with an empty home and an empty directory `dir` to work in.
    ///
    /// # Panics
    /// Where no file can be made.
    pub fn new(dir: &'static str) -> Self {
        let root = tempfile::Builder::new().prefix("castra-it-").tempdir().expect("a directory for the test");
        let path = root.path().canonicalize().expect("it is there");
        for name in ["home", dir] {
            fs::create_dir(path.join(name)).expect("it is empty");
        }
        // No path of a test holds a character that means something in a pattern but the dot.
        let pattern = path.to_string_lossy().replace('.', r"\.");
        Self { _root: root, path, dir, pattern }
    }

    /// Its directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its home.
    pub fn home(&self) -> PathBuf {
        self.path.join("home")
    }

    /// Where commands run.
    pub fn dir(&self) -> PathBuf {
        self.path.join(self.dir)
    }

    /// Writes a file of the directory where commands run.
    ///
    /// # Panics
    /// Where it cannot.
    #[track_caller]
    pub fn write(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.dir().join(name);
        fs::create_dir_all(path.parent().expect("a file is in a directory")).expect("its directory");
        fs::write(&path, text).expect("a file of the test");
        path
    }

    /// Reads a file of the directory where commands run.
    ///
    /// # Panics
    /// Where it cannot.
    #[track_caller]
    pub fn read(&self, name: &str) -> String {
        fs::read_to_string(self.dir().join(name)).expect("a file of the test")
    }

    /// A command, ready to be run: no input, both streams piped.
    pub fn program<S: AsRef<OsStr>>(&self, program: &str, args: impl IntoIterator<Item = S>) -> Command {
        let mut command = Command::new(program);
        command.args(args).current_dir(self.dir()).env_clear();
        command.env("HOME", self.home()).env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.env("LC_ALL", "C.UTF-8").env("RUST_BACKTRACE", "0");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// What finds this world in a snapshot, and what to put in its place.
    pub fn filter(&self) -> (&str, &str) {
        (&self.pattern, "$$TEST")
    }
}

/// Every file and directory below `dir`, relative to it, in order; none where it is not there.
///
/// # Panics
/// Where one cannot be looked at.
pub fn tree(dir: &Path) -> Vec<String> {
    let mut found = Vec::new();
    collect(dir, dir, &mut found);
    found.sort();
    found
}

fn collect(root: &Path, dir: &Path, found: &mut Vec<String>) {
    for entry in fs::read_dir(dir).into_iter().flatten() {
        let path = entry.expect("a directory can be listed").path();
        found.push(path.strip_prefix(root).expect("it is below").to_string_lossy().into_owned());
        if path.symlink_metadata().expect("it was there").is_dir() {
            collect(root, &path, found);
        }
    }
}

/// Holds every line of an answer against a schema: what a command's `schema` printed.
///
/// # Panics
/// Where a line does not fit, or there is none.
#[track_caller]
pub fn fits(schema: &Answer, answer: &Answer) {
    let schema: Value = serde_json::from_str(&schema.stdout).expect("a schema is JSON");
    let validator = jsonschema::validator_for(&schema).expect("a schema is one");
    let lines = answer.lines();
    assert!(!lines.is_empty(), "{answer}");
    for line in lines {
        let faults: Vec<_> = validator.iter_errors(&line).map(|fault| fault.to_string()).collect();
        assert!(faults.is_empty(), "{faults:?}\n{line}");
    }
}

/// Compares an answer with a snapshot; the environment has `filters`.
#[macro_export]
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
