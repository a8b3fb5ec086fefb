//! What the renderers share: values, headers and colours.

use std::path::Path;

use anstyle::{AnsiColor, Style};
use plasmavmc_term::styled;
use plasmavmc_term::text::printable;
use plasmavmc_types::ByteSize;
use serde_json::Value;

use crate::vm::Field;

pub(super) const GOOD: Style = AnsiColor::Green.on_default();
pub(super) const BUSY: Style = AnsiColor::Yellow.on_default();
pub(super) const BAD: Style = AnsiColor::Red.on_default();
pub(super) const DIM: Style = Style::new().dimmed();
pub(super) const BOLD: Style = Style::new().bold();

/// The line above an answer: which libvirt, which manifest.
pub(super) fn header(uri: &str, manifest: Option<&Path>) -> String {
    let uri = styled(BOLD, &printable(uri));
    match manifest {
        Some(path) => format!("{uri}  {}\n", styled(DIM, &printable(&path.display().to_string()))),
        None => format!("{uri}\n"),
    }
}

/// A field's value as people read it; `?` for what has no word.
pub(super) fn value(field: Field, value: Option<&Value>) -> String {
    match (field, value.and_then(Value::as_u64)) {
        (Field::Memory, Some(mib)) => mib.checked_mul(1 << 20).map_or_else(|| format!("{mib} MiB"), size),
        (Field::DiskSizeGb, Some(gib)) => gib.checked_mul(1 << 30).map_or_else(|| format!("{gib} GiB"), size),
        _ => crate::vm::plan::shown(value),
    }
}

/// A size as people read it.
pub(super) fn size(bytes: u64) -> String {
    ByteSize::bytes(bytes).to_string()
}

/// Words in a row, or nothing.
pub(super) fn listed<T: ToString>(items: impl IntoIterator<Item = T>) -> String {
    items.into_iter().map(|item| item.to_string()).collect::<Vec<_>>().join(", ")
}
