//! From a guest to the host. Tests: below for where things go, `tests/it/cp.rs`.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::Write;
use std::path::{Component, Path, PathBuf};

use plasmavmc_guest::client::{EntryKind, Sink};
use plasmavmc_host::IoContext;
use plasmavmc_host::folder::Folder;

use super::place::{Here, below, last_name, or_home};
use super::tree::{Node, Walk, What};
use super::{Copier, CopyError, at, checked_end, report};

/// Where things go on the host.
#[derive(Debug, PartialEq, Eq)]
enum End {
    /// Into a directory.
    Into(PathBuf),
    /// Under a name in a directory.
    As(PathBuf, OsString),
    /// Into something that is no file and stays what it is: a pipe, a device.
    Device(PathBuf),
}

impl Copier<'_> {
    /// Copies `sources` to `to`; tells what was left out.
    pub(super) fn pull(
        &mut self,
        sources: &[String],
        to: &Here,
        output: &mut dyn Write,
    ) -> Result<Vec<String>, CopyError> {
        let Here::Path(to) = to else {
            return self.pull_stream(&sources[0], Path::new("-"), output).map(|()| Vec::new());
        };
        no_way_out(self.cwd, to)?;
        let end = end(&self.cwd.join(to), sources.len() > 1)?;
        if let End::Device(path) = &end {
            let mut file = File::options().write(true).open(path).context("open", path)?;
            return self.pull_stream(&sources[0], path, &mut file).map(|()| Vec::new());
        }
        let mut walk = Walk::default();
        let mut found = Vec::new();
        for source in sources {
            found.push((walk.there(self.channel, or_home(source))?, or_home(source)));
        }
        self.total = Some(found.iter().map(|(node, _)| node.bytes()).fold(0, u64::saturating_add));
        for (node, from) in &found {
            match &end {
                End::Into(dir) => self.pull_into(node, from, &Folder::open(dir)?)?,
                End::As(dir, name) => self.pull_node(node, from, &Folder::open(dir)?, name)?,
                End::Device(_) => {}
            }
        }
        Ok(walk.skipped)
    }

    /// Copies something into a directory: under its own name, or only what is in it where it has none.
    fn pull_into(&mut self, node: &Node, from: &str, folder: &Folder) -> Result<(), CopyError> {
        match (last_name(from), &node.what) {
            (None, What::Directory(entries)) => {
                self.copied.directories += 1;
                self.pull_entries(entries, from, folder)
            }
            (name, _) => self.pull_node(node, from, folder, OsStr::new(name.unwrap_or(from))),
        }
    }

    fn pull_entries(
        &mut self,
        entries: &[(String, Node)],
        from: &str,
        folder: &Folder,
    ) -> Result<(), CopyError> {
        entries
            .iter()
            .try_for_each(|(name, node)| self.pull_node(node, &below(from, name), folder, OsStr::new(name)))
    }

    fn pull_node(&mut self, node: &Node, from: &str, folder: &Folder, name: &OsStr) -> Result<(), CopyError> {
        match &node.what {
            What::File(_) => self.pull_file(node, from, folder, name),
            What::Directory(entries) => {
                let inside = folder.enter(name)?;
                self.pull_entries(entries, from, &inside)?;
                // Last: a directory that may not be written has to be filled first, and filling it
                // changes its time.
                inside.settle(node.mode, node.modified_s)?;
                self.copied.directories += 1;
                Ok(())
            }
            What::Link(target) => {
                folder.link(name, target)?;
                self.copied.links += 1;
                Ok(())
            }
        }
    }

    fn pull_file(&mut self, node: &Node, from: &str, folder: &Folder, name: &OsStr) -> Result<(), CopyError> {
        let path = folder.path().join(name);
        let new = folder.file(name)?;
        let progress = &mut report(self.progress, self.copied.bytes, self.total, from);
        self.channel
            .read_file(from, Sink::File(new.as_file()), progress)
            .map_err(|error| at(&path, error))?;
        let bytes = new.as_file().metadata().context("look at", &path)?.len();
        new.finish(name, node.mode, node.modified_s)?;
        self.copied.files += 1;
        self.copied.bytes += bytes;
        Ok(())
    }

    fn pull_stream(&mut self, from: &str, to: &Path, output: &mut dyn Write) -> Result<(), CopyError> {
        let from = or_home(from);
        let entry = self.channel.stat(from).map_err(CopyError::Guest)?;
        if entry.kind != EntryKind::File {
            return Err(CopyError::NoFileForStream { place: format!("{}:{from}", self.channel.vm()) });
        }
        let mut bytes = 0;
        let mut told = report(self.progress, 0, Some(entry.size), from);
        let mut progress = |done| {
            bytes = done;
            told(done);
        };
        self.channel.read_file(from, Sink::Write(output), &mut progress).map_err(|error| at(to, error))?;
        self.copied.files += 1;
        self.copied.bytes += bytes;
        Ok(())
    }
}

/// Where links are the kernel's, and nobody copies to out of a guest: `/dev/stdout`, `/dev/fd/3`.
const KERNELS: [&str; 2] = ["/dev", "/proc"];

/// Where `path` leads; a directory is made where its text says that it is one.
fn end(path: &Path, several: bool) -> Result<End, CopyError> {
    let place = || path.display().to_string();
    if let Some(target) = leads_away(path) {
        return Err(CopyError::LeadsAway { place: place(), target });
    }
    match fs::metadata(path) {
        Ok(meta) if meta.is_dir() => Ok(End::Into(path.to_owned())),
        Ok(meta) => {
            checked_end(several, false, &place)?;
            if !meta.is_file() {
                return Ok(End::Device(path.to_owned()));
            }
            // A link within its directory is followed, as any program that writes the file would do.
            named(&path.canonicalize().context("find", path)?)
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            if super::says_directory(&place()) {
                fs::create_dir(path).context("create directory", path)?;
                return Ok(End::Into(path.to_owned()));
            }
            checked_end(several, false, &place)?;
            named(path)
        }
        Err(error) => Err(error).context("look at", path)?,
    }
}

/// Where `path` leads, where that is a link to something outside its directory: an earlier copy may have
/// brought it from the guest, which would choose what this one writes to.
fn leads_away(path: &Path) -> Option<PathBuf> {
    // Without the slash at its end, over which a link is followed.
    let (parent, name) = (path.parent()?, path.file_name()?);
    if !parent.join(name).is_symlink() {
        return None;
    }
    let parent = parent.canonicalize().ok()?;
    // A link that leads nowhere is replaced.
    let target = path.canonicalize().ok()?;
    let stays = target.starts_with(&parent) || KERNELS.iter().any(|kernels| parent.starts_with(kernels));
    (!stays).then_some(target)
}

/// Fails where a directory on the way to `to` is a link out of the one it lies in: an earlier copy may have
/// brought it from the guest. Of a path that begins elsewhere than here, what is above is the system's and
/// its user's own.
fn no_way_out(cwd: &Path, to: &Path) -> Result<(), CopyError> {
    let below = if to.is_absolute() { to.strip_prefix(cwd).unwrap_or(Path::new("")) } else { to };
    let mut at = cwd.to_owned();
    for component in below.parent().unwrap_or(Path::new("")).components() {
        at.push(component);
        if matches!(component, Component::Normal(_))
            && let Some(target) = leads_away(&at)
        {
            return Err(CopyError::LeadsAway { place: at.display().to_string(), target });
        }
    }
    Ok(())
}

fn named(path: &Path) -> Result<End, CopyError> {
    match (path.parent(), path.file_name()) {
        (Some(parent), Some(name)) => Ok(End::As(parent.to_owned(), name.to_owned())),
        // What is there and has no name is a directory.
        _ => Err(CopyError::NotADirectory { place: path.display().to_string() }),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn where_things_go_is_as_with_any_cp() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        let at = |name: &str| root.join(name);
        fs::write(at("file"), "").unwrap();
        symlink("file", at("link")).unwrap();
        let under = |name: &str| End::As(root.clone(), name.into());
        assert_eq!(end(&root, true).unwrap(), End::Into(root.clone()));
        assert_eq!(end(&at("new"), false).unwrap(), under("new"));
        assert_eq!(end(&at("file"), false).unwrap(), under("file"));
        assert_eq!(end(&at("link"), false).unwrap(), under("file"));
        assert_eq!(end(&at("made/"), true).unwrap(), End::Into(at("made/")));
        assert!(at("made").is_dir());
        assert_eq!(end(Path::new("/dev/null"), false).unwrap(), End::Device("/dev/null".into()));
        for several in ["new", "file", "/dev/null"] {
            assert!(matches!(end(&at(several), true), Err(CopyError::NotADirectory { .. })), "{several}");
        }
        assert!(end(&at("none/new"), false).is_ok(), "that there is no such directory is told later");
        assert!(end(Path::new("/dev/stdin"), false).is_ok(), "a link of the kernel's");
    }

    #[test]
    fn a_link_out_of_its_directory_is_no_destination() {
        let (dir, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (root, away) = (dir.path().canonicalize().unwrap(), outside.path().canonicalize().unwrap());
        fs::write(away.join("precious"), "").unwrap();
        fs::create_dir(root.join("sub")).unwrap();
        symlink(&away, root.join("dir")).unwrap();
        symlink(away.join("precious"), root.join("file")).unwrap();
        symlink("file", root.join("twice")).unwrap();
        symlink("sub", root.join("inside")).unwrap();
        symlink(away.join("nothing"), root.join("nowhere")).unwrap();
        let at = |name: &str| PathBuf::from(format!("{}/{name}", root.display()));
        for name in ["dir", "dir/", "dir/.", "file", "twice"] {
            let refused = end(&at(name), false);
            assert!(
                matches!(&refused, Err(CopyError::LeadsAway { target, .. }) if target.starts_with(&away)),
                "{name}: {refused:?}"
            );
        }
        fs::create_dir(away.join("deep")).unwrap();
        for name in ["dir/new", "dir/deep/new", "sub/../dir/new", "./dir/deep/"] {
            for to in [PathBuf::from(name), root.join(name)] {
                let refused = no_way_out(&root, &to);
                assert!(matches!(refused, Err(CopyError::LeadsAway { .. })), "{name}: {refused:?}");
            }
        }
        for name in ["inside/new", "new", "sub/new", "dir", "none/new"] {
            assert!(no_way_out(&root, Path::new(name)).is_ok(), "{name}");
        }
        assert!(no_way_out(Path::new("/"), &root.join("dir/new")).is_err());
        assert!(no_way_out(&root.join("sub"), &root.join("dir/new")).is_ok(), "it begins elsewhere");
        assert_eq!(end(&at("inside"), false).unwrap(), End::Into(at("inside")));
        assert_eq!(end(&at("nowhere"), false).unwrap(), End::As(root.clone(), "nowhere".into()));
    }
}
