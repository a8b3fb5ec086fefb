//! The tiny guest: kernel, busybox and dropbear, all in memory, on a disk of some megabytes.
//!
//! Tests: `tests/guest_image.rs`.

use std::path::Path;

use super::boot::BootEntry;
use super::disk::Disk;
use super::unpacked::Unpacked;
use super::{BuildError, BuildStep, Built, fat, initramfs, packages};
use crate::IoContext;

/// What the kernel is told: the serial console, messages from "notice" up, so that its start is
/// seen and little more, and no self tests of ciphers, which take 0.5 s without acceleration.
/// Measured without effect on the time to boot: `quiet`, `mitigations=off`, `nokaslr`, `audit=0`.
const CMDLINE: &str = "console=ttyS0 loglevel=6 cryptomgr.notests";

/// Packages unpacked beside the kernel and the SSH server; none of them is installed.
const PACKAGES: [&str; 5] = ["busybox-static", "syslinux", "syslinux-common", "mtools", "systemd-boot-efi"];

/// The disk's signature; any number but 0 does.
const SIGNATURE: u32 = 0xca57_7a01;

/// Builds the image with the kernel of a package in the directory `work` and publishes it as `out`.
pub(super) fn build(
    kernel: &str,
    work: &Path,
    agent: &[u8],
    out: &Path,
    progress: &mut dyn FnMut(BuildStep),
) -> Result<Built, BuildError> {
    progress(BuildStep::ResolvePackages);
    let kernel = packages::kernel(kernel)?;
    let mut names = packages::closure("dropbear-bin")?;
    names.push(kernel.clone());
    names.extend(PACKAGES.map(str::to_owned));

    progress(BuildStep::Download { packages: names.len() });
    let (debs, root) = (work.join("debs"), work.join("root"));
    packages::fetch(&names, &debs)?;
    progress(BuildStep::Unpack);
    packages::unpack(&debs, &root)?;
    // Only to be sure that nothing outside is read by way of a link.
    let unpacked = Unpacked::new(root.canonicalize().context("find", &root)?);

    progress(BuildStep::Initramfs);
    let initrd = initramfs::build(&unpacked, agent)?;
    let version = kernel.trim_start_matches("linux-image-");
    let entry = BootEntry {
        title: "Castra tiny guest",
        kernel: unpacked.read(&format!("boot/vmlinuz-{version}"), packages::KERNEL)?,
        initrd,
        cmdline: CMDLINE.to_owned(),
        efi_loader: unpacked.read("lib/systemd/boot/efi/systemd-bootx64.efi", "systemd-boot-efi")?,
    };

    progress(BuildStep::BootPartition);
    let volume = fat::volume(&entry.into_files()).context("make a boot partition for", out)?;
    let disk = Disk::create(work.join("disk.raw"), &volume)?;
    disk.make_bootable(&unpacked, SIGNATURE)?;
    progress(BuildStep::Convert);
    Ok(disk.publish(out)?)
}
