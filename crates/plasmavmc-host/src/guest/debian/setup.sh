# Run by mmdebstrap before any package is installed, with the new system's root as $1.
set -eu
root=$1

# A virtual machine's initramfs needs a few drivers, not all: it is made, loaded and unpacked sooner.
mkdir -p "$root/etc/initramfs-tools/conf.d" "$root/usr/share/initramfs-tools/modules.d"
echo 'MODULES=list' >"$root/etc/initramfs-tools/conf.d/castra"
for module in virtio_pci virtio_blk virtio_scsi sd_mod nvme ahci ext4 vfat nls_cp437 nls_ascii; do
	echo "$module"
done >"$root/usr/share/initramfs-tools/modules.d/castra"
