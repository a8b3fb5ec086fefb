#!/bin/sh
# Process 1 of the tiny guest: from the kernel's first instruction of user space to an SSH server.
#
# Reads a cloud-init NoCloud seed: a vfat volume labelled CIDATA with `meta-data` and `user-data`.
#   meta-data  local-hostname: NAME        the host name
#              public-keys: [KEY ...]      SSH keys of root
#              castra-powerdown: ignore    the power button does nothing (for tests of `down`)
#   user-data  ssh_authorized_keys: [KEY]  SSH keys of root, wherever in the document they stand
#   dropbear-host-key                      the SSH server's host key, in its own format; made here without
# Every step says so on the serial console in a line that begins with `castra-guest:`.

export PATH=/bin HOME=/root TERM=linux PS1='\u@\h:\w# '
seed=/run/seed

say() {
	echo "castra-guest: $*"
}

# What `poweroff`, `reboot` and `halt` ask of process 1, by the signals they send.
trap 'stop halt' USR1
trap 'stop poweroff' USR2
trap 'stop reboot' TERM

stop() {
	trap '' USR1 USR2 TERM
	say "$1"
	sync
	while read -r device directory _; do
		case $device in /dev/*) umount -r "$directory" ;; esac
	done </proc/mounts
	"$1" -f
}

# The value of a top-level key of meta-data, without quotes and comments.
meta() {
	sed -n "s/^[\"']\{0,1\}$1[\"']\{0,1\}:[ \"']*\([^\"'# ]*\).*/\1/p" $seed/meta-data 2>/dev/null | head -n 1
}

# Every SSH key in the lists named ssh_authorized_keys or public-keys, in block or flow form.
keys() {
	awk '
		/^[ \t]*(- +)?["\047]?(ssh[_-]authorized[_-]keys|public-keys)["\047]?:/ {
			list = 1; sub(/^[^:]*:/, "")
		}
		list && /^[ \t]*#/ { next }
		list && /^[^ \t-]/ && !/^[]["]/ { list = 0 }
		list && /^[ \t]*(- +)?["\047]?[a-z_]+["\047]?:/ { list = 0 }
		list {
			while (match($0, /((ssh|sk-ssh)-[a-z0-9@.-]+|(sk-)?ecdsa-[a-z0-9@.-]+) AAAA[A-Za-z0-9+\/=]+/)) {
				print substr($0, RSTART, RLENGTH); $0 = substr($0, RSTART + RLENGTH)
			}
		}
	' $seed/meta-data $seed/user-data 2>/dev/null
}

# Copies the seed to $seed. Most guests of tests have none, so there is nothing to wait for.
read_seed() {
	device=$(findfs LABEL=CIDATA 2>/dev/null || findfs LABEL=cidata 2>/dev/null) || return 1
	modprobe -a $(cat /etc/modules.seed)
	mkdir -p /run/mnt $seed
	mount -t vfat -o ro "$device" /run/mnt || return 1
	for file in meta-data user-data; do
		if [ -f /run/mnt/$file ]; then cp /run/mnt/$file $seed; fi
	done
	if [ -f /run/mnt/dropbear-host-key ]; then
		(umask 077 && cp /run/mnt/dropbear-host-key /etc/dropbear/host_key)
	fi
	umount /run/mnt
}

first_nic() {
	for path in /sys/class/net/*; do
		nic=${path##*/}
		if [ "$nic" != lo ]; then return 0; fi
	done
	return 1
}

# The power button's events wait in its open device, so none is lost from then on.
find_power_button() {
	for path in /sys/class/input/event*; do
		if [ "$(cat "$path/device/name")" = "Power Button" ]; then
			button=/dev/input/${path##*/}
			return 0
		fi
	done
	button=
	say "no power button"
	return 1
}

mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mkdir -p /dev/pts
mount -t devpts pts /dev/pts
say "kernel $(uname -r) started"
modprobe -a $(cat /etc/modules)
# The agent serves the host over its port, whatever becomes of the rest.
while :; do
	castra-agent
	sleep 0.2
done </dev/null >/dev/null 2>/run/castra-agent.log &
if find_power_button; then exec 3<"$button"; fi

ip link set lo up
if first_nic; then
	ip link set "$nic" up
	# Goes on in the background: the address is there before the first connection is.
	udhcpc -f -S -i "$nic" -s /etc/udhcpc.sh -t 4 -T 1 >/run/udhcpc.log 2>&1 &
else
	say "no network device"
fi

hostname=
if read_seed; then
	hostname=$(meta local-hostname)
	keys >/root/.ssh/authorized_keys
	say "seed $device: $(wc -l </root/.ssh/authorized_keys) ssh keys"
else
	say "no seed"
fi
hostname "${hostname:-tiny}"

if [ "$(meta castra-powerdown)" = ignore ]; then
	say "the power button is ignored"
elif [ -n "$button" ]; then
	# The first event is the press; each is 24 bytes long.
	{ dd bs=24 count=1 <&3 >/dev/null 2>&1 && poweroff; } &
fi

if [ ! -f /etc/dropbear/host_key ]; then
	dropbearkey -t ed25519 -f /etc/dropbear/host_key >/dev/null 2>&1
fi
# Goes into the background by itself: what the shell put there would ignore QUIT, and every session with it.
dropbear -E -s -r /etc/dropbear/host_key -p 22 3<&- 2>/run/dropbear.log
read -r uptime _ </proc/uptime
say "ssh server started after $uptime s"
modprobe -a $(cat /etc/modules.late)
say "ready"

# A root shell on the serial console, for ever. The pause keeps a missing console from spinning.
while :; do
	# As `setsid -c sh -l`, but for the INT and QUIT that this loop, being in the background, ignores.
	castra-agent exec-child tty - / sh -sh </dev/ttyS0 >/dev/ttyS0 2>&1 3<&-
	sleep 1
done &

while :; do
	wait
done
