//! Debian's packages: which ones, fetched and unpacked into a private directory.
//!
//! Never installs anything and never needs root: apt checks the signatures and sums of what it
//! downloads, `dpkg-deb` unpacks it, and no package script is run. Tests: below for the parsing.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{BuildError, PackageLists};
use crate::exec::{self, Program};
use crate::{HostError, IoContext};

/// Downloads packages.
pub(super) const APT_GET: Program = Program::new("apt-get", "apt");
/// Answers questions about packages.
pub(super) const APT_CACHE: Program = Program::new("apt-cache", "apt");
/// Unpacks packages.
pub(super) const DPKG_DEB: Program = Program::new("dpkg-deb", "dpkg");

/// The package that always depends on the newest kernel for virtual machines.
pub(super) const KERNEL: &str = "linux-image-cloud-amd64";

/// The package that always depends on the newest kernel for every machine.
pub(super) const FULL_KERNEL: &str = "linux-image-amd64";

/// Time for one question to apt: 0.5 s where its index is cached, some seconds where it is not.
const QUESTION_BOUND: Duration = Duration::from_secs(60);
/// Time for all downloads of a recipe, some 35 MB.
const DOWNLOAD_BOUND: Duration = Duration::from_secs(600);
/// Time to unpack one package; the kernel's 90 MB take 3 s.
const UNPACK_BOUND: Duration = Duration::from_secs(120);

/// Whether apt knows the kernel package, and so has lists of Debian's packages.
pub(super) fn lists() -> Result<PackageLists, HostError> {
    match show(KERNEL) {
        Ok(_) => Ok(PackageLists::Present),
        Err(HostError::CommandFailed { .. }) => Ok(PackageLists::Missing),
        Err(error) => Err(error),
    }
}

/// Whether there are files of package lists at all.
pub(super) fn lists_on_disk() -> PackageLists {
    let entries = fs::read_dir("/var/lib/apt/lists").into_iter().flatten().flatten();
    let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
    match names.into_iter().any(|name| name.contains("_Packages")) {
        true => PackageLists::Present,
        false => PackageLists::Missing,
    }
}

/// The description of a package's candidate version.
fn show(package: &str) -> Result<String, HostError> {
    let mut command = APT_CACHE.command()?;
    command.args(["show", "--no-all-versions", package]);
    Ok(exec::run(command, QUESTION_BOUND)?.text().into_owned())
}

/// The concrete package that `package` stands for, such as `linux-image-6.1.0-56-cloud-amd64`.
pub(super) fn kernel(package: &str) -> Result<String, BuildError> {
    let description = show(package)?;
    kernel_dependency(&description).ok_or_else(|| BuildError::Content {
        package: package.to_owned(),
        what: "kernel among the dependencies".to_owned(),
    })
}

/// `package` and everything it needs to run.
pub(super) fn closure(package: &str) -> Result<Vec<String>, HostError> {
    let mut command = APT_CACHE.command()?;
    command.args(["depends", "--recurse", "--important", package]);
    Ok(packages_of_closure(&exec::run(command, QUESTION_BOUND)?.text()))
}

/// Downloads `packages` into `debs` and unpacks them into `root`, both made here.
pub(super) fn fetch(packages: &[String], debs: &Path) -> Result<(), HostError> {
    fs::create_dir(debs).context("create directory", debs)?;
    let mut command = APT_GET.command()?;
    // As root, apt would download as another user, who cannot write to a private directory.
    command.current_dir(debs).args(["download", "--quiet", "--option", "APT::Sandbox::User=root"]);
    exec::run(
        {
            command.args(packages);
            command
        },
        DOWNLOAD_BOUND,
    )?;
    Ok(())
}

/// Unpacks every package of `debs` into `root`, one over the other.
pub(super) fn unpack(debs: &Path, root: &Path) -> Result<(), HostError> {
    let mut files: Vec<PathBuf> = fs::read_dir(debs)
        .and_then(|entries| entries.map(|entry| entry.map(|entry| entry.path())).collect())
        .context("list", debs)?;
    files.retain(|file| file.extension().is_some_and(|extension| extension == "deb"));
    files.sort();
    for file in files {
        let mut command = DPKG_DEB.command()?;
        command.arg("--extract").arg(&file).arg(root);
        exec::run(command, UNPACK_BOUND)?;
    }
    Ok(())
}

/// The first kernel among the dependencies of a description's first paragraph.
fn kernel_dependency(description: &str) -> Option<String> {
    let paragraph = description.split("\n\n").next()?;
    let depends = paragraph.lines().find_map(|line| line.strip_prefix("Depends:"))?;
    let names = depends.split([',', '|']).filter_map(|dependency| dependency.split_whitespace().next());
    names.into_iter().find(|name| name.starts_with("linux-image-")).map(str::to_owned)
}

/// The packages in what `apt-cache depends --recurse` prints: those at the beginning of a line
/// that are not virtual.
fn packages_of_closure(text: &str) -> Vec<String> {
    let mut packages: Vec<String> = text
        .lines()
        .filter(|line| line.starts_with(|first: char| first.is_ascii_alphanumeric()))
        .map(|line| line.trim().to_owned())
        .collect();
    packages.sort();
    packages.dedup();
    packages
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_is_the_first_image_among_the_dependencies() {
        let text = "Package: linux-image-cloud-amd64\nVersion: 6.1.192-2\n\
                    Depends: linux-base (>= 4), linux-image-6.1.0-56-cloud-amd64 (= 6.1.192-2)\n\n\
                    Package: linux-image-cloud-amd64\nDepends: linux-image-6.1.0-1-cloud-amd64\n";
        assert_eq!(kernel_dependency(text).as_deref(), Some("linux-image-6.1.0-56-cloud-amd64"));
        assert_eq!(kernel_dependency("Package: x\nDepends: libc6\n"), None);
        assert_eq!(kernel_dependency(""), None);
    }

    #[test]
    fn a_closure_has_each_real_package_once() {
        let text = "dropbear-bin\n  Depends: libc6\n |Depends: libcrypt1\n  Depends: <debconf-2.0>\n    cdebconf\n\
                    libc6\n  Depends: libgcc-s1\nlibgcc-s1\n<debconf-2.0>\nlibc6\n";
        assert_eq!(packages_of_closure(text), ["dropbear-bin", "libc6", "libgcc-s1"]);
    }
}
