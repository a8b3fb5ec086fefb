//! CD-ROM drives and their media. Tests: in `tests.rs`.

use std::path::Path;

use roxmltree::Node;

use super::disk::{find, free};
use super::{EditError, absolute, add_device};
use crate::domain::Source;
use crate::domain::project::{is_x86, source_of};
use crate::domain::render::devices as new;
use crate::xml::{Splices, attr, child, children};

/// Adds a drive with a medium.
pub(super) fn add(root: Node<'_, '_>, path: &Path, splices: &mut Splices<'_>) -> Result<(), EditError> {
    let bus = new::cdrom_bus(is_x86(root));
    let target = free(root, bus, None)?;
    add_device(root, new::cdrom(absolute(path)?, &target, bus), splices)
}

/// Puts another medium into a drive, or takes it out.
pub(super) fn medium(
    root: Node<'_, '_>,
    target: &str,
    path: Option<&Path>,
    splices: &mut Splices<'_>,
) -> Result<(), EditError> {
    let drive = find(root, "cdrom", target)?;
    let source = child(drive, "source");
    let Some(path) = path else {
        if source_of(drive) != Source::Empty {
            set_kind(drive, splices);
            source.into_iter().chain(children(drive, "backingStore")).for_each(|node| splices.remove(node));
        }
        return Ok(());
    };
    let file = absolute(path)?;
    if source_of(drive) == Source::File(path.to_owned()) {
        return Ok(());
    }
    set_kind(drive, splices);
    children(drive, "backingStore").for_each(|chain| splices.remove(chain));
    match (source, attr(drive, "type").unwrap_or("file")) {
        (Some(source), "file") => splices.set_attribute(source, "file", file),
        (Some(source), _) => splices.replace(source, &new::medium(file)),
        (None, _) => match child(drive, "target") {
            Some(target) => splices.insert_before(target, &new::medium(file)),
            None => splices.append(drive, &[new::medium(file)]),
        },
    }
    Ok(())
}

/// Makes a drive one whose medium is a file with the bytes of the medium.
fn set_kind(drive: Node<'_, '_>, splices: &mut Splices<'_>) {
    if attr(drive, "type").is_some_and(|kind| kind != "file") {
        splices.set_attribute(drive, "type", "file");
    }
    if let Some(driver) = child(drive, "driver")
        && attr(driver, "type").is_some_and(|format| format != "raw")
    {
        splices.set_attribute(driver, "type", "raw");
    }
}

/// Removes a drive.
pub(super) fn remove(root: Node<'_, '_>, target: &str, splices: &mut Splices<'_>) -> Result<(), EditError> {
    splices.remove(find(root, "cdrom", target)?);
    Ok(())
}
