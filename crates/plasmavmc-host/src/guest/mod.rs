//! Builds bootable guest images from the distribution's own packages, for hosts without internet.
//!
//! - `tiny`: the kernel for virtual machines, busybox and the SSH server dropbear, in memory. Boots
//!   within seconds even without hardware acceleration. Needs neither root nor loop devices.
//! - `tiny-full`: the same with the kernel for every machine: it boots some seconds later, and knows more
//!   devices and file systems, of which 9p is in the image.
//! - `debian`: Debian with systemd, OpenSSH, cloud-init and the QEMU guest agent on ext4.
//!
//! Both have Castra's agent, which starts early and is started again when it ends. Both boot from a virtio disk, by BIOS and by UEFI, and read a cloud-init NoCloud seed on a vfat
//! volume labelled `CIDATA`. Of it the tiny guest takes `local-hostname` and `public-keys` from
//! `meta-data`, and every list `ssh_authorized_keys` from `user-data`, all for root; its SSH server's host
//! key from `dropbear-host-key`, as Castra's seeds have it; and
//! `castra-powerdown: ignore` in `meta-data` makes it deaf to its power button, for tests of what
//! happens then. On its serial console is a root shell, and lines beginning with `castra-guest:`
//! tell what it did.
//!
//! Owns: what is in the images and how they are made. Never does: install anything on the host,
//! leave anything behind on failure, or publish half an image. Every program it runs has a bound,
//! and the one that makes files nobody else may remove is asked to end before it is killed.
//! Tests: in each file; `tests/guest_image.rs` builds and boots them.

mod boot;
mod cpio;
mod debian;
mod disk;
mod elf;
mod error;
mod fat;
mod initramfs;
mod modules;
mod packages;
mod partition;
mod preflight;
mod tiny;
mod unpacked;

use std::fmt;
use std::path::{Path, PathBuf};

use plasmavmc_types::ByteSize;

pub use cpio::CpioError;
pub use elf::ElfError;
pub use error::{BuildError, PackageLists};
pub use partition::TableError;

use self::preflight::Lists;
use crate::exec::QEMU_IMG;
use crate::{IoContext, publish};

/// An image that can be built.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Recipe {
    /// Kernel, busybox and dropbear: some 15 MB.
    Tiny,
    /// The same with Debian's kernel for every machine, which knows 9p: some 15 MB.
    TinyFull,
    /// Debian with systemd, OpenSSH and cloud-init: some 250 MB.
    Debian,
}

impl Recipe {
    /// Every recipe, the smallest first.
    pub const ALL: [Self; 3] = [Self::Tiny, Self::TinyFull, Self::Debian];

    /// The name it is asked for by.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tiny => "tiny",
            Self::TinyFull => "tiny-full",
            Self::Debian => "debian",
        }
    }
}

impl fmt::Display for Recipe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A step of a build, told when it begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum BuildStep {
    /// Looking whether the host has what is needed.
    Preflight,
    /// Asking apt which packages are needed.
    ResolvePackages,
    /// Downloading them.
    Download {
        /// How many.
        packages: usize,
    },
    /// Unpacking them.
    Unpack,
    /// Packing the system that is unpacked into memory at boot.
    Initramfs,
    /// Writing kernel, initramfs and boot loaders.
    BootPartition,
    /// Installing a whole system into a directory.
    Bootstrap,
    /// Writing the root file system.
    RootPartition,
    /// Packing the disk.
    Convert,
}

/// The step in the words shown while it lasts.
impl fmt::Display for BuildStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Preflight => f.write_str("checking the host"),
            Self::ResolvePackages => f.write_str("choosing packages"),
            Self::Download { packages } => write!(f, "downloading {packages} packages"),
            Self::Unpack => f.write_str("unpacking packages"),
            Self::Initramfs => f.write_str("packing the initramfs"),
            Self::BootPartition => f.write_str("writing the boot partition"),
            Self::Bootstrap => f.write_str("installing the system"),
            Self::RootPartition => f.write_str("writing the root partition"),
            Self::Convert => f.write_str("packing the image"),
        }
    }
}

/// A finished image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Built {
    /// The qcow2 image.
    pub path: PathBuf,
    /// How long its file is.
    pub size: ByteSize,
}

/// Finds out whether `recipe` can be built on this host, and does nothing else: starts no program
/// and takes milliseconds.
///
/// # Errors
/// [`BuildError`] with everything the host lacks.
pub fn check(recipe: Recipe) -> Result<(), BuildError> {
    check_host(recipe, Lists::Look)
}

fn check_host(recipe: Recipe, lists: Lists) -> Result<(), BuildError> {
    match recipe {
        Recipe::Tiny | Recipe::TinyFull => preflight::check(recipe, &[QEMU_IMG], lists),
        Recipe::Debian => {
            let programs = [[QEMU_IMG].as_slice(), &debian::programs()].concat();
            preflight::check(recipe, &programs, lists)?;
            debian::check_user_range()
        }
    }
}

/// Builds `recipe` and publishes it as the qcow2 image `out`, replacing what had that name.
///
/// Works in a private directory beside `out`, which is gone afterwards; its parent is made where it
/// is missing. `agent` are the bytes of the guest's agent. `progress` is told of every step as it begins. The tiny image takes some 10 s, the
/// Debian image some 90 s.
///
/// # Errors
/// [`BuildError`]: in one error everything the host lacks, then whatever step failed.
pub fn build(
    recipe: Recipe,
    agent: &[u8],
    out: &Path,
    progress: &mut dyn FnMut(BuildStep),
) -> Result<Built, BuildError> {
    progress(BuildStep::Preflight);
    check_host(recipe, Lists::Ask)?;
    let parent = out.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    publish::private_dir(parent)?;
    // Programs are run in other directories, so the paths they are given must not depend on ours.
    let parent = parent.canonicalize().context("find", parent)?;
    let work = tempfile::Builder::new().prefix(publish::TEMPORARY_PREFIX).tempdir_in(&parent);
    let work = work.context("create a directory in", &parent)?;
    let out = out.file_name().map_or_else(|| parent.clone(), |name| parent.join(name));
    match recipe {
        Recipe::Tiny => tiny::build(packages::KERNEL, work.path(), agent, &out, progress),
        Recipe::TinyFull => tiny::build(packages::FULL_KERNEL, work.path(), agent, &out, progress),
        Recipe::Debian => debian::build(work.path(), agent, &out, progress),
    }
}
