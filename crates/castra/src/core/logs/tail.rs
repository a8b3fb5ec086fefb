//! The end of a log, without reading what comes before it.
//!
//! Files are read from their end in blocks, so the cost depends on what is asked for and not on how
//! long a VM has been talking. Reads only. Tests: below.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt;
use std::path::Path;

use super::text::readable;

/// Bytes read at a time.
const BLOCK: u64 = 64 * 1024;

/// Where the last `count` lines of a file begin. A line that is not finished counts as one.
pub(super) fn tail_offset(file: &File, count: usize) -> io::Result<u64> {
    let len = file.metadata()?.len();
    if count == 0 {
        return Ok(len);
    }
    let mut buffer = vec![0; usize::try_from(BLOCK.min(len)).unwrap_or_default()];
    let (mut end, mut found) = (len, 0);
    while end > 0 {
        let start = end.saturating_sub(BLOCK);
        let block = &mut buffer[..usize::try_from(end - start).unwrap_or_default()];
        file.read_exact_at(block, start)?;
        let newlines = block.iter().enumerate().rev().filter(|(_, byte)| **byte == b'\n');
        for (at, _) in newlines {
            let after = start + at as u64 + 1;
            // The newline at the very end finishes the last line instead of beginning another.
            if after == len {
                continue;
            }
            found += 1;
            if found == count {
                return Ok(after);
            }
        }
        end = start;
    }
    Ok(0)
}

/// The last `count` lines after byte `from_byte` that are not empty, as [`readable`] text.
///
/// At most the last 64 KiB are looked at. A file that cannot be read has no lines: this serves
/// messages about something else that went wrong.
pub(crate) fn last_lines(path: &Path, from_byte: u64, count: usize) -> Vec<String> {
    let bytes = last_block(path, from_byte).unwrap_or_default();
    let lines = bytes.split(|&byte| byte == b'\n').map(readable).map(|line| line.trim_end().to_owned());
    let lines: Vec<String> = lines.filter(|line| !line.is_empty()).collect();
    lines[lines.len().saturating_sub(count)..].to_vec()
}

fn last_block(path: &Path, from_byte: u64) -> io::Result<Vec<u8>> {
    let mut file = File::open(path)?;
    let len = file.metadata()?.len();
    let start = from_byte.max(len.saturating_sub(BLOCK));
    file.seek(SeekFrom::Start(start))?;
    let mut bytes = Vec::new();
    file.take(BLOCK).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use proptest::prelude::*;

    use super::*;

    fn file(bytes: &[u8]) -> tempfile::NamedTempFile {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(bytes).unwrap();
        file
    }

    fn tail(bytes: &[u8], count: usize) -> Vec<u8> {
        let file = file(bytes);
        let start = tail_offset(file.as_file(), count).unwrap();
        bytes[usize::try_from(start).unwrap()..].to_vec()
    }

    #[test]
    fn an_unfinished_line_counts_as_a_line() {
        assert_eq!(tail(b"a\nb\nc\n", 2), b"b\nc\n");
        assert_eq!(tail(b"a\nb\nlogin: ", 2), b"b\nlogin: ");
        assert_eq!(tail(b"a\n", 5), b"a\n");
        assert_eq!(tail(b"a\n", 0), b"");
        assert_eq!(tail(b"", 3), b"");
    }

    #[test]
    fn lines_longer_than_a_block_are_found_too() {
        let mut text = vec![b'x'; 200_000];
        text.extend(b"\nshort\n");
        assert_eq!(tail(&text, 1), b"short\n");
        assert_eq!(tail(&text, 2), text);
    }

    #[test]
    fn the_last_lines_are_readable_and_none_is_empty() {
        let file = file(b"before\n\x1b[2Jone\r\n\r\n\x1b[31mtwo\x1b[0m\nlogin: ");
        assert_eq!(last_lines(file.path(), 7, 2), ["two", "login:"]);
        assert_eq!(last_lines(file.path(), 7, 9), ["one", "two", "login:"]);
        assert_eq!(last_lines(file.path(), 900, 9), [""; 0]);
        assert_eq!(last_lines(Path::new("/nowhere/web.log"), 0, 9), [""; 0]);
    }

    #[test]
    fn a_flood_is_read_from_its_end_only() {
        let file = file(&b"0123456789\n".repeat(50_000));
        assert_eq!(last_lines(file.path(), 0, 100_000).len(), 64 * 1024 / 11 + 1);
    }

    proptest! {
        #[test]
        fn the_tail_is_what_splitting_the_whole_file_gives(text in "[ab\n]{0,60}", count in 0usize..8) {
            let lines: Vec<&str> = text.split_inclusive('\n').collect();
            let expected = lines[lines.len().saturating_sub(count)..].concat();
            prop_assert_eq!(String::from_utf8(tail(text.as_bytes(), count)).unwrap(), expected);
        }
    }
}
