//! Where a benchmark happens: a release build of `castra`, a home directory of its own, and the end
//! of everything that was started in it, also after a failure.
//!
//! The product is run as its users run it; nothing of it is linked.

use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use plasmavmc_term::Stderr;
use serde_json::Value;

use super::error::{BenchError, IoAbout};
use super::stats::Pair;

/// A place to measure in.
pub(crate) struct Lab<'a> {
    dir: tempfile::TempDir,
    castra: PathBuf,
    talk: &'a Stderr,
    interrupted: Arc<AtomicBool>,
}

impl<'a> Lab<'a> {
    /// Makes the directory, for the given `castra` or one that is built now.
    ///
    /// # Errors
    /// [`BenchError`] where either fails.
    pub(crate) fn open(root: &Path, built: Option<&Path>, talk: &'a Stderr) -> Result<Self, BenchError> {
        let interrupted = Arc::new(AtomicBool::new(false));
        for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
            signal_hook::flag::register(signal, interrupted.clone()).about("watch for signals in", root)?;
        }
        let castra = built.map_or_else(|| build(root, talk), |path| Ok(path.to_owned()))?;
        let castra = castra.canonicalize().about("find", castra)?;
        let dir = tempfile::Builder::new()
            .prefix("castra-bench-")
            .tempdir()
            .about("make a directory in", std::env::temp_dir())?;
        let lab = Self { dir, castra, talk, interrupted };
        fs::create_dir(lab.home()).about("create", lab.home())?;
        Ok(lab)
    }

    /// A file or directory of the lab.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn home(&self) -> PathBuf {
        self.path("home")
    }

    /// The program that is measured.
    pub(crate) fn program(&self) -> &Path {
        &self.castra
    }

    /// Another program of the product, built beside it.
    pub(crate) fn beside(&self, name: &str) -> PathBuf {
        self.castra.with_file_name(name)
    }

    /// `castra` with these words, run in `dir` by a user who has nothing yet but this lab.
    pub(crate) fn castra(&self, dir: &Path, words: &[&str]) -> Command {
        let mut command = Command::new(&self.castra);
        command.args(words);
        self.settle(&mut command, dir);
        command
    }

    /// Gives a command the lab's environment.
    pub(crate) fn settle(&self, command: &mut Command, dir: &Path) {
        command.current_dir(dir).env("HOME", self.home());
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("CASTRA_"))
        {
            command.env_remove(name);
        }
    }

    /// What `castra --json` says in its last line.
    pub(crate) fn ask(&self, dir: &Path, words: &[&str]) -> Result<Value, BenchError> {
        let said = output(self.castra(dir, words).arg("--json"))?.stdout;
        let text = String::from_utf8_lossy(&said);
        let last = text.lines().last().unwrap_or_default();
        serde_json::from_str(last)
            .map_err(|_| BenchError::Unexpected { what: "the answer of castra", found: last.to_owned() })
    }

    /// A directory with that castra.toml.
    pub(crate) fn project(&self, name: &str, config: &str) -> Result<PathBuf, BenchError> {
        let dir = self.path(name);
        fs::create_dir_all(&dir).about("create", &dir)?;
        let path = dir.join("castra.toml");
        fs::write(&path, config).about("write", path)?;
        Ok(dir)
    }

    /// Says what is going on.
    pub(crate) fn say(&self, text: &str) {
        self.talk.say(text);
    }

    /// Measures both sides `runs` times, in turns; which is first changes from pair to pair, so that
    /// neither always finds the caches as the other left them.
    ///
    /// # Errors
    /// The first failure of a side; [`BenchError::Interrupted`].
    pub(crate) fn interleaved<T>(
        &self,
        runs: usize,
        mut ours: impl FnMut() -> Result<T, BenchError>,
        mut theirs: impl FnMut() -> Result<T, BenchError>,
    ) -> Result<Vec<(T, T)>, BenchError> {
        let mut pairs = Vec::with_capacity(runs);
        for run in 0..runs {
            self.check_interrupted()?;
            let pair = if run % 2 == 0 {
                let ours = ours()?;
                (ours, theirs()?)
            } else {
                let theirs = theirs()?;
                (ours()?, theirs)
            };
            pairs.push(pair);
        }
        Ok(pairs)
    }

    /// [`Self::interleaved`] of two times.
    ///
    /// # Errors
    /// As there.
    pub(crate) fn pairs(
        &self,
        runs: usize,
        ours: impl FnMut() -> Result<Duration, BenchError>,
        theirs: impl FnMut() -> Result<Duration, BenchError>,
    ) -> Result<Vec<Pair>, BenchError> {
        let pairs = self.interleaved(runs, ours, theirs)?;
        Ok(pairs.into_iter().map(|(ours, theirs)| Pair { ours, theirs }).collect())
    }

    /// Fails once Ctrl-C was pressed.
    pub(crate) fn check_interrupted(&self) -> Result<(), BenchError> {
        if self.interrupted.load(Ordering::Relaxed) { Err(BenchError::Interrupted) } else { Ok(()) }
    }
}

impl Drop for Lab<'_> {
    /// Ends every VM; the directory goes with its field.
    fn drop(&mut self) {
        let _ = output(&mut self.castra(self.dir.path(), &["down", "--now", "--quiet"]));
    }
}

/// Builds `castra` as it is released.
fn build(root: &Path, talk: &Stderr) -> Result<PathBuf, BenchError> {
    talk.say("Building castra");
    let mut cargo = Command::new("cargo");
    output(cargo.current_dir(root).args([
        "build",
        "--release",
        "--locked",
        "--quiet",
        "-p",
        "castra",
        "-p",
        "bkt",
    ]))?;
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
    Ok(target.join("release/castra"))
}

/// Runs a command to its end.
///
/// # Errors
/// [`BenchError::Run`], [`BenchError::Failed`].
pub(crate) fn output(command: &mut Command) -> Result<Output, BenchError> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output =
        command.stdin(Stdio::null()).output().map_err(|source| BenchError::Run { program, source })?;
    if output.status.success() {
        return Ok(output);
    }
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    let said = if said.is_empty() { output.status.to_string() } else { said };
    let words = command.get_args().map(|word| word.to_string_lossy());
    let name = command.get_program().to_string_lossy();
    let command = [name].into_iter().chain(words).collect::<Vec<_>>().join(" ");
    Err(BenchError::Failed { command, said })
}

/// Runs a command, and tells how long it took from before its start to its end.
///
/// # Errors
/// As [`output`].
pub(crate) fn timed(command: &mut Command) -> Result<Duration, BenchError> {
    let begun = Instant::now();
    output(command)?;
    Ok(begun.elapsed())
}

/// A port of this host that was free a moment ago.
///
/// # Errors
/// [`BenchError::Io`] where none is.
pub(crate) fn free_port() -> Result<u16, BenchError> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).about("listen on", "127.0.0.1")?;
    Ok(listener.local_addr().about("listen on", "127.0.0.1")?.port())
}

/// Whether a program is in `PATH` or where daemons are.
pub(crate) fn installed(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let dirs = std::env::split_paths(&path).chain(["/usr/sbin".into(), "/sbin".into()]);
    dirs.map(|dir| dir.join(program)).any(|path| path.is_file())
}
