//! What virsh prints, parsed: the only place that knows its words. Pure.
//!
//! `LC_ALL=C` holds for every run, so the words are those of libvirt's sources. What is not understood is
//! an error of its caller, never a guess. Tests: below.

use std::str::FromStr;

use plasmavmc_types::VmId;

use super::DomainState;

/// Standard output as text.
pub(super) fn text(output: Vec<u8>) -> Result<String, &'static str> {
    String::from_utf8(output).map_err(|_| "it is not UTF-8")
}

/// Where `wanted` begins in `bytes`.
pub(super) fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len().max(1)).position(|window| window == wanted)
}

/// The UUIDs of a list with `--uuid`, one a line.
pub(super) fn ids(text: &str) -> Result<Vec<VmId>, &'static str> {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    lines.map(VmId::from_str).collect::<Result<_, _>>().map_err(|_| "a list of domains holds no UUID")
}

/// The answer of `domstate --reason`: `shut off (destroyed)`.
pub(super) fn state(text: &str) -> Result<(DomainState, String), &'static str> {
    let unknown = "libvirt told a state that has no name here";
    let text = text.trim();
    let (state, reason) = match text.strip_suffix(')').and_then(|text| text.split_once(" (")) {
        Some(parts) => parts,
        None => (text, ""),
    };
    let known = DomainState::ALL.into_iter().find(|known| known.as_str() == state);
    Ok((known.ok_or(unknown)?, reason.to_owned()))
}

/// What virsh complains of, one entry an `error:`, secrets taken out. Its first words are left out.
pub(super) fn complaints(stderr: &str) -> Vec<String> {
    let mut complaints: Vec<String> = Vec::new();
    for line in stderr.lines() {
        match line.strip_prefix("error:") {
            Some(text) => complaints.push(text.trim().to_owned()),
            // Anything before the first error is a log message of the library.
            None => {
                if let Some(last) = complaints.last_mut().filter(|_| !line.trim().is_empty()) {
                    last.push('\n');
                    last.push_str(line.trim_end());
                }
            }
        }
    }
    complaints.retain(|text| !text.is_empty());
    complaints.iter().map(|text| without_secrets(text)).collect()
}

/// What kind of complaint it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Complaint {
    /// No libvirt answers at that URI.
    Unreachable,
    /// This user may not.
    Denied,
    /// There is no such domain.
    NoDomain,
    /// The XML is not what libvirt's schema allows.
    Invalid,
    /// Anything else.
    Other,
}

/// Sorts the complaints of one run.
pub(super) fn classify(complaints: &[String]) -> Complaint {
    let any = |words: &[&str]| complaints.iter().any(|text| words.iter().any(|word| text.contains(word)));
    let closed = |text: &String| text.contains("socket") && text.contains("Permission denied");
    if any(&["authentication", "access denied"]) || complaints.iter().any(closed) {
        Complaint::Denied
    } else if any(&[
        "failed to connect",
        "Failed to connect socket",
        "End of file while reading data",
        "Disconnected from",
        "Cannot recv data",
        "Cannot write data",
        "connection closed",
        "client socket is closed",
        "no connection driver available",
    ]) {
        Complaint::Unreachable
    } else if complaints.iter().any(|text| MISSING.iter().any(|words| text.starts_with(words))) {
        Complaint::NoDomain
    } else if any(&["failed to validate against schema"]) {
        Complaint::Invalid
    } else {
        Complaint::Other
    }
}

/// Which of the domains in question are said to be missing, and the complaints that say something else.
pub(super) fn gone(complaints: &[String], ids: &[VmId]) -> (Vec<VmId>, Vec<String>) {
    let (mut gone, mut other) = (Vec::new(), Vec::new());
    for text in complaints {
        let says = MISSING.iter().any(|words| text.starts_with(words));
        let named = text.split('\'').filter_map(|word| VmId::from_str(word).ok());
        let named: Vec<VmId> = named.filter(|id| says && ids.contains(id)).collect();
        if named.is_empty() {
            other.push(text.clone());
        }
        gone.extend(named);
    }
    (gone, other)
}

/// How a complaint begins that a domain is missing: virsh's own, which may come alone, and libvirt's.
const MISSING: [&str; 2] = ["failed to get domain '", "Domain not found:"];

/// The text with the values of `passwd=` and its like taken out: libvirt quotes the XML it cannot read.
pub(super) fn without_secrets(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("passw") {
        let after = &rest[at..];
        let word = after.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(after.len());
        let value = after[word..].trim_start().strip_prefix('=').map(str::trim_start);
        let quote = value.and_then(|value| value.chars().next()).filter(|c| matches!(c, '\'' | '"'));
        let (Some(value), Some(quote)) = (value, quote) else {
            shown.push_str(&rest[..at + word]);
            rest = &after[word..];
            continue;
        };
        shown.push_str(&rest[..at + word]);
        shown.push_str("=…");
        // A value that has no end is taken out whole.
        rest = value[1..].find(quote).map_or("", |end| &value[end + 2..]);
    }
    shown.push_str(rest);
    shown
}

/// A URI without the password that may stand in it.
pub(super) fn without_password(uri: &str) -> String {
    let Some((scheme, rest)) = uri.split_once("://") else { return uri.to_owned() };
    let authority = rest.find('/').unwrap_or(rest.len());
    let Some(at) = rest[..authority].rfind('@') else { return uri.to_owned() };
    match rest[..at].split_once(':') {
        Some((user, _)) => format!("{scheme}://{user}:…{}", &rest[at..]),
        None => uri.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_state_is_read_with_its_reason() {
        assert_eq!(state("shut off (destroyed)\n"), Ok((DomainState::ShutOff, "destroyed".to_owned())));
        assert_eq!(state("running (migrated post-copy)").unwrap().1, "migrated post-copy");
        for known in DomainState::ALL {
            assert_eq!(state(known.as_str()), Ok((known, String::new())));
        }
        assert!(state("dreaming (deeply)").is_err() && state("").is_err());
    }

    #[test]
    fn a_list_holds_uuids_and_nothing_else() {
        let id = VmId::generate();
        assert_eq!(ids(&format!("\n{id}\n\n")), Ok(vec![id]));
        assert_eq!(ids(""), Ok(vec![]));
        assert!(ids("win11\n").is_err());
    }

    #[test]
    fn complaints_lose_their_label_and_keep_their_lines() {
        let said = "2026-11-25 libvirt: warning\nerror: Failed to define domain from /dev/stdin\n\
                    error: XML document failed to validate against schema: Unable\nElement domain: frob\n\n";
        let found = complaints(said);
        let second = "XML document failed to validate against schema: Unable\nElement domain: frob";
        assert_eq!(found, ["Failed to define domain from /dev/stdin", second]);
        assert_eq!(classify(&found), Complaint::Invalid);
    }

    #[test]
    fn a_complaint_is_sorted_by_libvirts_own_words() {
        for (text, kind) in [
            ("Failed to connect socket to '/run/x': No such file or directory", Complaint::Unreachable),
            ("no connection driver available for foo:///x", Complaint::Unreachable),
            ("Failed to connect socket to '/run/x': Permission denied", Complaint::Denied),
            ("authentication unavailable: no polkit agent available to connect", Complaint::Denied),
            ("Domain not found: no domain with matching uuid 'x'", Complaint::NoDomain),
            ("failed to get domain 'x'", Complaint::NoDomain),
            ("Cannot access storage file '/x.qcow2': Permission denied", Complaint::Other),
            ("Requested operation is not valid: domain is not running", Complaint::Other),
        ] {
            assert_eq!(classify(&[text.to_owned()]), kind, "{text}");
        }
    }

    #[test]
    fn only_the_absence_of_the_domains_in_question_is_passed_over() {
        let (gone, other) = (VmId::generate(), VmId::generate());
        let said = |id| {
            vec![
                format!("failed to get domain '{id}'"),
                format!("Domain not found: no domain with matching uuid '{id}' (x)"),
            ]
        };
        assert_eq!(super::gone(&said(gone), &[gone]), (vec![gone, gone], vec![]));
        assert_eq!(super::gone(&said(other), &[gone]), (vec![], said(other)));
        let trouble = vec![format!("internal error: '{gone}' is on fire")];
        assert_eq!(super::gone(&trouble, &[gone]), (vec![], trouble));
    }

    #[test]
    fn secrets_never_leave() {
        for (text, shown) in [
            ("<graphics passwd='it''s' port='1'/>", "<graphics passwd=…'s' port='1'/>"),
            ("passwd = \"a'b\" x", "passwd=… x"),
            ("<x password='abc", "<x password=…"),
            ("no password was given", "no password was given"),
            ("passwd='' passwdValidTo='2030'", "passwd=… passwdValidTo=…"),
        ] {
            assert_eq!(without_secrets(text), shown);
        }
        assert_eq!(without_password("esx://me:geheim@host/?x"), "esx://me:…@host/?x");
        assert_eq!(without_password("qemu+ssh://me@host/system"), "qemu+ssh://me@host/system");
        assert_eq!(without_password("qemu:///system"), "qemu:///system");
    }
}
