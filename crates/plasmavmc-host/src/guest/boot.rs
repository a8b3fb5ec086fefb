//! The files of the boot partition: one kernel and one initramfs, for both firmwares.
//!
//! A BIOS starts syslinux, which reads `syslinux.cfg`; UEFI starts systemd-boot, which reads
//! `loader/`. Pure. Formats: syslinux' `doc/syslinux.txt`, the Boot Loader Specification.
//! Tests: below.

/// What is booted.
#[derive(Debug, Clone)]
pub(super) struct BootEntry {
    /// The name shown to people.
    pub(super) title: &'static str,
    /// The kernel's bytes.
    pub(super) kernel: Vec<u8>,
    /// The initramfs' bytes.
    pub(super) initrd: Vec<u8>,
    /// The kernel command line.
    pub(super) cmdline: String,
    /// systemd-boot's bytes.
    pub(super) efi_loader: Vec<u8>,
}

/// A file of the boot partition, by its path from the partition's root.
pub(super) type BootFile = (&'static str, Vec<u8>);

impl BootEntry {
    /// The files, in the order they are written.
    ///
    /// Neither loader waits: who wants to change the command line changes the file.
    pub(super) fn into_files(self) -> Vec<BootFile> {
        let Self { title, kernel, initrd, cmdline, efi_loader } = self;
        let syslinux = format!(
            "DEFAULT castra\nPROMPT 0\nLABEL castra\n  LINUX /vmlinuz\n  INITRD /initrd.img\n  APPEND {cmdline}\n"
        );
        let entry = format!("title {title}\nlinux /vmlinuz\ninitrd /initrd.img\noptions {cmdline}\n");
        vec![
            ("vmlinuz", kernel),
            ("initrd.img", initrd),
            ("syslinux.cfg", syslinux.into_bytes()),
            ("EFI/BOOT/BOOTX64.EFI", efi_loader),
            ("loader/loader.conf", b"timeout 0\ndefault castra.conf\neditor no\n".to_vec()),
            ("loader/entries/castra.conf", entry.into_bytes()),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_loaders_start_the_same_kernel_with_the_same_words() {
        let entry = BootEntry {
            title: "Tiny",
            kernel: b"kernel".to_vec(),
            initrd: b"initrd".to_vec(),
            cmdline: "console=ttyS0 quiet".to_owned(),
            efi_loader: b"MZ".to_vec(),
        };
        let files = entry.into_files();
        let text = |path| {
            let (_, bytes) = files.iter().find(|(name, _)| *name == path).unwrap();
            String::from_utf8(bytes.clone()).unwrap()
        };
        assert_eq!(
            text("syslinux.cfg"),
            "DEFAULT castra\nPROMPT 0\nLABEL castra\n  LINUX /vmlinuz\n  INITRD /initrd.img\n  APPEND console=ttyS0 quiet\n"
        );
        assert_eq!(
            text("loader/entries/castra.conf"),
            "title Tiny\nlinux /vmlinuz\ninitrd /initrd.img\noptions console=ttyS0 quiet\n"
        );
        assert_eq!((text("vmlinuz"), text("initrd.img")), ("kernel".to_owned(), "initrd".to_owned()));
    }
}
