//! Which bytes an image has, as far as that can be told without reading them, and the note of it
//! that an overlay carries.
//!
//! An overlay holds only what differs from the bytes it was made on: over any others, the guest's
//! file system is destroyed. So an overlay keeps in its own header which bytes those were, and
//! under which name:
//!
//! ```text
//! size=2361393152
//! mtime_ns=1767225600000000000
//! sha512=<128 digits>            only where the digest is known
//! name=/images/base.qcow2        last: it may hold anything
//! ```
//!
//! Pure. Tests: below, and `tests/overlay_base.rs`.

use std::ffi::OsStr;
use std::fmt;
use std::fs::Metadata;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::image::Sha512;

/// Which bytes an image has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BaseIdentity {
    /// The length of its file, in bytes.
    pub size_bytes: u64,
    /// When its file was last written to, in nanoseconds since 1970.
    pub mtime_ns: i64,
    /// The digest of its bytes, where somebody has computed it.
    pub sha512: Option<Sha512>,
}

impl BaseIdentity {
    /// That of a file, without its digest.
    pub(crate) fn of(found: &Metadata) -> Self {
        Self { size_bytes: found.len(), mtime_ns: mtime_ns(found), sha512: None }
    }

    /// Whether both are the same bytes: by their digests, or by size and time where one is unknown.
    pub fn is(&self, other: &Self) -> bool {
        match (self.sha512, other.sha512) {
            (Some(a), Some(b)) => a == b,
            _ => self.size_bytes == other.size_bytes && self.mtime_ns == other.mtime_ns,
        }
    }

    /// Its time in seconds since 1970, with all digits: what `touch -d @` takes.
    pub(crate) fn seconds(&self) -> String {
        let (seconds, nanos) = (self.mtime_ns.div_euclid(NANOS), self.mtime_ns.rem_euclid(NANOS));
        format!("{seconds}.{nanos:09}")
    }
}

const NANOS: i64 = 1_000_000_000;

/// A file's time of change in nanoseconds since 1970; good until the year 2262.
pub(crate) fn mtime_ns(found: &Metadata) -> i64 {
    found.mtime().saturating_mul(NANOS).saturating_add(found.mtime_nsec())
}

/// For people: the digest, or else size and time.
impl fmt::Display for BaseIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.sha512 {
            Some(sha512) => write!(f, "sha512:{sha512}"),
            None => write!(f, "{} bytes of time {}", self.size_bytes, self.seconds()),
        }
    }
}

/// What an overlay was made on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MadeOn {
    /// The base's bytes.
    pub(crate) identity: BaseIdentity,
    /// The base's name in the overlay's header: where another stands there by now, somebody has
    /// laid the overlay on another image with `qemu-img rebase`.
    pub(crate) name: PathBuf,
}

impl MadeOn {
    /// The note in an overlay's header.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let BaseIdentity { size_bytes, mtime_ns, sha512 } = self.identity;
        let sha512 = sha512.map_or_else(String::new, |sha512| format!("sha512={sha512}\n"));
        let mut bytes = format!("size={size_bytes}\nmtime_ns={mtime_ns}\n{sha512}name=").into_bytes();
        bytes.extend(self.name.as_os_str().as_bytes());
        bytes
    }

    /// Reads the note; none where it is not one. Facts of a later version are passed over.
    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        let (mut size_bytes, mut mtime_ns, mut sha512) = (None, None, None);
        let mut rest = bytes;
        loop {
            if let Some(name) = rest.strip_prefix(b"name=") {
                let identity = BaseIdentity { size_bytes: size_bytes?, mtime_ns: mtime_ns?, sha512 };
                return Some(Self { identity, name: Path::new(OsStr::from_bytes(name)).to_owned() });
            }
            let end = rest.iter().position(|&byte| byte == b'\n')?;
            let (key, value) = std::str::from_utf8(&rest[..end]).ok()?.split_once('=')?;
            match key {
                "size" => size_bytes = Some(value.parse().ok()?),
                "mtime_ns" => mtime_ns = Some(value.parse().ok()?),
                "sha512" => sha512 = Some(value.parse().ok()?),
                _ => {}
            }
            rest = &rest[end + 1..];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn digest(digit: &str) -> Sha512 {
        digit.repeat(128).parse().unwrap()
    }

    #[test]
    fn digests_decide_where_both_are_known_and_size_and_time_elsewhere() {
        let plain = BaseIdentity { size_bytes: 7, mtime_ns: 8, sha512: None };
        let touched = BaseIdentity { mtime_ns: 9, ..plain };
        let with = |digit, identity| BaseIdentity { sha512: Some(digest(digit)), ..identity };
        for (a, b, same) in [
            (plain, plain, true),
            (plain, touched, false),
            (plain, BaseIdentity { size_bytes: 8, ..plain }, false),
            (with("a", plain), with("a", touched), true),
            (with("a", plain), with("b", plain), false),
            (with("a", plain), plain, true),
            (with("a", plain), touched, false),
        ] {
            assert_eq!((a.is(&b), b.is(&a)), (same, same), "{a} {b}");
        }
    }

    #[test]
    fn a_time_is_shown_as_touch_takes_it() {
        let at = |mtime_ns| BaseIdentity { size_bytes: 0, mtime_ns, sha512: None }.seconds();
        assert_eq!(at(1_767_225_600_000_000_007), "1767225600.000000007");
        assert_eq!(at(-1), "-1.999999999");
    }

    #[test]
    fn what_is_no_note_tells_nothing_and_later_facts_are_passed_over() {
        for text in ["", "name=/x", "size=1\nname=/x", "size=a\nmtime_ns=2\nname=/x", "size=1\nmtime_ns=2\n"]
        {
            assert_eq!(MadeOn::parse(text.as_bytes()), None, "{text:?}");
        }
        let later = MadeOn::parse(b"size=1\nmtime_ns=2\nblake9=7\nname=/x\ny").unwrap();
        assert_eq!((later.identity.size_bytes, later.name), (1, "/x\ny".into()));
    }

    proptest! {
        #[test]
        fn a_note_survives_its_text_form(
            size_bytes: u64, mtime_ns: i64, known: bool, name in proptest::collection::vec(any::<u8>(), 1..64),
        ) {
            let identity = BaseIdentity { size_bytes, mtime_ns, sha512: known.then(|| digest("c")) };
            let made_on = MadeOn { identity, name: OsStr::from_bytes(&name).into() };
            prop_assert_eq!(MadeOn::parse(&made_on.to_bytes()), Some(made_on));
        }

        #[test]
        fn any_bytes_are_read_or_refused_without_a_panic(
            bytes in proptest::collection::vec(any::<u8>(), 0..128),
        ) {
            let _ = MadeOn::parse(&bytes);
        }
    }
}
