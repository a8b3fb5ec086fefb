//! `exec` and `shell`: a program in a guest, over its channel.
//!
//! Owns: which words are the VM and which the program. Never does: touch a terminal or a signal:
//! whoever owns them hands in where bytes come from and go to. Tests: below, `tests/it/exec.rs`.

use plasmavmc_types::{ErrorKind, Explain, VmName};
use schemars::JsonSchema;
use serde::Serialize;

pub use plasmavmc_guest::client::{
    Ended, Exec, ExecIo, Input, Nudge, Nudges, Output, Signal, Size, Terminal,
};

use super::error::Error;
use super::guest::{Guest, GuestSelection, KnownVms, connect, known_vms};
use super::project::WorkspaceId;
use super::selection::target;
use super::session::Session;

/// A program to run in a guest.
#[derive(Debug, Clone, Default)]
pub struct ExecOptions {
    /// Which guest.
    pub guest: GuestSelection,
    /// The program and how it is run. Its `stdin` follows from what it is connected to.
    pub exec: Exec,
}

/// How a program ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ExecOutcome {
    /// The workspace.
    #[schemars(with = "String")]
    pub workspace: WorkspaceId,
    /// The VM.
    #[schemars(with = "String")]
    pub vm: VmName,
    /// The program's code; null where a signal ended it.
    pub code: Option<u8>,
    /// The signal that ended it.
    pub signal: Option<u8>,
    /// What a shell would show: the code, or 128 and the signal.
    pub exit_code: u8,
}

/// Runs a program in a guest to its end.
///
/// # Errors
/// [`Error`]: the guest is not there, the program could not be started, or was lost.
pub fn exec(session: &Session, options: &ExecOptions, io: ExecIo<'_>) -> Result<ExecOutcome, Error> {
    exec_in(connect(session, &options.guest, None, &mut |_| {})?, &options.exec, io)
}

/// Runs a program in a guest that is there to its end.
///
/// # Errors
/// [`Error`]: the program could not be started, or was lost.
pub fn exec_in(mut guest: Guest, exec: &Exec, io: ExecIo<'_>) -> Result<ExecOutcome, Error> {
    let ended = guest.channel.exec(exec, io)?;
    let (code, signal) = match ended {
        Ended::Exited(code) => (Some(code), None),
        Ended::Signaled(signal) => (None, Some(signal)),
    };
    let vm = guest.channel.vm().clone();
    Ok(ExecOutcome { workspace: guest.workspace, vm, code, signal, exit_code: ended.shell_code() })
}

/// The words of a command line that runs a program: before `--`, and after it.
#[derive(Debug, Clone, Default)]
pub struct ExecWords {
    /// Before it, or all where there is none.
    pub before: Vec<String>,
    /// After it.
    pub after: Vec<String>,
}

/// Words that name no program, or too much before it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ExecWordsError {
    /// There is no program.
    #[error("there is no program to run")]
    NoProgram {
        /// The VM, where one was named.
        vm: Option<VmName>,
    },
    /// More than a VM stands before `--`.
    #[error("`{word}` stands before `--`, where only the name of a VM may")]
    BeforeProgram {
        /// The word.
        word: String,
    },
}

impl Explain for ExecWordsError {
    fn kind(&self) -> ErrorKind {
        ErrorKind::Usage
    }

    fn hints(&self) -> Vec<String> {
        match self {
            Self::NoProgram { vm } => {
                let vm = vm.as_ref().map(|vm| format!(" {vm}")).unwrap_or_default();
                vec![
                    format!("name one: `castra exec{vm} -- uname -a`"),
                    format!("or get a shell: `castra shell{vm}`"),
                ]
            }
            Self::BeforeProgram { .. } => {
                vec!["put the program and its arguments behind it: `castra exec web -- ls -l /`".to_owned()]
            }
        }
    }
}

/// Which words are the VM and which the program: without `--`, a first word that is the name of a VM is
/// one.
///
/// # Errors
/// [`Error::ExecWords`]; [`Error`] where the VMs cannot be told.
pub fn split_words(
    session: &Session,
    guest: &GuestSelection,
    words: ExecWords,
) -> Result<(Option<VmName>, Vec<String>), Error> {
    let known = known_vms(&target(session, &guest.workspace)?)?;
    Ok(split(&known, words)?)
}

fn split(known: &KnownVms, words: ExecWords) -> Result<(Option<VmName>, Vec<String>), ExecWordsError> {
    let ExecWords { mut before, after } = words;
    if after.is_empty() {
        let vm = before.first().and_then(|word| known.named(word)).cloned();
        if vm.is_some() {
            before.remove(0);
        }
        return if before.is_empty() { Err(ExecWordsError::NoProgram { vm }) } else { Ok((vm, before)) };
    }
    match before.as_slice() {
        [] => Ok((None, after)),
        // Names that are none here are told as such later, with those that are.
        [name] => match name.parse() {
            Ok(vm) => Ok((Some(vm), after)),
            Err(_) => Err(ExecWordsError::BeforeProgram { word: name.clone() }),
        },
        [_, word, ..] => Err(ExecWordsError::BeforeProgram { word: word.clone() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split_of(before: &str, after: &str) -> Result<(Option<String>, String), ExecWordsError> {
        let words = |text: &str| text.split_whitespace().map(str::to_owned).collect();
        let known = KnownVms::of(["db", "web"].map(|name| name.parse().unwrap()).to_vec());
        let (vm, program) = split(&known, ExecWords { before: words(before), after: words(after) })?;
        Ok((vm.map(|vm| vm.to_string()), program.join(" ")))
    }

    #[test]
    fn the_vm_and_the_program_are_told_apart() {
        let cases = [
            ("", "ls -l", None, "ls -l"),
            ("web", "ls -l", Some("web"), "ls -l"),
            ("web", "web", Some("web"), "web"),
            ("other", "ls", Some("other"), "ls"),
            ("true", "", None, "true"),
            ("web true", "", Some("web"), "true"),
            ("echo web", "", None, "echo web"),
        ];
        for (before, after, vm, program) in cases {
            let found = split_of(before, after).unwrap();
            assert_eq!(found, (vm.map(str::to_owned), program.to_owned()), "{before} -- {after}");
        }
    }

    #[test]
    fn words_that_run_nothing_are_told() {
        assert_eq!(split_of("", ""), Err(ExecWordsError::NoProgram { vm: None }));
        let vm = Some("web".parse().unwrap());
        assert_eq!(split_of("web", ""), Err(ExecWordsError::NoProgram { vm }));
        assert!(matches!(split_of("web db", "ls"), Err(ExecWordsError::BeforeProgram { .. })));
        assert!(matches!(split_of("a/b", "ls"), Err(ExecWordsError::BeforeProgram { .. })));
    }
}
