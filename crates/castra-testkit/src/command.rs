//! A command as a test runs it: bounded, both streams read to their end, and shown as a person sees it.
//!
//! Tests: every test that runs one.

use std::fmt;
use std::io::Read;
use std::process::Child;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::wait::until;

/// What a command answered.
#[derive(Debug)]
pub struct Answer {
    /// Its exit code; none where a signal ended it.
    pub code: Option<i32>,
    /// What it said on standard output.
    pub stdout: String,
    /// What it said on standard error.
    pub stderr: String,
}

/// Waits for a command to end, which has its streams piped.
///
/// # Panics
/// Where it does not end within `bound`, with what it said; it is killed first.
#[track_caller]
pub fn wait(mut child: Child, bound: Duration) -> Answer {
    let (stdout, stderr) = (reader(child.stdout.take()), reader(child.stderr.take()));
    let end = Instant::now() + bound;
    let status = until(2 * bound, || match child.try_wait().expect("a child can be waited for") {
        None if Instant::now() < end => Err("its end"),
        over => Ok(over),
    });
    if status.is_none() {
        let _ = child.kill().and_then(|()| child.wait().map(drop));
    }
    let [stdout, stderr] = [stdout, stderr].map(|stream| stream.join().expect("a reader does not panic"));
    let Some(status) = status else { panic!("not over after {bound:?}: {stderr}") };
    Answer { code: status.code(), stdout, stderr }
}

/// Reads a stream to its end beside the test.
fn reader(from: Option<impl Read + Send + 'static>) -> JoinHandle<String> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut from) = from {
            from.read_to_end(&mut bytes).expect("a pipe can be read");
        }
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

impl Answer {
    /// The answer, which has to have that exit code.
    #[track_caller]
    pub fn ended(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{self}");
        self
    }

    /// The answer, which has to be a success.
    #[track_caller]
    pub fn succeeded(self) -> Self {
        self.ended(0)
    }

    /// The answer, which has to be a failure of that exit code.
    #[track_caller]
    pub fn failed(self, code: i32) -> Self {
        assert_ne!(code, 0, "0 is no failure");
        self.ended(code)
    }

    /// Every line of JSON on standard output.
    #[track_caller]
    pub fn lines(&self) -> Vec<Value> {
        let parse = |line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        self.stdout.lines().map(parse).collect()
    }

    /// The one line of JSON on standard output.
    #[track_caller]
    pub fn line(&self) -> Value {
        let mut lines = self.lines();
        assert_eq!(lines.len(), 1, "{self}");
        lines.remove(0)
    }

    /// The outcome: what the last line tells.
    #[track_caller]
    pub fn outcome(&self) -> Value {
        self.last("outcome")
    }

    /// The error: what the last line tells.
    #[track_caller]
    pub fn error(&self) -> Value {
        self.last("error")
    }

    #[track_caller]
    fn last(&self, what: &str) -> Value {
        let mut last = self.lines().pop().unwrap_or_default();
        assert!(last[what].is_object(), "{self}");
        last[what].take()
    }
}

/// Shows what a person sees: the exit code, and each stream that has something.
impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
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
