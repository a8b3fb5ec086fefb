//! QEMU's own words: `logs/<vm>.log`, its standard output and standard error of every launch.
//!
//! Each launch begins with a header line that holds its token, so that the words of one run are
//! told from those of the runs before. Tests: below.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;

use plasmavmc_types::{RunToken, Timestamp};

/// How much of a log is read: its end.
const READ_MAX: u64 = 64 * 1024;

/// How long a serial log may be when a run begins, in bytes. Weeks of an idle guest's words; a guest
/// that writes without end makes it longer than that within its run.
pub(crate) const SERIAL_MAX: u64 = 16 << 20;

/// Writes the header of a launch.
pub(crate) fn begin(mut log: &File, token: RunToken, at: Timestamp, command: &str) -> io::Result<()> {
    log.write_all(format!("{}{at}: {command}\n", header(token)).as_bytes())
}

fn header(token: RunToken) -> String {
    format!("--- launch {token} at ")
}

/// What QEMU said in the run of that token, without the header; empty where it said nothing.
pub(crate) fn since_launch(path: &Path, token: RunToken) -> String {
    let text = read_end(path).unwrap_or_default();
    match text.rsplit_once(&header(token)) {
        Some((_, run)) => run.split_once('\n').map_or("", |(_, said)| said).to_owned(),
        // A run that said more than is read: all of it is its own.
        None => text,
    }
}

fn read_end(path: &Path) -> io::Result<String> {
    let mut file = File::open(path)?;
    let len = file.metadata()?.len();
    let mut bytes = Vec::new();
    file.seek(SeekFrom::Start(len.saturating_sub(READ_MAX)))?;
    file.take(READ_MAX).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// The lines that tell of a failure: not warnings, and not what QEMU says of an ordinary end.
pub(crate) fn complaints(said: &str) -> impl Iterator<Item = &str> {
    let ordinary = |line: &str| {
        line.is_empty()
            || line.contains(": warning: ")
            || line.contains(": info: ")
            || line.contains(": terminating on signal ")
    };
    said.lines().map(str::trim_end).filter(move |line| !ordinary(line))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_words_of_one_launch_are_told() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("web.log");
        let (first, second) = (RunToken::generate(), RunToken::generate());
        let at = Timestamp::from_unix_millis(0);
        for (token, words) in [(first, "qemu: out of luck\n"), (second, "")] {
            let log = plasmavmc_host::plain::append(&path).unwrap();
            begin(&log, token, at, "qemu-system-x86_64 -nodefaults").unwrap();
            (&log).write_all(words.as_bytes()).unwrap();
        }
        assert_eq!(since_launch(&path, second), "");
        assert!(since_launch(&path, first).starts_with("qemu: out of luck\n"));
        assert_eq!(since_launch(Path::new("/nonexistent"), first), "");
    }

    #[test]
    fn warnings_and_an_ordinary_end_are_no_complaints() {
        let said = "qemu-system-x86_64: warning: TCG doesn't support requested feature\n\
                    qemu-system-x86_64: terminating on signal 15 from pid 7 (kill)\n\
                    \n\
                    qemu-system-x86_64: failed to set MSR 0x10a\n";
        assert_eq!(complaints(said).collect::<Vec<_>>(), ["qemu-system-x86_64: failed to set MSR 0x10a"]);
    }
}
