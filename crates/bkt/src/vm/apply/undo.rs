//! A new definition that is not proved is taken back, and a person is told what the VM is now.
//!
//! ```text
//!  defined ─► read again ─► as planned: proved
//!               └ no, or it cannot be read: define the old XML ─► read again ─► is it what it was?
//! ```
//!
//! Never does: leave a person without the old XML, or call the VM what it was before that was read.
//! Tests: `tests/it/undo.rs`, on real libvirt behind a virsh that lies.

use std::error::Error;
use std::fmt;
use std::path::PathBuf;

use plasmavmc_libvirt::domain::{DomainXml, unplanned};
use plasmavmc_libvirt::virsh::{Connection, VirshError};
use plasmavmc_types::{ErrorKind, Explain, VmId};

use super::ApplyError;

/// Why a new definition was taken back.
#[derive(Debug)]
pub enum Trouble {
    /// What libvirt made of it could not be read.
    Unread(Box<ApplyError>),
    /// libvirt made something else of it; what.
    Unplanned(Vec<String>),
}

/// What the VM is after its old definition was to be put back.
#[derive(Debug)]
pub enum Now {
    /// What it was before: it was read again and compared.
    Before,
    /// libvirt took the old definition, and something is otherwise all the same; what.
    NotQuiteBefore(Vec<String>),
    /// libvirt took the old definition, and then could not be asked what the VM is.
    Unread(Box<VirshError>),
    /// The new one: libvirt did not take back the old.
    Defined(Box<VirshError>),
}

/// A definition that libvirt took and that is not proved.
#[derive(Debug)]
pub struct Unproved {
    /// What was defined, for a person.
    pub defined: String,
    /// Why it was taken back.
    pub trouble: Trouble,
    /// What the VM is now.
    pub now: Now,
    /// The VM's XML as it was before.
    pub backup: PathBuf,
    /// The libvirt it is in.
    pub uri: String,
    /// Its UUID.
    pub id: VmId,
}

/// A VM whose new definition libvirt took.
pub(super) struct Defined<'a> {
    pub(super) connection: &'a Connection,
    pub(super) id: VmId,
    pub(super) before: &'a DomainXml,
    pub(super) backup: PathBuf,
    /// What was defined, for a person.
    pub(super) changes: String,
}

impl Defined<'_> {
    /// Puts the old definition back and tells what the VM is then.
    pub(super) fn undo(self, trouble: Trouble) -> ApplyError {
        let writer = self.connection.writer();
        // What was there before may not fit libvirt's schema.
        let now = match writer.define(self.before, false) {
            Err(source) => Now::Defined(Box::new(source)),
            Ok(()) => match writer.with_secrets(self.id) {
                Err(source) => Now::Unread(Box::new(source)),
                Ok(found) => {
                    let differs: Vec<String> =
                        unplanned(self.before, self.before, &found).into_iter().map(|one| one.path).collect();
                    if differs.is_empty() { Now::Before } else { Now::NotQuiteBefore(differs) }
                }
            },
        };
        let uri = self.connection.shown_uri();
        let (defined, backup) = (self.changes, self.backup);
        let unproved = Unproved { defined, trouble, now, backup, uri, id: self.id };
        ApplyError::Unproved { source: Box::new(unproved) }
    }
}

impl Unproved {
    /// What puts the old definition back by hand.
    pub fn by_hand(&self) -> String {
        format!("virsh -c {} define {}", quoted(&self.uri), quoted(&self.backup.display().to_string()))
    }
}

/// A word for a shell.
fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-:+@=,%".contains(c);
    if word.chars().all(is_plain) { word.to_owned() } else { format!("'{}'", word.replace('\'', r"'\''")) }
}

impl fmt::Display for Unproved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "libvirt took a new definition ({}), ", self.defined)?;
        match &self.trouble {
            Trouble::Unread(_) => f.write_str("which could not be read again")?,
            Trouble::Unplanned(what) => {
                write!(f, "and changed more than was planned ({})", what.join("; "))?;
            }
        }
        match &self.now {
            Now::Before => {
                f.write_str("; the VM is as it was before: the old definition was put back and read again")
            }
            Now::NotQuiteBefore(what) => {
                write!(
                    f,
                    "; the old definition was put back, and the VM is not as it was before ({})",
                    what.join("; ")
                )
            }
            Now::Unread(_) => {
                f.write_str("; the old definition was put back, and what the VM is now could not be read")
            }
            Now::Defined(_) => f.write_str("; the VM has the new definition: the old one was not taken back"),
        }?;
        write!(f, "; the old one is kept in `{}`", self.backup.display())
    }
}

impl Error for Unproved {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match (&self.now, &self.trouble) {
            (Now::Unread(source) | Now::Defined(source), _) => Some(&**source),
            (_, Trouble::Unread(source)) => Some(&**source),
            (_, Trouble::Unplanned(_)) => None,
        }
    }
}

impl Explain for Unproved {
    fn kind(&self) -> ErrorKind {
        match &self.trouble {
            Trouble::Unread(source) => source.kind(),
            Trouble::Unplanned(_) => ErrorKind::Io,
        }
    }

    fn hints(&self) -> Vec<String> {
        let look =
            format!("see what it is now: `virsh -c {} dumpxml --inactive {}`", quoted(&self.uri), self.id);
        match &self.now {
            Now::Before => vec![format!("nothing is to be undone; by hand it would be `{}`", self.by_hand())],
            Now::NotQuiteBefore(_) | Now::Unread(_) => {
                vec![look, format!("put it back by hand: `{}`", self.by_hand())]
            }
            Now::Defined(_) => vec![format!("put it back by hand: `{}`", self.by_hand())],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_by_hand_can_be_typed_whatever_the_path_is() {
        let mut unproved = Unproved {
            defined: "vcpus: 1 -> 2".to_owned(),
            trouble: Trouble::Unplanned(vec!["/domain/devices/watchdog".to_owned()]),
            now: Now::Before,
            backup: "/state/a.xml".into(),
            uri: "qemu:///system".to_owned(),
            id: VmId::generate(),
        };
        assert_eq!(unproved.by_hand(), "virsh -c qemu:///system define /state/a.xml");
        unproved.backup = "/my state/it's.xml".into();
        unproved.uri = "qemu+ssh://h/system?a=b&c=d".to_owned();
        let expected = r"virsh -c 'qemu+ssh://h/system?a=b&c=d' define '/my state/it'\''s.xml'";
        assert_eq!(unproved.by_hand(), expected);
    }
}
