#!/bin/sh
# Puts Castra's agent into this guest and starts it, unless the guest's image has one of its own.
#
# Lies beside the agent on the seed volume. Run as root, by the guest's cloud-init at every boot or
# by hand: `sh castra-agent.sh`. Twice is as good as once; a newer agent takes an older one's place.
name=castra-agent
seed=$(cd "$(dirname "$0")" && pwd)

for own in /usr/bin/$name /bin/$name; do
	if [ -x $own ]; then exit 0; fi
done
modprobe virtio_console 2>/dev/null

changed=
# Copies the agent into the directory $1, whole or not at all.
copy_to() {
	program=$1/$name
	if [ -x "$program" ] && cmp -s "$seed/$name" "$program"; then return 0; fi
	mkdir -p "$1" && cp "$seed/$name" "$program.new" && chmod 755 "$program.new" || return 1
	mv -f "$program.new" "$program" || return 1
	restorecon "$program" 2>/dev/null
	changed=yes
}
if ! copy_to /usr/local/bin 2>/dev/null && ! copy_to /run/$name; then
	echo "$name: no place for it in this guest" >&2
	exit 1
fi

# Writes standard input to the file $1 with the agent's path in it.
unit() {
	sed "s|@PROGRAM@|$program|" >"$1.new"
	if cmp -s "$1.new" "$1"; then
		rm -f "$1.new"
	else
		mv -f "$1.new" "$1" && changed=yes
	fi
}

if [ -d /run/systemd/system ]; then
	units=/etc/systemd/system
	if [ ! -w $units ]; then units=/run/systemd/system; fi
	unit $units/$name.service <<'END'
@SYSTEMD_UNIT@
END
	if [ -n "$changed" ]; then systemctl daemon-reload; fi
	if [ $units = /etc/systemd/system ]; then systemctl --quiet enable $name; fi
	# This may be part of the boot itself, which nothing must wait for.
	if [ -n "$changed" ]; then
		systemctl --no-block restart $name
	else
		systemctl --no-block start $name
	fi
	exit
fi

if [ -d /run/openrc ] && [ -w /etc/init.d ]; then
	unit /etc/init.d/$name <<'END'
@OPENRC_SERVICE@
END
	chmod 755 /etc/init.d/$name
	rc-update --quiet add $name default
	if [ -n "$changed" ]; then
		rc-service --quiet $name restart
	else
		rc-service --quiet --ifstopped $name start
	fi
	exit
fi

for process in /proc/[0-9]*/comm; do
	read -r running 2>/dev/null <"$process"
	if [ "$running" = $name ]; then exit 0; fi
done
(while :; do
	"$program"
	sleep 1
done) </dev/null >/dev/null 2>&1 &
