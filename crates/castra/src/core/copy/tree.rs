//! What is to be copied, looked at before anything is: the tree below a source, here or in a guest.
//!
//! Links in a tree are links and never followed; what is named itself may be one. What is neither file,
//! directory nor link is left out and told. Tests: below, `tests/it/cp.rs`.

use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use plasmavmc_guest::client::{Channel, ClientError, Entry, EntryKind, FailureCode};
use plasmavmc_host::IoContext;

use super::CopyError;
use super::place::below;

/// Directories in directories that are followed. A path is at most 4096 bytes long on Linux, but a
/// tree that deep has no use.
const MAX_DEPTH: usize = 128;
/// Files, directories and links of one tree: more than a person means, and few enough to be held.
const MAX_NODES: usize = 1_000_000;
/// Bytes of names and links a guest may have held here: a million files of a usual tree have a quarter.
const MAX_HELD: usize = 256 << 20;

/// Something to be copied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Node {
    /// Permissions.
    pub(super) mode: u32,
    /// Seconds since 1970 of its last change.
    pub(super) modified_s: i64,
    /// What it is.
    pub(super) what: What,
}

/// What something to be copied is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum What {
    /// A file of so many bytes.
    File(u64),
    /// A directory, and what is in it by name.
    Directory(Vec<(String, Node)>),
    /// A link to something.
    Link(String),
}

impl Node {
    /// The bytes of all its files.
    pub(super) fn bytes(&self) -> u64 {
        match &self.what {
            What::File(bytes) => *bytes,
            What::Directory(entries) => {
                entries.iter().fold(0, |sum, (_, node)| u64::saturating_add(sum, node.bytes()))
            }
            What::Link(_) => 0,
        }
    }
}

/// What was met on the way.
#[derive(Debug, Default)]
pub(super) struct Walk {
    nodes: usize,
    /// Bytes of what a guest named.
    held: usize,
    /// What is left out.
    pub(super) skipped: Vec<String>,
}

impl Walk {
    fn count(&mut self, place: &str, depth: usize) -> Result<(), CopyError> {
        self.nodes += 1;
        let too_much = |what, limit| Err(CopyError::TooMuch { place: place.to_owned(), what, limit });
        match (depth, self.nodes) {
            (MAX_DEPTH.., _) => too_much("levels of directories", MAX_DEPTH),
            (_, MAX_NODES..) => too_much("files", MAX_NODES),
            _ => Ok(()),
        }
    }

    /// Notes names of a guest's that are held from now on.
    fn hold(&mut self, place: &str, bytes: usize) -> Result<(), CopyError> {
        self.held = self.held.saturating_add(bytes);
        if self.held <= MAX_HELD {
            return Ok(());
        }
        let what = "bytes of names and links";
        Err(CopyError::TooMuch { place: place.to_owned(), what, limit: MAX_HELD })
    }

    /// What is at `path` here. A link that is named itself is followed.
    pub(super) fn here(&mut self, path: &Path) -> Result<Node, CopyError> {
        let meta = fs::metadata(path).context("look at", path)?;
        let place = || path.display().to_string();
        self.host_node(path, &meta, 0)?.ok_or_else(|| CopyError::Special { place: place() })
    }

    fn host_node(&mut self, path: &Path, meta: &Metadata, depth: usize) -> Result<Option<Node>, CopyError> {
        self.count(&path.display().to_string(), depth)?;
        let kind = meta.file_type();
        let what = if kind.is_file() {
            What::File(meta.len())
        } else if kind.is_symlink() {
            let target = fs::read_link(path).context("read link", path)?;
            What::Link(target.into_os_string().into_string().map_err(|_| not_text(path))?)
        } else if kind.is_dir() {
            What::Directory(self.host_entries(path, depth)?)
        } else {
            return Ok(None);
        };
        Ok(Some(Node { mode: meta.mode() & 0o7777, modified_s: meta.mtime(), what }))
    }

    fn host_entries(&mut self, dir: &Path, depth: usize) -> Result<Vec<(String, Node)>, CopyError> {
        let mut entries = Vec::new();
        for entry in fs::read_dir(dir).context("list", dir)? {
            let path = entry.context("list", dir)?.path();
            let name = path.file_name().and_then(|name| name.to_str()).ok_or_else(|| not_text(&path))?;
            let meta = path.symlink_metadata().context("look at", &path)?;
            match self.host_node(&path, &meta, depth + 1)? {
                Some(node) => entries.push((name.to_owned(), node)),
                None => self.skipped.push(path.display().to_string()),
            }
        }
        entries.sort_by(|a, b| a.0.cmp(&b.0));
        Ok(entries)
    }

    /// What is at `path` in a guest. A link that is named itself is followed.
    pub(super) fn there(&mut self, channel: &mut Channel, path: &str) -> Result<Node, CopyError> {
        let entry = channel.stat(path).map_err(CopyError::Guest)?;
        let special = || CopyError::Special { place: format!("{}:{path}", channel.vm()) };
        let special = special();
        self.guest_node(channel, path, &entry, 0)?.ok_or(special)
    }

    fn guest_node(
        &mut self,
        channel: &mut Channel,
        path: &str,
        entry: &Entry,
        depth: usize,
    ) -> Result<Option<Node>, CopyError> {
        self.count(path, depth)?;
        let what = match entry.kind {
            EntryKind::File => What::File(entry.size),
            EntryKind::Link => match &entry.target {
                Some(target) if !target.is_empty() && !target.contains('\0') => What::Link(target.clone()),
                _ => return Ok(None),
            },
            EntryKind::Directory => What::Directory(self.guest_entries(channel, path, depth)?),
            EntryKind::Other => return Ok(None),
        };
        Ok(Some(Node { mode: entry.mode, modified_s: entry.modified_s, what }))
    }

    fn guest_entries(
        &mut self,
        channel: &mut Channel,
        dir: &str,
        depth: usize,
    ) -> Result<Vec<(String, Node)>, CopyError> {
        let listed = match channel.list(dir) {
            // It was there a moment ago.
            Err(error) if depth > 0 && is_missing(&error) => return Ok(Vec::new()),
            listed => listed.map_err(CopyError::Guest)?,
        };
        // All at once: a directory in it is looked into while the rest waits.
        let bytes = |entry: &Entry| {
            size_of::<Entry>() + entry.name.len() + entry.target.as_ref().map_or(0, String::len)
        };
        self.hold(dir, listed.iter().map(bytes).sum())?;
        let mut entries = Vec::new();
        for entry in listed {
            let path = below(dir, &entry.name);
            match self.guest_node(channel, &path, &entry, depth + 1)? {
                Some(node) => entries.push((entry.name, node)),
                None => {
                    self.hold(dir, path.len())?;
                    self.skipped.push(format!("{}:{path}", channel.vm()));
                }
            }
        }
        Ok(entries)
    }
}

fn not_text(path: &Path) -> CopyError {
    CopyError::NotText { path: PathBuf::from(path) }
}

/// Whether the guest has no such file.
pub(super) fn is_missing(error: &ClientError) -> bool {
    error.guest_code() == Some(FailureCode::NotFound)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;
    use std::os::unix::net::UnixListener;

    use super::*;

    #[test]
    fn a_tree_is_what_it_holds_and_links_in_it_are_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::create_dir(at("sub")).unwrap();
        fs::write(at("sub/file"), "12345").unwrap();
        symlink(dir.path(), at("loop")).unwrap();
        let _socket = UnixListener::bind(at("socket")).unwrap();
        let mut walk = Walk::default();
        let node = walk.here(dir.path()).unwrap();
        let What::Directory(entries) = &node.what else { panic!("{node:?}") };
        let names: Vec<&str> = entries.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!((names.as_slice(), node.bytes()), (&["loop", "sub"][..], 5));
        assert!(matches!(&entries[0].1.what, What::Link(target) if Path::new(target) == dir.path()));
        assert_eq!(walk.skipped, [at("socket").display().to_string()]);
    }

    #[test]
    fn a_link_that_is_named_itself_is_followed_and_a_special_file_refused() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::write(at("file"), "1").unwrap();
        symlink("file", at("link")).unwrap();
        assert!(matches!(Walk::default().here(&at("link")).unwrap().what, What::File(1)));
        let _socket = UnixListener::bind(at("socket")).unwrap();
        assert!(matches!(Walk::default().here(&at("socket")), Err(CopyError::Special { .. })));
        assert!(matches!(Walk::default().here(&at("none")), Err(CopyError::Host(_))));
    }

    #[test]
    fn a_tree_without_an_end_is_given_up() {
        let mut walk = Walk { nodes: MAX_NODES - 1, ..Walk::default() };
        assert!(walk.count("x", 0).is_err());
        assert!(Walk::default().count("x", MAX_DEPTH).is_err());
        assert!(Walk::default().count("x", MAX_DEPTH - 1).is_ok());
        let mut walk = Walk::default();
        assert!(walk.hold("x", MAX_HELD).is_ok() && walk.hold("x", 1).is_err());
    }
}
