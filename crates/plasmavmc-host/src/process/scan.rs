//! Finds processes by an argument of their command line: how a VM's process is found when the
//! command that launched it died before it could write the pidfile.
//!
//! Only processes of this user count: anyone can put any text on a command line. Tests: below.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::{Process, proc_path, stat};
use crate::{HostError, IoContext};

/// How much of a command line is read: the argument looked for stands near the front, after a path
/// of at most 4096 bytes.
const COMMAND_LINE_MAX: u64 = 32 * 1024;

/// Every live process of this user that has exactly `argument` on its command line, oldest first.
///
/// One pass over `/proc`: some ten microseconds a process.
///
/// # Errors
/// [`HostError::Io`] where `/proc` cannot be read.
pub fn find_by_argument(argument: &str) -> Result<Vec<Process>, HostError> {
    let found = find(|line| has(line, argument).then_some(()))?;
    let mut processes = Vec::new();
    for (process, ()) in found {
        // Looked at again through a pidfd, in case the pid changed its owner in between.
        if process.has_argument(argument)? {
            processes.push(process);
        }
    }
    Ok(processes)
}

/// Every live process of this user with an argument that begins with `prefix`, and the first such
/// argument, oldest first.
///
/// # Errors
/// [`HostError::Io`] where `/proc` cannot be read.
pub fn find_by_prefix(prefix: &str) -> Result<Vec<(Process, String)>, HostError> {
    let found = find(|line| {
        let argument = arguments(line).find(|argument| argument.starts_with(prefix.as_bytes()))?;
        String::from_utf8(argument.to_vec()).ok()
    })?;
    let mut processes = Vec::new();
    for (process, argument) in found {
        if process.has_argument(&argument)? {
            processes.push((process, argument));
        }
    }
    Ok(processes)
}

/// Every live process of this user in whose command line `wanted` finds something, oldest first.
fn find<T>(wanted: impl Fn(&[u8]) -> Option<T>) -> Result<Vec<(Process, T)>, HostError> {
    let proc = Path::new("/proc");
    let user = rustix::process::geteuid().as_raw();
    let mut found = Vec::new();
    for entry in fs::read_dir(proc).context("list", proc)? {
        let entry = entry.context("list", proc)?;
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        if !entry.metadata().is_ok_and(|metadata| metadata.uid() == user) {
            continue;
        }
        // A process this user may not read, such as one that changed its user, is not looked for.
        let Ok(line) = read_bounded(&proc_path(pid, "cmdline")) else { continue };
        if let Some(value) = wanted(&line)
            && let Some(process) = Process::of_pid(pid)?
        {
            found.push((process, value));
        }
    }
    found.sort_by_key(|(process, _)| process.identity().start_time);
    Ok(found)
}

/// Whether the process that has this pid now has exactly `argument` on its command line. None where
/// it shows no command line: a zombie, a thread of the kernel, or a program that is just being
/// loaded.
pub(super) fn has_argument(pid: u32, argument: &str) -> Result<Option<bool>, HostError> {
    let path = proc_path(pid, "cmdline");
    let line = match read_bounded(&path) {
        Err(error) if stat::is_gone(&error) => return Ok(Some(false)),
        result => result.context("read", &path)?,
    };
    Ok((!line.is_empty()).then(|| has(&line, argument)))
}

fn read_bounded(path: &Path) -> io::Result<Vec<u8>> {
    let mut line = Vec::new();
    File::open(path)?.take(COMMAND_LINE_MAX).read_to_end(&mut line)?;
    Ok(line)
}

fn has(line: &[u8], argument: &str) -> bool {
    arguments(line).any(|found| found == argument.as_bytes())
}

/// The arguments of a command line as `/proc` shows it: each ends with a zero byte.
fn arguments(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    line.split(|&byte| byte == 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Command, Stdio};

    #[test]
    fn a_process_is_found_by_a_whole_argument_only() {
        let token = uuid::Uuid::new_v4().simple().to_string();
        // A shell's builtin: it waits for its input without a second process.
        let mut command = Command::new("sh");
        let mut child = command.args(["-c", "read x", "sh", &token]).stdin(Stdio::piped()).spawn().unwrap();
        let process = Process::of_pid(child.id()).unwrap().unwrap();
        assert!(process.has_argument(&token).unwrap(), "its own program was not waited for");
        let found: Vec<u32> = find_by_argument(&token).unwrap().iter().map(Process::pid).collect();
        let by_part = find_by_argument(&token[..31]).unwrap().len();
        let by_prefix = find_by_prefix(&token[..31]).unwrap();
        let [(prefixed, argument)] = &by_prefix[..] else { panic!("{by_prefix:?}") };
        assert_eq!((prefixed.pid(), argument), (child.id(), &token));
        assert_eq!(prefixed.working_dir(), std::env::current_dir().ok());
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!((found, by_part), (vec![child.id()], 0));
        assert!(find_by_argument(&token).unwrap().is_empty(), "a dead process was found");
    }
}
