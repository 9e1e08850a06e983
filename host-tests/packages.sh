#!/usr/bin/env bash
# Builds the Debian package of the gateway and installs it, as an administrator would. It needs root, dpkg and a kernel that mounts an overlay:
# the package goes into a copy of this system that nobody else sees and that is gone afterwards. Where that cannot be, it says so and fails.
#
#   host-tests/packages.sh              builds the package and checks it
#   host-tests/packages.sh FILE.deb     checks a package that is there
set -euo pipefail
cd "$(dirname "$0")/.."
CARGO_DEB=3.6.2
die() { printf 'packages.sh: %s\n' "$1" >&2; exit 1; }

build() {
  if [ "$(cargo-deb --version 2>/dev/null | grep -oE '[0-9]+\.[0-9]+\.[0-9]+' | head -n 1)" != "$CARGO_DEB" ]; then
    RUSTFLAGS='' cargo install --quiet --locked cargo-deb --version "$CARGO_DEB" || die "cargo-deb $CARGO_DEB cannot be installed"
  fi
  cargo build --quiet --profile dist -p handfast-cli
  # What is made of the definitions of the command line.
  rm -rf target/package-files && mkdir -p target/package-files/man
  target/dist/handfast man target/package-files/man >/dev/null
  target/dist/handfast completions bash >target/package-files/handfast.bash
  target/dist/handfast completions fish >target/package-files/handfast.fish
  target/dist/handfast completions zsh >target/package-files/_handfast
  cargo deb --quiet --no-build --profile dist -p handfast-cli --output target/package-files/handfast.deb
}

# What the package holds, without installing it.
look() { # package
  local listed
  listed=$(dpkg-deb --contents "$1")
  local expected
  for expected in '-rwxr-xr-x root/root .* \./usr/bin/handfast$' '-rw-r----- root/root .* \./etc/handfast/handfast\.toml$' \
    '\./(usr/)?lib/systemd/system/handfast\.service$' '\./usr/lib/sysusers\.d/handfast\.conf$' '\./usr/share/man/man1/handfast\.1\.gz$' \
    '\./usr/share/bash-completion/completions/handfast$' '\./usr/share/doc/handfast/guides/.*\.md(\.gz)?$'; do
    grep -qE -e "$expected" <<<"$listed" || die "the package lacks $expected"
  done
  [ "$(dpkg-deb --info "$1" conffiles | sort -u)" = /etc/handfast/handfast.toml ] || die "the settings are no conffile"
  ! dpkg-deb --info "$1" postinst | grep -q '#DEBHELPER#' || die "the unit is not started by the package"
  dpkg-deb --info "$1" postinst | grep -q handfast.service || die "the unit is not enabled by the package"
}

# Installs, uses, upgrades and purges the package in a copy of this system.
install() { # package
  [ "$(id -u)" -eq 0 ] || die "installing a package needs root"
  unshare --mount --fork -- bash -euo pipefail -c '
    copy=$(mktemp -d)
    mount -t tmpfs tmpfs "$copy"
    mkdir "$copy/changed" "$copy/work" "$copy/root"
    mount -t overlay overlay -o "lowerdir=/,upperdir=$copy/changed,workdir=$copy/work" "$copy/root"
    mount --bind /dev "$copy/root/dev"
    mount -t proc proc "$copy/root/proc"
    mount -t tmpfs tmpfs "$copy/root/run"
    cp "$1" "$copy/root/root/handfast.deb"
    cp host-tests/packages-inside.sh "$copy/root/root/inside.sh"
    chroot "$copy/root" /bin/bash /root/inside.sh
  ' packages "$1" || die "the package does not work once it is installed"
}

case "$#" in
  0) build; package=target/package-files/handfast.deb ;;
  1) package=$1 ;;
  *) printf 'usage: host-tests/packages.sh [FILE.deb]\n' >&2; exit 2 ;;
esac
look "$package"
install "$package"
printf 'packages.sh: %s is installed, serves, is upgraded and purged\n' "$package"
