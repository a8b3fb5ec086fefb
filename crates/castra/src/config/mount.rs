//! Reads `[[vms.mounts]]`: folders of the host that a guest sees.
//!
//! Owns: the meaning of the keys, and which folders a guest is never given. Never does: look whether a
//! folder is there or where its links lead, which is done when it is shared. Tests: in
//! `tests/config/faults.rs` and `tests/config/resolve.rs`.

use std::path::{Path, PathBuf};

use super::Faults;
use super::limits::MAX_MOUNTS;
use super::path::{Base, resolve_guest, resolve_outside};
use super::project::Mount;
use super::rule::Rule;
use super::walk::Node;

const EXAMPLE: &str = "[[vms.mounts]]";
const HOST: &str = "host = \"src\"";
const GUEST: &str = "guest = \"/srv/src\"";

/// Reads the list; faulty entries are noted and left out.
pub(super) fn read_list(node: &Node<'_>, base: &Base<'_>, faults: &mut Faults<'_>) -> Option<Vec<Mount>> {
    let entries = node.array(EXAMPLE, faults)?;
    if entries.len() > MAX_MOUNTS {
        faults.push(&node.at, &Rule::TooManyMounts { found: entries.len() });
        return None;
    }
    let mut mounts: Vec<Mount> = Vec::new();
    for entry in &entries {
        let Some(mount) = read(entry, base, faults) else { continue };
        if mounts.iter().any(|other| other.guest == mount.guest) {
            faults.push(&entry.at, &Rule::SharedMountPoint { path: mount.guest });
        } else {
            mounts.push(mount);
        }
    }
    Some(mounts)
}

fn read(node: &Node<'_>, base: &Base<'_>, faults: &mut Faults<'_>) -> Option<Mount> {
    let mut table = node.table("a mount", EXAMPLE, faults)?;
    table.missing("host", HOST, faults);
    table.missing("guest", GUEST, faults);
    let host = table.take("host").and_then(|node| {
        let text = node.text(HOST, faults)?;
        host_folder(text, base).map_err(|rule| faults.push(&node.at, &rule)).ok()
    });
    let guest = table.take("guest").and_then(|node| {
        let text = node.text(GUEST, faults)?;
        resolve_guest(text).map_err(|rule| faults.push(&node.at, &rule)).ok()
    });
    let read_only = table.take("read_only").map(|node| node.boolean("read_only = false", faults));
    table.finish(faults);
    Some(Mount { host: host?, guest: guest?, read_only: read_only.unwrap_or(Some(true))? })
}

/// The folder that `text` names: one beside the config or below it, or one that is named in full.
fn host_folder(text: &str, base: &Base<'_>) -> Result<PathBuf, Rule> {
    let path = resolve_outside(text, base.env)?;
    let in_full = text.starts_with('/') || text == "~" || text.starts_with("~/");
    if !in_full && !path.starts_with(base.env.config_dir()) {
        return Err(Rule::MountOutside { path });
    }
    match meets(&path, base.state_root) || meets(&path, &base.env.castra_home) {
        true => Err(Rule::MountOfOwnFiles { path }),
        false => Ok(path),
    }
}

/// Whether a folder lies in a directory of Castra's own files, or holds one: with the keys there, a guest
/// could get into others.
pub(crate) fn meets(folder: &Path, own: &Path) -> bool {
    own.starts_with(folder) || folder.starts_with(own)
}
