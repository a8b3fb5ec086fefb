//! The rules of a `castra.toml`: one variant each, with its sentence, its code and its way out.
//!
//! Owns: every word a fault says. Never does: decide whether a rule is broken. Tests: every rule is
//! broken once in `tests/config/faults.rs`.

use std::path::{Path, PathBuf};
use std::rc::Rc;

use plasmavmc_host::image::ImageNameError;
use plasmavmc_host::seed::SeedReader;
use plasmavmc_source::{did_you_mean, list, shown};
use plasmavmc_types::{ByteSizeError, NameError, VmName};

use super::code::FaultCode;
use super::limits::{
    MAX_ENV_BYTES, MAX_ENV_NAME, MAX_ENV_VARIABLES, MAX_MOUNTS, MAX_NAME_BYTES, MAX_PATH_BYTES,
    MAX_PORT_FORWARDS, MAX_VERIFY_BYTES, MAX_VMS, MIN_MEMORY, VERSION,
};
use super::project::ProjectNameError;

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
    #[error("a relative `host` names a folder beside the config or below it")]
    MountOutside { path: PathBuf },
    #[error("a guest is given no folder that holds Castra's own files, or lies in them")]
    MountOfOwnFiles { path: PathBuf },
    #[error("`guest` is an absolute path, and not `/`")]
    MountPoint { path: String },
    #[error("a VM has one mount at a place")]
    SharedMountPoint { path: String },
    #[error("a VM has at most {MAX_MOUNTS} mounts")]
    TooManyMounts { found: usize },
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
            Self::MountOutside { .. }
            | Self::MountOfOwnFiles { .. }
            | Self::MountPoint { .. }
            | Self::SharedMountPoint { .. } => C::BadMount,
            Self::ReplicasWithoutCount | Self::UnknownReplica { .. } => C::BadReplicas,
            Self::TooManyVms
            | Self::TooManyForwards { .. }
            | Self::TooManyMounts { .. }
            | Self::TooManyVariables { .. } => C::TooMany,
            Self::TooManyFaults { .. } => C::TooManyFaults,
        }
    }

    fn found(&self) -> Option<String> {
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
            Self::DirectoryPath { path, .. }
            | Self::LeavesWorkspace { path }
            | Self::MountPoint { path }
            | Self::SharedMountPoint { path }
            | Self::NoHome { path } => Some(shown(path)),
            Self::SharedStateDir { path, .. }
            | Self::PayloadHoldsWorkspace { path }
            | Self::MountOutside { path }
            | Self::MountOfOwnFiles { path }
            | Self::SharedOverlay { path, .. }
            | Self::OverlayIsInput { path, .. }
            | Self::ReservedOverlay { path, .. } => Some(shown_path(path)),
            Self::ReplicaName { name } => Some(shown(name)),
            Self::ReplicaPort { host, replica } => Some(format!("{host} + {replica}")),
            Self::LongPath { bytes } | Self::LargeEnv { bytes } | Self::LongVerify { bytes } => {
                Some(format!("{bytes} bytes"))
            }
            Self::TooManyForwards { found }
            | Self::TooManyMounts { found }
            | Self::TooManyVariables { found } => Some(found.to_string()),
            Self::IgnoredUserData { found, .. } => Some(shown(&found.join(", "))),
            _ => None,
        }
    }

    fn suggestion(&self) -> Option<String> {
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
            Self::MountOutside { path } => {
                Some(format!("name it in full: `host = \"{}\"`", shown_path(path)))
            }
            Self::MountOfOwnFiles { .. } => {
                Some("share a folder of its own, such as `host = \"src\"`, or set `state_dir`".to_owned())
            }
            Self::MountPoint { .. } => Some("write for example `guest = \"/srv/src\"`".to_owned()),
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

/// A path as a message may repeat it.
fn shown_path(path: &Path) -> String {
    shown(&path.display().to_string())
}
