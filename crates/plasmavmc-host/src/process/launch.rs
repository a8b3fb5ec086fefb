//! Launches a process that outlives us: no terminal, its own process group, its words in a log.
//!
//! The signals a terminal sends (Ctrl-C, hang-up) go to the process group in its foreground, which
//! the child is not in. It inherits exactly the files it is given, under the numbers it is told.
//! Tests: below.

use std::ffi::OsString;
use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use command_fds::{CommandFdExt, FdMapping};

use super::Process;
use crate::HostError;

/// A process to be launched.
#[derive(Debug)]
pub struct Detached {
    /// The program: a path, or a name to be looked up in `PATH`.
    pub program: PathBuf,
    /// Its arguments.
    pub arguments: Vec<OsString>,
    /// Its working directory.
    pub directory: PathBuf,
    /// Where its standard output and standard error go.
    pub log: File,
    /// Files it inherits, each with the descriptor number it has there, at least 3.
    pub inherits: Vec<(OwnedFd, i32)>,
}

/// A process that was launched. Dropping it leaves the process alone.
#[derive(Debug)]
pub struct Launched {
    /// The child, to be reaped once it has ended.
    pub child: Child,
    /// The process.
    pub process: Process,
}

impl Detached {
    /// Launches it. Returns once the program runs, or could not be run.
    ///
    /// # Errors
    /// [`HostError::Spawn`] where the program cannot be run; [`HostError::Io`] where it could not be
    /// looked at afterwards, in which case it was ended again.
    pub fn launch(self) -> Result<Launched, HostError> {
        let program = self.program.display().to_string();
        let spawn_error = |source| HostError::Spawn { program: program.clone(), source };
        let stderr = self.log.try_clone().map_err(spawn_error)?;
        let mut command = Command::new(&self.program);
        command
            .args(self.arguments)
            .current_dir(self.directory)
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(self.log)
            .stderr(stderr);
        let mappings = self.inherits.into_iter();
        let mappings = mappings.map(|(parent_fd, child_fd)| FdMapping { parent_fd, child_fd }).collect();
        command
            .fd_mappings(mappings)
            .map_err(|error| spawn_error(std::io::Error::new(std::io::ErrorKind::InvalidInput, error)))?;
        let child = command.spawn().map_err(spawn_error)?;
        Launched::new(child)
    }
}

impl Launched {
    fn new(mut child: Child) -> Result<Self, HostError> {
        // Nobody has reaped the child yet, so its pid is its own even if it has already ended.
        let error = match Process::attach(child.id()) {
            Ok(Some(process)) => return Ok(Self { child, process }),
            Ok(None) => HostError::Io {
                action: "look at",
                path: super::proc_path(child.id(), ""),
                source: std::io::ErrorKind::NotFound.into(),
            },
            Err(error) => error,
        };
        let _ = child.kill();
        let _ = child.wait();
        Err(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Seek};
    use std::os::fd::AsRawFd;
    use std::path::Path;
    use std::time::Duration;

    fn launch(script: &str, inherits: Vec<(OwnedFd, i32)>) -> (Launched, File) {
        let log = tempfile::tempfile().unwrap();
        let launched = Detached {
            program: "sh".into(),
            arguments: vec!["-c".into(), script.into()],
            directory: "/".into(),
            log: log.try_clone().unwrap(),
            inherits,
        };
        (launched.launch().unwrap(), log)
    }

    fn said(mut launched: Launched, mut log: File) -> String {
        assert!(launched.process.exits_within(Duration::from_secs(10)).unwrap());
        assert!(launched.child.wait().unwrap().success());
        let mut text = String::new();
        log.rewind().unwrap();
        log.read_to_string(&mut text).unwrap();
        text
    }

    #[test]
    fn a_terminals_signals_do_not_reach_it_and_its_words_reach_the_log() {
        let (launched, log) = launch("ps -o pgid= -p $$; echo $$ >&2; pwd; cat", Vec::new());
        let pid = launched.process.pid();
        assert_eq!(
            said(launched, log).split_whitespace().collect::<Vec<_>>(),
            [&pid.to_string(), &pid.to_string(), "/"]
        );
    }

    #[test]
    fn it_inherits_what_it_is_given_and_nothing_else_of_ours() {
        let (kept, given) = std::os::unix::net::UnixStream::pair().unwrap();
        let name = |fd: i32| std::fs::read_link(format!("/proc/self/fd/{fd}")).unwrap();
        let (kept_name, given_name) = (name(kept.as_raw_fd()), name(given.as_raw_fd()));
        let script = "readlink /proc/$$/fd/9 && readlink /proc/$$/fd/*; true";
        let (launched, log) = launch(script, vec![(given.into(), 9)]);
        let said = said(launched, log);
        let count = |name: &Path| said.lines().filter(|line| Path::new(line) == name).count();
        assert_eq!((said.lines().next(), count(&kept_name), count(&given_name)), (given_name.to_str(), 0, 2));
    }

    #[test]
    fn a_program_that_cannot_be_run_is_named() {
        let detached = Detached {
            program: "/nonexistent/qemu".into(),
            arguments: Vec::new(),
            directory: "/".into(),
            log: tempfile::tempfile().unwrap(),
            inherits: Vec::new(),
        };
        let error = detached.launch().unwrap_err();
        assert_eq!(error.to_string(), "failed to run `/nonexistent/qemu`");
    }
}
