//! `docs/benchmarks.md`: the table of a run, between two marks, with the machine and the day.
//!
//! Tests: below.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::error::{BenchError, IoAbout};
use super::lab::output;

const BEGIN: &str = "<!-- made by `cargo xtask bench --markdown`: begin -->";
const END: &str = "<!-- end -->";

/// The page, relative to the root.
const PAGE: &str = "docs/benchmarks.md";

/// Puts `table` into the page under `root`.
///
/// # Errors
/// [`BenchError`].
pub(crate) fn write(root: &Path, table: &str) -> Result<(), BenchError> {
    let path = root.join(PAGE);
    let old = fs::read_to_string(&path).about("read", &path)?;
    let new = replaced(&old, &format!("{}\n\n{table}", machine()))
        .ok_or_else(|| BenchError::Unexpected { what: PAGE, found: "a page without marks".to_owned() })?;
    fs::write(&path, new).about("write", &path)
}

/// The page with `text` between its marks; none where it has none.
fn replaced(page: &str, text: &str) -> Option<String> {
    let (before, rest) = page.split_once(BEGIN)?;
    let (_, after) = rest.split_once(END)?;
    Some(format!("{before}{BEGIN}\n{text}{END}{after}"))
}

/// What was measured on, and when.
fn machine() -> String {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let said = |command: &mut Command| {
        output(command)
            .map_or_else(|_| String::new(), |output| String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let value = |text: &str, key: &str| {
        let line = text.lines().find(|line| line.starts_with(key)).unwrap_or_default();
        line.split_once([':', '=']).map_or("?", |(_, value)| value.trim().trim_matches('"')).to_owned()
    };
    let kernel = read("/proc/sys/kernel/osrelease");
    let qemu = said(Command::new("qemu-system-x86_64").arg("--version"));
    let date = said(Command::new("date").args(["-u", "+%Y-%m-%d %H:%M UTC"]));
    let load = read("/proc/loadavg");
    format!(
        "{}; {}, {} processors, {}; Linux {}; {}. Load when it was written: {}.",
        date.trim(),
        value(&read("/proc/cpuinfo"), "model name"),
        std::thread::available_parallelism().map_or(0, usize::from),
        value(&read("/etc/os-release"), "PRETTY_NAME"),
        kernel.trim(),
        qemu.lines().next().unwrap_or("no QEMU").trim(),
        load.split(' ').next().unwrap_or("?"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_between_the_marks_changes() {
        let page = format!("# Title\n\n{BEGIN}\nold\n{END}\n\nMore.\n");
        let new = replaced(&page, "new\n").unwrap();
        assert_eq!(new, format!("# Title\n\n{BEGIN}\nnew\n{END}\n\nMore.\n"));
        assert_eq!(replaced("no marks", "new"), None);
    }
}
