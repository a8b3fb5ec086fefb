//! A publisher's checksum file, or whatever a mirror or a captive portal answers instead.

use plasmavmc_host::image::checksum::{ChecksumFormat, parse};
use plasmavmc_host::image::{Algorithm, Digest};

/// The bytes as each format with each algorithm.
pub fn check(bytes: &[u8]) {
    for algorithm in [Algorithm::Sha256, Algorithm::Sha512] {
        for format in [ChecksumFormat::Bare, ChecksumFormat::Sums, ChecksumFormat::Tagged] {
            check_format(bytes, format(algorithm), algorithm);
        }
    }
}

/// A digest that is found stands in the file, and is found again in a file of that line alone.
fn check_format(bytes: &[u8], format: ChecksumFormat, algorithm: Algorithm) {
    let Ok(file) = parse(bytes, format) else { return };
    let text = std::str::from_utf8(bytes).expect("what is not text is refused");
    let lower = text.to_ascii_lowercase();
    for name in names(text) {
        let Ok(digest) = file.digest_of(name) else { continue };
        let hex = hex(digest, algorithm);
        assert!(lower.contains(&hex), "{hex} for {name:?}");
        // With `./`, which is taken off, in front of a name that may begin with one itself.
        let line = format!("{algorithm} (./{name}) = {hex}\n");
        let alone = parse(line.as_bytes(), ChecksumFormat::Tagged(algorithm));
        assert_eq!(alone.and_then(|file| file.digest_of(name)), Ok(digest), "{line:?}");
    }
}

/// What could be a file name in some format.
fn names(text: &str) -> impl Iterator<Item = &str> {
    let of_line = |line| {
        let line = str::trim_end(line);
        let sums = line.split_once(' ').and_then(|(_, rest)| rest.strip_prefix([' ', '*']));
        let tagged = line.split_once(" (").and_then(|(_, rest)| Some(rest.rsplit_once(") = ")?.0));
        [sums, tagged].into_iter().flatten().flat_map(|name| [Some(name), name.strip_prefix("./")]).flatten()
    };
    text.lines().flat_map(of_line).filter(|name| !name.is_empty())
}

/// The digits of a digest, which must be of `algorithm`.
fn hex(digest: Digest, algorithm: Algorithm) -> String {
    let text = digest.to_string();
    let (name, hex) = text.split_once(':').expect("a digest names its algorithm");
    assert_eq!((name, hex.len()), (algorithm.as_str(), algorithm.hex_len()));
    hex.to_owned()
}
