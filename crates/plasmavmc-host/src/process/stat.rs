//! The two facts of `/proc/<pid>/stat` that identity needs: the state and the start time.
//!
//! The second field is the program's name in parentheses and may hold anything, `) ` included, so
//! the fields are counted from the last `)`. Tests: below, over hostile names.

use std::fs;
use std::io;

use super::proc_path;
use crate::{HostError, IoContext};

/// What `/proc/<pid>/stat` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stat {
    /// Whether it runs.
    pub state: ProcessState,
    /// When it started, in clock ticks since boot.
    pub start_time: u64,
}

/// Whether a process runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ProcessState {
    /// It runs, or waits for something.
    Alive,
    /// A signal or a debugger stopped it: it answers nothing until it is continued.
    Stopped,
    /// It has ended; perhaps its parent has not yet asked how.
    Dead,
}

impl Stat {
    /// Reads a process's; none where no process has the pid.
    ///
    /// # Errors
    /// [`HostError`] where the file cannot be read or is not what proc(5) describes.
    pub fn read(pid: u32) -> Result<Option<Self>, HostError> {
        let path = proc_path(pid, "stat");
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if is_gone(&error) => return Ok(None),
            Err(error) => return Err(error).context("read", &path),
        };
        let malformed = || HostError::Malformed {
            path,
            expected: "a process's status line",
            reason: "fields are missing".to_owned(),
        };
        Self::parse(&bytes).map(Some).ok_or_else(malformed)
    }

    /// Reads the state (field 3) and the start time (field 22).
    pub fn parse(line: &[u8]) -> Option<Self> {
        let name_end = line.iter().rposition(|&byte| byte == b')')?;
        let rest = std::str::from_utf8(&line[name_end + 1..]).ok()?;
        let mut fields = rest.split_ascii_whitespace();
        let state = match fields.next()? {
            "Z" | "X" | "x" => ProcessState::Dead,
            "T" | "t" => ProcessState::Stopped,
            letter if letter.len() == 1 => ProcessState::Alive,
            _ => return None,
        };
        // Field 4 comes next, so field 22 is the 19th from here.
        let start_time = fields.nth(18)?.parse().ok()?;
        Some(Self { state, start_time })
    }
}

/// Whether the process ended before or while its file was read.
pub(super) fn is_gone(error: &io::Error) -> bool {
    let ended_while_reading = error.raw_os_error() == Some(rustix::io::Errno::SRCH.raw_os_error());
    error.kind() == io::ErrorKind::NotFound || ended_while_reading
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn line(name: &[u8], state: char, start_time: u64) -> Vec<u8> {
        let mut line = b"4242 (".to_vec();
        line.extend_from_slice(name);
        let zeros = "0 ".repeat(18);
        line.extend_from_slice(format!(") {state} {zeros}{start_time} 1 2 3\n").as_bytes());
        line
    }

    #[test]
    fn a_line_of_a_real_kernel_is_read() {
        let stat = Stat::read(std::process::id()).unwrap().unwrap();
        assert_eq!(stat.state, ProcessState::Alive);
        assert!(stat.start_time > 0);
        assert_eq!(Stat::read(u32::MAX).unwrap(), None);
    }

    #[test]
    fn states_are_told_apart() {
        let cases = [
            ('R', ProcessState::Alive),
            ('S', ProcessState::Alive),
            ('D', ProcessState::Alive),
            ('I', ProcessState::Alive),
            ('T', ProcessState::Stopped),
            ('t', ProcessState::Stopped),
            ('Z', ProcessState::Dead),
            ('X', ProcessState::Dead),
        ];
        for (letter, state) in cases {
            assert_eq!(Stat::parse(&line(b"qemu", letter, 7)), Some(Stat { state, start_time: 7 }));
        }
    }

    proptest! {
        #[test]
        fn no_program_name_can_forge_the_fields(
            name in proptest::collection::vec(any::<u8>(), 0..16), start_time: u64,
        ) {
            let expected = Stat { state: ProcessState::Alive, start_time };
            prop_assert_eq!(Stat::parse(&line(&name, 'S', start_time)), Some(expected));
            let forged = [name.as_slice(), b") Z 0 0 (".as_slice()].concat();
            prop_assert_eq!(Stat::parse(&line(&forged, 'S', start_time)), Some(expected));
        }

        #[test]
        fn any_bytes_are_read_or_refused_without_a_panic(
            bytes in proptest::collection::vec(any::<u8>(), 0..256),
        ) {
            let _ = Stat::parse(&bytes);
        }

        #[test]
        fn a_line_that_was_cut_is_refused(cut in 0_usize..47) {
            let whole = line(b"qemu", 'S', 123);
            prop_assert_eq!(Stat::parse(&whole[..cut]), None);
        }
    }
}
