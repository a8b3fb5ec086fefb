//! Where QEMU is, and which QEMU it is.
//!
//! Owns: finding the system emulator of an architecture, the stamp that tells one installation
//! from the next, its version. Never does: start a machine. Tests: below.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use plasmavmc_types::{ErrorKind, Explain};
use serde::{Deserialize, Serialize};

use crate::exec::{self, Program};
use crate::{HostError, IoContext};

/// Time `--version` gets. It takes some 25 ms; a first run from a slow disk takes longer.
const VERSION_BOUND: Duration = Duration::from_secs(10);

/// The architecture of a guest's processor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GuestArch {
    /// 64-bit x86.
    #[serde(rename = "x86_64")]
    X86_64,
    /// 64-bit ARM.
    Aarch64,
}

impl GuestArch {
    /// The architecture of this host; none where Castra has no guests for it.
    pub fn of_host() -> Option<Self> {
        match std::env::consts::ARCH {
            "x86_64" => Some(Self::X86_64),
            "aarch64" => Some(Self::Aarch64),
            _ => None,
        }
    }

    /// QEMU's name of it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::X86_64 => "x86_64",
            Self::Aarch64 => "aarch64",
        }
    }

    /// The emulator of whole machines of this architecture.
    pub const fn emulator(self) -> Program {
        match self {
            Self::X86_64 => Program::new("qemu-system-x86_64", "qemu-system-x86"),
            Self::Aarch64 => Program::new("qemu-system-aarch64", "qemu-system-arm"),
        }
    }
}

/// One installed QEMU system emulator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QemuBinary {
    arch: GuestArch,
    stamp: FileStamp,
}

/// Tells a file from what replaces it under the same name: an upgrade changes the rest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileStamp {
    path: PathBuf,
    size: u64,
    inode: u64,
    modified_ns: i64,
}

/// A QEMU that was named by hand and cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum QemuError {
    /// The emulator is missing or cannot be inspected.
    #[error("there is no QEMU to run guests with")]
    Host {
        /// Why not.
        #[source]
        source: HostError,
    },
    /// The file named instead of the installed one is no program.
    #[error("`{}`, named as the QEMU to use, is not an executable file", path.display())]
    NotAProgram {
        /// The file.
        path: PathBuf,
    },
    /// The program does not answer as QEMU does.
    #[error("`{}` does not tell a QEMU version but {answer:?}", path.display())]
    NotQemu {
        /// The program.
        path: PathBuf,
        /// The first line of its answer.
        answer: String,
    },
}

impl Explain for QemuError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Host { source } => source.kind(),
            Self::NotAProgram { .. } | Self::NotQemu { .. } => ErrorKind::Preflight,
        }
    }

    fn hints(&self) -> Vec<String> {
        match self {
            Self::Host { source } => source.hints(),
            Self::NotAProgram { .. } | Self::NotQemu { .. } => {
                vec![
                    "name a QEMU system emulator, or `unset CASTRA_QEMU` to use the installed one".to_owned(),
                ]
            }
        }
    }
}

/// Finds the emulator for guests of `arch`: the file `chosen` by hand, or the installed program.
///
/// # Errors
/// [`QemuError::Host`] with [`HostError::MissingProgram`], which names the package to install;
/// [`QemuError::NotAProgram`].
pub fn locate(arch: GuestArch, chosen: Option<&Path>) -> Result<QemuBinary, QemuError> {
    let program = arch.emulator();
    let path = match chosen {
        Some(path) if is_executable(path) => std::path::absolute(path)
            .context("find the directory of", path)
            .map_err(|source| QemuError::Host { source })?,
        Some(path) => return Err(QemuError::NotAProgram { path: path.to_owned() }),
        None => program.find().ok_or_else(|| QemuError::Host {
            source: HostError::MissingProgram {
                program: program.name().to_owned(),
                package: program.package(),
            },
        })?,
    };
    let stamp = FileStamp::of(&path).map_err(|source| QemuError::Host { source })?;
    Ok(QemuBinary { arch, stamp })
}

impl QemuBinary {
    /// Where it is, absolute.
    pub fn path(&self) -> &Path {
        &self.stamp.path
    }

    /// The architecture of its guests.
    pub fn arch(&self) -> GuestArch {
        self.arch
    }

    /// Which installation it is.
    pub fn stamp(&self) -> &FileStamp {
        &self.stamp
    }

    /// A command that runs it, without arguments yet, with messages in English.
    pub fn command(&self) -> Command {
        let mut command = Command::new(self.path());
        command.env("LC_ALL", "C");
        command
    }

    /// Asks it for its version, such as `10.0.2`. Starts a process: see
    /// [`crate::accelerator::Proof`] for the cached answer.
    ///
    /// # Errors
    /// [`QemuError`] where it does not run or is no QEMU.
    pub fn version(&self) -> Result<String, QemuError> {
        let mut command = self.command();
        command.arg("--version");
        let output = exec::run(command, VERSION_BOUND).map_err(|source| QemuError::Host { source })?;
        let text = output.text();
        parse_version(&text).ok_or_else(|| QemuError::NotQemu {
            path: self.path().to_owned(),
            answer: text.lines().next().unwrap_or_default().chars().take(80).collect(),
        })
    }
}

impl FileStamp {
    /// The stamp of the file at `path`, symbolic links followed.
    ///
    /// # Errors
    /// [`HostError::Io`].
    pub fn of(path: &Path) -> Result<Self, HostError> {
        let meta = path.metadata().context("inspect", path)?;
        let modified_ns = meta.mtime().saturating_mul(1_000_000_000).saturating_add(meta.mtime_nsec());
        Ok(Self { path: path.to_owned(), size: meta.size(), inode: meta.ino(), modified_ns })
    }
}

fn is_executable(path: &Path) -> bool {
    path.metadata().is_ok_and(|meta| meta.is_file() && meta.mode() & 0o111 != 0)
}

/// The version in `QEMU emulator version 10.0.2 (Debian 1:10.0.2+ds-2)`.
fn parse_version(text: &str) -> Option<String> {
    let rest = text.strip_prefix("QEMU emulator version ")?;
    let version = rest.split_whitespace().next()?;
    version.starts_with(|c: char| c.is_ascii_digit()).then(|| version.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_read_as_every_build_writes_it() {
        for (text, expected) in [
            ("QEMU emulator version 10.0.2 (Debian 1:10.0.2+ds-2+deb13u1~bpo12+1)\n", Some("10.0.2")),
            ("QEMU emulator version 9.2.50\nCopyright", Some("9.2.50")),
            ("QEMU emulator version \n", None),
            ("GNU bash, version 5.2", None),
            ("", None),
        ] {
            assert_eq!(parse_version(text).as_deref(), expected, "{text:?}");
        }
    }

    #[test]
    fn the_installed_emulator_is_found_and_tells_its_version() {
        let qemu = locate(GuestArch::X86_64, None).unwrap();
        assert!(qemu.path().is_absolute());
        assert!(qemu.version().unwrap().contains('.'));
        assert_eq!(FileStamp::of(qemu.path()).unwrap(), *qemu.stamp());
    }

    #[test]
    fn a_program_that_is_not_qemu_is_told_apart() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let error = locate(GuestArch::X86_64, Some(file.path())).unwrap_err();
        assert!(matches!(error, QemuError::NotAProgram { .. }));
        let env = Program::new("env", "coreutils").find().unwrap();
        let error = locate(GuestArch::X86_64, Some(&env)).unwrap().version().unwrap_err();
        assert!(matches!(error, QemuError::NotQemu { .. }), "{error:?}");
    }
}
