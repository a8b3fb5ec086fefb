//! Numbers and sizes, as libvirt reads them. Tests: below.

use roxmltree::Node;

use crate::xml::{XmlError, attr, text};

/// A size in KiB, rounded up; without a unit it is in KiB already.
pub(crate) fn memory_kib(node: Node<'_, '_>, path: &'static str) -> Result<u64, XmlError> {
    scaled(&text(node), attr(node, "unit"), path)
}

/// A size in KiB, from a number and a unit.
pub(crate) fn scaled(number: &str, unit: Option<&str>, path: &'static str) -> Result<u64, XmlError> {
    let number = number.trim();
    let value = || XmlError::Value {
        path,
        text: format!("{number} {}", unit.unwrap_or_default()).trim_end().to_owned(),
        expected: "a size such as `8` with the unit `GiB`",
    };
    let scale = scale(unit.unwrap_or_default()).ok_or_else(value)?;
    let bytes = number.parse::<u64>().ok().and_then(|number| number.checked_mul(scale)).ok_or_else(value)?;
    Ok(bytes.div_ceil(1024))
}

/// The bytes in one of a unit.
fn scale(unit: &str) -> Option<u64> {
    let unit = unit.to_ascii_lowercase();
    match unit.as_str() {
        "" => return Some(1024),
        "b" | "byte" | "bytes" => return Some(1),
        _ => {}
    }
    let prefix = unit.chars().next()?;
    let base: u64 = match &unit[prefix.len_utf8()..] {
        "" | "ib" => 1024,
        "b" => 1000,
        _ => return None,
    };
    let power = "kmgtpe".find(prefix)?;
    base.checked_pow(u32::try_from(power).ok()? + 1)
}

/// A whole number.
pub(crate) fn number(text: &str, path: &'static str) -> Result<u32, XmlError> {
    let text = text.trim();
    text.parse().map_err(|_| XmlError::Value {
        path,
        text: text.to_owned(),
        expected: "a whole number below 4294967296",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_is_read_as_libvirt_reads_it() {
        let kib = |number, unit| scaled(number, unit, "memory").ok();
        assert_eq!(kib("219100", None), Some(219_100));
        assert_eq!(kib(" 8\n", Some("GiB")), Some(8 << 20));
        assert_eq!(kib("8", Some("g")), Some(8 << 20));
        assert_eq!(kib("1", Some("GB")), Some(976_563));
        assert_eq!(kib("1025", Some("bytes")), Some(2));
        assert_eq!(kib("1", Some("b")), Some(1));
        assert_eq!(kib("1", Some("TiB")), Some(1 << 30));
        assert_eq!(kib("15", Some("EiB")), Some(15 << 50));
        for (number, unit) in [
            ("10000000000000000000", None),
            ("16", Some("EiB")),
            ("-1", None),
            ("1.5", Some("GiB")),
            ("1", Some("GiBi")),
            ("1", Some("é")),
            ("", None),
        ] {
            assert_eq!(kib(number, unit), None, "{number} {unit:?}");
        }
    }
}
