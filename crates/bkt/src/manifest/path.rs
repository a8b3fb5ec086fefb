//! The paths of a manifest: which text is one, and which file it means.
//!
//! A disk's path is written in full; an ISO's may begin with `~/`. Pure. Tests: below.

use std::path::{Path, PathBuf};

use super::limits::{MAX_PATH_BYTES, MAX_PATH_NAME_BYTES};
use super::rule::Rule;

/// The file of a disk.
pub(super) fn disk(text: &str) -> Result<PathBuf, Rule> {
    check(text)?;
    if !text.starts_with('/') {
        return Err(Rule::RelativePath { key: "disk_path", path: text.to_owned() });
    }
    file("disk_path", text, Path::new(text))
}

/// The file of a medium.
pub(super) fn iso(text: &str, home: Option<&Path>) -> Result<PathBuf, Rule> {
    check(text)?;
    if let Some(inside) = text.strip_prefix("~/") {
        let home = home.ok_or_else(|| Rule::NoHome { path: text.to_owned() })?;
        // A second slash would make the rest an absolute path, and the home directory go.
        return file("path", text, &home.join(inside.trim_start_matches('/')));
    }
    if !text.starts_with('/') {
        return Err(Rule::RelativeIso { path: text.to_owned() });
    }
    file("path", text, Path::new(text))
}

/// The path of a medium as a manifest writes it: below the home directory with `~/`.
pub fn collapse(path: &Path, home: Option<&Path>) -> String {
    let inside = home.and_then(|home| path.strip_prefix(home).ok()).filter(|inside| *inside != Path::new(""));
    match inside {
        Some(inside) => format!("~/{}", inside.display()),
        None => path.display().to_string(),
    }
}

/// Whether a text can be a path at all.
fn check(text: &str) -> Result<(), Rule> {
    if text.is_empty() {
        return Err(Rule::EmptyPath);
    }
    // A line break or an escape sequence in a path is a slip at best; the last two are not of XML.
    let is_odd = |c: &char| c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}');
    if let Some(found) = text.chars().find(is_odd) {
        return Err(Rule::PathCharacter { found });
    }
    Ok(())
}

/// The path without `.`, of a file.
fn file(key: &'static str, text: &str, path: &Path) -> Result<PathBuf, Rule> {
    let bytes = path.as_os_str().len();
    let longest = text.split('/').map(str::len).max().unwrap_or_default();
    if bytes > MAX_PATH_BYTES || longest > MAX_PATH_NAME_BYTES {
        return Err(Rule::LongPath { bytes });
    }
    if text.split('/').any(|part| part == "..") {
        return Err(Rule::ParentInPath { path: text.to_owned() });
    }
    if matches!(text.rsplit('/').next(), Some("" | ".")) {
        return Err(Rule::DirectoryPath { key, path: text.to_owned() });
    }
    Ok(path.components().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn home() -> Option<&'static Path> {
        Some(Path::new("/home/me"))
    }

    #[test]
    fn a_medium_may_be_in_the_home_directory_and_a_disk_is_written_in_full() {
        for (text, path) in [
            ("/a/b.iso", "/a/b.iso"),
            ("//a/./b.iso", "/a/b.iso"),
            ("~/Downloads/a,b.iso", "/home/me/Downloads/a,b.iso"),
            ("~//etc/x", "/home/me/etc/x"),
        ] {
            assert_eq!(iso(text, home()), Ok(path.into()), "{text}");
        }
        assert_eq!(disk("/a/b.qcow2"), Ok("/a/b.qcow2".into()));
        for text in ["b.qcow2", "./b.qcow2", "~/b.qcow2", "C:\\b.qcow2"] {
            assert!(matches!(disk(text), Err(Rule::RelativePath { .. })), "{text}");
        }
        for text in ["b.iso", "~", "~me/b.iso", "file:///b.iso"] {
            assert!(matches!(iso(text, home()), Err(Rule::RelativeIso { .. })), "{text}");
        }
        assert!(matches!(iso("~/a", None), Err(Rule::NoHome { .. })));
    }

    #[test]
    fn what_names_no_file_is_refused() {
        for text in ["/", "/a/", "/a/."] {
            assert!(matches!(disk(text), Err(Rule::DirectoryPath { .. })), "{text}");
        }
        assert_eq!(iso("~/", home()), Err(Rule::DirectoryPath { key: "path", path: "~/".into() }));
        assert!(matches!(disk("/a/../b"), Err(Rule::ParentInPath { .. })));
        assert_eq!(disk(""), Err(Rule::EmptyPath));
        assert_eq!(disk("/a\0b"), Err(Rule::PathCharacter { found: '\0' }));
        assert!(matches!(disk(&format!("/{}", "a".repeat(256))), Err(Rule::LongPath { .. })));
        assert!(matches!(disk(&"/a".repeat(2048)), Err(Rule::LongPath { .. })));
        assert!(disk("/a/..b").is_ok());
    }

    #[test]
    fn a_collapsed_path_means_the_same_file() {
        for path in ["/home/me/a/b.iso", "/home/meow/b.iso", "/b.iso"] {
            let text = collapse(Path::new(path), home());
            assert_eq!(iso(&text, home()), Ok(path.into()), "{text}");
        }
        assert_eq!(collapse(Path::new("/home/me/b.iso"), home()), "~/b.iso");
        assert_eq!(collapse(Path::new("/home/me"), home()), "/home/me");
    }
}
