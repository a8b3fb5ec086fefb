//! From the host into a guest. Tests: below, `tests/it/cp.rs`.

use std::fs::File;
use std::os::fd::BorrowedFd;
use std::path::Path;

use plasmavmc_guest::client::{EntryKind, Exec, ExecIo, Output, Source, Write};
use plasmavmc_host::IoContext;

use super::place::{Here, below, last_name, or_home};
use super::tree::{Node, Walk, What, is_missing};
use super::{Copier, CopyError, at, checked_end, report, says_directory};

/// Bytes of the paths given to one `chown` in the guest. A request holds 64 KiB as JSON, in which a
/// letter that is escaped takes six, and a path at most 4 KiB.
const CHOWN_BYTES: usize = 8 * 1024;

/// Permissions of what comes from a stream, and of directories nobody gave any.
const FILE_MODE: u32 = 0o644;
const DIRECTORY_MODE: u32 = 0o755;

/// Where things go in the guest.
struct End<'a> {
    /// The path as it was named.
    path: &'a str,
    /// Whether it is a directory, and things go into it.
    is_directory: bool,
    owner: Option<&'a str>,
}

impl Copier<'_> {
    /// Copies `sources` to `to`; tells what was left out.
    pub(super) fn push(
        &mut self,
        sources: &[Here],
        to: &str,
        owner: Option<&str>,
        input: BorrowedFd<'_>,
    ) -> Result<Vec<String>, CopyError> {
        let path = or_home(to);
        let end = End { path, is_directory: self.push_end(path, sources.len() > 1)?, owner };
        let mut walk = Walk::default();
        let mut found = Vec::new();
        for source in sources {
            match super::path_of(source) {
                None => return self.push_stream(&end, input).map(|()| Vec::new()),
                Some(path) => {
                    let path = self.cwd.join(path);
                    found.push((walk.here(&path)?, path));
                }
            }
        }
        self.total = Some(found.iter().map(|(node, _)| node.bytes()).fold(0, u64::saturating_add));
        let mut made = Vec::new();
        for (node, path) in &found {
            let name = path.file_name().and_then(|name| name.to_str());
            let to = match name {
                Some(name) if end.is_directory => below(end.path, name),
                _ => end.path.to_owned(),
            };
            self.push_node(node, path, &to, owner, &mut made)?;
        }
        self.give_to(owner, &made)?;
        Ok(walk.skipped)
    }

    /// Whether things go into `path` or are called so; made where its text says that it is a directory.
    fn push_end(&mut self, path: &str, several: bool) -> Result<bool, CopyError> {
        let place = || format!("{}:{path}", self.channel.vm());
        let place = place();
        match self.channel.stat(path) {
            Ok(entry) => checked_end(several, entry.kind == EntryKind::Directory, &|| place.clone()),
            Err(error) if is_missing(&error) => {
                if says_directory(path) {
                    self.channel.make_dir(path, DIRECTORY_MODE).map_err(CopyError::Guest)?;
                    return Ok(true);
                }
                checked_end(several, false, &|| place.clone())
            }
            Err(error) => Err(CopyError::Guest(error)),
        }
    }

    fn push_stream(&mut self, end: &End<'_>, input: BorrowedFd<'_>) -> Result<(), CopyError> {
        if end.is_directory || last_name(end.path).is_none() {
            return Err(CopyError::StreamNeedsAName { place: format!("{}:{}", self.channel.vm(), end.path) });
        }
        let file = Write {
            path: end.path.to_owned(),
            mode: FILE_MODE,
            owner: end.owner.map(str::to_owned),
            modified_s: None,
        };
        let progress = &mut report(self.progress, 0, None, end.path);
        let bytes = self
            .channel
            .write_file(&file, Source::Pipe(input), progress)
            .map_err(|error| at(Path::new("-"), error))?;
        self.copied.files += 1;
        self.copied.bytes += bytes;
        Ok(())
    }

    fn push_node(
        &mut self,
        node: &Node,
        from: &Path,
        to: &str,
        owner: Option<&str>,
        made: &mut Vec<String>,
    ) -> Result<(), CopyError> {
        match &node.what {
            What::File(_) => return self.push_file(node, from, to, owner),
            What::Directory(entries) => {
                self.channel.make_dir(to, node.mode & 0o777).map_err(CopyError::Guest)?;
                self.copied.directories += 1;
                for (name, node) in entries {
                    self.push_node(node, &from.join(name), &below(to, name), owner, made)?;
                }
            }
            What::Link(target) => {
                self.channel.link(to, target).map_err(CopyError::Guest)?;
                self.copied.links += 1;
            }
        }
        made.push(to.to_owned());
        Ok(())
    }

    fn push_file(
        &mut self,
        node: &Node,
        from: &Path,
        to: &str,
        owner: Option<&str>,
    ) -> Result<(), CopyError> {
        let file = File::open(from).context("open", from)?;
        let write = Write {
            path: to.to_owned(),
            mode: node.mode & 0o777,
            owner: owner.map(str::to_owned),
            modified_s: Some(node.modified_s),
        };
        let progress = &mut report(self.progress, self.copied.bytes, self.total, to);
        let bytes = self
            .channel
            .write_file(&write, Source::File(&file), progress)
            .map_err(|error| at(from, error))?;
        self.copied.files += 1;
        self.copied.bytes += bytes;
        Ok(())
    }

    /// Gives directories and links an owner: files had theirs before they had their names.
    fn give_to(&mut self, owner: Option<&str>, made: &[String]) -> Result<(), CopyError> {
        let Some(owner) = owner else { return Ok(()) };
        for some in batches(made, CHOWN_BYTES) {
            let words = ["chown", "-h", "--", owner].into_iter().chain(some.iter().map(String::as_str));
            let mut said = Vec::new();
            let io = ExecIo { stderr: Output::Write(&mut said), ..ExecIo::default() };
            let ended = self.channel.exec(&Exec::of(words), io).map_err(CopyError::Guest)?;
            if ended.shell_code() != 0 {
                let said = String::from_utf8_lossy(&said).lines().next().unwrap_or_default().to_owned();
                return Err(CopyError::Owner { owner: owner.to_owned(), said });
            }
        }
        Ok(())
    }
}

/// `paths` in order, in parts of at most `bytes`, or of one path that is longer.
fn batches(mut paths: &[String], bytes: usize) -> impl Iterator<Item = &[String]> {
    std::iter::from_fn(move || {
        let mut total = 0_usize;
        let fits = |path: &&String| {
            total += path.len();
            total <= bytes
        };
        let count = paths.iter().take_while(fits).count().max(1).min(paths.len());
        let (batch, rest) = paths.split_at(count);
        paths = rest;
        (!batch.is_empty()).then_some(batch)
    })
}

#[cfg(test)]
mod tests {
    use castra_agent_proto::limits::MAX_PAYLOAD;
    use castra_agent_proto::request::Request;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_path_gets_its_owner_in_a_request_that_a_frame_holds(
            lengths in prop::collection::vec(1..4096_usize, 0..60),
        ) {
            // The letter that takes most room.
            let paths: Vec<String> = lengths.iter().map(|length| "\u{1}".repeat(*length)).collect();
            let mut given = Vec::new();
            for batch in batches(&paths, CHOWN_BYTES) {
                let words = ["chown", "-h", "--", "someone"].into_iter().map(str::to_owned);
                let request = Request::Exec(Exec::of(words.chain(batch.iter().cloned())));
                prop_assert!(serde_json::to_vec(&request).unwrap().len() <= MAX_PAYLOAD);
                given.extend_from_slice(batch);
            }
            prop_assert_eq!(given, paths);
        }
    }
}
