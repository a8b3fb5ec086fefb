//! What the host asks of a guest's agent: one stream each.
//!
//! ```text
//!  host                                   guest
//!   │ Open {request} ─────────────────────► │
//!   │ ◄──────────────────── Opened {…}      │   or Done with an error at once
//!   │ Data, Hole, End, Signal, Resize ────► │   as far as Credit allows
//!   │ ◄──────── Data, Stderr, Hole, End     │   likewise
//!   │ ◄──────────────────── Done {outcome}  │   last; or the host says Cancel
//! ```
//!
//! Tests: below.

use serde::{Deserialize, Serialize};

/// A request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "request", rename_all = "snake_case")]
pub enum Request {
    /// Runs a program.
    Exec(Exec),
    /// Writes a file: its bytes follow as Data and Hole, then End. It gets its name, whole, only
    /// after End; until then it has another in the same directory, and goes with its stream.
    Write(Write),
    /// Reads a file: Opened tells its [`Entry`], Data and Hole follow, then End.
    Read {
        /// The file, absolute or relative to the agent's home.
        path: String,
    },
    /// Tells what is at a path. `Done` with [`Outcome::Entry`].
    Stat {
        /// The path. A link at its end is followed.
        path: String,
    },
    /// Lists a directory: a JSON [`Entry`] a line as Data, sorted by name, links not followed.
    List {
        /// The directory.
        path: String,
    },
    /// Makes a directory and those above it; one that is there is fine.
    MakeDir {
        /// The directory.
        path: String,
        /// Its permissions where it is made.
        mode: u32,
    },
    /// Makes a symbolic link, replacing a link that is there.
    Link {
        /// Where.
        path: String,
        /// What it points to.
        target: String,
    },
    /// Mounts a folder of the host.
    Mount {
        /// The device's tag.
        tag: String,
        /// Where, absolute; made where it is missing.
        target: String,
        /// `9p` or `virtiofs`.
        file_system: String,
        /// Whether the guest may not write.
        read_only: bool,
    },
    /// Powers the guest off or restarts it.
    Shutdown {
        /// Which.
        mode: ShutdownMode,
    },
    /// Sets the guest's clock.
    SetTime {
        /// Nanoseconds since 1970, UTC.
        unix_ns: u64,
    },
}

/// How a guest goes down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ShutdownMode {
    /// It powers off.
    Poweroff,
    /// It restarts.
    Reboot,
}

/// A program to run.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exec {
    /// The program, looked for in the guest's PATH, and its arguments. Empty: the user's login shell.
    pub argv: Vec<String>,
    /// Variables beside those of a login: name and value.
    #[serde(default)]
    pub env: Vec<(String, String)>,
    /// Its working directory; the user's home where it is not said.
    #[serde(default)]
    pub cwd: Option<String>,
    /// The user it runs as; root where it is not said.
    #[serde(default)]
    pub user: Option<String>,
    /// A terminal for it; its standard error then comes as Data.
    #[serde(default)]
    pub terminal: Option<Terminal>,
    /// Whether standard input follows; otherwise it reads nothing.
    #[serde(default)]
    pub stdin: bool,
}

impl Exec {
    /// A program and its arguments, as root in its home, without a terminal or input.
    pub fn of<W: Into<String>>(argv: impl IntoIterator<Item = W>) -> Self {
        Self { argv: argv.into_iter().map(Into::into).collect(), ..Self::default() }
    }
}

/// A terminal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Terminal {
    /// The value of TERM.
    pub term: String,
    /// Its size.
    pub size: Size,
}

/// The size of a terminal. The body of a resize frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Size {
    /// Columns.
    pub columns: u16,
    /// Rows.
    pub rows: u16,
}

/// The body of a signal frame.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signal {
    /// One of HUP, INT, QUIT, TERM, KILL, USR1, USR2, WINCH, STOP, CONT.
    pub signal: String,
}

/// A file to write.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Write {
    /// The file, absolute or relative to the agent's home.
    pub path: String,
    /// Its permissions.
    pub mode: u32,
    /// Its owner; the agent's user where it is not said.
    #[serde(default)]
    pub owner: Option<String>,
    /// Seconds since 1970 of its last change; now where it is not said.
    #[serde(default)]
    pub modified_s: Option<i64>,
}

/// Something in a guest's file system.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Its name without the directories; of a stat the path as asked.
    pub name: String,
    /// What it is.
    pub kind: EntryKind,
    /// Its length in bytes.
    pub size: u64,
    /// Its permissions.
    pub mode: u32,
    /// Seconds since 1970 of its last change.
    pub modified_s: i64,
    /// What a link points to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
}

/// What something in a file system is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EntryKind {
    /// A file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link.
    Link,
    /// Anything else.
    Other,
}

/// How a request's service began. The body of an opened frame.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Opened {
    /// The process of a program.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pid: Option<u32>,
    /// The file that is read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entry: Option<Entry>,
}

/// How a request ended. The body of a done frame.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Outcome {
    /// As asked.
    Ok,
    /// The program ended with this code.
    Exited {
        /// 0 to 255.
        code: i32,
    },
    /// A signal ended the program.
    Signaled {
        /// Its number.
        signal: i32,
    },
    /// What is at a path.
    Entry {
        /// It.
        entry: Entry,
    },
    /// It could not be done.
    Failed(Failure),
}

/// Why a request could not be served.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// What kind of reason.
    pub code: FailureCode,
    /// For people: what and why, without a full stop.
    pub message: String,
}

/// The kinds of reasons.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureCode {
    /// There is no such file, program or user.
    NotFound,
    /// The guest's kernel forbids it.
    Permission,
    /// It is a directory where a file is wanted, or the other way round.
    WrongKind,
    /// The guest's disk is full.
    NoSpace,
    /// The request breaks a rule.
    Invalid,
    /// This agent or this guest cannot do that.
    Unsupported,
    /// Too many streams.
    Busy,
    /// Anything else.
    Io,
    /// The guest or its agent went while it was served. Said by the broker.
    Lost,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_reads_back_as_it_was_meant() {
        let exec = Exec {
            argv: vec!["true".into()],
            env: vec![("A".into(), "b".into())],
            cwd: None,
            user: None,
            terminal: Some(Terminal { term: "xterm".into(), size: Size { columns: 80, rows: 24 } }),
            stdin: true,
        };
        for request in [Request::Exec(exec), Request::SetTime { unix_ns: u64::MAX }] {
            let text = serde_json::to_string(&request).unwrap();
            assert_eq!(serde_json::from_str::<Request>(&text).unwrap(), request);
        }
    }

    #[test]
    fn an_outcome_is_told_in_these_words() {
        let text = |outcome: &Outcome| serde_json::to_string(outcome).unwrap();
        assert_eq!(text(&Outcome::Exited { code: 3 }), r#"{"outcome":"exited","code":3}"#);
        let failure = Failure { code: FailureCode::NoSpace, message: "disk full".into() };
        assert_eq!(
            text(&Outcome::Failed(failure)),
            r#"{"outcome":"failed","code":"no_space","message":"disk full"}"#
        );
    }
}
