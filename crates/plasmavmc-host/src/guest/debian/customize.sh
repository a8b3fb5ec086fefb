# Run by mmdebstrap when all packages are installed, with the new system's root as $1.
set -eu
root=$1

# cloud-init looks for a NoCloud seed and nothing else, so that it asks no server that is not there.
cat >"$root/etc/cloud/cloud.cfg.d/90_castra.cfg" <<'END'
datasource_list: [NoCloud, None]
# The other kinds take seconds to make without acceleration.
ssh_genkeytypes: [ed25519]
# There is no GRUB, and C.UTF-8 needs no making.
grub_dpkg: {enabled: false}
locale: false
END

mkdir -p "$root/boot/efi"
cat >"$root/etc/fstab" <<'END'
LABEL=castra-root / ext4 errors=remount-ro 0 1
LABEL=CASTRABOOT /boot/efi vfat umask=0077,nofail 0 2
END

# A kernel or initramfs that the guest updates is copied to the partition that is booted.
mkdir -p "$root/etc/initramfs/post-update.d"
cat >"$root/etc/initramfs/post-update.d/zz-castra" <<'END'
#!/bin/sh
set -e
mountpoint -q /boot/efi || exit 0
cp /vmlinuz /boot/efi/vmlinuz
cp /initrd.img /boot/efi/initrd.img
END
chmod 755 "$root/etc/initramfs/post-update.d/zz-castra"

# What must differ between guests is made at their first boot.
rm -f "$root"/etc/ssh/ssh_host_*_key "$root"/etc/ssh/ssh_host_*_key.pub
: >"$root/etc/machine-id"
rm -f "$root/etc/hostname"

# There are no snapshots of logical volumes to clean up, and looking for them takes seconds.
rm -f "$root"/etc/systemd/system/*.wants/e2scrub_reap.service
