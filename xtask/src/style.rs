//! What no compiler checks: every file says what it owns, none grows without end, nothing is left
//! unfinished, nothing names a place that only exists here.
//!
//! Text checks, line by line. Tests: below.

use std::path::Path;

use crate::workspace::{ChoreError, Finding, files};

/// Lines a Rust file may have. A file that needs more owns two things.
const MAX_LINES: usize = 500;

/// Folders whose files need no header: their claims are the names of their functions.
const WITHOUT_HEADER: [&str; 4] = ["tests", "benches", "examples", "fuzz"];

/// What no Rust file may hold, with the reason to show. Split so that this file does not hold it.
const BANNED: [(&str, &str); 4] = [
    (concat!("#[", "ignore"), "a test that never runs proves nothing"),
    (concat!("todo", "!("), "nothing is left for later"),
    (concat!("unimplemented", "!("), "nothing is left for later"),
    (concat!("dbg", "!("), "a trace for one desk"),
];

/// What the crate of data may not touch. (The engine has a `clippy.toml` of its own for this.)
const IMPURE: [&str; 7] = [
    "std::fs",
    "std::process",
    "std::net::Tcp",
    "std::env",
    "std::thread",
    "Instant::now",
    "SystemTime::now",
];

/// The crate of data.
const PURE: &str = "crates/plasmavmc-types/src/";

/// Hosts that may be named, with their subdomains: publishers of images, standards and projects
/// that are cited. Others are someone's mirror.
const HOSTS: &[&str] = &[
    "alpinelinux.org",
    "apache.org",
    "castra.dev",
    "cloud-init.io",
    "conventionalcommits.org",
    "debian.org",
    "docs.rs",
    "fedorapeople.org",
    "fedoraproject.org",
    "github.com",
    "json-schema.org",
    "keepachangelog.com",
    "libvirt.org",
    "localhost",
    "qemu.org",
    "rfc-editor.org",
    "rust-lang.org",
    "semver.org",
    "ubuntu.com",
];

/// What is wrong with the text of the tree under `root`.
pub(crate) fn check(root: &Path) -> Result<Vec<Finding>, ChoreError> {
    let mut findings = Vec::new();
    for path in files(root, &["rs", "md", "toml", "sh", "json", "yaml", "yml", ""])? {
        let name = path.strip_prefix(root).unwrap_or(&path).to_string_lossy().into_owned();
        let Some(text) = read_text(&path)? else { continue };
        if name.ends_with(".rs") {
            findings.extend(rust(&name, &text));
        }
        findings.extend(places(&name, &text, &root.to_string_lossy()));
    }
    Ok(findings)
}

/// The text of a file; none where it holds none: a corpus for fuzzing, a picture.
fn read_text(path: &Path) -> Result<Option<String>, ChoreError> {
    let error = |source| ChoreError::File { action: "read", path: path.to_owned(), source };
    Ok(String::from_utf8(std::fs::read(path).map_err(error)?).ok())
}

/// What is wrong with a Rust file.
fn rust(name: &str, text: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    let lines = text.lines().count();
    if lines > MAX_LINES {
        findings.push(Finding::new(name, format!("has {lines} lines, {MAX_LINES} at most: split it")));
    }
    let exempt = name.split('/').any(|part| WITHOUT_HEADER.contains(&part));
    if !exempt && !text.starts_with("//!") {
        findings.push(Finding::new(name, "does not begin with a `//!` header that says what it owns"));
    }
    let pure = name.starts_with(PURE);
    for (number, line) in code_lines(text) {
        let place = || format!("{name}:{number}");
        for (banned, reason) in BANNED.iter().filter(|(banned, _)| line.contains(banned)) {
            findings.push(Finding::new(place(), format!("`{banned}`: {reason}")));
        }
        for impure in IMPURE.iter().filter(|impure| pure && line.contains(*impure)) {
            findings.push(Finding::new(place(), format!("`{impure}` in a crate without I/O and clocks")));
        }
    }
    findings
}

/// The lines that are not comments, numbered from 1.
fn code_lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines().enumerate().map(|(index, line)| (index + 1, line)).filter(|(_, line)| !is_comment(line))
}

fn is_comment(line: &str) -> bool {
    line.trim_start().starts_with("//")
}

/// Places that only exist here: the repository's own folder, and hosts that nobody else knows.
fn places(name: &str, text: &str, root: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let place = || format!("{name}:{}", index + 1);
        if line.contains(root) {
            findings.push(Finding::new(place(), "names the folder this repository happens to be in"));
        }
        for host in hosts(line).filter(|host| !is_known(host)) {
            findings.push(Finding::new(place(), format!("names the host `{host}`, which is not in `HOSTS`")));
        }
    }
    findings
}

/// The hosts of the URLs in a line, without ports; those that are filled in at run time are left out.
fn hosts(line: &str) -> impl Iterator<Item = &str> {
    let starts = line.match_indices("://").map(|(at, mark)| &line[at + mark.len()..]);
    let host = |rest: &'_ str| rest.find(|it: char| !it.is_ascii_alphanumeric() && !".-".contains(it));
    starts.map(move |rest| &rest[..host(rest).unwrap_or(rest.len())]).filter(|host| !host.is_empty())
}

/// Whether a host may be named: listed, an address, a single word, or reserved for examples
/// (RFC 2606).
fn is_known(host: &str) -> bool {
    let under = |domain: &str| host == domain || host.ends_with(&format!(".{domain}"));
    let reserved = ["example", "example.com", "example.org", "example.net", "invalid", "test"];
    let address = host.parse::<std::net::IpAddr>().is_ok();
    !host.contains('.') || address || HOSTS.iter().copied().chain(reserved).any(under)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(findings: &[Finding]) -> Vec<String> {
        findings.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_file_without_a_header_and_a_file_without_end_are_found() {
        let long = "//! x\n".repeat(MAX_LINES + 1);
        assert_eq!(rust("crates/a/src/lib.rs", "//! Fine.\n"), []);
        assert_eq!(rust("crates/a/tests/it/main.rs", "mod x;\n"), []);
        assert_eq!(rust("crates/a/src/lib.rs", "mod x;\n").len(), 1);
        assert_eq!(rust("crates/a/src/lib.rs", &long).len(), 1);
    }

    #[test]
    fn what_is_left_unfinished_is_found_outside_comments() {
        for (banned, _) in BANNED {
            let text = format!("//! x\n    // {banned}\n    {banned}\n");
            let findings = found(&rust("crates/a/src/lib.rs", &text));
            assert_eq!(findings.len(), 1, "{banned}");
            assert!(findings[0].starts_with("crates/a/src/lib.rs:3: "), "{findings:?}");
        }
    }

    #[test]
    fn a_clock_among_the_data_is_found_and_elsewhere_is_not() {
        let text = "//! x\nlet now = Instant::now();\n";
        assert_eq!(rust("crates/plasmavmc-host/src/clock.rs", text), []);
        assert_eq!(rust("crates/plasmavmc-types/src/time.rs", text).len(), 1);
    }

    #[test]
    fn a_place_that_only_exists_here_is_found() {
        // Put together here, so that this file passes its own check.
        let mirror = "mirror.corp";
        let text = format!(
            "see https://docs.rs/x and http://127.0.0.1:80/ and http://{{host}}/\nhttp://{mirror}/x\ncd /srv/checkout/docs\n"
        );
        assert_eq!(
            found(&places("a.md", &text, "/srv/checkout")),
            [
                "a.md:2: names the host `mirror.corp`, which is not in `HOSTS`",
                "a.md:3: names the folder this repository happens to be in",
            ]
        );
    }

    #[test]
    fn a_listed_host_covers_its_subdomains_and_nothing_else() {
        assert!(is_known("cloud.debian.org") && is_known("localhost") && is_known("a.example"));
        assert!(!is_known("notdebian.org") && !is_known("debian.org.evil.dev"));
    }
}
