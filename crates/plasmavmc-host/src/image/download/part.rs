//! The unfinished file of a download, and the note beside it that says what it is a part of.
//!
//! ```text
//! partial/<key>.part   the first bytes of the file, in order, without gaps
//! partial/<key>.json   where they come from: URL and validator, written before the first byte
//! ```
//! A part without a note, or with one about another URL, is worth nothing. The part is not trusted:
//! all of it is hashed before it gets a name. Whoever has the image's lock has the part.
//! Tests: below.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::{HostError, IoContext, publish};

/// What a part is a part of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Note {
    /// Where it was asked for.
    pub(super) url: String,
    /// What proves that the server still has the same file; without it nobody can go on.
    pub(super) validator: Option<String>,
    /// The size of the whole file.
    pub(super) total_bytes: Option<u64>,
}

/// An unfinished file, open for writing.
#[derive(Debug)]
pub(crate) struct Part {
    path: PathBuf,
    note_path: PathBuf,
    file: File,
    len: u64,
    note: Option<Note>,
}

impl Part {
    /// Opens the part called `key` in `dir`, or makes an empty one.
    pub(crate) fn open(dir: &Path, key: &str) -> Result<Self, HostError> {
        let (path, note_path) = paths(dir, key);
        let note = read_note(&note_path);
        let mut options = File::options();
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        let mut file = options.open(&path).context("open", &path)?;
        let len = file.seek(SeekFrom::End(0)).context("measure", &path)?;
        let mut part = Self { path, note_path, file, len, note };
        if part.note.is_none() && part.len > 0 {
            part.clear()?;
        }
        Ok(part)
    }

    /// The bytes it has.
    pub(super) fn len(&self) -> u64 {
        self.len
    }

    pub(super) fn note(&self) -> Option<&Note> {
        self.note.as_ref()
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The file that says what it is a part of.
    pub(crate) fn note_path(&self) -> &Path {
        &self.note_path
    }

    /// Forgets all bytes.
    pub(super) fn clear(&mut self) -> Result<(), HostError> {
        self.file.set_len(0).context("empty", &self.path)?;
        self.file.seek(SeekFrom::Start(0)).context("rewind", &self.path)?;
        self.len = 0;
        self.note = None;
        publish::remove(&self.note_path)?;
        Ok(())
    }

    /// Begins again, with bytes from elsewhere.
    pub(super) fn begin(&mut self, note: Note) -> Result<(), HostError> {
        self.clear()?;
        let text = serde_json::to_vec(&note).expect("strings and numbers are JSON values");
        publish::write(&self.note_path, &text)?;
        self.note = Some(note);
        Ok(())
    }

    /// Adds bytes at its end.
    pub(super) fn append(&mut self, bytes: &[u8]) -> Result<(), HostError> {
        self.file.write_all(bytes).context("write", &self.path)?;
        self.len += bytes.len() as u64;
        Ok(())
    }

    /// Hands its bytes, from the first on, to `each`.
    pub(super) fn read_back(&mut self, mut each: impl FnMut(Vec<u8>)) -> Result<(), HostError> {
        self.file.seek(SeekFrom::Start(0)).context("rewind", &self.path)?;
        loop {
            let mut block = Vec::with_capacity(READ_BYTES);
            let read = (&self.file).take(READ_BYTES as u64).read_to_end(&mut block);
            if read.context("read", &self.path)? == 0 {
                break;
            }
            each(block);
        }
        self.file.seek(SeekFrom::End(0)).context("measure", &self.path)?;
        Ok(())
    }

    /// A second handle, to flush early from another thread.
    pub(super) fn handle(&self) -> io::Result<File> {
        self.file.try_clone()
    }

    /// Makes its bytes durable.
    pub(super) fn sync(&self) -> Result<(), HostError> {
        self.file.sync_all().context("flush", &self.path)
    }

    /// Removes it.
    pub(crate) fn discard(self) -> Result<(), HostError> {
        remove(&self.path, &self.note_path)
    }
}

/// The size of the blocks in which a part is read back.
const READ_BYTES: usize = 256 << 10;

fn paths(dir: &Path, key: &str) -> (PathBuf, PathBuf) {
    (dir.join(format!("{key}.part")), dir.join(format!("{key}.json")))
}

fn remove(path: &Path, note_path: &Path) -> Result<(), HostError> {
    // The note first: a part without one is worth nothing, a note without a part would mislead.
    publish::remove(note_path)?;
    publish::remove(path)?;
    Ok(())
}

/// Removes the part called `key`, where there is one.
pub(crate) fn remove_part(dir: &Path, key: &str) -> Result<(), HostError> {
    let (path, note_path) = paths(dir, key);
    remove(&path, &note_path)
}

/// How far the download called `key` has got, in whichever process: bytes on disk and in all.
pub(crate) fn peek(dir: &Path, key: &str) -> Option<(u64, Option<u64>)> {
    let (path, note_path) = paths(dir, key);
    let done = fs::metadata(path).ok()?.len();
    Some((done, read_note(&note_path)?.total_bytes))
}

/// The note at `path`; none where it cannot be read, since it only saves work.
fn read_note(path: &Path) -> Option<Note> {
    serde_json::from_slice(&fs::read(path).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn note(url: &str) -> Note {
        Note { url: url.to_owned(), validator: Some("\"v\"".to_owned()), total_bytes: Some(9) }
    }

    #[test]
    fn a_part_is_found_again_with_its_note() {
        let dir = tempfile::tempdir().unwrap();
        let mut part = Part::open(dir.path(), "k").unwrap();
        part.begin(note("u")).unwrap();
        part.append(b"abc").unwrap();
        drop(part);
        assert_eq!(peek(dir.path(), "k"), Some((3, Some(9))));
        let mut part = Part::open(dir.path(), "k").unwrap();
        assert_eq!((part.len(), part.note()), (3, Some(&note("u"))));
        part.append(b"de").unwrap();
        let mut bytes = Vec::new();
        part.read_back(|block| bytes.extend(block)).unwrap();
        part.append(b"f").unwrap();
        assert_eq!((bytes.as_slice(), part.len()), (b"abcde".as_slice(), 6));
        assert_eq!(fs::read(part.path()).unwrap(), b"abcdef");
    }

    #[test]
    fn a_part_without_its_note_is_worth_nothing() {
        let dir = tempfile::tempdir().unwrap();
        for broken in [None, Some("{"), Some("[]")] {
            fs::write(dir.path().join("k.part"), b"abc").unwrap();
            let _ = fs::remove_file(dir.path().join("k.json"));
            if let Some(text) = broken {
                fs::write(dir.path().join("k.json"), text).unwrap();
            }
            let part = Part::open(dir.path(), "k").unwrap();
            assert_eq!((part.len(), fs::metadata(part.path()).unwrap().len()), (0, 0), "{broken:?}");
            part.discard().unwrap();
            assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
        }
    }
}
