//! Reads publishers' checksum files: bytes in, the digest of a file name out.
//!
//! ```text
//! Bare     <hex>                           Alpine's <image>.sha512
//! Sums     <hex>  <name>  or  <hex> *<name>  Debian's SHA512SUMS, Ubuntu's SHA256SUMS
//! Tagged   SHA256 (<name>) = <hex>         Fedora's CHECKSUM, inside a PGP clear-signed message
//! ```
//!
//! Pure, for any input: no I/O, no panic, no more memory than a small multiple of the input. The
//! signature of a clear-signed file is not checked: trust rests on the TLS connection it came
//! through. Tests: below; fuzzed as `checksum`.

use std::collections::BTreeMap;

use super::digest::{Algorithm, Digest, DigestError};

/// The largest checksum file that is read. The largest known one (Debian's) has about 20 KiB.
pub const MAX_BYTES: usize = 1 << 20;

/// How a checksum file is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ChecksumFormat {
    /// One digest, with or without a file name after it.
    Bare(Algorithm),
    /// Lines as `sha256sum` and `sha512sum` write them, in text (`  `) or binary (` *`) form.
    Sums(Algorithm),
    /// Lines as BSD tools write them, usually inside a PGP clear-signed message.
    Tagged(Algorithm),
}

/// The digests of a checksum file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChecksumFile {
    /// The digest without a name: it belongs to whichever file the checksum file lies beside.
    unnamed: Option<Digest>,
    named: BTreeMap<String, Digest>,
}

/// Why a checksum file gives no digest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChecksumError {
    /// It is larger than any real one.
    #[error("a checksum file of {bytes} bytes is not read; the limit is {MAX_BYTES}")]
    TooLarge {
        /// Its size.
        bytes: usize,
    },
    /// It is not text.
    #[error("the checksum file is not UTF-8 text")]
    NotText,
    /// It has no digest at all.
    #[error("the checksum file has no digest in it")]
    Empty,
    /// It begins a clear-signed message and does not end it.
    #[error("the checksum file ends within its signed message")]
    Truncated,
    /// A line is not what the format wants.
    #[error("line {line} of the checksum file is not {expected}")]
    Line {
        /// The line, from 1.
        line: usize,
        /// The form the line should have.
        expected: &'static str,
    },
    /// A line has no proper digest.
    #[error("line {line} of the checksum file has no digest")]
    Digest {
        /// The line, from 1.
        line: usize,
        /// What is wrong with it.
        #[source]
        source: DigestError,
    },
    /// One name has two digests.
    #[error("the checksum file gives two digests for `{name}`")]
    Contradiction {
        /// The file name.
        name: String,
    },
    /// The name that was looked for is not there.
    #[error("the checksum file does not name `{name}`{}", near_text(near))]
    Absent {
        /// The file name.
        name: String,
        /// Up to three names that are there and look alike.
        near: Vec<String>,
    },
}

fn near_text(near: &[String]) -> String {
    if near.is_empty() { String::new() } else { format!("; it has `{}`", near.join("`, `")) }
}

/// Reads a checksum file.
///
/// Line ends may be LF or CRLF; empty lines and lines that begin with `#` are skipped; names lose a
/// leading `./`.
///
/// # Errors
/// Every variant of [`ChecksumError`] but [`ChecksumError::Absent`].
pub fn parse(bytes: &[u8], format: ChecksumFormat) -> Result<ChecksumFile, ChecksumError> {
    if bytes.len() > MAX_BYTES {
        return Err(ChecksumError::TooLarge { bytes: bytes.len() });
    }
    let text = std::str::from_utf8(bytes).map_err(|_| ChecksumError::NotText)?;
    let mut file = ChecksumFile { unnamed: None, named: BTreeMap::new() };
    for (line, text) in body(text)? {
        let text = text.trim_end();
        if text.is_empty() || text.starts_with('#') {
            continue;
        }
        match format {
            ChecksumFormat::Bare(algorithm) => {
                let (name, digest) = bare_line(line, text, algorithm)?;
                file.add(name, digest)?;
            }
            ChecksumFormat::Sums(algorithm) => {
                let (name, digest) = sums_line(line, text, algorithm)?;
                file.add(Some(name), digest)?;
            }
            ChecksumFormat::Tagged(algorithm) => {
                if let Some((name, digest)) = tagged_line(line, text, algorithm)? {
                    file.add(Some(name), digest)?;
                }
            }
        }
    }
    if file.unnamed.is_none() && file.named.is_empty() {
        return Err(ChecksumError::Empty);
    }
    Ok(file)
}

impl ChecksumFile {
    /// The digest of the file called `name`.
    ///
    /// # Errors
    /// [`ChecksumError::Absent`], with the names that come closest.
    pub fn digest_of(&self, name: &str) -> Result<Digest, ChecksumError> {
        let found = self.named.get(name).copied();
        // A digest without a name is that of the file it lies beside.
        let found = if self.named.is_empty() { self.unnamed } else { found };
        found.ok_or_else(|| ChecksumError::Absent { name: name.to_owned(), near: self.near(name) })
    }

    fn add(&mut self, name: Option<&str>, digest: Digest) -> Result<(), ChecksumError> {
        let Some(name) = name else {
            return match self.unnamed.replace(digest) {
                Some(old) if old != digest => Err(ChecksumError::Contradiction { name: String::new() }),
                _ => Ok(()),
            };
        };
        let name = name.strip_prefix("./").unwrap_or(name).to_owned();
        match self.named.get(&name) {
            Some(old) if *old != digest => Err(ChecksumError::Contradiction { name }),
            Some(_) => Ok(()),
            None => {
                self.named.insert(name, digest);
                Ok(())
            }
        }
    }

    /// Up to three names that share the longest beginning with `name`.
    fn near(&self, name: &str) -> Vec<String> {
        let shared = |other: &str| name.bytes().zip(other.bytes()).take_while(|(a, b)| a == b).count();
        let mut near: Vec<&String> = self.named.keys().filter(|other| shared(other) >= 4).collect();
        near.sort_by_key(|other| std::cmp::Reverse(shared(other)));
        near.into_iter().take(3).cloned().collect()
    }
}

/// The numbered lines that hold digests: all of them, or those of the clear-signed message
/// (RFC 9580, section 7) where there is one.
fn body(text: &str) -> Result<Vec<(usize, &str)>, ChecksumError> {
    const BEGIN: &str = "-----BEGIN PGP SIGNED MESSAGE-----";
    const END: &str = "-----BEGIN PGP SIGNATURE-----";
    let mut lines = text.lines().enumerate().map(|(index, line)| (index + 1, line));
    if !text.lines().any(|line| line.trim_end() == BEGIN) {
        return Ok(lines.collect());
    }
    lines.by_ref().find(|(_, line)| line.trim_end() == BEGIN);
    // The armour's own headers end at the first empty line.
    lines.by_ref().find(|(_, line)| line.trim_end().is_empty()).ok_or(ChecksumError::Truncated)?;
    let mut signed = Vec::new();
    for (number, line) in lines {
        if line.trim_end() == END {
            return Ok(signed);
        }
        // A line of the message that begins with a dash is written with `- ` before it.
        signed.push((number, line.strip_prefix("- ").unwrap_or(line)));
    }
    Err(ChecksumError::Truncated)
}

fn bare_line(line: usize, text: &str, algorithm: Algorithm) -> Result<(Option<&str>, Digest), ChecksumError> {
    if text.contains(' ') {
        return sums_line(line, text, algorithm).map(|(name, digest)| (Some(name), digest));
    }
    let digest =
        Digest::from_hex(algorithm, text).map_err(|source| ChecksumError::Digest { line, source })?;
    Ok((None, digest))
}

fn sums_line(line: usize, text: &str, algorithm: Algorithm) -> Result<(&str, Digest), ChecksumError> {
    let wrong = || ChecksumError::Line { line, expected: "`<digest>  <file name>`" };
    let (hex, rest) = text.split_once(' ').ok_or_else(wrong)?;
    let name = rest.strip_prefix([' ', '*']).filter(|name| !name.is_empty()).ok_or_else(wrong)?;
    let digest = Digest::from_hex(algorithm, hex).map_err(|source| ChecksumError::Digest { line, source })?;
    Ok((name, digest))
}

/// The name and digest of a BSD line; none where it is of another algorithm.
fn tagged_line(
    line: usize,
    text: &str,
    algorithm: Algorithm,
) -> Result<Option<(&str, Digest)>, ChecksumError> {
    let wrong = || ChecksumError::Line { line, expected: "`SHA256 (<file name>) = <digest>`" };
    let (tag, rest) = text.split_once(" (").ok_or_else(wrong)?;
    if tag.is_empty() || !tag.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '/')) {
        return Err(wrong());
    }
    // From the right: a name may hold `) = ` itself, a digest cannot.
    let (name, hex) = rest.rsplit_once(") = ").filter(|(name, _)| !name.is_empty()).ok_or_else(wrong)?;
    if !tag.eq_ignore_ascii_case(algorithm.as_str()) {
        return Ok(None);
    }
    let digest = Digest::from_hex(algorithm, hex).map_err(|source| ChecksumError::Digest { line, source })?;
    Ok(Some((name, digest)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SUMS256: ChecksumFormat = ChecksumFormat::Sums(Algorithm::Sha256);
    const TAGGED: ChecksumFormat = ChecksumFormat::Tagged(Algorithm::Sha256);
    const BARE: ChecksumFormat = ChecksumFormat::Bare(Algorithm::Sha512);

    fn a() -> String {
        "a1".repeat(32)
    }

    fn b() -> String {
        "b2".repeat(32)
    }

    fn lookup(text: &str, format: ChecksumFormat, name: &str) -> Result<String, ChecksumError> {
        Ok(parse(text.as_bytes(), format)?.digest_of(name)?.to_string())
    }

    #[test]
    fn each_publisher_is_read() {
        let signed = format!(
            "-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA256\n\n# x.qcow2: 5 bytes\nSHA512 (x.qcow2) = 00\n\
             SHA256 (x.qcow2) = {}\n- -----not armour\n-----BEGIN PGP SIGNATURE-----\nSHA256 (x.qcow2) = {}\n",
            a(),
            b()
        );
        let wanted = format!("sha256:{}", a());
        for (text, format) in [
            (format!("{}  x.qcow2\n{}  y.qcow2\n", a(), b()), SUMS256),
            (format!("{} *./x.qcow2\r\n\r\n{} *y.qcow2\r\n", a(), b()), SUMS256),
            (signed.replace("- -----not armour\n", ""), TAGGED),
            (format!("SHA256 (x.qcow2) = {}", a()), TAGGED),
        ] {
            assert_eq!(lookup(&text, format, "x.qcow2").as_ref(), Ok(&wanted), "{text}");
        }
        let hex = "0f".repeat(64);
        let wanted = format!("sha512:{hex}");
        for text in [hex.clone(), format!("{hex}\r\n"), format!("{hex}  x.qcow2\n")] {
            assert_eq!(lookup(&text, BARE, "x.qcow2").as_ref(), Ok(&wanted), "{text}");
        }
        // A dash-escaped line is unescaped before it is judged.
        assert!(matches!(lookup(&signed, TAGGED, "x.qcow2"), Err(ChecksumError::Line { line: 7, .. })));
    }

    #[test]
    fn what_is_wrong_with_a_file_is_said() {
        let two = format!("{}  x\n{}  x\n", a(), b());
        assert_eq!(lookup(&two, SUMS256, "x"), Err(ChecksumError::Contradiction { name: "x".into() }));
        let twice = format!("{}  x\n{}  ./x\n", a(), a());
        assert!(lookup(&twice, SUMS256, "x").is_ok(), "a repeated line is no contradiction");
        assert!(matches!(lookup("abcd  x", SUMS256, "x"), Err(ChecksumError::Digest { line: 1, .. })));
        let html = "<!doctype html><p>Log in</p>";
        assert!(matches!(lookup(html, SUMS256, "x"), Err(ChecksumError::Line { line: 1, .. })));
        assert!(lookup(html, TAGGED, "x").is_err() && lookup(html, BARE, "x").is_err());
        assert_eq!(lookup("\n# nothing\n", SUMS256, "x"), Err(ChecksumError::Empty));
        assert_eq!(
            lookup("-----BEGIN PGP SIGNED MESSAGE-----\n", TAGGED, "x"),
            Err(ChecksumError::Truncated)
        );
        assert_eq!(parse(b"\xff", SUMS256), Err(ChecksumError::NotText));
        let large = vec![b'#'; MAX_BYTES + 1];
        assert_eq!(parse(&large, SUMS256), Err(ChecksumError::TooLarge { bytes: MAX_BYTES + 1 }));
        let unnamed = format!("{}\n{}\n", "0".repeat(128), "1".repeat(128));
        assert!(matches!(lookup(&unnamed, BARE, "x"), Err(ChecksumError::Contradiction { .. })));
    }

    #[test]
    fn an_absent_name_is_told_with_its_neighbours() {
        let text = format!("{}  debian-13-genericcloud-arm64.qcow2\n{}  README\n", a(), b());
        let error = lookup(&text, SUMS256, "debian-13-genericcloud-amd64.qcow2").unwrap_err();
        assert_eq!(
            error.to_string(),
            "the checksum file does not name `debian-13-genericcloud-amd64.qcow2`; \
             it has `debian-13-genericcloud-arm64.qcow2`"
        );
    }

    proptest! {
        #[test]
        fn no_input_breaks_the_parser(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            for format in [SUMS256, TAGGED, BARE] {
                let _ = parse(&bytes, format);
            }
        }

        #[test]
        fn every_written_line_is_read_back(
            lines in proptest::collection::btree_map("[a-zA-Z0-9_][a-zA-Z0-9 ._()=*-]{0,30}[a-z0-9]", any::<[u8; 32]>(), 1..8),
            end in "\r?\n", binary: bool,
        ) {
            let digest = |bytes: &[u8; 32]| Digest::Sha256(super::super::digest::Sha256::from_bytes(*bytes));
            let hex = |bytes| digest(bytes).to_string()["sha256:".len()..].to_owned();
            let mark = if binary { '*' } else { ' ' };
            let sums: String = lines.iter().map(|(name, b)| format!("{} {mark}{name}{end}", hex(b))).collect();
            let tagged: String = lines.iter().map(|(name, b)| format!("SHA256 ({name}) = {}{end}", hex(b))).collect();
            for (text, format) in [(sums, SUMS256), (tagged, TAGGED)] {
                let file = parse(text.as_bytes(), format).unwrap();
                for (name, bytes) in &lines {
                    prop_assert_eq!(file.digest_of(name), Ok(digest(bytes)));
                }
            }
        }
    }
}
