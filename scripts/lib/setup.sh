# Installs what building, testing and running need and this machine lacks. Sourced, after talk.sh.
#
# On Debian and its kin, as root, with apt; without root the exact commands are printed instead.
# Where nothing is missing nothing is run: the check is a look at each program.

# Each line: what must be there (a program, or one of several files), and the package that has it.
tools() {
    case $(uname -m) in
    x86_64) printf '%s\n' "qemu-system-x86_64 qemu-system-x86" ;;
    aarch64) printf '%s\n' "qemu-system-aarch64 qemu-system-arm" ;;
    esac
    # Debian has QEMU's SPICE displays in a package of their own; libvirt defines none without it.
    printf '/usr/lib/%s-linux-gnu/qemu/ui-spice-core.so qemu-system-modules-spice\n' "$(uname -m)"
    cat <<'END'
qemu-img qemu-utils
/usr/share/OVMF/OVMF_CODE_4M.fd|/usr/share/OVMF/OVMF_CODE.fd|/usr/share/AAVMF/AAVMF_CODE.fd ovmf
syslinux syslinux
mcopy mtools
mmdebstrap mmdebstrap
cpio cpio
xz xz-utils
zstd zstd
ssh openssh-client
virsh libvirt-clients
/etc/libvirt/qemu.conf libvirt-daemon-system
dnsmasq dnsmasq-base
swtpm swtpm
swtpm_setup swtpm-tools
git git
cc build-essential
END
}

# QEMU comes from backports on Debian 12: its own is two years older than what Castra is tested with.
from_backports() { case $1 in qemu-*) return 0 ;; *) return 1 ;; esac; }

is_there() {
    local place
    case $1 in
    /*)
        local IFS='|'
        for place in $1; do [ -e "$place" ] && return 0; done
        return 1
        ;;
    # Debian keeps some of these out of a user's PATH.
    *) command -v "$1" >/dev/null || [ -x "/usr/sbin/$1" ] ;;
    esac
}

missing_packages() {
    local what package
    tools | while read -r what package; do is_there "$what" || printf '%s\n' "$package"; done
}

codename() { (. /etc/os-release 2>/dev/null && printf '%s' "${ID:-}:${VERSION_CODENAME:-}"); }

# backports_edit DIR: the command that adds bookworm-backports beside bookworm, with the mirror that
# is already there; nothing where that was done. DIR is /etc/apt.
backports_edit() {
    local apt=$1 file
    grep -rqsE '^[^#]*[ :]bookworm-backports( |$)' "$apt/sources.list" "$apt/sources.list.d" && return 0
    # The distribution's own files first: another vendor's suite may be called bookworm too.
    for file in "$apt/sources.list.d/debian.sources" "$apt/sources.list" "$apt"/sources.list.d/*.sources \
        "$apt"/sources.list.d/*.list; do
        [ -f "$file" ] || continue
        if grep -qE '^Suites:(.* )?bookworm( |$)' "$file"; then
            printf '%s\n' "sed -i -E '0,/^Suites:(.* )?bookworm( |\$)/s/^(Suites:(.* )?bookworm)( .*)?\$/\\1 bookworm-backports\\3/' $file"
            return 0
        elif grep -qE '^deb .* bookworm main' "$file"; then
            printf '%s\n' "sed -i -E '0,/^deb .* bookworm main/s/^(deb .*) bookworm (main.*)\$/&\\n\\1 bookworm-backports \\2/' $file"
            return 0
        fi
    done
    fail "no apt source of Debian bookworm was found, so bookworm-backports cannot be added: add it by hand"
}

# install_commands PACKAGE...: one command per line, each to be run as root.
install_commands() {
    local apt='apt-get -o DPkg::Lock::Timeout=300 -o Acquire::Retries=3' late=() now=() package edit
    for package in "$@"; do
        if [ "$(codename)" = debian:bookworm ] && from_backports "$package"; then
            late+=("$package")
        else
            now+=("$package")
        fi
    done
    if [ ${#late[@]} -gt 0 ]; then
        edit=$(backports_edit /etc/apt) || exit 1
        [ -z "$edit" ] || printf '%s\n' "$edit"
    fi
    printf '%s\n' "$apt update"
    local install="env DEBIAN_FRONTEND=noninteractive $apt install -y --no-install-recommends"
    [ ${#late[@]} -eq 0 ] || printf '%s\n' "$install -t bookworm-backports ${late[*]}"
    [ ${#now[@]} -eq 0 ] || printf '%s\n' "$install ${now[*]}"
}

# ensure_tools: everything `tools` lists is there, or the script ends with what to do.
ensure_tools() {
    local packages commands line output start=$SECONDS
    mapfile -t packages < <(missing_packages)
    [ ${#packages[@]} -gt 0 ] || return 0
    command -v apt-get >/dev/null || fail "these packages are missing, and there is no apt to install them: ${packages[*]}"
    commands=$(install_commands "${packages[@]}")
    if [ "$(id -u)" -ne 0 ]; then
        say "These packages are missing: ${packages[*]}"
        say "Run this, then start again:"
        say ''
        while IFS= read -r line; do say "    sudo $line"; done <<<"$commands"
        say ''
        exit 1
    fi
    say "Installing ${packages[*]}"
    while IFS= read -r line; do
        output=$(bash -c "$line" 2>&1 </dev/null) || {
            printf '%s\n' "$output" >&2
            fail "this failed: $line"
        }
    done <<<"$commands"
    mapfile -t packages < <(missing_packages)
    [ ${#packages[@]} -eq 0 ] || fail "still missing after their installation: ${packages[*]}"
    say "Installed in $(seconds_since "$start") s"
}

# find_rust: puts cargo into PATH and makes it run, also in a home directory that is not the one rustup
# was installed in. Fails where there is none.
find_rust() {
    local place owner
    owner=$(getent passwd "$(id -u)" | cut -d: -f6) || owner=''
    if ! command -v cargo >/dev/null; then
        for place in "${CARGO_HOME:-}" "$HOME/.cargo" "$owner/.cargo"; do
            [ ! -x "$place/bin/cargo" ] || { PATH=$place/bin:$PATH && break; }
        done
    fi
    command -v cargo >/dev/null || return 1
    ! cargo --version >/dev/null 2>&1 || return 0
    # The toolchains of rustup are in the home directory it was installed in, beside its programs.
    place=$(dirname "$(dirname "$(dirname "$(command -v cargo)")")")
    for place in "$place" "$owner"; do
        if RUSTUP_HOME=$place/.rustup cargo --version >/dev/null 2>&1; then
            export RUSTUP_HOME=$place/.rustup
            return 0
        fi
    done
    return 1
}

# ensure_rust [COMPONENT...]: cargo is there and runs, and these components.
ensure_rust() {
    local component
    find_rust || fail 'no working cargo was found: get the Rust toolchain with rustup, then start again'
    for component in "$@"; do
        "cargo-${component#rust}" --version >/dev/null 2>&1 && continue
        command -v rustup >/dev/null || fail "the Rust component $component is missing, and there is no rustup to add it"
        rustup component add "$component" >&2
    done
}
