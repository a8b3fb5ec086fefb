//! Every fault of a manifest: where it is, what it says, what it suggests.
//!
//! The snapshot holds each case with its faults drawn under the line, so that a reviewer sees whether the
//! place and the words are right.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use bkt::manifest::{Fault, FaultCode, limits, parse_bytes};

use crate::{but, env, faults, with};

/// What is wrong, and a manifest where it is.
fn cases() -> Vec<(&'static str, String)> {
    let mut cases: Vec<(&str, String)> =
        texts().iter().map(|(title, text)| (*title, (*text).to_owned())).collect();
    cases.extend(bodies().iter().map(|(title, more)| (*title, with(more))));
    cases.extend(values().iter().map(|(title, key, value)| (*title, but(key, value))));
    cases
}

/// Whole texts.
fn texts() -> &'static [(&'static str, &'static str)] {
    &[
        ("an empty file", ""),
        ("blanks", " \n\n"),
        ("a list", "[]"),
        ("a text", "\"vms\""),
        ("no VMs", "{}"),
        ("VMs as a list, as in other tools", "{ \"vms\": [ { \"name\": \"a\" } ] }"),
        ("a VM that is a text", "{ \"vms\": { \"a\": \"win11.xml\" } }"),
        ("an empty VM", "{ \"vms\": { \"a\": {} } }"),
        ("a byte order mark", "\u{feff}{ \"vms\": {} }"),
        (
            "a half-written file",
            "{\n  \"vms\": {\n    \"win11\": {\n      \"memory_gb\": 8,\n      \"disk_path\": \"/var/lib",
        ),
        ("a half-written list", "{ \"vms\": { \"a\": { \"iso_sources\": [ { \"path\": \"/a\" },"),
        ("a file cut between two keys", "{\n  \"vms\": {\n    \"win11\": {\n      \"memory_gb\": 8,\n"),
        ("comments", "// VMs\n{ /* none */ \"vms\": {} }"),
        (
            "a comment that hides what is wrong behind it",
            "{ \"vms\": {}, // none yet\n  \"url\": \"qemu:///system\" }",
        ),
        ("last commas", "{ \"vms\": { \"a\": { \"iso_sources\": [1,], }, }, }"),
        ("no comma", "{ \"uri\": \"qemu:///system\"\n  \"vms\": {} }"),
        ("single quotes", "{ 'vms': {} }"),
        ("keys without quotes", "{ vms: {}, 1: 2, null: 3 }"),
        ("numbers of other languages", "{ \"vms\": {}, \"x-a\": [0x10, +1, .5, 5., NaN, -Infinity] }"),
        ("a number with a zero before it", "{ \"vms\": { \"a\": { \"vcpus\": 08 } } }"),
        ("words of other languages", "{ \"vms\": { \"a\": { \"autostart\": True } } }"),
        ("a text without quotes", "{ \"vms\": { \"a\": { \"boot\": uefi } } }"),
        ("a key without a value", "{ \"vms\": }"),
        ("a key without a colon", "{ \"vms\" {} }"),
        ("two manifests", "{ \"vms\": {} }\n{ \"vms\": {} }"),
        ("a bracket that closes nothing", "{ \"vms\": {} ] }"),
        ("an escape", "{ \"vms\": {}, \"uri\": \"C:\\qemu\" }"),
        ("a line break in a text", "{ \"vms\": {}, \"uri\": \"qemu:\n///system\" }"),
        ("blanks of other scripts", "{\u{a0}\"vms\":\u{b} {} }"),
        ("a fault after wide characters", "{ \"vms\": { \"日本\": 1, \"é\": { \"vcpu\": 1 } } }"),
        ("keys twice", "{ \"vms\": {}, \"vms\": { \"a\": 1, \"a\": 2 }, \"vms\": {} }"),
        ("misspelt keys", "{ \"vm\": {}, \"URI\": \"\", \"$schemas\": 1, \"version\": 1 }"),
        ("a connection", "{ \"uri\": \"qemu\", \"vms\": {} }"),
        ("a connection that is no text", "{ \"uri\": 1, \"$schema\": 1, \"vms\": {} }"),
        (
            "hostile names",
            "{ \"vms\": { \"\": {}, \"a/b\": {}, \"a\\nb\": {}, \"a\\u0000\": {}, \"\\u001b[31m\": {}, \" a\": {}, \"a\\t\": {} } }",
        ),
    ]
}

/// What stands beside the keys a VM needs.
fn bodies() -> &'static [(&'static str, &'static str)] {
    &[
        (
            "keys of other tools",
            "\"memory\": 8, \"cpus\": 4, \"diskPath\": \"x\", \"iso\": \"x\", \"nic\": 1",
        ),
        ("memory twice", "\"memory_mb\": 8192"),
        ("flags in quotes", "\"autostart\": \"yes\", \"create_if_missing\": 1, \"secure_boot\": null"),
        ("a title", "\"title\": \"a\\nb\""),
        ("an empty title", "\"title\": \"\""),
        ("TPMs", "\"tpm\": \"2\""),
        ("a TPM as a number", "\"tpm\": 2.0"),
        ("an old TPM", "\"tpm\": \"1.2\""),
        ("a bus", "\"disk_bus\": \"VirtIO\""),
        ("a processor", "\"cpu_model\": \"Intel Core i7\""),
        ("an address", "\"mac\": \"52-54-00-12-34-56\""),
        ("a multicast address", "\"mac\": \"53:54:00:12:34:56\""),
        ("fields that are none", "\"unmanaged_fields\": [\"memory_gb\", \"grafics\", 1]"),
        ("one medium that is no list", "\"iso_sources\": \"~/a.iso\""),
        ("media that are texts", "\"iso_sources\": [\"~/a.iso\"]"),
        (
            "media that are both or neither",
            "\"iso_sources\": [{}, { \"path\": \"/a\", \"url\": \"http://h/a\" }, { \"pth\": \"/a\" }, { \"path\": \"/a\", \"_comment\": 1 }]",
        ),
        (
            "paths of media",
            "\"iso_sources\": [{ \"path\": \"a.iso\" }, { \"path\": \"\" }, { \"path\": \"~\" }, { \"path\": \"~/\" }, { \"path\": \"/a/../b\" }]",
        ),
        (
            "URLs",
            "\"iso_sources\": [{ \"url\": \"ftp://h/a\" }, { \"url\": \"file:///a.iso\" }, { \"url\": \"https:///a\" }, { \"url\": \"https://h/a b\" }, { \"url\": \"https://u:p@h/a\" }]",
        ),
        (
            "checksums",
            "\"iso_sources\": [{ \"url\": \"http://h/a\", \"checksum\": \"md5:00\" }, { \"url\": \"http://h/b\", \"checksum\": \"sha256:00\" }, { \"url\": \"http://h/c\", \"checksum\": 1 }, { \"path\": \"/a\", \"checksum\": \"sha256:00\" }]",
        ),
        ("a medium twice", "\"iso_sources\": [{ \"path\": \"/a\" }, { \"path\": \"/a\" }]"),
        ("a medium that is the disk", "\"iso_sources\": [{ \"path\": \"/d/./a.qcow2\" }]"),
        ("a VM in a VM", "\"b\": { \"vcpus\": 1 }"),
        (
            "two VMs that share a disk and an address",
            "\"mac\": \"52:54:00:12:34:56\" }, \"b\": { \"memory_gb\": 1, \"vcpus\": 1, \"disk_path\": \"//d/a.qcow2\", \"disk_size_gb\": 1, \"boot\": \"bios\", \"network\": \"user\", \"graphics\": \"none\", \"mac\": \"52:54:00:12:34:56\"",
        ),
    ]
}

/// A needed key with another value.
fn values() -> &'static [(&'static str, &'static str, &'static str)] {
    &[
        ("no memory", "memory_gb", "0"),
        ("memory below nothing", "memory_gb", "-1"),
        ("more memory than can be counted", "memory_gb", "10000000000000000000"),
        ("a fraction of a GiB", "memory_gb", "1.5"),
        ("a whole number written as a fraction", "memory_gb", "8.0"),
        ("memory with an exponent", "memory_gb", "1e1"),
        ("memory in quotes", "memory_gb", "\"8\""),
        ("memory that is nothing", "memory_gb", "null"),
        ("half a processor", "vcpus", "0.5"),
        ("too many processors", "vcpus", "4097"),
        ("no disk", "disk_size_gb", "0"),
        ("a disk with a unit", "disk_size_gb", "\"80G\""),
        ("a relative disk", "disk_path", "\"win11.qcow2\""),
        ("a disk in the home directory", "disk_path", "\"~/win11.qcow2\""),
        ("a disk that is a directory", "disk_path", "\"/var/lib/libvirt/images/\""),
        ("a disk with a way up", "disk_path", "\"/var/lib/../../etc/passwd\""),
        ("a disk with an escape sequence", "disk_path", "\"/d/\\u001b[2J\""),
        ("firmware", "boot", "\"UEFI\""),
        ("firmware of other tools", "boot", "\"efi\""),
        ("signed boot loaders and BIOS", "boot", "\"bios\", \"secure_boot\": true"),
        ("a bridge without a name", "network", "\"bridge:\""),
        ("a bridge misspelt", "network", "\"brdige:br0\""),
        ("no network", "network", "null"),
        ("an empty network", "network", "\"\""),
        ("a network as in domain XML", "network", "{ \"network\": \"default\" }"),
        ("an address without a card", "network", "\"none\", \"mac\": \"52:54:00:12:34:56\""),
        ("a display", "graphics", "\"spcie\""),
        ("no display", "graphics", "false"),
    ]
}

/// The faults as a person would check them: each under its line.
fn draw(text: &str, faults: &[Fault]) -> String {
    let mut out = String::new();
    for fault in faults {
        let (line, column) = (fault.position.line, fault.position.column);
        let source = text.lines().nth(line - 1).unwrap_or_default().replace('\u{1b}', "\\e");
        let width = text[fault.span.start..fault.span.end].lines().next().unwrap_or_default().chars().count();
        writeln!(out, "{line}:{column} {} {}", fault.code, fault.key).unwrap();
        writeln!(out, "    | {source}\n    | {}{}", " ".repeat(column - 1), "^".repeat(width.max(1)))
            .unwrap();
        writeln!(out, "    {}", fault.message).unwrap();
        if let Some(found) = &fault.found {
            writeln!(out, "    found: {found}").unwrap();
        }
        if let Some(suggestion) = &fault.suggestion {
            writeln!(out, "    help: {suggestion}").unwrap();
        }
        if let Some(related) = &fault.related {
            writeln!(out, "    {}:{} {}", related.position.line, related.position.column, related.label)
                .unwrap();
        }
    }
    out
}

#[test]
fn every_fault_says_where_it_is_and_what_to_write() {
    let mut all = String::new();
    for (title, text) in cases() {
        let faults = faults(&text);
        assert!(!faults.is_empty(), "{title}: no fault was found in {text}");
        writeln!(all, "# {title}\n{}", draw(&text, &faults)).unwrap();
    }
    insta::assert_snapshot!("faults", all);
}

#[test]
fn every_code_has_a_case() {
    let mut codes: BTreeSet<FaultCode> =
        cases().iter().flat_map(|(_, text)| faults(text)).map(|fault| fault.code).collect();
    codes.extend(parse_bytes(b"{ \"vms\": {} } \xff", env()).unwrap_err().iter().map(|fault| fault.code));
    codes.extend(faults(&many()).iter().map(|fault| fault.code));
    codes.extend(faults(&with(&isos(6))).iter().map(|fault| fault.code));
    let missing: Vec<_> = FaultCode::ALL.iter().filter(|code| !codes.contains(code)).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

fn isos(count: usize) -> String {
    let sources: Vec<String> = (0..count).map(|n| format!("{{ \"path\": \"/{n}.iso\" }}")).collect();
    format!("\"iso_sources\": [{}]", sources.join(", "))
}

/// A manifest with more faults than are shown.
fn many() -> String {
    let vms: Vec<String> = (0..200).map(|n| format!("\"{n}\": 1")).collect();
    format!("{{ \"vms\": {{ {} }} }}", vms.join(", "))
}

#[test]
fn of_too_many_faults_the_rest_is_counted() {
    let faults = faults(&many());
    assert_eq!(faults.len(), limits::MAX_FAULTS);
    assert_eq!(faults.last().unwrap().message, "101 more faults are not shown");
}

#[test]
fn what_is_too_long_or_too_many_is_refused() {
    let long = |count: usize| format!("\"{}\"", "x".repeat(count));
    let at = |key: &str, value: String| faults(&but(key, &value))[0].message.clone();
    assert!(at("disk_path", format!("\"/{}\"", "x".repeat(256))).contains("at most 4095 bytes"));
    assert!(at("network", long(248)).contains("at most 247 bytes"));
    assert!(at("title", long(1025)).contains("1 to 1024 bytes"));
    assert!(at("cpu_model", long(65)).contains("at most 64 letters"));
    assert_eq!(faults(&with(&isos(6)))[0].message, "a VM has at most 5 media");
    assert!(faults(&with(&isos(5))).is_empty());
}

#[test]
fn nesting_bombs_are_refused_wherever_they_are() {
    for (open, close) in [("[", "]"), ("{\"x-a\":", "}")] {
        for depth in [limits::MAX_NESTING + 1, 100_000] {
            let bomb = format!("{{\"vms\": {{}}, \"x-a\": {}{}}}", open.repeat(depth), close.repeat(depth));
            let faults = faults(&bomb);
            assert_eq!(faults.len(), 1, "{depth}: {faults:?}");
            assert_eq!(faults[0].message, "a manifest is at most 32 objects and lists deep");
        }
    }
    assert!(faults(&"[".repeat(1 << 20))[0].message.contains("deep"));
}

#[test]
fn text_that_is_not_utf8_is_shown_where_it_stops_to_be() {
    let faults = parse_bytes(b"{\n  \"vms\": {}\xff }", env()).unwrap_err();
    assert_eq!((faults[0].position.line, faults[0].position.column), (2, 12));
}
