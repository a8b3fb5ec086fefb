//! The rules of a `castra.toml`: one variant each, with its sentence, its code and its way out.
//!
//! Owns: every word a fault says. Never does: decide whether a rule is broken. Tests: every rule is
//! broken once in `tests/config/faults.rs`.

use std::fmt;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use plasmavmc_host::image::ImageNameError;
use plasmavmc_host::seed::SeedReader;
use plasmavmc_types::{ByteSizeError, NameError, VmName};
use schemars::JsonSchema;
use serde::Serialize;

use super::limits::{
    MAX_ENV_BYTES, MAX_ENV_NAME, MAX_ENV_VARIABLES, MAX_NAME_BYTES, MAX_PATH_BYTES, MAX_PORT_FORWARDS,
    MAX_VERIFY_BYTES, MAX_VMS, MIN_MEMORY, VERSION,
};
use super::project::ProjectNameError;

/// The stable name of a kind of fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum FaultCode {
    /// The text is not UTF-8.
    NotUtf8,
    /// The text is not TOML.
    Syntax,
    /// A key stands twice in one table.
    DuplicateKey,
    /// The format's version is not one this Castra reads.
    UnsupportedVersion,
    /// A table has a key that means nothing there.
    UnknownKey,
    /// A table lacks a key.
    MissingKey,
    /// A value has another type than its key takes.
    WrongType,
    /// A number is outside its range.
    OutOfRange,
    /// A text is none of the words its key takes.
    NotAChoice,
    /// The name of a VM or a project cannot be used.
    BadName,
    /// Two VMs would have one name, or files of one name.
    DuplicateName,
    /// A text is not a size, or the size cannot be used.
    BadSize,
    /// A path cannot be used.
    BadPath,
    /// The workspace would not be a directory of its own.
    BadStateDir,
    /// An image is neither named nor given as a path.
    BadImage,
    /// The address of a forward cannot be used.
    BadAddress,
    /// Two forwards would listen on one port of the host.
    PortConflict,
    /// An overlay is used for something else too.
    OverlayConflict,
    /// A cloud-init text stands where the path of its file belongs, or says what its image would ignore.
    BadCloudInit,
    /// A bootstrap's environment or check cannot be used.
    BadBootstrap,
    /// Replicas or their overrides do not fit together.
    BadReplicas,
    /// There is more of something than a project may have.
    TooMany,
    /// There are more faults than are shown.
    TooManyFaults,
}

impl FaultCode {
    /// Every code, in the order of its declaration.
    pub const ALL: [Self; 23] = [
        Self::NotUtf8,
        Self::Syntax,
        Self::DuplicateKey,
        Self::UnsupportedVersion,
        Self::UnknownKey,
        Self::MissingKey,
        Self::WrongType,
        Self::OutOfRange,
        Self::NotAChoice,
        Self::BadName,
        Self::DuplicateName,
        Self::BadSize,
        Self::BadPath,
        Self::BadStateDir,
        Self::BadImage,
        Self::BadAddress,
        Self::PortConflict,
        Self::OverlayConflict,
        Self::BadCloudInit,
        Self::BadBootstrap,
        Self::BadReplicas,
        Self::TooMany,
        Self::TooManyFaults,
    ];

    /// The code as text, in kebab case: the same as in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NotUtf8 => "not-utf8",
            Self::Syntax => "syntax",
            Self::DuplicateKey => "duplicate-key",
            Self::UnsupportedVersion => "unsupported-version",
            Self::UnknownKey => "unknown-key",
            Self::MissingKey => "missing-key",
            Self::WrongType => "wrong-type",
            Self::OutOfRange => "out-of-range",
            Self::NotAChoice => "not-a-choice",
            Self::BadName => "bad-name",
            Self::DuplicateName => "duplicate-name",
            Self::BadSize => "bad-size",
            Self::BadPath => "bad-path",
            Self::BadStateDir => "bad-state-dir",
            Self::BadImage => "bad-image",
            Self::BadAddress => "bad-address",
            Self::PortConflict => "port-conflict",
            Self::OverlayConflict => "overlay-conflict",
            Self::BadCloudInit => "bad-cloud-init",
            Self::BadBootstrap => "bad-bootstrap",
            Self::BadReplicas => "bad-replicas",
            Self::TooMany => "too-many",
            Self::TooManyFaults => "too-many-faults",
        }
    }
}

impl fmt::Display for FaultCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A rule that is broken; its `Display` is the rule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Rule {
    #[error("a config is UTF-8 text")]
    NotUtf8,
    #[error("this is not TOML: {detail}")]
    Syntax { detail: String },
    #[error("a key needs a value")]
    NoValue,
    #[error("a text stands in quotes")]
    Unquoted { text: String },
    #[error("a key stands once in a table")]
    DuplicateKey { key: String },
    #[error("the version of this format is {VERSION}")]
    Version { found: String },
    #[error("{table} has no key `{}`", shown(key))]
    UnknownKey { table: &'static str, key: String, known: Vec<&'static str> },
    #[error("{table} needs `{key}`")]
    MissingKey { table: &'static str, key: &'static str, example: &'static str },
    #[error("a project has at least one VM")]
    NoVms,
    #[error("`{key}` is {expected}")]
    WrongType { key: String, expected: &'static str, found: String, example: &'static str },
    #[error("`{key}` is a whole number from {min} to {max}")]
    OutOfRange { key: String, min: u32, max: u32, found: String },
    #[error("`{key}` is one of {}", list(allowed))]
    NotAChoice { key: String, allowed: Vec<&'static str>, found: String },
    #[error(transparent)]
    VmName(#[from] NameError),
    #[error("`{name}` cannot name a VM: its {file} would meet a file of the workspace itself")]
    ReservedName { name: VmName, file: &'static str },
    #[error("with its number a replica's name has at most {max} characters", max = VmName::MAX_LEN)]
    ReplicaName { name: String },
    #[error(transparent)]
    ProjectName(#[from] ProjectNameError),
    #[error("each VM has a name of its own, whatever the case")]
    DuplicateName { name: VmName },
    #[error("the VMs `{name}` and `{name}-serial` would share the log `{name}-serial.log`")]
    SerialLogClash { name: VmName },
    #[error(transparent)]
    Size(#[from] ByteSizeError),
    #[error("`memory` is a text with a unit")]
    MemoryNumber { found: String },
    #[error("a VM has at least {MIN_MEMORY} of memory")]
    LittleMemory { found: String },
    #[error("memory is a whole number of MiB")]
    OddMemory { found: String },
    #[error("a path cannot be empty")]
    EmptyPath,
    #[error("a path cannot hold {found:?}")]
    PathCharacter { found: char },
    #[error("a path has at most {MAX_PATH_BYTES} bytes, and each name in it at most {MAX_NAME_BYTES}")]
    LongPath { bytes: usize },
    #[error("`{key}` names a file, not a directory")]
    DirectoryPath { key: &'static str, path: String },
    #[error("a path that begins with `.castra` stays in the workspace")]
    LeavesWorkspace { path: String },
    #[error("`~` has no meaning here: no home directory is known")]
    NoHome { path: String },
    #[error("the workspace is a directory of its own: `castra clean` deletes what is in it")]
    SharedStateDir { path: PathBuf, holds: &'static str },
    #[error(transparent)]
    ImageName(#[from] ImageNameError),
    #[error("`address` is an IPv4 address of this host: user-mode networking forwards no other")]
    Address { found: String },
    #[error("replica {replica} listens {replica} ports above `host`, at most on 65535")]
    ReplicaPort { host: u16, replica: u32 },
    #[error("each port of the host leads to one VM: {port} is taken")]
    PortClash { port: String, replicas: bool },
    #[error("each VM has an overlay of its own")]
    SharedOverlay { path: PathBuf, replicas: bool },
    #[error("an overlay is overwritten and deleted: it cannot be {what}")]
    OverlayIsInput { path: PathBuf, what: &'static str },
    #[error("an overlay cannot stand where Castra keeps its own files")]
    ReservedOverlay { path: PathBuf, suggestion: String },
    #[error("`{key}` as a text is the path of a file")]
    InlineAsPath { key: &'static str },
    #[error("{reader} takes {} of user-data: the rest would be ignored", list(taken))]
    IgnoredUserData { reader: SeedReader, taken: &'static [&'static str], found: Vec<String> },
    #[error("{reader} takes no user-data of this kind: it would be ignored")]
    IgnoredUserDataKind { reader: SeedReader, found: String },
    #[error("a payload is copied into the workspace, so it cannot hold it")]
    PayloadHoldsWorkspace { path: PathBuf },
    #[error(
        "a variable's name is at most {MAX_ENV_NAME} letters, digits and `_`, and does not begin with a digit"
    )]
    EnvName { found: String },
    #[error("variables that begin with `CASTRA_` are Castra's own")]
    ReservedEnv { found: String },
    #[error("a variable cannot hold a NUL")]
    EnvValue,
    #[error("a bootstrap has at most {MAX_ENV_VARIABLES} variables")]
    TooManyVariables { found: usize },
    #[error("the variables of a bootstrap have at most {MAX_ENV_BYTES} bytes with their names")]
    LargeEnv { bytes: usize },
    #[error("`verify` names a program of the guest")]
    EmptyVerify,
    #[error("`verify` has at most {MAX_VERIFY_BYTES} bytes")]
    LongVerify { bytes: usize },
    #[error("`verify` cannot hold a NUL")]
    VerifyCharacter,
    #[error("`replicas` overrides keys of replicas: it needs `count`")]
    ReplicasWithoutCount,
    #[error("`replicas` holds tables named after replicas")]
    UnknownReplica { found: String, known: Rc<[String]> },
    #[error("a project has at most {MAX_VMS} VMs, replicas counted")]
    TooManyVms,
    #[error("a VM has at most {MAX_PORT_FORWARDS} port forwards")]
    TooManyForwards { found: usize },
    #[error("{omitted} more faults are not shown")]
    TooManyFaults { omitted: usize },
}

impl Rule {
    /// The stable name of the kind of fault.
    pub(super) fn code(&self) -> FaultCode {
        use FaultCode as C;
        match self {
            Self::NotUtf8 => C::NotUtf8,
            Self::Syntax { .. } | Self::NoValue | Self::Unquoted { .. } => C::Syntax,
            Self::DuplicateKey { .. } => C::DuplicateKey,
            Self::Version { .. } => C::UnsupportedVersion,
            Self::UnknownKey { .. } => C::UnknownKey,
            Self::MissingKey { .. } | Self::NoVms => C::MissingKey,
            Self::WrongType { .. } | Self::MemoryNumber { .. } => C::WrongType,
            Self::OutOfRange { .. } | Self::ReplicaPort { .. } => C::OutOfRange,
            Self::NotAChoice { .. } => C::NotAChoice,
            Self::VmName(_) | Self::ReservedName { .. } | Self::ReplicaName { .. } | Self::ProjectName(_) => {
                C::BadName
            }
            Self::DuplicateName { .. } | Self::SerialLogClash { .. } => C::DuplicateName,
            Self::Size(_) | Self::LittleMemory { .. } | Self::OddMemory { .. } => C::BadSize,
            Self::EmptyPath
            | Self::PathCharacter { .. }
            | Self::LongPath { .. }
            | Self::DirectoryPath { .. }
            | Self::LeavesWorkspace { .. }
            | Self::PayloadHoldsWorkspace { .. }
            | Self::NoHome { .. } => C::BadPath,
            Self::SharedStateDir { .. } => C::BadStateDir,
            Self::ImageName(_) => C::BadImage,
            Self::Address { .. } => C::BadAddress,
            Self::PortClash { .. } => C::PortConflict,
            Self::SharedOverlay { .. } | Self::OverlayIsInput { .. } | Self::ReservedOverlay { .. } => {
                C::OverlayConflict
            }
            Self::InlineAsPath { .. } | Self::IgnoredUserData { .. } | Self::IgnoredUserDataKind { .. } => {
                C::BadCloudInit
            }
            Self::EnvName { .. }
            | Self::ReservedEnv { .. }
            | Self::EnvValue
            | Self::LargeEnv { .. }
            | Self::EmptyVerify
            | Self::LongVerify { .. }
            | Self::VerifyCharacter => C::BadBootstrap,
            Self::ReplicasWithoutCount | Self::UnknownReplica { .. } => C::BadReplicas,
            Self::TooManyVms | Self::TooManyForwards { .. } | Self::TooManyVariables { .. } => C::TooMany,
            Self::TooManyFaults { .. } => C::TooManyFaults,
        }
    }

    /// What stands there instead, shortened and without control characters.
    pub(super) fn found(&self) -> Option<String> {
        match self {
            Self::Unquoted { text } => Some(shown(text)),
            Self::Version { found }
            | Self::WrongType { found, .. }
            | Self::OutOfRange { found, .. }
            | Self::NotAChoice { found, .. }
            | Self::MemoryNumber { found }
            | Self::LittleMemory { found }
            | Self::OddMemory { found }
            | Self::Address { found }
            | Self::EnvName { found }
            | Self::ReservedEnv { found }
            | Self::IgnoredUserDataKind { found, .. }
            | Self::UnknownReplica { found, .. } => Some(shown(found)),
            Self::UnknownKey { key, .. } | Self::DuplicateKey { key } => Some(shown(key)),
            Self::DirectoryPath { path, .. } | Self::LeavesWorkspace { path } | Self::NoHome { path } => {
                Some(shown(path))
            }
            Self::SharedStateDir { path, .. }
            | Self::PayloadHoldsWorkspace { path }
            | Self::SharedOverlay { path, .. }
            | Self::OverlayIsInput { path, .. }
            | Self::ReservedOverlay { path, .. } => Some(shown_path(path)),
            Self::ReplicaName { name } => Some(shown(name)),
            Self::ReplicaPort { host, replica } => Some(format!("{host} + {replica}")),
            Self::LongPath { bytes } | Self::LargeEnv { bytes } | Self::LongVerify { bytes } => {
                Some(format!("{bytes} bytes"))
            }
            Self::TooManyForwards { found } | Self::TooManyVariables { found } => Some(found.to_string()),
            Self::IgnoredUserData { found, .. } => Some(shown(&found.join(", "))),
            _ => None,
        }
    }

    /// What to write instead: a sentence with something to type, without a full stop.
    pub(super) fn suggestion(&self) -> Option<String> {
        match self {
            Self::Unquoted { text } => Some(format!("write `{:?}`", shown(text))),
            Self::Version { .. } => Some(format!("write `version = {VERSION}`, or leave it out")),
            Self::UnknownKey { key, known, .. } => Some(did_you_mean(key, known)),
            Self::MissingKey { example, .. } => Some(format!("write for example `{example}`")),
            Self::NoVms => Some("add `[[vms]]` and below it `name = \"devbox\"`".to_owned()),
            Self::WrongType { example, .. } if !example.is_empty() => {
                Some(format!("write for example `{example}`"))
            }
            Self::NotAChoice { found, allowed, .. } => Some(did_you_mean(found, allowed)),
            Self::ReservedName { name, .. } => Some(format!("write for example `{name}-vm`")),
            Self::MemoryNumber { found } => Some(format!("write for example `memory = \"{found} MiB\"`")),
            Self::OddMemory { .. } => Some("use the units MiB and GiB, as in `2 GiB`".to_owned()),
            Self::DirectoryPath { .. } => Some("add the name of the file".to_owned()),
            Self::LeavesWorkspace { .. } => {
                Some("leave `..` out, or write a path that does not begin with `.castra`".to_owned())
            }
            Self::NoHome { .. } => Some("write the path in full".to_owned()),
            Self::SharedStateDir { holds, .. } => {
                Some(format!("this one holds {holds}: write for example `state_dir = \".castra\"`"))
            }
            Self::ImageName(_) => {
                Some("write a name such as `alpine`, or a path such as `images/base.qcow2`".to_owned())
            }
            Self::Address { .. } => Some("write `127.0.0.1`, or `0.0.0.0` for every address".to_owned()),
            Self::PortClash { replicas: true, .. } => {
                Some("replica n listens n ports above `host`: keep the host ports `count` apart".to_owned())
            }
            Self::SharedOverlay { replicas: true, .. } => Some(
                "leave `overlay` out, or give each replica its own under `[vms.replicas.<name>]`".to_owned(),
            ),
            Self::SharedOverlay { .. } | Self::OverlayIsInput { .. } => {
                Some("leave `overlay` out: each VM gets its own".to_owned())
            }
            Self::ReservedOverlay { suggestion, .. } => Some(suggestion.clone()),
            Self::InlineAsPath { key } => Some(format!("write `{key} = {{ inline = \"\"\"…\"\"\" }}`")),
            Self::IgnoredUserData { .. } | Self::IgnoredUserDataKind { .. } => Some(
                "do the rest in a script: `[vms.bootstrap]` and below it `script = \"bootstrap.sh\"`"
                    .to_owned(),
            ),
            Self::PayloadHoldsWorkspace { .. } => Some(
                "move what the script needs into a directory of its own: `payload = \"payload\"`".to_owned(),
            ),
            Self::EnvName { .. } | Self::ReservedEnv { .. } => {
                Some("write for example `env = { PORT = \"8080\" }`".to_owned())
            }
            Self::TooManyVariables { .. } | Self::LargeEnv { .. } => {
                Some("put them into a file of the payload, and let the script read it".to_owned())
            }
            Self::EmptyVerify => Some("write for example `verify = \"systemctl is-active web\"`".to_owned()),
            Self::LongVerify { .. } => {
                Some("put it into a file of the payload: `verify = [\"./verify.sh\"]`".to_owned())
            }
            Self::ReplicasWithoutCount => Some("add for example `count = 2`".to_owned()),
            Self::UnknownReplica { found, known } => {
                let known: Vec<&str> = known.iter().map(String::as_str).collect();
                Some(did_you_mean(found, &known))
            }
            _ => None,
        }
    }
}

/// The longest text a message repeats, in characters.
const SHOWN_CHARS: usize = 100;

/// A text from the file as a message may repeat it: on one line, shortened.
pub(super) fn shown(text: &str) -> String {
    let mut short: String = text.chars().take(SHOWN_CHARS).flat_map(char::escape_debug).collect();
    if text.chars().nth(SHOWN_CHARS).is_some() {
        short.push('…');
    }
    short.replace("\\\"", "\"").replace("\\'", "'")
}

fn shown_path(path: &Path) -> String {
    shown(&path.display().to_string())
}

fn list(words: &[&str]) -> String {
    let quoted: Vec<String> = words.iter().map(|word| format!("`{word}`")).collect();
    quoted.join(", ")
}

/// The most words a suggestion lists.
const LISTED_WORDS: usize = 12;

/// Names the known word nearest to `found`, or all of them where none is near.
fn did_you_mean(found: &str, known: &[&str]) -> String {
    match nearest(found, known) {
        Some(word) => format!("did you mean `{word}`?"),
        None if known.len() > LISTED_WORDS => format!("known: {}, …", list(&known[..LISTED_WORDS])),
        None => format!("known: {}", list(known)),
    }
}

/// The known word that a slip of the hand could have made `found`; none where all are far.
fn nearest<'w>(found: &str, known: &[&'w str]) -> Option<&'w str> {
    /// Longer texts are no slip, and comparing them costs.
    const LONGEST: usize = 64;
    if found.len() > LONGEST {
        return None;
    }
    let plain = |text: &str| text.to_lowercase().replace('-', "_");
    let found = plain(found);
    // Whoever leaves the end of a name out, such as its unit, makes no slip but means it.
    let begins = |word: &&&str| plain(word).strip_prefix(&found).is_some_and(|rest| rest.starts_with('_'));
    if let Some(word) = known.iter().find(begins).filter(|_| !found.is_empty()) {
        return Some(word);
    }
    let scored = known.iter().map(|word| (strsim::damerau_levenshtein(&found, &plain(word)), *word));
    let (distance, word) = scored.min_by_key(|(distance, _)| *distance)?;
    let allowed = (word.chars().count().max(found.chars().count()) / 3).max(1);
    (distance <= allowed).then_some(word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_is_recognised_and_another_word_is_not() {
        let known = ["name", "memory", "port_forwards", "cpus", "base_image"];
        for (found, word) in [
            ("memroy", Some("memory")),
            ("Memory", Some("memory")),
            ("port-forwards", Some("port_forwards")),
            ("ports_forward", Some("port_forwards")),
            ("cpu", Some("cpus")),
            ("base", Some("base_image")),
            ("disk", None),
            ("", None),
            (&"m".repeat(65), None),
        ] {
            assert_eq!(nearest(found, &known), word, "{found:?}");
        }
        assert_eq!(did_you_mean("disk", &["a", "b"]), "known: `a`, `b`");
    }

    #[test]
    fn a_code_is_written_the_same_in_json() {
        for code in FaultCode::ALL {
            assert_eq!(serde_json::to_value(code).unwrap(), code.as_str());
        }
    }

    #[test]
    fn what_a_message_repeats_is_short_and_on_one_line() {
        assert_eq!(shown("a\n\u{1b}[31m\"b\""), "a\\n\\u{1b}[31m\"b\"");
        assert_eq!(shown(&"x".repeat(1000)).chars().count(), SHOWN_CHARS + 1);
    }
}
