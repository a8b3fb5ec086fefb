//! What a disk's path really is: where its links lead, which file it is, and what lies under that.
//!
//! Reads headers and follows names; writes nothing, asks no other machine, and is bounded by the depth that
//! libvirt follows. Who has what is decided from it in `plan/holders.rs`. Tests: below.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use plasmavmc_host::qcow2;
use serde_json::Value;

use super::observe::HEADER_BYTES;
use super::plan::{Ground, Grounds};

/// How many files lie under a disk at most.
const MAX_DEPTH: usize = 200;

/// Looks at what `path` is, and at all that lies under it. `told` is what libvirt says lies under it.
pub(super) fn survey(path: &Path, told: &[PathBuf], grounds: &mut Grounds) {
    let mut left: Vec<PathBuf> = vec![path.to_owned()];
    let mut under: BTreeSet<PathBuf> = told.iter().cloned().collect();
    left.extend(told.iter().cloned());
    let mut done = BTreeSet::new();
    while let Some(next) = left.pop().filter(|_| done.len() < MAX_DEPTH) {
        if !done.insert(next.clone()) {
            continue;
        }
        if let Some(below) = backing(&next) {
            under.insert(below.clone());
            left.push(below);
        }
        grounds.entry(next.clone()).or_insert_with(|| ground(&next));
    }
    under.remove(path);
    if let Some(ground) = grounds.get_mut(path) {
        ground.under.extend(under);
    }
}

fn ground(path: &Path) -> Ground {
    let file = fs::metadata(path).ok().map(|meta| (meta.dev(), meta.ino()));
    let has_folder = path.parent().is_none_or(Path::is_dir);
    Ground { real: real(path), file, has_folder, under: BTreeSet::new() }
}

/// A path without links, as far as it exists.
fn real(path: &Path) -> PathBuf {
    for above in path.ancestors() {
        if let (Ok(real), Ok(rest)) = (above.canonicalize(), path.strip_prefix(above)) {
            return if rest.as_os_str().is_empty() { real } else { real.join(rest) };
        }
    }
    path.to_owned()
}

/// The file that lies directly under a qcow2 image.
fn backing(path: &Path) -> Option<PathBuf> {
    // A pipe would never answer.
    if !fs::metadata(path).ok()?.is_file() {
        return None;
    }
    let mut bytes = Vec::new();
    File::open(path).ok()?.take(HEADER_BYTES).read_to_end(&mut bytes).ok()?;
    let name = qcow2::parse_header(&bytes).ok()?.backing?.name;
    let name = local(&name)?;
    // What is relative is so to the file itself, not to a link to it.
    let dir = path.canonicalize().ok()?;
    Some(dir.parent()?.join(name))
}

/// The file that the name of a backing file means; none where it is on a network.
fn local(name: &Path) -> Option<PathBuf> {
    let bytes = name.as_os_str().as_bytes();
    if !qcow2::is_protocol_name(bytes) {
        return Some(name.to_owned());
    }
    if let Some(file) = bytes.strip_prefix(b"file:") {
        return Some(PathBuf::from(OsStr::from_bytes(file)));
    }
    named(&serde_json::from_slice(bytes.strip_prefix(b"json:")?).ok()?)
}

/// The file that a description in QEMU's JSON names.
fn named(description: &Value) -> Option<PathBuf> {
    let object = description.as_object()?;
    let is_name = |key: &str| key == "filename" || key.ends_with(".filename");
    let own =
        object.iter().find_map(|(key, value)| value.as_str().filter(|_| is_name(key)).map(PathBuf::from));
    own.or_else(|| object.values().find_map(named))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;
    use std::process::Command;

    use super::*;

    fn survey_of(path: &Path) -> (Ground, Grounds) {
        let mut grounds = Grounds::new();
        survey(path, &[], &mut grounds);
        (grounds[path].clone(), grounds)
    }

    fn overlay(over: &str, path: &Path) {
        let mut command = Command::new("qemu-img");
        command.args(["create", "-q", "-u", "-f", "qcow2", "-F", "qcow2", "-b", over]).arg(path).arg("1M");
        assert!(command.status().unwrap().success());
    }

    #[test]
    fn a_chain_is_followed_through_links_and_relative_names_to_its_end() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        let (deep, link) = (root.join("deep"), root.join("link.qcow2"));
        fs::create_dir(&deep).unwrap();
        fs::write(deep.join("base.raw"), vec![0; 4096]).unwrap();
        overlay("base.raw", &deep.join("mid.qcow2"));
        overlay("deep/mid.qcow2", &root.join("top.qcow2"));
        symlink("top.qcow2", &link).unwrap();
        let (found, grounds) = survey_of(&link);
        assert_eq!(found.real, root.join("top.qcow2"));
        assert_eq!(found.under, [deep.join("base.raw"), deep.join("mid.qcow2")].into());
        assert_eq!(grounds[&deep.join("base.raw")].under, BTreeSet::new());
    }

    #[test]
    fn a_chain_that_bites_its_tail_ends() {
        let dir = tempfile::tempdir().unwrap();
        let (a, b) = (dir.path().join("a.qcow2"), dir.path().join("b.qcow2"));
        overlay("b.qcow2", &a);
        overlay("a.qcow2", &b);
        assert_eq!(survey_of(&a).0.under.len(), 1);
    }

    #[test]
    fn what_is_not_there_yet_is_where_its_folder_really_is() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        fs::create_dir(root.join("real")).unwrap();
        symlink("real", root.join("link")).unwrap();
        let (new, none) = (survey_of(&root.join("link/new.qcow2")).0, survey_of(&root.join("link/x/new")).0);
        assert_eq!((new.real, new.file, new.has_folder), (root.join("real/new.qcow2"), None, true));
        assert_eq!((none.real, none.has_folder), (root.join("real/x/new"), false));
    }

    #[test]
    fn qemus_words_for_a_file_are_understood_and_a_network_is_none() {
        let file = |name: &str| local(Path::new(name)).map(|path| path.display().to_string());
        for (name, expected) in [
            ("base.qcow2", Some("base.qcow2")),
            ("file:/d/base", Some("/d/base")),
            (
                "json:{\"driver\":\"qcow2\",\"file\":{\"driver\":\"file\",\"filename\":\"/d/base\"}}",
                Some("/d/base"),
            ),
            ("json:{\"driver\":\"qcow2\",\"file.filename\":\"/d/base\"}", Some("/d/base")),
            ("nbd://host/export", None),
            ("json:{", None),
        ] {
            assert_eq!(file(name).as_deref(), expected, "{name}");
        }
    }
}
