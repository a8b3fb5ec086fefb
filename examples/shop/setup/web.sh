#!/bin/sh
# Installs the web server of the shop: its configuration comes as the payload, its pages by the mount.
set -eu
cp "$CASTRA_PAYLOAD" /etc/httpd.conf
# The tiny image has busybox's web server. It goes into the background by itself; one that runs already,
# from the bootstrap before, makes way.
killall httpd 2>/dev/null || true
httpd -p 80 -h "$SITE" -c /etc/httpd.conf
