#!/bin/sh
# A guest's program that takes the agent's port and misuses it until it is killed:
# `hostile.sh flood|huge|toggle`.
port=/dev/$(basename "$(dirname "$(grep -l org.castra.agent.0 /sys/class/virtio-ports/*/name)")")

case $1 in
flood)
	# Answers the hello as the agent would, then sends what may be sent and reads nothing more.
	exec 3<>"$port"
	until [ -n "$session" ]; do
		session=$(dd bs=128k count=1 <&3 2>/dev/null | tr -cd ' -~' |
			sed -n 's/.*"session":"\([0-9a-f]*\)".*/\1/p')
	done
	{
		cat /tmp/reply.1
		printf %s "$session"
		cat /tmp/reply.2
	} >&3
	while :; do cat /tmp/pongs >&3; done
	;;
huge)
	exec 3<>"$port"
	while :; do cat /tmp/huge >&3; done
	;;
toggle)
	while :; do : 3<>"$port"; done
	;;
esac
