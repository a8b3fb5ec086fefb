//! What the installed QEMU offers: its version and its machine types, asked over QMP.
//!
//! Asking costs a start of QEMU, some 50 ms, so the answer is kept in the workspace together with
//! what identifies the binary; an upgraded QEMU is asked again. Tests: below, and
//! `tests/it/launch.rs`, where every launch asks the installed QEMU.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use plasmavmc_host::process::Detached;
use plasmavmc_host::{HostError, IoContext, publish};
use plasmavmc_types::{ErrorKind, Explain, MachineType};
use serde::{Deserialize, Serialize};

use crate::qmp::{Client, MachineInfo, QemuVersion, QmpError, QueryMachines, Quit};

/// The oldest QEMU that is used: `input-path`, through which the journal is opened, came with it.
const OLDEST: QemuVersion = QemuVersion { major: 8, minor: 1, micro: 0 };

/// The Debian package that has QEMU.
const PACKAGE: &str = "qemu-system-x86";

/// How long QEMU may take to start and answer; 50 ms on an idle host.
const BOUND: Duration = Duration::from_secs(20);

/// Why QEMU could not be asked.
#[derive(Debug, thiserror::Error)]
pub enum OfferError {
    /// It could not be started, or its files could not be used.
    #[error("QEMU cannot be used")]
    Host(#[source] HostError),
    /// It did not answer.
    #[error("`{}` did not tell what it offers", program.display())]
    Qmp {
        /// The program.
        program: PathBuf,
        /// What went wrong.
        #[source]
        source: QmpError,
    },
    /// It is too old.
    #[error("`{}` is version {found}; {OLDEST} or newer is needed", program.display())]
    TooOld {
        /// The program.
        program: PathBuf,
        /// Its version.
        found: QemuVersion,
    },
}

impl Explain for OfferError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Host(source) => source.kind(),
            Self::Qmp { .. } | Self::TooOld { .. } => ErrorKind::Preflight,
        }
    }

    fn hints(&self) -> Vec<String> {
        match self {
            Self::Host(source) => source.hints(),
            Self::Qmp { program, .. } => vec![format!("try `{} -version`", program.display())],
            Self::TooOld { .. } => vec![
                "install a newer one: `sudo apt-get install qemu-system-x86` on Debian 13 or Ubuntu 24.04, \
                 from `bookworm-backports` on Debian 12"
                    .to_owned(),
            ],
        }
    }
}

/// What a QEMU binary offers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Offer {
    binary: Binary,
    /// Its version.
    pub(crate) version: QemuVersion,
    /// The newest versioned `q35`, such as `pc-q35-10.0`.
    q35: Option<String>,
    /// `microvm`, which has no versions.
    microvm: Option<String>,
}

/// What tells one binary from another under the same path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Binary {
    path: PathBuf,
    inode: u64,
    size_bytes: u64,
    modified_ns: i64,
    changed_ns: i64,
}

impl Offer {
    /// What the binary offers: as it was kept, else by asking. Writes nothing.
    pub(crate) fn read(program: &Path, kept: &Path) -> Result<Self, OfferError> {
        let binary = Binary::of(program).map_err(OfferError::Host)?;
        let offer: Option<Self> = fs::read(kept).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
        match offer.filter(|offer| offer.binary == binary) {
            Some(offer) => Ok(offer),
            None => ask(binary),
        }
    }

    /// Keeps it for the next time. A cache: where it cannot be written, the next time asks again.
    pub(crate) fn keep(&self, kept: &Path) {
        let current = fs::read(kept).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
        if current.as_ref() != Some(self)
            && let Ok(text) = serde_json::to_vec_pretty(self)
        {
            let _ = publish::write(kept, &text);
        }
    }

    /// The versioned machine type; none where this QEMU does not have it.
    pub(crate) fn machine(&self, machine: MachineType) -> Option<&str> {
        match machine {
            MachineType::Q35 => self.q35.as_deref(),
            MachineType::Microvm => self.microvm.as_deref(),
        }
    }

    /// The machine types it has.
    pub(crate) fn machines(&self) -> Vec<MachineType> {
        let all = [MachineType::Q35, MachineType::Microvm];
        all.into_iter().filter(|&machine| self.machine(machine).is_some()).collect()
    }

    fn new(binary: Binary, version: QemuVersion, machines: &[MachineInfo]) -> Result<Self, OfferError> {
        if version < OLDEST {
            return Err(OfferError::TooOld { program: binary.path, found: version });
        }
        let find = |fits: &dyn Fn(&MachineInfo) -> bool| {
            machines.iter().find(|machine| fits(machine)).map(|machine| machine.name.clone())
        };
        let q35 = find(&|machine| machine.alias.as_deref() == Some("q35"));
        let microvm = find(&|machine| machine.name == "microvm");
        Ok(Self { binary, version, q35, microvm })
    }

    /// A QEMU 10.0 for tests of other modules.
    #[cfg(test)]
    pub(crate) fn sample() -> Self {
        let path = "/usr/bin/qemu-system-x86_64".into();
        let binary = Binary { path, inode: 1, size_bytes: 2, modified_ns: 3, changed_ns: 4 };
        let version = QemuVersion { major: 10, minor: 0, micro: 2 };
        let machine = |name: &str, alias: Option<&str>| MachineInfo {
            name: name.to_owned(),
            alias: alias.map(str::to_owned),
        };
        let machines =
            [machine("pc-q35-9.2", None), machine("pc-q35-10.0", Some("q35")), machine("microvm", None)];
        Self::new(binary, version, &machines).expect("version 10 is new enough")
    }
}

impl Binary {
    fn of(program: &Path) -> Result<Self, HostError> {
        let meta = match fs::metadata(program) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let program = program.display().to_string();
                return Err(HostError::MissingProgram { program, package: PACKAGE });
            }
            result => result.context("look at", program)?,
        };
        let nanos = |secs: i64, nanos: i64| secs.saturating_mul(1_000_000_000).saturating_add(nanos);
        Ok(Self {
            path: program.to_owned(),
            inode: meta.ino(),
            size_bytes: meta.size(),
            modified_ns: nanos(meta.mtime(), meta.mtime_nsec()),
            changed_ns: nanos(meta.ctime(), meta.ctime_nsec()),
        })
    }
}

/// Starts QEMU without a machine and asks it.
fn ask(binary: Binary) -> Result<Offer, OfferError> {
    const FD: i32 = 3;
    let io = |error| HostError::Spawn { program: binary.path.display().to_string(), source: error };
    let (ours, theirs) = UnixStream::pair().map_err(io).map_err(OfferError::Host)?;
    let null = fs::File::options().write(true).open("/dev/null").map_err(io).map_err(OfferError::Host)?;
    let arguments = ["-nodefaults", "-no-user-config", "-machine", "none", "-display", "none", "-chardev"];
    let qmp = [&format!("socket,id=qmp,fd={FD}"), "-mon", "chardev=qmp,mode=control"];
    let asked = Detached {
        program: binary.path.clone(),
        arguments: arguments.into_iter().chain(qmp).map(Into::into).collect(),
        directory: "/".into(),
        log: null,
        inherits: vec![(theirs.into(), FD)],
    };
    let mut asked = asked.launch().map_err(OfferError::Host)?;
    let answer = converse(ours);
    // Whatever it answered, it is not left behind.
    if !asked.process.exits_within(Duration::from_secs(2)).unwrap_or(false) {
        let _ = asked.child.kill();
    }
    let _ = asked.child.wait();
    let (version, machines) =
        answer.map_err(|source| OfferError::Qmp { program: binary.path.clone(), source })?;
    Offer::new(binary, version, &machines)
}

fn converse(stream: UnixStream) -> Result<(QemuVersion, Vec<MachineInfo>), QmpError> {
    let mut client = Client::start(stream, BOUND)?;
    let machines = client.execute(&QueryMachines {}, BOUND)?;
    // Its answer may be lost in the end it asks for.
    let _ = client.execute(&Quit {}, Duration::from_secs(1));
    Ok((client.version(), machines))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_version_of_a_machine_is_the_one_its_alias_names() {
        let offer = Offer::sample();
        assert_eq!(offer.machine(MachineType::Q35), Some("pc-q35-10.0"));
        assert_eq!(offer.machines(), [MachineType::Q35, MachineType::Microvm]);
    }

    #[test]
    fn a_qemu_that_is_too_old_is_refused_with_its_version() {
        let old = QemuVersion { major: 7, minor: 2, micro: 9 };
        let error = Offer::new(Offer::sample().binary, old, &[]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "`/usr/bin/qemu-system-x86_64` is version 7.2.9; 8.1.0 or newer is needed"
        );
    }

    #[test]
    fn a_binary_that_is_not_there_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let program = dir.path().join("qemu");
        let error = Offer::read(&program, &dir.path().join("kept")).unwrap_err();
        let source = std::error::Error::source(&error).unwrap().to_string();
        assert_eq!(source, format!("`{}` is not installed", program.display()));
    }
}
