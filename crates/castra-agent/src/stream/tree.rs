//! What is where in the guest's file system, directories and links. Tests: `tests/it/files.rs`.

use std::ffi::OsString;
use std::fs::{self, Metadata};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt, symlink};
use std::path::Path;

use castra_agent_proto::request::{Entry, EntryKind, FailureCode, Opened, Outcome};

use super::Link;
use crate::failure::{at, failure};
use crate::session::Served;

/// Names of a directory that are listed at most: sorting needs all of them at once.
const MAX_NAMES: usize = 100_000;

/// What `meta` tells of something.
pub(super) fn entry(name: &str, meta: &Metadata, target: Option<String>) -> Entry {
    let kind = match meta.file_type() {
        kind if kind.is_file() => EntryKind::File,
        kind if kind.is_dir() => EntryKind::Directory,
        kind if kind.is_symlink() => EntryKind::Link,
        _ => EntryKind::Other,
    };
    Entry {
        name: name.to_owned(),
        kind,
        size: meta.len(),
        mode: meta.mode() & 0o7777,
        modified_s: meta.mtime(),
        target,
    }
}

/// What is at a path.
pub(super) fn stat(name: &str, path: &Path) -> Served {
    let meta = fs::metadata(path).map_err(|error| at("look at", path, &error))?;
    Ok(Outcome::Entry { entry: entry(name, &meta, None) })
}

/// The entries of a directory, a line each.
pub(super) fn list(path: &Path, link: &Link) -> Served {
    let fail = |error: &std::io::Error| at("list", path, error);
    let mut names: Vec<OsString> = Vec::new();
    for found in fs::read_dir(path).map_err(|error| fail(&error))? {
        names.push(found.map_err(|error| fail(&error))?.file_name());
        if names.len() > MAX_NAMES {
            let what = format!("`{}` has more than {MAX_NAMES} entries", path.display());
            return Err(failure(FailureCode::Unsupported, &what).into());
        }
    }
    names.sort();
    link.opened(&Opened::default())?;
    let mut lines = Vec::new();
    for name in names {
        let path = path.join(&name);
        // It may be gone by now.
        let Ok(meta) = fs::symlink_metadata(&path) else { continue };
        let target = meta.is_symlink().then(|| fs::read_link(&path).ok()).flatten();
        let target = target.map(|target| target.to_string_lossy().into_owned());
        let entry = entry(&name.to_string_lossy(), &meta, target);
        lines.extend(serde_json::to_vec(&entry).unwrap_or_default());
        lines.push(b'\n');
        if lines.len() > 16 * 1024 {
            link.data_all(&lines)?;
            lines.clear();
        }
    }
    link.data_all(&lines)?;
    link.end()?;
    Ok(Outcome::Ok)
}

/// A directory and those above it.
pub(super) fn make_dir(path: &Path, mode: u32) -> Served {
    let mode = mode & 0o7777;
    if path.is_dir() {
        return Ok(Outcome::Ok);
    }
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true).mode(0o755).create(path).map_err(|error| at("make directory", path, &error))?;
    // The mask of the agent's process has no say in it.
    let permissions = fs::Permissions::from_mode(mode);
    fs::set_permissions(path, permissions).map_err(|error| at("set permissions of", path, &error))?;
    Ok(Outcome::Ok)
}

/// A symbolic link, in the place of a link.
pub(super) fn make_link(path: &Path, target: &str) -> Served {
    match fs::symlink_metadata(path) {
        Ok(meta) if meta.is_symlink() => {
            fs::remove_file(path).map_err(|error| at("replace", path, &error))?;
        }
        Ok(_) => {
            let what = format!("cannot link `{}`: something that is no link is there", path.display());
            return Err(failure(FailureCode::WrongKind, &what).into());
        }
        Err(_) => {}
    }
    symlink(target, path).map_err(|error| at("link", path, &error))?;
    Ok(Outcome::Ok)
}
