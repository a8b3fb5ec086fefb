//! `castra-agent exec-child`: what happens between the start of a process and its program.
//!
//! A process of its own does it, because only it may: leave the agent's session, take its standard
//! input as terminal, become another user, hear signals again, and then become the program. Nothing here
//! returns but an error. Tests: `tests/it/exec.rs`.

use std::ffi::OsString;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use rustix::process::{Gid, Uid};
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGTSTP, SIGTTIN, SIGTTOU};

use crate::failure::plain;

/// The exit code where a program is there and cannot be run, as shells have it.
const CANNOT_RUN: i32 = 126;
/// The exit code where a program is not there, as shells have it.
const NOT_FOUND: i32 = 127;

/// What a program shall hear of, whatever it was that started the agent: shells ignore the first ones for
/// what they start in the background, and what is ignored stays so in every program started from there.
const HEARD: [i32; 7] = [SIGINT, SIGQUIT, SIGHUP, SIGTERM, SIGTSTP, SIGTTIN, SIGTTOU];

/// What the agent asks of its child, as arguments and back.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Child {
    pub(crate) has_terminal: bool,
    /// User, group and further groups; none to stay who one is.
    pub(crate) user: Option<(u32, u32, Vec<u32>)>,
    pub(crate) cwd: OsString,
    pub(crate) program: OsString,
    /// The name the program gets and its arguments.
    pub(crate) argv: Vec<OsString>,
}

impl Child {
    /// The arguments after `exec-child`.
    pub(crate) fn to_args(&self) -> Vec<OsString> {
        let terminal = if self.has_terminal { "tty" } else { "-" };
        let user = self.user.as_ref().map_or_else(
            || "-".to_owned(),
            |(uid, gid, groups)| {
                let numbers = [&[*uid, *gid], groups.as_slice()].concat();
                numbers.iter().map(u32::to_string).collect::<Vec<_>>().join(",")
            },
        );
        let mut args = vec![terminal.into(), user.into(), self.cwd.clone(), self.program.clone()];
        args.extend(self.argv.iter().cloned());
        args
    }

    /// Reads them back.
    fn parse(args: impl Iterator<Item = OsString>) -> Option<Self> {
        let mut args = args;
        let terminal = args.next()?;
        let user = args.next()?.into_string().ok()?;
        let user = match user.as_str() {
            "-" => None,
            numbers => {
                let numbers: Result<Vec<u32>, _> = numbers.split(',').map(str::parse).collect();
                let numbers = numbers.ok()?;
                let [uid, gid, groups @ ..] = numbers.as_slice() else { return None };
                Some((*uid, *gid, groups.to_vec()))
            }
        };
        let (cwd, program) = (args.next()?, args.next()?);
        let argv: Vec<_> = args.collect();
        (!argv.is_empty()).then_some(Self { has_terminal: terminal == "tty", user, cwd, program, argv })
    }
}

/// Becomes the program that `args` tell. Returns only where that fails: what to say, and the exit
/// code.
pub fn exec_child(args: impl Iterator<Item = OsString>) -> (String, i32) {
    let Some(child) = Child::parse(args) else {
        return ("`exec-child` is for the agent itself".to_owned(), CANNOT_RUN);
    };
    let name = child.program.to_string_lossy().into_owned();
    let error = become_program(child);
    let code = if error.kind() == io::ErrorKind::NotFound { NOT_FOUND } else { CANNOT_RUN };
    (format!("cannot run `{name}`: {}", plain(&error)), code)
}

fn become_program(child: Child) -> io::Error {
    let prepare = || -> io::Result<()> {
        rustix::process::setsid()?;
        if child.has_terminal {
            rustix::process::ioctl_tiocsctty(rustix::stdio::stdin())?;
        }
        if let Some((uid, gid, groups)) = &child.user {
            let groups: Vec<Gid> = groups.iter().map(|gid| Gid::from_raw(*gid)).collect();
            let (uid, gid) = (Uid::from_raw(*uid), Gid::from_raw(*gid));
            // This process has one thread, so the thread's ids are the process's.
            rustix::thread::set_thread_groups(&[&[gid], groups.as_slice()].concat())?;
            rustix::thread::set_thread_res_gid(gid, gid, gid)?;
            rustix::thread::set_thread_res_uid(uid, uid, uid)?;
        }
        // A program does not outlive the agent that nobody could hear of it from. After the change of
        // user, which would take this back.
        rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::HUP))?;
        // Signals that are caught are the default's again in the program that is started.
        for signal in HEARD {
            signal_hook::flag::register(signal, Arc::default())?;
        }
        std::env::set_current_dir(Path::new(&child.cwd))
    };
    if let Err(error) = prepare() {
        return error;
    }
    let mut command = Command::new(&child.program);
    let mut argv = child.argv.into_iter();
    if let Some(name) = argv.next() {
        command.arg0(name);
    }
    command.args(argv).exec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_child_is_told_survives_its_arguments() {
        for user in [None, Some((1000, 100, vec![])), Some((1, 2, vec![3, 4]))] {
            let child = Child {
                has_terminal: user.is_some(),
                user,
                cwd: "/a b".into(),
                program: "/bin/sh".into(),
                argv: vec!["-sh".into(), "-c".into(), "exit 3".into()],
            };
            assert_eq!(Child::parse(child.to_args().into_iter()), Some(child));
        }
    }

    #[test]
    fn what_is_not_from_the_agent_runs_nothing() {
        for args in [vec![], vec!["-", "x", "/", "/bin/true", "true"], vec!["-", "-", "/", "/bin/true"]] {
            let args = args.into_iter().map(OsString::from);
            assert_eq!(exec_child(args).1, CANNOT_RUN);
        }
    }
}
