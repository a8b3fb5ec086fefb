//! Whether this host can build a recipe: everything that is missing, told at once.
//!
//! [`observe`] looks, [`decide`] judges; the second is pure. Tests: below.

use std::fs;

use super::packages::{self, APT_CACHE, APT_GET, DPKG_DEB};
use super::{BuildError, PackageLists, Recipe};
use crate::HostError;
use crate::exec::Program;

/// What matters of a host.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Host {
    architecture: &'static str,
    /// The name the host gives itself in `/etc/os-release`.
    system: String,
    /// Programs of the recipe that are not installed.
    missing: Vec<Program>,
    lists: PackageLists,
}

/// The programs every recipe needs and every Debian has.
const DEBIAN: [Program; 3] = [APT_GET, APT_CACHE, DPKG_DEB];

/// How it is found out whether apt has lists of Debian's packages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lists {
    /// apt is asked for one: certain, and takes it seconds.
    Ask,
    /// Their files are looked for.
    Look,
}

/// Finds out whether `recipe`, which needs `programs` beside Debian's own, can be built here.
///
/// # Errors
/// [`BuildError::Architecture`], [`BuildError::NotDebian`], [`BuildError::Lacking`].
pub(super) fn check(recipe: Recipe, programs: &[Program], lists: Lists) -> Result<(), BuildError> {
    decide(recipe, observe(programs, lists)?)
}

fn observe(programs: &[Program], lists: Lists) -> Result<Host, HostError> {
    let needed = DEBIAN.iter().chain(programs);
    let missing: Vec<_> = needed.copied().filter(|program| program.find().is_none()).collect();
    let lists = match lists {
        _ if missing.contains(&APT_CACHE) => PackageLists::Missing,
        Lists::Ask => packages::lists()?,
        Lists::Look => packages::lists_on_disk(),
    };
    let release = fs::read_to_string("/etc/os-release").unwrap_or_default();
    Ok(Host { architecture: std::env::consts::ARCH, system: system_name(&release), missing, lists })
}

fn decide(recipe: Recipe, host: Host) -> Result<(), BuildError> {
    if host.architecture != "x86_64" {
        return Err(BuildError::Architecture { recipe, found: host.architecture });
    }
    if DEBIAN.iter().any(|program| host.missing.contains(program)) {
        return Err(BuildError::NotDebian { recipe, found: host.system });
    }
    // A relative of Debian that has its kernel package will do; one that has not, has other packages.
    if host.lists == PackageLists::Missing && !host.system.starts_with("Debian") {
        return Err(BuildError::NotDebian { recipe, found: host.system });
    }
    if host.lists == PackageLists::Missing || !host.missing.is_empty() {
        return Err(BuildError::Lacking { recipe, programs: host.missing, lists: host.lists });
    }
    Ok(())
}

/// The `NAME` of an `os-release` file.
fn system_name(release: &str) -> String {
    let name = release.lines().find_map(|line| line.strip_prefix("NAME=")).map(|name| name.trim_matches('"'));
    name.filter(|name| !name.is_empty()).unwrap_or("an unknown system").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn debian() -> Host {
        Host {
            architecture: "x86_64",
            system: "Debian GNU/Linux".to_owned(),
            missing: Vec::new(),
            lists: PackageLists::Present,
        }
    }

    #[test]
    fn a_host_that_has_everything_can_build() {
        assert!(decide(Recipe::Tiny, debian()).is_ok());
        let relative = Host { system: "Devuan GNU/Linux".to_owned(), ..debian() };
        assert!(decide(Recipe::Tiny, relative).is_ok());
    }

    #[test]
    fn what_is_missing_is_told_together() {
        let tool = Program::new("qemu-img", "qemu-utils");
        let host = Host { missing: vec![tool], lists: PackageLists::Missing, ..debian() };
        let error = decide(Recipe::Tiny, host).unwrap_err();
        let BuildError::Lacking { programs, lists, .. } = error else { panic!("{error}") };
        assert_eq!((programs, lists), (vec![tool], PackageLists::Missing));
    }

    #[test]
    fn other_systems_and_processors_are_told_so() {
        let fedora = Host { system: "Fedora Linux".to_owned(), missing: DEBIAN.to_vec(), ..debian() };
        assert!(matches!(decide(Recipe::Tiny, fedora), Err(BuildError::NotDebian { .. })));
        let ubuntu = Host { system: "Ubuntu".to_owned(), lists: PackageLists::Missing, ..debian() };
        let error = decide(Recipe::Tiny, ubuntu).unwrap_err();
        assert_eq!(error.to_string(), "the image `tiny` is built from Debian's packages, and this is Ubuntu");
        let arm = Host { architecture: "aarch64", ..debian() };
        assert!(matches!(decide(Recipe::Tiny, arm), Err(BuildError::Architecture { found: "aarch64", .. })));
    }

    #[test]
    fn a_system_is_called_what_it_calls_itself() {
        assert_eq!(system_name("ID=debian\nNAME=\"Debian GNU/Linux\"\n"), "Debian GNU/Linux");
        assert_eq!(system_name(""), "an unknown system");
    }
}
