//! The entries of the catalogue: data, and nothing else.
//!
//! Alpine and Fedora name a build, so their entries move with Castra's releases; Debian and Ubuntu
//! have a link that leads to the present build. Fedora's images come through its redirector, which
//! picks a mirror; its checksum file comes from Fedora itself, so that no mirror vouches for its
//! own bytes. Tests: `mod.rs`.

use plasmavmc_types::Firmware;

use super::super::checksum::ChecksumFormat;
use super::super::digest::Algorithm;
use super::{Arch, Built, Published, Source};

const BIOS: &[Firmware] = &[Firmware::Bios];
const UEFI: &[Firmware] = &[Firmware::Uefi];
/// Debian's, Ubuntu's and Fedora's x86_64 images have both boot loaders.
const BOTH: &[Firmware] = &[Firmware::Bios, Firmware::Uefi];

/// Alpine writes the digest alone into a file beside each image.
const ALPINE: ChecksumFormat = ChecksumFormat::Bare(Algorithm::Sha512);
/// Debian's `SHA512SUMS`, in text form.
const DEBIAN: ChecksumFormat = ChecksumFormat::Sums(Algorithm::Sha512);
/// Ubuntu's `SHA256SUMS`, in binary form.
const UBUNTU: ChecksumFormat = ChecksumFormat::Sums(Algorithm::Sha256);
/// Fedora's `CHECKSUM`: BSD lines in a clear-signed message.
const FEDORA: ChecksumFormat = ChecksumFormat::Tagged(Algorithm::Sha256);

/// The images distributions publish.
pub static PUBLISHED: &[Published] = &[
    Published {
        name: "alpine-3.23",
        aliases: &["alpine"],
        title: "Alpine Linux 3.23 with cloud-init",
        default_user: "alpine",
        file_name: "alpine-minimal.qcow2",
        sources: &[
            Source {
                arch: Arch::X86_64,
                url: "https://dl-cdn.alpinelinux.org/alpine/v3.23/releases/cloud/nocloud_alpine-3.23.4-x86_64-bios-cloudinit-r0.qcow2",
                checksum_url: "https://dl-cdn.alpinelinux.org/alpine/v3.23/releases/cloud/nocloud_alpine-3.23.4-x86_64-bios-cloudinit-r0.qcow2.sha512",
                checksum: ALPINE,
                firmware: BIOS,
            },
            Source {
                arch: Arch::Aarch64,
                url: "https://dl-cdn.alpinelinux.org/alpine/v3.23/releases/cloud/nocloud_alpine-3.23.4-aarch64-uefi-cloudinit-r0.qcow2",
                checksum_url: "https://dl-cdn.alpinelinux.org/alpine/v3.23/releases/cloud/nocloud_alpine-3.23.4-aarch64-uefi-cloudinit-r0.qcow2.sha512",
                checksum: ALPINE,
                firmware: UEFI,
            },
        ],
    },
    Published {
        name: "alpine-3.23-uefi",
        aliases: &["alpine-uefi"],
        title: "Alpine Linux 3.23 with cloud-init, booted by UEFI",
        default_user: "alpine",
        file_name: "alpine-3.23-uefi.qcow2",
        sources: &[
            Source {
                arch: Arch::X86_64,
                url: "https://dl-cdn.alpinelinux.org/alpine/v3.23/releases/cloud/nocloud_alpine-3.23.4-x86_64-uefi-cloudinit-r0.qcow2",
                checksum_url: "https://dl-cdn.alpinelinux.org/alpine/v3.23/releases/cloud/nocloud_alpine-3.23.4-x86_64-uefi-cloudinit-r0.qcow2.sha512",
                checksum: ALPINE,
                firmware: UEFI,
            },
            Source {
                arch: Arch::Aarch64,
                url: "https://dl-cdn.alpinelinux.org/alpine/v3.23/releases/cloud/nocloud_alpine-3.23.4-aarch64-uefi-cloudinit-r0.qcow2",
                checksum_url: "https://dl-cdn.alpinelinux.org/alpine/v3.23/releases/cloud/nocloud_alpine-3.23.4-aarch64-uefi-cloudinit-r0.qcow2.sha512",
                checksum: ALPINE,
                firmware: UEFI,
            },
        ],
    },
    Published {
        name: "debian-13",
        aliases: &["debian", "debian-trixie"],
        title: "Debian 13 (trixie), generic cloud image",
        default_user: "debian",
        file_name: "debian-13.qcow2",
        sources: &[
            Source {
                arch: Arch::X86_64,
                url: "https://cloud.debian.org/images/cloud/trixie/latest/debian-13-genericcloud-amd64.qcow2",
                checksum_url: "https://cloud.debian.org/images/cloud/trixie/latest/SHA512SUMS",
                checksum: DEBIAN,
                firmware: BOTH,
            },
            Source {
                arch: Arch::Aarch64,
                url: "https://cloud.debian.org/images/cloud/trixie/latest/debian-13-genericcloud-arm64.qcow2",
                checksum_url: "https://cloud.debian.org/images/cloud/trixie/latest/SHA512SUMS",
                checksum: DEBIAN,
                firmware: UEFI,
            },
        ],
    },
    Published {
        name: "debian-12",
        aliases: &["debian-bookworm"],
        title: "Debian 12 (bookworm), generic cloud image",
        default_user: "debian",
        file_name: "debian-12.qcow2",
        sources: &[
            Source {
                arch: Arch::X86_64,
                url: "https://cloud.debian.org/images/cloud/bookworm/latest/debian-12-genericcloud-amd64.qcow2",
                checksum_url: "https://cloud.debian.org/images/cloud/bookworm/latest/SHA512SUMS",
                checksum: DEBIAN,
                firmware: BOTH,
            },
            Source {
                arch: Arch::Aarch64,
                url: "https://cloud.debian.org/images/cloud/bookworm/latest/debian-12-genericcloud-arm64.qcow2",
                checksum_url: "https://cloud.debian.org/images/cloud/bookworm/latest/SHA512SUMS",
                checksum: DEBIAN,
                firmware: UEFI,
            },
        ],
    },
    Published {
        name: "ubuntu-26.04",
        aliases: &["ubuntu", "ubuntu-resolute"],
        title: "Ubuntu 26.04 LTS (resolute), server cloud image",
        default_user: "ubuntu",
        file_name: "ubuntu-26.04.qcow2",
        sources: &[
            Source {
                arch: Arch::X86_64,
                url: "https://cloud-images.ubuntu.com/releases/resolute/release/ubuntu-26.04-server-cloudimg-amd64.img",
                checksum_url: "https://cloud-images.ubuntu.com/releases/resolute/release/SHA256SUMS",
                checksum: UBUNTU,
                firmware: BOTH,
            },
            Source {
                arch: Arch::Aarch64,
                url: "https://cloud-images.ubuntu.com/releases/resolute/release/ubuntu-26.04-server-cloudimg-arm64.img",
                checksum_url: "https://cloud-images.ubuntu.com/releases/resolute/release/SHA256SUMS",
                checksum: UBUNTU,
                firmware: UEFI,
            },
        ],
    },
    Published {
        name: "ubuntu-24.04",
        aliases: &["ubuntu-noble"],
        title: "Ubuntu 24.04 LTS (noble), server cloud image",
        default_user: "ubuntu",
        file_name: "ubuntu-24.04.qcow2",
        sources: &[
            Source {
                arch: Arch::X86_64,
                url: "https://cloud-images.ubuntu.com/releases/noble/release/ubuntu-24.04-server-cloudimg-amd64.img",
                checksum_url: "https://cloud-images.ubuntu.com/releases/noble/release/SHA256SUMS",
                checksum: UBUNTU,
                firmware: BOTH,
            },
            Source {
                arch: Arch::Aarch64,
                url: "https://cloud-images.ubuntu.com/releases/noble/release/ubuntu-24.04-server-cloudimg-arm64.img",
                checksum_url: "https://cloud-images.ubuntu.com/releases/noble/release/SHA256SUMS",
                checksum: UBUNTU,
                firmware: UEFI,
            },
        ],
    },
    Published {
        name: "fedora-44",
        aliases: &["fedora"],
        title: "Fedora Cloud 44, generic",
        default_user: "fedora",
        file_name: "fedora-44.qcow2",
        sources: &[
            Source {
                arch: Arch::X86_64,
                url: "https://download.fedoraproject.org/pub/fedora/linux/releases/44/Cloud/x86_64/images/Fedora-Cloud-Base-Generic-44-1.7.x86_64.qcow2",
                checksum_url: "https://dl.fedoraproject.org/pub/fedora/linux/releases/44/Cloud/x86_64/images/Fedora-Cloud-44-1.7-x86_64-CHECKSUM",
                checksum: FEDORA,
                firmware: BOTH,
            },
            Source {
                arch: Arch::Aarch64,
                url: "https://download.fedoraproject.org/pub/fedora/linux/releases/44/Cloud/aarch64/images/Fedora-Cloud-Base-Generic-44-1.7.aarch64.qcow2",
                checksum_url: "https://dl.fedoraproject.org/pub/fedora/linux/releases/44/Cloud/aarch64/images/Fedora-Cloud-44-1.7-aarch64-CHECKSUM",
                checksum: FEDORA,
                firmware: UEFI,
            },
        ],
    },
];

/// The images `castra image build` makes from the host's own distribution.
pub static BUILT: &[Built] = &[
    Built {
        name: "tiny",
        target: "tiny",
        title: "kernel, busybox and an SSH server, built on this host",
        default_user: "root",
    },
    Built {
        name: "tiny-full",
        target: "tiny-full",
        title: "the same with a kernel that knows 9p, for mounts; built on this host",
        default_user: "root",
    },
    Built {
        name: "debian-built",
        target: "debian",
        title: "Debian with systemd, sshd and cloud-init, built on this host",
        default_user: "debian",
    },
];
