//! Why a guest image could not be built, and what to do about it.

use std::path::PathBuf;

use plasmavmc_types::{ErrorKind, Explain};

use super::cpio::CpioError;
use super::elf::ElfError;
use super::partition::TableError;
use super::{Recipe, debian};
use crate::HostError;
use crate::exec::Program;

/// A failed build. Nothing of it is left on disk, and what had the image's name before still has it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// The host has no Debian packages to build from.
    #[error("the image `{recipe}` is built from Debian's packages, and this is {found}")]
    NotDebian {
        /// What was to be built.
        recipe: Recipe,
        /// What the host calls itself.
        found: String,
    },
    /// The host's processor is one no recipe is written for.
    #[error("the image `{recipe}` can only be built on x86_64, and this is {found}")]
    Architecture {
        /// What was to be built.
        recipe: Recipe,
        /// The host's architecture.
        found: &'static str,
    },
    /// The host lacks something that a person can install: all of it, in one error.
    #[error("the image `{recipe}` cannot be built here: {}", lacking(programs, *lists))]
    Lacking {
        /// What was to be built.
        recipe: Recipe,
        /// The programs that are not installed.
        programs: Vec<Program>,
        /// Whether apt knows of the packages.
        lists: PackageLists,
    },
    /// A user without root needs a range of user ids of their own to unpack a system.
    #[error("the image `{recipe}` needs root, or a range of subordinate user ids for `{user}`")]
    NoUserRange {
        /// What was to be built.
        recipe: Recipe,
        /// The user.
        user: String,
        /// The first id that nobody has.
        free: u32,
    },
    /// A package does not hold what it did in every release that was tried.
    #[error("no {what} in the packages of `{package}`")]
    Content {
        /// The package.
        package: String,
        /// What was looked for.
        what: String,
    },
    /// A program or module of a package cannot be read.
    #[error("failed to read `{}`", path.display())]
    Elf {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: ElfError,
    },
    /// Kernel modules depend on each other in a circle.
    #[error("kernel module `{module}` depends on itself")]
    ModuleCycle {
        /// One of them.
        module: String,
    },
    /// A file does not fit into an initramfs.
    #[error("failed to pack the initramfs")]
    Cpio {
        /// What is wrong with it.
        #[source]
        source: CpioError,
    },
    /// The partitions do not fit into a table.
    #[error("failed to write the partition table")]
    Table {
        /// What is wrong with it.
        #[source]
        source: TableError,
    },
    /// A file or program of the host failed.
    #[error(transparent)]
    Host(#[from] HostError),
}

/// Whether apt has lists of what it can download.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PackageLists {
    /// It has.
    Present,
    /// It has none, or none with the packages needed.
    Missing,
}

fn lacking(programs: &[Program], lists: PackageLists) -> String {
    let mut parts = Vec::new();
    if !programs.is_empty() {
        let names: Vec<_> = programs.iter().map(|program| format!("`{}`", program.name())).collect();
        let verb = if names.len() == 1 { "is" } else { "are" };
        parts.push(format!("{} {verb} not installed", names.join(", ")));
    }
    if lists == PackageLists::Missing {
        parts.push("apt has no list of the packages it is made of".to_owned());
    }
    parts.join("; ")
}

/// The command that installs the packages of `programs`, each named once.
fn install_command(programs: &[Program]) -> String {
    let mut packages: Vec<_> = programs.iter().map(|program| program.package()).collect();
    packages.sort_unstable();
    packages.dedup();
    format!("sudo apt-get install {}", packages.join(" "))
}

impl Explain for BuildError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::NotDebian { .. }
            | Self::Architecture { .. }
            | Self::Lacking { .. }
            | Self::NoUserRange { .. } => ErrorKind::Preflight,
            Self::Content { .. }
            | Self::Elf { .. }
            | Self::ModuleCycle { .. }
            | Self::Cpio { .. }
            | Self::Table { .. } => ErrorKind::Image,
            Self::Host(source) => source.kind(),
        }
    }

    fn hints(&self) -> Vec<String> {
        match self {
            Self::NotDebian { .. } | Self::Architecture { .. } => vec![
                "build it on a Debian machine with an x86_64 processor, and use the file with `castra up --qcow <file>`".to_owned(),
                "or use an image from the catalogue: `castra image list`".to_owned(),
            ],
            Self::Lacking { programs, lists, .. } => {
                let update = (*lists == PackageLists::Missing)
                    .then(|| "let apt fetch its lists: `sudo apt-get update`".to_owned());
                let install = (!programs.is_empty()).then(|| format!("install what is missing: `{}`", install_command(programs)));
                update.into_iter().chain(install).collect()
            }
            Self::NoUserRange { user, free, .. } => {
                let range = format!("{free}-{}", free.saturating_add(debian::RANGE - 1));
                vec![
                    format!("give `{user}` one: `sudo usermod --add-subuids {range} --add-subgids {range} {user}`"),
                    "or run the same command as root".to_owned(),
                ]
            }
            Self::Host(HostError::CommandFailed { command, .. }) if command.starts_with("apt-get download") => {
                vec!["see that the package mirror answers, and renew apt's lists: `sudo apt-get update`".to_owned()]
            }
            Self::Host(source) => source.hints(),
            _ => Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_told_the_command_that_gives_them_ids_nobody_has() {
        let error = BuildError::NoUserRange { recipe: Recipe::Debian, user: "me".to_owned(), free: 165_536 };
        let command = "`sudo usermod --add-subuids 165536-231071 --add-subgids 165536-231071 me`";
        assert_eq!(error.hints()[0], format!("give `me` one: {command}"));
    }

    #[test]
    fn everything_that_is_missing_is_told_at_once_with_the_commands_that_install_it() {
        let error = BuildError::Lacking {
            recipe: Recipe::Tiny,
            programs: vec![Program::new("b", "bee"), Program::new("a", "ay"), Program::new("b2", "bee")],
            lists: PackageLists::Missing,
        };
        assert_eq!(
            error.to_string(),
            "the image `tiny` cannot be built here: `b`, `a`, `b2` are not installed; \
             apt has no list of the packages it is made of"
        );
        assert_eq!(
            error.hints(),
            [
                "let apt fetch its lists: `sudo apt-get update`",
                "install what is missing: `sudo apt-get install ay bee`"
            ]
        );
        assert_eq!(error.kind(), ErrorKind::Preflight);
    }
}
