#!/bin/sh
# What udhcpc calls with what it learned. Without an answer, the address is the one that QEMU's
# user-mode network would have given.

set_address() {
	ip address flush dev "$interface"
	ip address add "$1" dev "$interface"
	if [ -n "$2" ]; then ip route replace default via "$2" dev "$interface"; fi
	echo "castra-guest: network $interface $1 ($3)" >/dev/console
}

case $1 in
bound)
	: >/etc/resolv.conf
	for server in $dns; do echo "nameserver $server" >>/etc/resolv.conf; done
	set_address "$ip/${mask:-24}" "${router%% *}" dhcp
	;;
leasefail)
	if ! ip address show dev "$interface" | grep -q 'inet '; then
		set_address 10.0.2.15/24 10.0.2.2 static
	fi
	;;
esac
