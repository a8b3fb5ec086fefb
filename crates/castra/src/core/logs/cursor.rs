//! A place in a log that grows: gives its lines as they come, over rotation and truncation.
//!
//! Memory is bounded whatever a guest writes: a line longer than [`MAX_LINE`] is given in parts.
//! Reads only. Tests: below.

use std::fs::File;
use std::io;
use std::ops::ControlFlow;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::PathBuf;

use super::tail::tail_offset;

/// The longest line given in one piece, in bytes. No console is that wide; a program that writes
/// without newlines is.
pub(super) const MAX_LINE: usize = 64 * 1024;

/// Bytes read at a time.
const BLOCK: usize = 64 * 1024;

/// Polls after which a line that is not finished is given as it is: a prompt has no newline.
const PATIENCE: u32 = 2;

/// Takes a line, without its newline. After a break it is not called again.
pub(super) type Give<'a> = dyn FnMut(&[u8]) -> ControlFlow<()> + 'a;

/// A place in a log.
pub(super) struct Cursor {
    path: PathBuf,
    open: Option<Open>,
    /// Bytes read that are not a whole line yet.
    rest: Vec<u8>,
    /// Polls since `rest` grew.
    waited: u32,
}

struct Open {
    file: File,
    inode: u64,
    offset: u64,
}

impl Cursor {
    /// The place where the last `tail` lines begin, or the beginning. A log that does not exist yet
    /// is read from its beginning once it does.
    pub(super) fn open(path: PathBuf, tail: Option<usize>) -> io::Result<Self> {
        let mut cursor = Self { path, open: None, rest: Vec::new(), waited: 0 };
        cursor.reopen()?;
        if let (Some(open), Some(count)) = (&mut cursor.open, tail) {
            open.offset = tail_offset(&open.file, count)?;
        }
        Ok(cursor)
    }

    /// Gives every whole line up to the end of the log. A line that was begun and has not grown for
    /// a while is given as it is. After a break the cursor is of no use any more.
    pub(super) fn poll(&mut self, give: &mut Give<'_>) -> io::Result<ControlFlow<()>> {
        if self.was_replaced() {
            if self.read(give)?.is_break() || self.flush(give).is_break() {
                return Ok(ControlFlow::Break(()));
            }
            self.reopen()?;
        }
        let before = self.rest.len();
        let flow = self.read(give)?;
        if self.rest.len() != before || self.rest.is_empty() {
            self.waited = 0;
            return Ok(flow);
        }
        self.waited += 1;
        Ok(if self.waited >= PATIENCE { self.flush(give) } else { flow })
    }

    /// Gives what is left of a line that is not finished.
    pub(super) fn flush(&mut self, give: &mut Give<'_>) -> ControlFlow<()> {
        self.waited = 0;
        if self.rest.is_empty() { ControlFlow::Continue(()) } else { give(&std::mem::take(&mut self.rest)) }
    }

    /// Whether another file has the log's name now, or the log was cut.
    fn was_replaced(&self) -> bool {
        let now = std::fs::metadata(&self.path);
        match (&self.open, now) {
            (Some(open), Ok(now)) => now.ino() != open.inode || now.len() < open.offset,
            (None, Ok(_)) => true,
            // What was removed may still be written to, and is read on until a new one comes.
            (_, Err(_)) => false,
        }
    }

    fn reopen(&mut self) -> io::Result<()> {
        self.open = match File::open(&self.path) {
            Ok(file) => {
                let inode = file.metadata()?.ino();
                Some(Open { file, inode, offset: 0 })
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        Ok(())
    }

    fn read(&mut self, give: &mut Give<'_>) -> io::Result<ControlFlow<()>> {
        let Some(open) = &mut self.open else { return Ok(ControlFlow::Continue(())) };
        let mut block = vec![0; BLOCK];
        loop {
            let count = match open.file.read_at(&mut block, open.offset) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                result => result?,
            };
            if count == 0 {
                return Ok(ControlFlow::Continue(()));
            }
            open.offset += count as u64;
            for part in block[..count].split_inclusive(|&byte| byte == b'\n') {
                self.rest.extend_from_slice(part);
                if part.ends_with(b"\n") || self.rest.len() >= MAX_LINE {
                    let flow = give(self.rest.strip_suffix(b"\n").unwrap_or(&self.rest));
                    self.rest.clear();
                    if flow.is_break() {
                        return Ok(flow);
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Write;

    use super::*;

    struct Log {
        dir: tempfile::TempDir,
        cursor: Cursor,
    }

    impl Log {
        fn new(text: Option<&str>, tail: Option<usize>) -> Self {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("web.log");
            if let Some(text) = text {
                fs::write(&path, text).unwrap();
            }
            Self { cursor: Cursor::open(path, tail).unwrap(), dir }
        }

        fn append(&self, text: &str) {
            let path = self.dir.path().join("web.log");
            File::options().append(true).create(true).open(path).unwrap().write_all(text.as_bytes()).unwrap();
        }

        fn poll(&mut self) -> Vec<String> {
            let mut lines = Vec::new();
            let mut give = |line: &[u8]| {
                lines.push(String::from_utf8(line.to_vec()).unwrap());
                ControlFlow::Continue(())
            };
            assert!(self.cursor.poll(&mut give).unwrap().is_continue());
            lines
        }
    }

    #[test]
    fn lines_are_given_once_and_whole() {
        let mut log = Log::new(Some("a\nb\nc\nbeg"), Some(3));
        assert_eq!(log.poll(), ["b", "c"]);
        log.append("un\nd\n");
        assert_eq!(log.poll(), ["begun", "d"]);
        assert_eq!(log.poll(), [""; 0]);
    }

    #[test]
    fn a_prompt_without_newline_is_not_kept_back_for_ever() {
        let mut log = Log::new(Some("login: "), None);
        assert_eq!(log.poll(), [""; 0]);
        assert_eq!(log.poll(), [""; 0]);
        assert_eq!(log.poll(), ["login: "]);
        log.append("root\n");
        assert_eq!(log.poll(), ["root"]);
    }

    #[test]
    fn a_log_that_comes_later_is_read_from_its_beginning() {
        let mut log = Log::new(None, Some(1));
        assert_eq!(log.poll(), [""; 0]);
        log.append("a\nb\n");
        assert_eq!(log.poll(), ["a", "b"]);
    }

    #[test]
    fn a_log_that_was_cut_is_read_from_its_new_beginning() {
        let mut log = Log::new(Some("old\nold\n"), None);
        assert_eq!(log.poll().len(), 2);
        fs::write(log.dir.path().join("web.log"), "new\n").unwrap();
        assert_eq!(log.poll(), ["new"]);
    }

    #[test]
    fn a_log_that_was_rotated_is_read_to_its_end_first() {
        let mut log = Log::new(Some("a\n"), None);
        assert_eq!(log.poll(), ["a"]);
        log.append("last words\nhalf");
        fs::rename(log.dir.path().join("web.log"), log.dir.path().join("web.log.1")).unwrap();
        fs::write(log.dir.path().join("web.log"), "new\n").unwrap();
        assert_eq!(log.poll(), ["last words", "half", "new"]);
    }

    #[test]
    fn a_line_without_end_is_given_in_parts() {
        let mut log = Log::new(Some(&"x".repeat(3 * MAX_LINE + 5)), None);
        let lines = log.poll();
        assert_eq!(lines.iter().map(String::len).collect::<Vec<_>>(), [MAX_LINE; 3]);
        assert!(log.cursor.rest.capacity() <= 4 * MAX_LINE);
    }

    #[test]
    fn a_reader_that_has_enough_is_given_no_more() {
        let mut log = Log::new(Some(&"a\n".repeat(100_000)), None);
        let mut seen = 0;
        let mut give = |_: &[u8]| {
            seen += 1;
            if seen == 2 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        assert!(log.cursor.poll(&mut give).unwrap().is_break());
        assert_eq!(seen, 2);
    }
}
