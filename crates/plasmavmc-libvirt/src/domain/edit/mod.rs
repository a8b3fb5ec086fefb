//! Single changes to a domain's XML: each touches the nodes of its field, and no other byte.
//!
//! Never does: decide whether a change is wanted or wise; refuse silently. What cannot be done without
//! losing something that the manifest does not know is an [`EditError`] that names it. Tests: in
//! `tests.rs`; the corpus test edits every domain that libvirt tests itself with.

mod cdrom;
mod cpu;
mod disk;
mod error;
mod firmware;
mod graphics;
mod machine;
mod nic;
#[cfg(test)]
mod tests;

pub use error::EditError;

use std::path::Path;

use roxmltree::Node;

use super::document::root;
use super::{DomainXml, Edit, Mark, mark};
use crate::xml::{Element, Splices, at, child, children, is_writable};

impl DomainXml {
    /// The same domain with these changes, one after the other.
    ///
    /// # Errors
    /// Names the change that cannot be made, and why. None is made then.
    pub fn edit(&self, edits: &[Edit]) -> Result<Self, EditError> {
        let mut xml = self.clone();
        for edit in edits {
            xml = xml.edited(edit)?;
        }
        Ok(xml)
    }

    fn edited(&self, edit: &Edit) -> Result<Self, EditError> {
        let document = self.tree()?;
        let root = root(&document)?;
        said_once(root)?;
        let mut splices = Splices::new(self.as_str());
        apply(edit, root, &mut splices)?;
        Ok(Self::parse(splices.apply())?)
    }
}

/// What libvirt reads the first of, whatever else there is. Only texts that libvirt did not write have more.
const ONCE: [&[&str]; 11] = [
    &["title"],
    &["metadata"],
    &["memory"],
    &["currentMemory"],
    &["vcpu"],
    &["os"],
    &["cpu"],
    &["cpu", "model"],
    &["cpu", "topology"],
    &["features"],
    &["devices"],
];

/// Refuses a domain in which an edit could change the first of two and bring the second to light.
fn said_once(root: Node<'_, '_>) -> Result<(), EditError> {
    for path in ONCE {
        let [above @ .., last] = path else { continue };
        if at(root, above).is_some_and(|parent| children(parent, last).nth(1).is_some()) {
            return Err(EditError::Repeated { element: last });
        }
    }
    Ok(())
}

fn apply(edit: &Edit, root: Node<'_, '_>, splices: &mut Splices<'_>) -> Result<(), EditError> {
    match edit {
        Edit::Title(title) => machine::title(root, title.as_deref(), splices),
        Edit::MemoryKib(kib) => machine::memory(root, *kib, splices),
        Edit::Vcpus(count) => machine::vcpus(root, *count, splices),
        Edit::Cpu(model) => cpu::set(root, model, splices),
        Edit::Firmware { boot, secure_boot } => firmware::set(root, *boot, *secure_boot, splices),
        Edit::Tpm(version) => firmware::tpm(root, *version, splices),
        Edit::DiskSource { target, path, format } => disk::source(root, target, path, *format, splices),
        Edit::DiskBus { target, bus } => disk::bus(root, target, bus, splices),
        Edit::AddDisk { bus, path, format } => disk::add(root, bus, path, *format, splices),
        Edit::AddCdrom { path } => cdrom::add(root, path, splices),
        Edit::CdromMedium { target, path } => cdrom::medium(root, target, path.as_deref(), splices),
        Edit::RemoveCdrom { target } => cdrom::remove(root, target, splices),
        Edit::NicNetwork { index, network } => nic::network(root, *index, network, splices),
        Edit::NicMac { index, mac } => nic::mac(root, *index, *mac, splices),
        Edit::AddNic { network, mac } => nic::add(root, network, *mac, splices),
        Edit::RemoveNic { index } => nic::remove(root, *index, splices),
        Edit::Graphics(kind) => graphics::set(root, kind.as_ref(), splices),
        Edit::Mark(mark) => set_mark(root, mark.as_ref(), splices),
    }
}

/// Puts our element into `<metadata>`, in the place of an older one, or removes it.
fn set_mark(root: Node<'_, '_>, mark: Option<&Mark>, splices: &mut Splices<'_>) -> Result<(), EditError> {
    let ours = mark::find(root);
    match (mark, ours) {
        (None, None) => {}
        (None, Some(ours)) => {
            // Nothing else in it: it came with our element and goes with it.
            match ours.parent() {
                Some(metadata) if metadata.children().filter(|node| !node.is_text()).count() == 1 => {
                    splices.remove(metadata);
                }
                _ => splices.remove(ours),
            }
        }
        (Some(mark), ours) => {
            writable(&mark.key)?;
            writable(&mark.applied)?;
            if mark::read(root).as_ref() == Some(mark) {
                return Ok(());
            }
            match (ours, child(root, "metadata")) {
                (Some(ours), _) => splices.replace(ours, &mark.to_element()),
                (None, Some(metadata)) => splices.append(metadata, &[mark.to_element()]),
                (None, None) => {
                    add_to_domain(root, Element::new("metadata").child(mark.to_element()), splices);
                }
            }
        }
    }
    Ok(())
}

/// Adds an element to the domain behind those that name it.
fn add_to_domain(root: Node<'_, '_>, element: Element, splices: &mut Splices<'_>) {
    let names = ["description", "title", "genid", "uuid", "name"];
    match names.iter().find_map(|name| child(root, name)) {
        Some(sibling) => splices.insert_after(sibling, &[element]),
        None => splices.append(root, &[element]),
    }
}

/// Adds a device behind the others.
fn add_device(root: Node<'_, '_>, device: Element, splices: &mut Splices<'_>) -> Result<(), EditError> {
    add_devices(root, &[device], splices)
}

fn add_devices(root: Node<'_, '_>, added: &[Element], splices: &mut Splices<'_>) -> Result<(), EditError> {
    match child(root, "devices") {
        Some(devices) => splices.append(devices, added),
        None if added.is_empty() => {}
        None => splices.append(root, &[Element::new("devices").children(added.iter().cloned())]),
    }
    Ok(())
}

/// An absolute path as text that XML can hold.
fn absolute(path: &Path) -> Result<&str, EditError> {
    let text = path.to_str().filter(|text| is_writable(text) && path.is_absolute());
    text.ok_or_else(|| EditError::Path { path: path.to_owned() })
}

/// Refuses a text with a character that XML has no way to say.
fn writable(text: &str) -> Result<(), EditError> {
    if is_writable(text) { Ok(()) } else { Err(EditError::Unwritable { text: text.to_owned() }) }
}
