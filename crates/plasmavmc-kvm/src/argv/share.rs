//! Folders of the host, as 9p devices. Tests: [`super::golden`].
//!
//! A read-only folder is served as it is: QEMU opens nothing in it for writing, so owners and modes need
//! no mapping. In one that may be written to, QEMU cannot give files to the guest's users, for it is an
//! ordinary user itself: it keeps the owner, mode and links a guest sets in extended attributes
//! (`user.virtfs.*`), and the guest can put no set-uid program, device or link onto the host. A folder that
//! holds others' file systems keeps them apart by their inodes (`remap`).

use plasmavmc_types::ShareSpec;

use super::{Bus, push, slot};

/// Folders a VM can have: the functions of their one slot.
pub(super) const MAX: usize = 8;

/// A folder and its device. All share one slot, each is a function of it.
pub(super) fn folder(argv: &mut Vec<String>, share: &ShareSpec, bus: Bus, index: u8) {
    let name = share.id.as_str();
    // This option takes no JSON: a `,` in a value is doubled. Paths that are not UTF-8 are refused by `check`.
    let path = share.path.to_string_lossy().replace(',', ",,");
    let access = match share.read_only {
        true => "security_model=none,readonly=on",
        false => "security_model=mapped-xattr",
    };
    push(argv, "-fsdev", format!("local,id={name},{access},multidevs=remap,path={path}"));
    let device = match bus {
        Bus::Pci if index == 0 => format!("virtio-9p-pci,addr={:#x}.0,multifunction=on", slot::SHARES),
        Bus::Pci => format!("virtio-9p-pci,addr={:#x}.{index}", slot::SHARES),
        Bus::Mmio => "virtio-9p-device".to_owned(),
    };
    push(argv, "-device", format!("{device},id={name}-share,fsdev={name},mount_tag={name}"));
}
