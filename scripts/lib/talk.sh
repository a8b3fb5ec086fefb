# What every script says, and how it stops. Sourced, after `set -euo pipefail`.

if [ -t 2 ] && [ -z "${NO_COLOR:-}" ]; then
    bold=$(printf '\033[1m') red=$(printf '\033[31m') plain=$(printf '\033[0m')
else
    bold='' red='' plain=''
fi

say() { printf '%s\n' "$*" >&2; }
title() { printf '\n%s%s%s\n' "$bold" "$*" "$plain" >&2; }
fail() {
    printf '%serror:%s %s\n' "$red" "$plain" "$*" >&2
    exit 1
}

# seconds_since START: whole seconds since START, a value of $SECONDS.
seconds_since() { printf '%s' "$((SECONDS - $1))"; }
