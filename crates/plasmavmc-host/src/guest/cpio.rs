//! Writes a cpio archive in the "new ASCII" format (`newc`), the one the Linux kernel unpacks.
//!
//! Pure: an archive is a sorted set of entries, all owned by root and dated 1970, so the same
//! entries always give the same bytes; and device nodes need no root. The format is described in
//! the kernel's `Documentation/driver-api/early-userspace/buffer-format.rst`. Tests: below.

use std::collections::BTreeMap;

/// What an entry is.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Node {
    Directory,
    File(Vec<u8>),
    Symlink(String),
    CharDevice { major: u32, minor: u32 },
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Entry {
    permissions: u32,
    node: Node,
}

/// Why something cannot be put into an archive.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CpioError {
    /// Paths are relative, plain and not empty.
    #[error("`{path}` is not a path inside an archive")]
    Path {
        /// The path as given.
        path: String,
    },
    /// The format counts bytes with 32 bits.
    #[error("`{path}` is larger than 4 GiB")]
    Size {
        /// The file.
        path: String,
    },
}

/// The entries of an archive.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Archive {
    entries: BTreeMap<String, Entry>,
}

impl Archive {
    /// Adds a directory, and those above it.
    pub(super) fn directory(&mut self, path: &str, permissions: u32) -> Result<(), CpioError> {
        self.insert(path, permissions, Node::Directory)
    }

    /// Adds a regular file, and the directories above it.
    pub(super) fn file(&mut self, path: &str, permissions: u32, bytes: Vec<u8>) -> Result<(), CpioError> {
        if u32::try_from(bytes.len()).is_err() {
            return Err(CpioError::Size { path: path.to_owned() });
        }
        self.insert(path, permissions, Node::File(bytes))
    }

    /// Adds a symbolic link, and the directories above it.
    pub(super) fn symlink(&mut self, path: &str, target: &str) -> Result<(), CpioError> {
        self.insert(path, 0o777, Node::Symlink(target.to_owned()))
    }

    /// Adds a character device, and the directories above it.
    pub(super) fn char_device(&mut self, path: &str, major: u32, minor: u32) -> Result<(), CpioError> {
        self.insert(path, 0o600, Node::CharDevice { major, minor })
    }

    fn insert(&mut self, path: &str, permissions: u32, node: Node) -> Result<(), CpioError> {
        let plain = |part: &str| !part.is_empty() && part != "." && part != ".." && !part.contains('\0');
        if !path.split('/').all(plain) || path == TRAILER {
            return Err(CpioError::Path { path: path.to_owned() });
        }
        for (slash, _) in path.match_indices('/') {
            let parent = Entry { permissions: 0o755, node: Node::Directory };
            self.entries.entry(path[..slash].to_owned()).or_insert(parent);
        }
        self.entries.insert(path.to_owned(), Entry { permissions, node });
        Ok(())
    }

    /// The archive's bytes. A directory always comes before what is in it.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        for (inode, (path, entry)) in (1..).zip(&self.entries) {
            write_entry(&mut out, inode, path, entry);
        }
        let end = Entry { permissions: 0, node: Node::File(Vec::new()) };
        write_entry(&mut out, 0, TRAILER, &end);
        out
    }
}

/// The name of the entry that ends every archive.
const TRAILER: &str = "TRAILER!!!";

/// Names and contents begin at multiples of this.
const ALIGNMENT: usize = 4;

fn write_entry(out: &mut Vec<u8>, inode: u32, path: &str, entry: &Entry) {
    let (kind, links, data, device) = match &entry.node {
        Node::Directory => (0o040_000, 2, [].as_slice(), (0, 0)),
        Node::File(bytes) => (0o100_000, 1, bytes.as_slice(), (0, 0)),
        Node::Symlink(target) => (0o120_000, 1, target.as_bytes(), (0, 0)),
        Node::CharDevice { major, minor } => (0o020_000, 1, [].as_slice(), (*major, *minor)),
    };
    // The trailer has no kind, as `cpio` writes it.
    let mode = if path == TRAILER { 0 } else { kind | entry.permissions };
    let size = u32::try_from(data.len()).expect("checked when the file was added");
    let name_size = u32::try_from(path.len() + 1).expect("a path is shorter than 4 GiB");
    out.extend_from_slice(b"070701");
    // In order: inode, mode, user, group, links, mtime, size, device of the file system (2),
    // device of the node (2), length of the name with its NUL, checksum (unused in this format).
    for field in [inode, mode, 0, 0, links, 0, size, 0, 0, device.0, device.1, name_size, 0] {
        out.extend_from_slice(format!("{field:08x}").as_bytes());
    }
    out.extend_from_slice(path.as_bytes());
    out.push(0);
    pad(out);
    out.extend_from_slice(data);
    pad(out);
}

fn pad(out: &mut Vec<u8>) {
    out.resize(out.len().next_multiple_of(ALIGNMENT), 0);
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::process::{Command, Stdio};

    use proptest::prelude::*;

    use super::*;

    /// An independent reader: path, mode and contents of every entry but the trailer.
    fn read(mut bytes: &[u8]) -> Vec<(String, u32, Vec<u8>)> {
        let mut entries = Vec::new();
        loop {
            assert_eq!(&bytes[..6], b"070701");
            let field = |index: usize| {
                let text = std::str::from_utf8(&bytes[6 + index * 8..14 + index * 8]).unwrap();
                u32::from_str_radix(text, 16).unwrap() as usize
            };
            let (mode, size, name_size) = (field(1), field(6), field(11));
            let name = String::from_utf8(bytes[110..110 + name_size - 1].to_vec()).unwrap();
            assert_eq!(bytes[110 + name_size - 1], 0);
            let data = (110 + name_size).next_multiple_of(4);
            if name == TRAILER {
                assert_eq!(bytes.len(), data);
                return entries;
            }
            entries.push((name, mode as u32, bytes[data..data + size].to_vec()));
            bytes = &bytes[(data + size).next_multiple_of(4)..];
        }
    }

    proptest! {
        #[test]
        fn what_is_put_in_comes_out_with_its_directories_first(
            files in proptest::collection::btree_map("[a-z .-]{1,9}", proptest::collection::vec(any::<u8>(), 0..50), 0..12),
        ) {
            let mut archive = Archive::default();
            let wanted = |name: &str| !matches!(name, "." | "..");
            for (name, bytes) in files.iter().filter(|(name, _)| wanted(name)) {
                archive.file(&format!("d/{name}/F"), 0o644, bytes.clone()).unwrap();
            }
            let entries = read(&archive.to_bytes());
            let mut seen = vec![String::new()];
            for (path, mode, _) in &entries {
                let parent = path.rsplit_once('/').map_or("", |(parent, _)| parent);
                prop_assert!(seen.iter().any(|seen| seen == parent), "{path} comes before {parent}");
                if mode & 0o170_000 == 0o040_000 { seen.push(path.clone()); }
            }
            let contents: BTreeMap<_, _> =
                entries.iter().filter(|entry| entry.0.ends_with("/F")).map(|entry| (entry.0.clone(), &entry.2)).collect();
            let expected: BTreeMap<_, _> =
                files.iter().filter(|(name, _)| wanted(name)).map(|(name, bytes)| (format!("d/{name}/F"), bytes)).collect();
            prop_assert_eq!(contents, expected);
        }
    }

    #[test]
    fn the_tool_everyone_has_lists_the_archive_as_it_was_meant() {
        let mut archive = Archive::default();
        archive.directory("root", 0o700).unwrap();
        archive.file("etc/motd", 0o644, b"hello".to_vec()).unwrap();
        archive.symlink("bin/sh", "busybox").unwrap();
        archive.char_device("dev/console", 5, 1).unwrap();
        let mut cpio = Command::new("cpio")
            .args(["--list", "--verbose", "--numeric-uid-gid", "--quiet"])
            .env("TZ", "UTC")
            .env("LC_ALL", "C")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("`cpio` is installed: `sudo apt-get install cpio`");
        cpio.stdin.take().unwrap().write_all(&archive.to_bytes()).unwrap();
        let output = cpio.wait_with_output().unwrap();
        assert!(output.status.success());
        let text = String::from_utf8(output.stdout).unwrap();
        let lines: Vec<_> =
            text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
        let expected = [
            "drwxr-xr-x 2 0 0 0 Jan 1 1970 bin",
            "lrwxrwxrwx 1 0 0 7 Jan 1 1970 bin/sh -> busybox",
            "drwxr-xr-x 2 0 0 0 Jan 1 1970 dev",
            "crw------- 1 0 0 5, 1 Jan 1 1970 dev/console",
            "drwxr-xr-x 2 0 0 0 Jan 1 1970 etc",
            "-rw-r--r-- 1 0 0 5 Jan 1 1970 etc/motd",
            "drwx------ 2 0 0 0 Jan 1 1970 root",
        ];
        assert_eq!(lines, expected);
    }

    #[test]
    fn paths_that_would_leave_the_archive_are_refused() {
        for path in ["", "/etc", "a//b", "a/../b", ".", "a/", "a\0b", TRAILER] {
            let refused = Archive::default().directory(path, 0o755);
            assert_eq!(refused, Err(CpioError::Path { path: path.to_owned() }), "{path:?}");
        }
    }
}
