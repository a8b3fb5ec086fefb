//! The rules of a manifest: one variant each, with its sentence, its code and its way out.
//!
//! Owns: every word a fault says. Never does: decide whether a rule is broken. Tests: every rule is
//! broken once in `tests/manifest/faults.rs`.

use plasmavmc_host::image::DigestError;
use plasmavmc_source::{did_you_mean, list, nearest, shown};
use plasmavmc_types::MacError;

use super::code::FaultCode;
use super::limits::{
    MAX_ISO_SOURCES, MAX_NESTING, MAX_PATH_BYTES, MAX_PATH_NAME_BYTES, MAX_TITLE_BYTES, MAX_URL_BYTES,
};
use super::name::BadName;
use super::walk::Missing;
use super::words::{CpuChoiceError, NetworkError};

/// A rule that is broken; its `Display` is the rule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Rule {
    #[error("a manifest is UTF-8 text")]
    NotUtf8,
    #[error("a manifest begins with `{{`, without a byte order mark")]
    ByteOrderMark,
    #[error("a manifest is an object, and this file is empty")]
    Empty,
    #[error("JSON has no comments")]
    Comment,
    #[error("the last entry is followed by no comma")]
    TrailingComma,
    #[error("entries are separated by a comma")]
    MissingComma,
    #[error("a text stands in double quotes")]
    SingleQuotes,
    #[error("a key stands in double quotes")]
    LooseKey { found: String },
    #[error("JSON has no such number")]
    NumberForm { found: String },
    #[error("a number does not begin with 0")]
    LeadingZero,
    #[error("JSON has no {found:?} between its words")]
    Blank { found: char },
    #[error("a text is on one line, without control characters")]
    ControlInText { found: char },
    #[error("a text has no such escape")]
    Escape,
    #[error("a key is followed by `:`")]
    NoColon,
    #[error("a key needs a value")]
    NoValue,
    #[error("JSON has no word `{}`", shown(found))]
    NoSuchWord { found: String },
    #[error("the file ends before this {what} does")]
    Unclosed { what: &'static str },
    #[error("a manifest is one object, and nothing follows it")]
    Rest,
    #[error("this is not JSON")]
    Unexpected { found: String },
    #[error("a manifest is at most {MAX_NESTING} objects and lists deep")]
    Nesting,
    #[error("a key stands once in an object")]
    DuplicateKey { key: String },
    #[error("{object} has no key `{}`", shown(key))]
    UnknownKey { object: &'static str, key: String, known: Vec<&'static str> },
    #[error("{object} needs {}", joined(missing, |(name, _)| name))]
    MissingKeys { object: &'static str, missing: Vec<Missing> },
    #[error("memory is said once: `memory_gb` or `memory_mb`")]
    MemoryTwice,
    #[error("{subject} is {expected}")]
    WrongType { subject: String, expected: &'static str, found: String, example: String },
    #[error("`{key}` is a whole number from {min} to {max}")]
    OutOfRange { key: String, min: u64, max: u64, found: String, instead: Option<String> },
    #[error("`{key}` is one of {}", list(allowed))]
    NotAChoice { key: String, allowed: Vec<&'static str>, found: String },
    #[error(transparent)]
    Name(#[from] BadName),
    #[error("`{key}` is an absolute path")]
    RelativePath { key: &'static str, path: String },
    #[error("`path` is absolute or begins with `~/`")]
    RelativeIso { path: String },
    #[error("a path cannot be empty")]
    EmptyPath,
    #[error("a path cannot hold {found:?}")]
    PathCharacter { found: char },
    #[error("a path has no `..`: it would depend on what links are on the way")]
    ParentInPath { path: String },
    #[error("a path has at most {MAX_PATH_BYTES} bytes, and each name in it at most {MAX_PATH_NAME_BYTES}")]
    LongPath { bytes: usize },
    #[error("`{key}` names a file, not a directory")]
    DirectoryPath { key: &'static str, path: String },
    #[error("`~` has no meaning here: no home directory is known")]
    NoHome { path: String },
    #[error("each VM has a disk of its own")]
    SharedDisk { path: String },
    #[error("a medium is no VM's disk")]
    DiskAsMedium { path: String },
    #[error("each card has an address of its own")]
    SharedMac { mac: String },
    #[error("a card's address is six pairs of hexadecimal digits")]
    Mac { found: String },
    #[error("a card's address is no multicast address")]
    MulticastMac { found: String, instead: String },
    #[error("a VM whose `network` is `none` has no card, so it has no `mac`")]
    MacWithoutCard,
    #[error(transparent)]
    Network(#[from] NetworkError),
    #[error(transparent)]
    CpuModel(#[from] CpuChoiceError),
    #[error("only UEFI insists on signed boot loaders: `secure_boot` needs `\"boot\": \"uefi\"`")]
    SecureBootWithBios,
    #[error("a title is one line of 1 to {MAX_TITLE_BYTES} bytes, without control characters")]
    Title { found: String },
    #[error("an ISO source is a `path` or a `url`, one of the two")]
    IsoOneOf,
    #[error("a VM has at most {MAX_ISO_SOURCES} media")]
    TooManyIsos { found: usize },
    #[error("a medium is listed once")]
    SameIso { found: String },
    #[error("`url` begins with `http://` or `https://`, and names a host")]
    Url { found: String },
    #[error("a URL has at most {MAX_URL_BYTES} characters of ASCII, without blanks")]
    UrlCharacters { found: String },
    #[error("a URL in a manifest has no user and no password")]
    UrlSecret,
    #[error("{error}")]
    Checksum { found: String, error: DigestError },
    #[error("only what is fetched has a `checksum`")]
    ChecksumOfPath,
    #[error("`uri` is a libvirt connection")]
    Uri { found: String },
    #[error("{omitted} more faults are not shown")]
    TooManyFaults { omitted: usize },
}

/// One part of each missing key, in a row.
fn joined(missing: &[Missing], part: impl Fn(&Missing) -> &'static str) -> String {
    missing.iter().map(part).collect::<Vec<_>>().join(", ")
}

impl From<MacError> for Rule {
    fn from(error: MacError) -> Self {
        multicast(&error.text).unwrap_or(Self::Mac { found: error.text })
    }
}

/// The rule for an address that is well-formed and multicast: its first byte is odd.
fn multicast(text: &str) -> Option<Rule> {
    let first = u8::from_str_radix(text.get(..2)?, 16).ok().filter(|byte| byte & 1 == 1)?;
    let instead = format!("{:02x}{}", first & !1, &text[2..]);
    instead.parse::<plasmavmc_types::MacAddr>().ok()?;
    Some(Rule::MulticastMac { found: text.to_owned(), instead })
}

impl plasmavmc_source::Rule for Rule {
    type Code = FaultCode;

    const NOT_UTF8: Self = Self::NotUtf8;

    fn too_many(omitted: usize) -> Self {
        Self::TooManyFaults { omitted }
    }

    fn code(&self) -> FaultCode {
        use FaultCode as C;
        match self {
            Self::NotUtf8 => C::NotUtf8,
            Self::ByteOrderMark
            | Self::Empty
            | Self::Comment
            | Self::TrailingComma
            | Self::MissingComma
            | Self::SingleQuotes
            | Self::LooseKey { .. }
            | Self::NumberForm { .. }
            | Self::LeadingZero
            | Self::Blank { .. }
            | Self::ControlInText { .. }
            | Self::Escape
            | Self::NoColon
            | Self::NoValue
            | Self::NoSuchWord { .. }
            | Self::Unclosed { .. }
            | Self::Rest
            | Self::Unexpected { .. }
            | Self::Nesting => C::Syntax,
            Self::DuplicateKey { .. } => C::DuplicateKey,
            Self::UnknownKey { .. } => C::UnknownKey,
            Self::MissingKeys { .. } => C::MissingKey,
            Self::WrongType { .. } => C::WrongType,
            Self::OutOfRange { .. } => C::OutOfRange,
            Self::NotAChoice { .. } => C::NotAChoice,
            Self::Name(_) => C::BadName,
            Self::RelativePath { .. }
            | Self::RelativeIso { .. }
            | Self::EmptyPath
            | Self::PathCharacter { .. }
            | Self::ParentInPath { .. }
            | Self::LongPath { .. }
            | Self::DirectoryPath { .. }
            | Self::NoHome { .. } => C::BadPath,
            Self::Mac { .. } | Self::MulticastMac { .. } => C::BadMac,
            Self::Network(_) => C::BadNetwork,
            Self::CpuModel(_) => C::BadCpuModel,
            Self::Title { .. } => C::BadTitle,
            Self::IsoOneOf => C::BadIsoSource,
            Self::Url { .. } | Self::UrlCharacters { .. } | Self::UrlSecret => C::BadUrl,
            Self::Checksum { .. } => C::BadChecksum,
            Self::Uri { .. } => C::BadUri,
            Self::MemoryTwice | Self::MacWithoutCard | Self::SecureBootWithBios | Self::ChecksumOfPath => {
                C::Contradiction
            }
            Self::SharedDisk { .. }
            | Self::DiskAsMedium { .. }
            | Self::SharedMac { .. }
            | Self::SameIso { .. } => C::UsedTwice,
            Self::TooManyIsos { .. } => C::TooMany,
            Self::TooManyFaults { .. } => C::TooManyFaults,
        }
    }

    fn found(&self) -> Option<String> {
        match self {
            Self::LooseKey { found }
            | Self::NumberForm { found }
            | Self::Unexpected { found }
            | Self::WrongType { found, .. }
            | Self::OutOfRange { found, .. }
            | Self::NotAChoice { found, .. }
            | Self::Mac { found }
            | Self::MulticastMac { found, .. }
            | Self::Title { found }
            | Self::SameIso { found }
            | Self::Url { found }
            | Self::UrlCharacters { found }
            | Self::Checksum { found, .. }
            | Self::Uri { found } => Some(shown(found)),
            Self::UnknownKey { key, .. } | Self::DuplicateKey { key } => Some(shown(key)),
            Self::RelativePath { path, .. }
            | Self::RelativeIso { path }
            | Self::ParentInPath { path }
            | Self::DirectoryPath { path, .. }
            | Self::NoHome { path }
            | Self::SharedDisk { path }
            | Self::DiskAsMedium { path } => Some(shown(path)),
            Self::SharedMac { mac } => Some(mac.clone()),
            Self::LongPath { bytes } => Some(format!("{bytes} bytes")),
            Self::TooManyIsos { found } => Some(found.to_string()),
            _ => None,
        }
    }

    fn suggestion(&self) -> Option<String> {
        let text = match self {
            Self::Comment => {
                "a key for it is kept: `\"_comment\": \"…\"`, `\"//\"`, `\"$comment\"` or `\"x-…\"`"
            }
            Self::Empty => "write for example `{ \"vms\": {} }`",
            Self::NotUtf8 | Self::ByteOrderMark => "save it as UTF-8 without a byte order mark",
            Self::TrailingComma => "take the comma away",
            Self::MissingComma => "put a comma between them",
            Self::ControlInText { .. } => "write it as an escape, such as `\\n`",
            Self::Escape => {
                "the escapes are `\\\"`, `\\\\`, `\\/`, `\\b`, `\\f`, `\\n`, `\\r`, `\\t` and `\\u0000`"
            }
            Self::Unclosed { .. } => "it may be half-written: see how it ends",
            Self::MemoryTwice => "keep one of them: 1 GiB is 1024 MiB",
            Self::RelativePath { .. } => "write it in full, such as `/var/lib/libvirt/images/NAME.qcow2`",
            Self::RelativeIso { .. } => "write it in full, such as `~/Downloads/NAME.iso`",
            Self::NoHome { .. } => "write it in full, or set `HOME`",
            Self::MacWithoutCard => "take `mac` away, or connect the card: `\"network\": \"default\"`",
            Self::SecureBootWithBios => "take `secure_boot` away",
            Self::Network(NetworkError::Kind) => "write for example `default` or `bridge:br0`",
            Self::Network(NetworkError::Bridge) => "write for example `bridge:br0`",
            Self::CpuModel(_) => {
                "write for example `host-passthrough`; `virsh cpu-models x86_64` lists the names"
            }
            Self::Mac { .. } => "write for example `52:54:00:12:34:56`",
            Self::IsoOneOf => "write `{ \"path\": \"…\" }` or `{ \"url\": \"…\" }`",
            Self::Url { .. } => "for a file of this host write `{ \"path\": \"…\" }`",
            Self::UrlCharacters { .. } => "write a blank as `%20`",
            Self::Checksum { .. } => "write `sha256:` or `sha512:`, and the digits the publisher gives",
            Self::ChecksumOfPath => "take `checksum` away; `sha256sum` checks a file of this host",
            Self::UrlSecret => "download it yourself, and name the file: `{ \"path\": \"…\" }`",
            Self::Uri { .. } => "write for example `qemu:///system`",
            Self::Title { .. } => "leave it out where there is none",
            _ => return self.made_suggestion(),
        };
        Some(text.to_owned())
    }
}

impl Rule {
    /// Suggestions that repeat something.
    fn made_suggestion(&self) -> Option<String> {
        match self {
            Self::LooseKey { found } => Some(format!("write `\"{}\"`", shown(found))),
            Self::NoSuchWord { found } => Some(match nearest(found, &["true", "false", "null"]) {
                Some(word) => format!("did you mean `{word}`?"),
                None => format!("a text stands in double quotes: `\"{}\"`", shown(found)),
            }),
            Self::UnknownKey { key, known, .. } => Some(did_you_mean(key, known)),
            Self::NotAChoice { found, allowed, .. } => {
                nearest(found, allowed).map(|word| format!("did you mean `{word}`?"))
            }
            Self::MissingKeys { missing, .. } => {
                Some(format!("add for example `{}`", joined(missing, |(_, example)| example)))
            }
            Self::WrongType { example, .. } => Some(format!("write for example `{example}`")),
            Self::OutOfRange { instead, .. } => instead.as_ref().map(|instead| format!("write `{instead}`")),
            Self::MulticastMac { instead, .. } => Some(format!("did you mean `{instead}`?")),
            _ => None,
        }
    }
}
