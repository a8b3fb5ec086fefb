//! The log of one run: `logs/bootstrap/<vm>-<time>.jsonl`, one JSON object a line, written as it happens.
//!
//! A run that turns out to be none leaves no file. A log that cannot be written fails nothing: what it
//! tells happened. The newest [`KEPT`] of a VM are kept. Tests: below.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use plasmavmc_engine::BootstrapDecision;
use plasmavmc_host::{HostError, IoContext, Layout, publish};
use plasmavmc_types::{BootstrapDigest, BootstrapMode, BootstrapStep, StepStatus, Timestamp, VmName};
use serde::Serialize;

use super::capture::{Output, Piece};
use super::outcome::Transport;

/// The logs of a VM that are kept.
const KEPT: usize = 20;
/// How a log's name ends.
const SUFFIX: &str = ".jsonl";
/// Logs that begin within one millisecond; the second gets another name.
const SAME_MOMENT: u32 = 100;

/// One line of the log.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub(super) enum Note<'a> {
    /// The run begins.
    Run { vm: &'a VmName, mode: BootstrapMode, castra: &'static str },
    /// It was decided whether there is anything to do.
    Decided {
        transport: Transport,
        digest: &'a BootstrapDigest,
        #[serde(flatten)]
        decision: BootstrapDecision,
    },
    /// A step began or ended.
    Step {
        step: BootstrapStep,
        status: StepStatus,
        #[serde(skip_serializing_if = "Option::is_none")]
        duration_ms: Option<u64>,
        #[serde(skip_serializing_if = "Option::is_none")]
        exit_code: Option<i32>,
        #[serde(skip_serializing_if = "Option::is_none")]
        reason: Option<&'a str>,
    },
    /// A line a program wrote.
    Output {
        step: BootstrapStep,
        stream: &'static str,
        text: &'a str,
        /// No line break followed.
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        open: bool,
    },
    /// Output that is not kept.
    Gap { step: BootstrapStep, bytes: u64, lines: u64 },
}

#[derive(Serialize)]
struct Entry<'a> {
    at: Timestamp,
    #[serde(flatten)]
    note: &'a Note<'a>,
}

/// The log of a run.
#[derive(Debug)]
pub(super) struct Journal {
    to: To,
    /// The workspace.
    root: PathBuf,
    dir: PathBuf,
    vm: VmName,
}

#[derive(Debug)]
enum To {
    /// There may be nothing to tell.
    Memory(Vec<u8>),
    File {
        file: File,
        path: PathBuf,
    },
}

impl Journal {
    /// A log that is kept in memory until it is clear that something is done.
    pub(super) fn new(layout: &Layout, vm: &VmName) -> Self {
        Self {
            to: To::Memory(Vec::new()),
            root: layout.root().to_owned(),
            dir: layout.bootstrap_logs(),
            vm: vm.clone(),
        }
    }

    /// Begins the file, with what was noted so far, and removes the oldest ones.
    ///
    /// # Errors
    /// [`HostError`] where there can be none.
    pub(super) fn keep(&mut self) -> Result<(), HostError> {
        let To::Memory(lines) = &self.to else { return Ok(()) };
        publish::private_dir_below(&self.root, &self.dir)?;
        let (mut file, path) = create(&self.dir, &self.vm)?;
        file.write_all(lines).context("write", &path)?;
        prune(&self.dir, &self.vm);
        self.to = To::File { file, path };
        Ok(())
    }

    /// Where it is; none where nothing was done.
    pub(super) fn path(&self) -> Option<&Path> {
        match &self.to {
            To::Memory(_) => None,
            To::File { path, .. } => Some(path),
        }
    }

    /// Writes a line.
    pub(super) fn note(&mut self, note: &Note<'_>) {
        let entry = Entry { at: SystemTime::now().into(), note };
        let Ok(mut line) = serde_json::to_vec(&entry) else { return };
        line.push(b'\n');
        match &mut self.to {
            To::Memory(lines) => lines.extend(line),
            // A full disk of the host is no reason to call a guest that was set up failed.
            To::File { file, .. } => drop(file.write_all(&line)),
        }
    }

    /// Writes a piece of a program's output.
    pub(super) fn output(&mut self, step: BootstrapStep, piece: &Piece) {
        match piece {
            Piece::Gap { bytes, lines } => self.note(&Note::Gap { step, bytes: *bytes, lines: *lines }),
            Piece::Line(line) => {
                let stream = if line.output == Output::Stdout { "stdout" } else { "stderr" };
                let text = String::from_utf8_lossy(&line.bytes);
                self.note(&Note::Output { step, stream, text: &text, open: !line.whole });
            }
        }
    }
}

/// Makes a file of its own for this moment.
fn create(dir: &Path, vm: &VmName) -> Result<(File, PathBuf), HostError> {
    let mut tried = 0;
    loop {
        let path = dir.join(file_name(vm, SystemTime::now().into()));
        match File::options().append(true).create_new(true).mode(0o600).open(&path) {
            Ok(file) => return Ok((file, path)),
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists && tried < SAME_MOMENT => {
                tried += 1;
                std::thread::sleep(std::time::Duration::from_millis(1));
            }
            Err(error) => return Err(error).context("make", &path),
        }
    }
}

/// `web-20261125T123000.123Z.jsonl`: in the order of their names they are in the order of time.
fn file_name(vm: &VmName, at: Timestamp) -> String {
    let time: String = at.to_string().chars().filter(|c| !matches!(c, '-' | ':')).collect();
    format!("{vm}-{time}{SUFFIX}")
}

/// The logs of a VM's bootstraps, the oldest first.
pub(crate) fn logs_of(dir: &Path, vm: &VmName) -> Vec<PathBuf> {
    let is_its = |name: &str| {
        let time =
            name.strip_prefix(vm.as_str()).and_then(|rest| rest.strip_prefix('-')?.strip_suffix(SUFFIX));
        time.is_some_and(is_time)
    };
    let mut logs: Vec<PathBuf> = fs::read_dir(dir)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.file_name().and_then(|name| name.to_str()).is_some_and(is_its))
        .collect();
    logs.sort();
    logs
}

/// Whether a text is a time as [`file_name`] writes it: the VM `web` is not `web-2`.
fn is_time(text: &str) -> bool {
    const FORM: &[u8] = b"00000000T000000.000Z";
    let fits = |(form, byte): (&u8, u8)| if *form == b'0' { byte.is_ascii_digit() } else { *form == byte };
    text.len() == FORM.len() && FORM.iter().zip(text.bytes()).all(fits)
}

fn prune(dir: &Path, vm: &VmName) {
    let logs = logs_of(dir, vm);
    for old in &logs[..logs.len().saturating_sub(KEPT)] {
        // One that cannot be removed is tried again at the next run.
        let _ = fs::remove_file(old);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::super::capture::Line;
    use super::*;

    fn lines(journal: &Journal) -> Vec<Value> {
        let text = fs::read_to_string(journal.path().unwrap()).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    #[test]
    fn a_run_that_is_none_leaves_no_file_and_one_that_is_has_all_from_its_beginning() {
        let dir = tempfile::tempdir().unwrap();
        let (layout, vm) = (Layout::new(dir.path()), "web".parse().unwrap());
        let mut journal = Journal::new(&layout, &vm);
        journal.note(&Note::Run { vm: &vm, mode: BootstrapMode::Auto, castra: "1" });
        assert!(journal.path().is_none() && !layout.bootstrap_logs().exists());
        journal.keep().unwrap();
        let line = Line { output: Output::Stderr, bytes: b"a\x1b\xff".to_vec(), whole: false };
        journal.output(BootstrapStep::Apply, &Piece::Line(line));
        journal.output(BootstrapStep::Apply, &Piece::Gap { bytes: 9, lines: 2 });
        journal.note(&Note::Step {
            step: BootstrapStep::Apply,
            status: StepStatus::Failed,
            duration_ms: Some(5),
            exit_code: Some(3),
            reason: None,
        });
        let told: Vec<_> = lines(&journal)
            .into_iter()
            .map(|mut line| {
                assert!(line.as_object_mut().unwrap().remove("at").unwrap().is_string());
                line.to_string()
            })
            .collect();
        assert_eq!(
            told,
            [
                r#"{"castra":"1","kind":"run","mode":"auto","vm":"web"}"#,
                r#"{"kind":"output","open":true,"step":"apply","stream":"stderr","text":"a\u001b�"}"#,
                r#"{"bytes":9,"kind":"gap","lines":2,"step":"apply"}"#,
                r#"{"duration_ms":5,"exit_code":3,"kind":"step","status":"failed","step":"apply"}"#,
            ]
        );
    }

    #[test]
    fn the_newest_logs_of_a_vm_stay_and_those_of_others_too() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::new(dir.path());
        let logs = layout.bootstrap_logs();
        fs::create_dir_all(&logs).unwrap();
        let old = |vm: &str, second: u32| logs.join(format!("{vm}-20200101T0000{second:02}.000Z.jsonl"));
        for second in 0..30 {
            fs::write(old("web", second), "").unwrap();
            fs::write(old("web-2", second), "").unwrap();
        }
        fs::write(logs.join("web-notes.jsonl"), "").unwrap();
        let vm = "web".parse().unwrap();
        let mut journal = Journal::new(&layout, &vm);
        journal.keep().unwrap();
        let kept = logs_of(&logs, &vm);
        assert_eq!((kept.len(), kept.last().unwrap().as_path()), (KEPT, journal.path().unwrap()));
        assert_eq!(kept[0], old("web", 11));
        assert_eq!(logs_of(&logs, &"web-2".parse().unwrap()).len(), 30);
        assert!(logs.join("web-notes.jsonl").exists());
    }
}
