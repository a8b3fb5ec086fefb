//! Every fault of a config: where it is, what it says, what it suggests.
//!
//! The snapshot holds each case with its faults drawn under the line, so that a reviewer sees
//! whether the place and the words are right.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use castra::config::{Environment, Fault, FaultCode, limits, parse, parse_bytes};

use crate::env;

/// What is wrong, and a config where it is. `vm` cases are the body of a `[[vms]]` entry.
const CASES: &[(&str, &str)] = &[
    // The text.
    ("an empty file", ""),
    ("a value is missing", "version =\n[[vms]]\nname = \"a\"\n"),
    ("a text without quotes", "[[vms]]\nname = web\n"),
    ("a table that is not closed", "[[vms]]\nname = \"a\"\n[vms\n"),
    ("a key twice", "[[vms]]\nname = \"a\"\ncpus = 1\ncpus = 2\n"),
    ("a table twice", "[project]\n[project]\n[[vms]]\nname = \"a\"\n"),
    (
        "syntax and meaning at once",
        "verson = 1\n[[vms]]\nname = a\nmemory = 2048\n[lifecycle]\nsigkill_wait_secs = = 5\n",
    ),
    (
        "a fault after wide characters",
        "[project]\nname = \"日本\"\n[[vms]]\nname = \"a\"\ncloud_init = { user_dat = \"é\" }\n",
    ),
    ("carriage returns", "[[vms]]\r\nname = \"a\"\r\ncpu = 2\r\n"),
    // The root, `[project]` and `[lifecycle]`.
    ("another version", "version = 2\n[[vms]]\nname = \"a\"\n"),
    ("the version of the program", "version = \"0.1.0\"\n[[vms]]\nname = \"a\"\n"),
    ("a negative version", "version = -1\n[[vms]]\nname = \"a\"\n"),
    ("no VM", "version = 1\n"),
    ("an empty list of VMs", "vms = []\n"),
    ("a table instead of a list", "[vms]\nname = \"a\"\n"),
    ("a list of texts", "vms = [\"web\"]\n"),
    (
        "unknown keys everywhere",
        "port = 1\n[project]\nnmae = \"x\"\n[lifecycle]\nsigterm_wait = 3\n[[vms]]\nname = \"a\"\n",
    ),
    ("a project that is a text", "project = \"web\"\n[[vms]]\nname = \"a\"\n"),
    ("project names", "[project]\nname = \"\"\n[[vms]]\nname = \"a\"\n"),
    ("a project name with a path", "[project]\nname = \"../x\"\n[[vms]]\nname = \"a\"\n"),
    ("a workspace that is the project", "[project]\nstate_dir = \".\"\n[[vms]]\nname = \"a\"\n"),
    ("a workspace above the project", "[project]\nstate_dir = \"..\"\n[[vms]]\nname = \"a\"\n"),
    ("a workspace that is the home directory", "[project]\nstate_dir = \"~\"\n[[vms]]\nname = \"a\"\n"),
    (
        "a workspace that holds all others",
        "[project]\nstate_dir = \"~/.castra/projects\"\n[[vms]]\nname = \"a\"\n",
    ),
    (
        "waits",
        "[lifecycle]\ngraceful_shutdown_wait_secs = 3601\nsigterm_wait_secs = -1\nsigkill_wait_secs = 1.5\n[[vms]]\nname = \"a\"\n",
    ),
    (
        "a freshness window out of range, and a key that is none",
        "[channel]\nfreshness_window_secs = 2\nfreshness = 3\n[[vms]]\nname = \"a\"\n",
    ),
    ("a wait that is a text", "[lifecycle]\nsigterm_wait_secs = \"10 s\"\n[[vms]]\nname = \"a\"\n"),
    // Names.
    ("no name", "[[vms]]\ncpus = 2\n"),
    ("a name that is a number", "[[vms]]\nname = 1\n"),
    (
        "hostile names",
        "[[vms]]\nname = \"../x\"\n[[vms]]\nname = \"a/b\"\n[[vms]]\nname = \"a\\nb\"\n[[vms]]\nname = \"a,b\"\n[[vms]]\nname = \"-rf\"\n[[vms]]\nname = \"\"\n",
    ),
    ("one name in two cases", "[[vms]]\nname = \"Web\"\n[[vms]]\nname = \"web\"\n"),
    ("a replica's name", "[[vms]]\nname = \"api\"\ncount = 2\n[[vms]]\nname = \"api-1\"\n"),
    (
        "names of the workspace's own files",
        "[[vms]]\nname = \"broker\"\n[[vms]]\nname = \"Workspace\"\n[[vms]]\nname = \"host-broker\"\n",
    ),
    ("two names with one log", "[[vms]]\nname = \"web-serial\"\n[[vms]]\nname = \"web\"\n"),
    // Numbers and sizes.
    ("no processor", "[[vms]]\nname = \"a\"\ncpus = 0\n"),
    ("too many processors", "[[vms]]\nname = \"a\"\ncpus = 99999999999999999999\n"),
    ("memory in words", "[[vms]]\nname = \"a\"\nmemory = \"lots\"\n"),
    ("memory without a unit", "[[vms]]\nname = \"a\"\nmemory = \"2048\"\n"),
    ("memory as a number", "[[vms]]\nname = \"a\"\nmemory = 2048\n"),
    ("memory as a fraction", "[[vms]]\nname = \"a\"\nmemory = \"1.5 GiB\"\n"),
    ("little memory", "[[vms]]\nname = \"a\"\nmemory = \"63 MiB\"\n"),
    ("memory that is no whole MiB", "[[vms]]\nname = \"a\"\nmemory = \"2 GB\"\n"),
    ("more memory than can be counted", "[[vms]]\nname = \"a\"\nmemory = \"99999999999 TiB\"\n"),
    // Words.
    ("words in another case", "[[vms]]\nname = \"a\"\naccelerator = \"KVM\"\nfirmware = \"efi\"\n"),
    ("a flag in quotes", "[[vms]]\nname = \"a\"\npersistent = \"yes\"\n"),
    // Ports.
    ("ports out of range", "[[vms]]\nname = \"a\"\nport_forwards = [{ host = 0, guest = 65536 }]\n"),
    (
        "half a forward",
        "[[vms]]\nname = \"a\"\nport_forwards = [{ host = 8080 }, { }, 8080, { host = 1, guest = 2, proto = \"udp\" }]\n",
    ),
    ("a forward as in other tools", "[[vms]]\nname = \"a\"\nport_forwards = [\"8080:80\"]\n"),
    (
        "addresses",
        "[[vms]]\nname = \"a\"\nport_forwards = [{ host = 1, guest = 2, address = \"::1\" }, { host = 3, guest = 4, address = \"localhost\" }, { host = 5, guest = 6, address = \"224.0.0.1\" }]\n",
    ),
    ("a protocol", "[[vms]]\nname = \"a\"\nport_forwards = [{ host = 1, guest = 2, protocol = \"TCP\" }]\n"),
    (
        "a port twice",
        "[[vms]]\nname = \"a\"\nport_forwards = [{ host = 22, guest = 22 }]\n[[vms]]\nname = \"b\"\nport_forwards = [{ host = 22, guest = 22, address = \"0.0.0.0\" }]\n",
    ),
    (
        "replicas that meet",
        "[[vms]]\nname = \"api\"\ncount = 3\nport_forwards = [{ host = 8080, guest = 80 }, { host = 8081, guest = 81 }]\n",
    ),
    (
        "replicas above the last port",
        "[[vms]]\nname = \"api\"\ncount = 3\nport_forwards = [{ host = 65534, guest = 80 }]\n",
    ),
    // Replicas.
    (
        "counts",
        "[[vms]]\nname = \"a\"\ncount = 0\n[[vms]]\nname = \"b\"\ncount = 257\n[[vms]]\nname = \"c\"\ncount = \"2\"\n",
    ),
    ("replicas without a count", "[[vms]]\nname = \"a\"\n[vms.replicas.a-0]\ncpus = 2\n"),
    (
        "a replica that is not counted",
        "[[vms]]\nname = \"a\"\ncount = 2\n[vms.replicas.a-2]\ncpus = 2\n[vms.replicas.web]\n",
    ),
    (
        "what a replica cannot override",
        "[[vms]]\nname = \"a\"\ncount = 1\n[vms.replicas.a-0]\nname = \"b\"\ncpus = 0\n",
    ),
    ("too many VMs", "[[vms]]\nname = \"a\"\ncount = 256\n[[vms]]\nname = \"b\"\n"),
    // Paths.
    (
        "paths",
        "[[vms]]\nname = \"a\"\noverlay = \"\"\n[[vms]]\nname = \"b\"\noverlay = \"a\\u0000b\"\n[[vms]]\nname = \"c\"\noverlay = \"a\\nb\"\n[[vms]]\nname = \"d\"\noverlay = \"disks/\"\n[[vms]]\nname = \"e\"\noverlay = \".castra/../e.qcow2\"\n[[vms]]\nname = \"f\"\noverlay = 7\n",
    ),
    (
        "images",
        "[[vms]]\nname = \"a\"\nbase_image = \"Alpine Linux\"\n[[vms]]\nname = \"b\"\nbase_image = \"images/\"\n[[vms]]\nname = \"c\"\nbase_image = \"\"\n",
    ),
    (
        "one overlay for two",
        "[[vms]]\nname = \"a\"\noverlay = \"d.qcow2\"\n[[vms]]\nname = \"b\"\noverlay = \"./x/../d.qcow2\"\n",
    ),
    (
        "the default overlay of another VM",
        "[[vms]]\nname = \"a\"\n[[vms]]\nname = \"b\"\noverlay = \".castra/overlays/a.qcow2\"\n",
    ),
    ("one overlay for replicas", "[[vms]]\nname = \"api\"\ncount = 3\noverlay = \"d.qcow2\"\n"),
    (
        "overlays over what is read",
        "[[vms]]\nname = \"a\"\nbase_image = \"base.qcow2\"\noverlay = \"base.qcow2\"\n[[vms]]\nname = \"b\"\noverlay = \"castra.toml\"\n[[vms]]\nname = \"c\"\noverlay = \"u.yaml\"\ncloud_init = { user_data = \"u.yaml\" }\n",
    ),
    (
        "overlays among the workspace's files",
        "[[vms]]\nname = \"a\"\noverlay = \".castra/metadata/workspace.json\"\n[[vms]]\nname = \"b\"\noverlay = \".castra/a.pid\"\n[[vms]]\nname = \"c\"\noverlay = \".castra/overlays\"\n",
    ),
    // cloud-init.
    (
        "cloud-init",
        "[[vms]]\nname = \"a\"\ncloud_init = { user_data = \"#cloud-config\\n\" }\n[[vms]]\nname = \"b\"\ncloud_init = { user_data = { path = \"a\", inline = \"b\" }, network_config = {} }\n[[vms]]\nname = \"c\"\ncloud_init = \"user-data.yaml\"\n[[vms]]\nname = \"d\"\ncloud_init = { userdata = \"x\", user_data = { file = \"x\" } }\n",
    ),
    (
        "user-data that the image's own reader would ignore",
        "[[vms]]\nname = \"a\"\nbase_image = \"images/nocloud_alpine-3.23.4-x86_64-bios-tiny-r0.qcow2\"\ncloud_init.user_data.inline = \"#cloud-config\\nruncmd: [a]\\nswap: {}\\n\"\n[[vms]]\nname = \"b\"\nbase_image = \"tiny\"\ncloud_init.user_data.inline = \"#!/bin/sh\\n\"\n",
    ),
    // Mounts.
    (
        "mounts that say too little or too much",
        "[[vms]]\nname = \"a\"\n[[vms.mounts]]\n[[vms.mounts]]\nhost = 1\nguest = \"/a\"\nread_only = \"no\"\ntag = \"x\"\n[[vms]]\nname = \"b\"\nmounts = \"src\"\n[[vms]]\nname = \"c\"\nmounts = [\"src\"]\n",
    ),
    (
        "folders that a guest is not given",
        "[project]\nstate_dir = \".castra\"\n[[vms]]\nname = \"a\"\nmounts = [{ host = \"../other\", guest = \"/a\" }, { host = \"src/../../up\", guest = \"/b\" }, { host = \".\", guest = \"/c\" }, { host = \".castra/logs\", guest = \"/d\" }, { host = \"~\", guest = \"/e\" }, { host = \"/\", guest = \"/f\" }, { host = \"\", guest = \"/g\" }]\n",
    ),
    (
        "places that are none, or taken",
        "[[vms]]\nname = \"a\"\nmounts = [{ host = \"a\", guest = \"srv\" }, { host = \"a\", guest = \"/\" }, { host = \"a\", guest = \"/srv/..\" }, { host = \"a\", guest = \"/srv/x/\" }, { host = \"b\", guest = \"/srv/./x\" }]\n",
    ),
    // Bootstraps.
    ("a bootstrap without a script", "[[vms]]\nname = \"a\"\n[vms.bootstrap]\nmode = \"never\"\n"),
    (
        "every key of a bootstrap",
        "[[vms]]\nname = \"a\"\n[vms.bootstrap]\nscript = \"scripts/\"\npayload = 7\ntimeout = \"10 min\"\ntimeout_secs = 0\nverify = true\nenv = [\"PORT=80\"]\n",
    ),
    (
        "variables",
        "[[vms]]\nname = \"a\"\n[vms.bootstrap]\nscript = \"b.sh\"\n[vms.bootstrap.env]\nPORT = 80\n\"A B\" = \"x\"\n1A = \"x\"\nCASTRA_VM = \"x\"\nNUL = \"a\\u0000b\"\n",
    ),
    (
        "checks",
        "[[vms]]\nname = \"a\"\nbootstrap = { script = \"b.sh\", verify = \" \" }\n[[vms]]\nname = \"b\"\nbootstrap = { script = \"b.sh\", verify = [] }\n[[vms]]\nname = \"c\"\nbootstrap = { script = \"b.sh\", verify = [\"test\", 1] }\n[[vms]]\nname = \"d\"\nbootstrap = { script = \"b.sh\", verify = \"a\\u0000b\" }\n",
    ),
    (
        "a payload that holds the workspace, and one that is its copy",
        "[project]\nstate_dir = \".castra\"\n[[vms]]\nname = \"a\"\nbootstrap = { script = \"b.sh\", payload = \".\" }\n[[vms]]\nname = \"b\"\nbootstrap = { script = \"b.sh\", payload = \".castra/bootstrap/a\" }\n",
    ),
    (
        "an overlay over a script",
        "[[vms]]\nname = \"a\"\noverlay = \"b.sh\"\nbootstrap = { script = \"b.sh\" }\n",
    ),
];

fn faults(text: &str) -> Vec<Fault> {
    parse(text, &env()).err().unwrap_or_default()
}

/// The faults as a person would check them: each under its line.
fn draw(text: &str, faults: &[Fault]) -> String {
    let mut out = String::new();
    for fault in faults {
        let (line, column) = (fault.position.line, fault.position.column);
        let source = text.lines().nth(line - 1).unwrap_or_default();
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
            let position = related.position;
            writeln!(out, "    {}:{} {}", position.line, position.column, related.label).unwrap();
        }
    }
    out
}

#[test]
fn every_fault_says_where_it_is_and_what_to_write() {
    let mut all = String::new();
    for (title, text) in CASES {
        let faults = faults(text);
        assert!(!faults.is_empty(), "{title}: no fault was found");
        writeln!(all, "# {title}\n{}", draw(text, &faults)).unwrap();
    }
    insta::assert_snapshot!("faults", all);
}

#[test]
fn what_is_too_long_or_too_many_is_refused() {
    let name = "n".repeat(62);
    let forwards: String = (1..=65).map(|host| format!("{{ host = {host}, guest = 1 }},")).collect();
    let mounts: String = (0..9).map(|n| format!("{{ host = \"a\", guest = \"/{n}\" }},")).collect();
    let long = "x".repeat(300);
    let variables: String = (0..65).map(|n| format!("V{n} = \"\", ")).collect();
    let script = "bootstrap.script = \"b.sh\"";
    for (text, key, code, message) in [
        (
            format!("name = \"{long}\""),
            "name",
            FaultCode::BadName,
            "a VM name has at most 63 characters; this one has 300",
        ),
        (
            format!("name = \"{name}\"\ncount = 2"),
            "name",
            FaultCode::BadName,
            "with its number a replica's name has at most 63 characters",
        ),
        (
            format!("name = \"a\"\nport_forwards = [{forwards}]"),
            "port_forwards",
            FaultCode::TooMany,
            "a VM has at most 64 port forwards",
        ),
        (
            format!("name = \"a\"\noverlay = \"{long}\""),
            "overlay",
            FaultCode::BadPath,
            "a path has at most 4095 bytes, and each name in it at most 255",
        ),
        (
            format!("name = \"a\"\nmounts = [{mounts}]"),
            "mounts",
            FaultCode::TooMany,
            "a VM has at most 8 mounts",
        ),
        (
            format!("name = \"a\"\n{script}\nbootstrap.env = {{ {variables} }}"),
            "bootstrap.env",
            FaultCode::TooMany,
            "a bootstrap has at most 64 variables",
        ),
        (
            format!("name = \"a\"\n{script}\nbootstrap.env = {{ A = \"{}\" }}", "x".repeat(8192)),
            "bootstrap.env",
            FaultCode::BadBootstrap,
            "the variables of a bootstrap have at most 8192 bytes with their names",
        ),
        (
            format!("name = \"a\"\n{script}\nbootstrap.verify = \"{}\"", "x".repeat(2049)),
            "bootstrap.verify",
            FaultCode::BadBootstrap,
            "`verify` has at most 2048 bytes",
        ),
    ] {
        let faults = faults(&format!("[[vms]]\n{text}\n"));
        let found: Vec<_> =
            faults.iter().map(|fault| (fault.code, fault.key.as_str(), fault.message.as_str())).collect();
        assert_eq!(found, [(code, format!("vms[0].{key}").as_str(), message)]);
    }
}

#[test]
fn a_tilde_without_a_home_directory_is_a_fault() {
    let homeless = Environment { home: None, ..env() };
    let faults = parse("[[vms]]\nname = \"a\"\noverlay = \"~/a.qcow2\"\n", &homeless).unwrap_err();
    assert_eq!(
        faults.iter().map(|fault| fault.message.as_str()).collect::<Vec<_>>(),
        ["`~` has no meaning here: no home directory is known"]
    );
}

#[test]
fn every_code_is_told_by_some_config() {
    let mut told: BTreeSet<FaultCode> =
        CASES.iter().flat_map(|(_, text)| faults(text)).map(|fault| fault.code).collect();
    told.extend(parse_bytes(b"\xff", &env()).unwrap_err().iter().map(|fault| fault.code));
    told.extend(faults(&"x = 1\n".repeat(500)).iter().map(|fault| fault.code));
    told.extend(faults(&numbered_keys(500)).iter().map(|fault| fault.code));
    assert_eq!(told, FaultCode::ALL.iter().copied().collect());
}

fn numbered_keys(count: usize) -> String {
    (0..count).map(|n| format!("key{n} = 1\n")).collect()
}

#[test]
fn a_file_of_faults_is_cut_short_and_says_so() {
    for text in [numbered_keys(1000), "= =\n".repeat(1000), numbered_keys(60) + &"=\n".repeat(60)] {
        let faults = faults(&text);
        assert_eq!(faults.len(), limits::MAX_FAULTS);
        let last = faults.last().unwrap();
        assert_eq!(last.code, FaultCode::TooManyFaults);
    }
    // The thousand keys, the missing VMs, and the place the last one takes.
    let last = faults(&numbered_keys(1000)).pop().unwrap();
    assert_eq!(last.message, "902 more faults are not shown");
}

#[test]
fn bytes_that_are_not_text_are_a_fault_where_they_begin() {
    let faults = parse_bytes(b"version = 1\n# \xc3\xa9\xff\n", &env()).unwrap_err();
    let [fault] = faults.as_slice() else { panic!("{faults:?}") };
    assert_eq!((fault.code, fault.position.line, fault.position.column), (FaultCode::NotUtf8, 2, 4));
}

#[test]
fn faults_are_in_the_order_of_the_file() {
    let text: String = CASES.iter().map(|(_, text)| text.replace("version", "verzion")).collect();
    let starts: Vec<usize> = faults(&text).iter().map(|fault| fault.span.start).collect();
    assert!(starts.len() > 20 && starts.is_sorted(), "{starts:?}");
}

#[test]
fn a_fault_of_an_entry_is_told_once_however_many_replicas_it_has() {
    let text = "[[vms]]\nname = \"api\"\ncount = 256\ncpus = 0\noverlay = \"x\"\nport_forwards = [{ host = 80, guest = 1 }, { host = 81, guest = 2 }]\n";
    let codes: Vec<FaultCode> = faults(text).iter().map(|fault| fault.code).collect();
    assert_eq!(codes, [FaultCode::OutOfRange, FaultCode::OverlayConflict, FaultCode::PortConflict]);
}
