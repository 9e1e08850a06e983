#!/usr/bin/env bash
# Builds the Debian packages of the gateway and the node with their lists of parts (CycloneDX), and installs them, as an administrator would. It
# needs root, dpkg and a kernel that mounts an overlay: the packages go into a copy of this system that nobody else sees and that is gone
# afterwards. Where that cannot be, it says so and fails.
#
#   host-tests/packages.sh                            builds the packages and checks them
#   host-tests/packages.sh GATEWAY.deb NODE.deb       checks packages that are there
set -euo pipefail
cd "$(dirname "$0")/.."
CARGO_DEB=3.6.2
CARGO_CYCLONEDX=0.5.9
die() { printf 'packages.sh: %s\n' "$1" >&2; exit 1; }

cargo_tool() { # command and crate, version
  if [ "$("${@:3}" --version 2>/dev/null | grep -oE '[0-9]+\.[0-9]+\.[0-9]+' | head -n 1)" != "$2" ]; then
    RUSTFLAGS='' cargo install --quiet --locked "$1" --version "$2" || die "$1 $2 cannot be installed"
  fi
}

build() {
  cargo_tool cargo-deb "$CARGO_DEB" cargo-deb
  cargo_tool cargo-cyclonedx "$CARGO_CYCLONEDX" cargo cyclonedx
  cargo build --quiet --profile dist -p handfast-cli -p handfast-node
  # What is made of the definitions of the command line.
  rm -rf target/package-files && mkdir -p target/package-files/man
  target/dist/handfast man target/package-files/man >/dev/null
  target/dist/handfast completions bash >target/package-files/handfast.bash
  target/dist/handfast completions fish >target/package-files/handfast.fish
  target/dist/handfast completions zsh >target/package-files/_handfast
  list_parts adapters/cli handfast
  list_parts adapters/node handfast-node
  cargo deb --quiet --no-build --profile dist -p handfast-cli --output target/package-files/handfast.deb
  cargo deb --quiet --no-build --profile dist -p handfast-node --output target/package-files/handfast-node.deb
}

# Writes the list of what a program is made of: each crate with its version, its licence and the checksum of its archive. The tool writes one
# file beside each manifest of the workspace; that of the program is kept. The list names no folder of this machine and no time of day.
list_parts() { # folder of the crate, program
  SOURCE_DATE_EPOCH=$(git log -1 --format=%ct 2>/dev/null || echo 0) \
    cargo cyclonedx -qq --manifest-path "$1/Cargo.toml" --format json --spec-version 1.5 --no-build-deps --override-filename "$2.cdx"
  sed "s|path+file://$PWD/||g" "$1/$2.cdx.json" >"target/package-files/$2.cdx.json"
  find . -name "$2.cdx.json" -not -path './target/*' -delete
  python3 - "target/package-files/$2.cdx.json" "$2" <<'PARTS' || die "the list of parts of $2 is not complete"
import json, os, sys
text = open(sys.argv[1]).read()
listed = json.loads(text)
parts = listed["components"]
assert os.getcwd() not in text, "a folder of this machine"
assert len(parts) > 100, len(parts)
for part in parts:
    assert part["version"] and part["purl"].startswith("pkg:cargo/"), part
    assert part["licenses"], part["name"]
    assert part["name"].startswith("handfast-") or part["hashes"][0]["alg"] == "SHA-256", part["name"]
names = {part["name"] for part in parts}
assert {"handfast-core", "x25519-dalek", "chacha20poly1305", "rustls"} <= names, sorted(names)
PARTS
}

# What a package holds, without installing it.
look() { # package, what its list of files must match
  local listed expected
  listed=$(dpkg-deb --contents "$1")
  for expected in "${@:2}"; do
    grep -qE -e "$expected" <<<"$listed" || die "$1 lacks $expected"
  done
  ! dpkg-deb --info "$1" postinst | grep -q '#DEBHELPER#' || die "the units of $1 are not the package's"
}

look_at_gateway() { # package
  look "$1" '-rwxr-xr-x (root/root|0/0) .* \./usr/bin/handfast$' '-rw-r----- (root/root|0/0) .* \./etc/handfast/handfast\.toml$' \
    '\./(usr/)?lib/systemd/system/handfast\.service$' '\./usr/lib/sysusers\.d/handfast\.conf$' '\./usr/share/man/man1/handfast\.1\.gz$' \
    '\./usr/share/bash-completion/completions/handfast$' '\./usr/share/doc/handfast/guides/.*\.md(\.gz)?$' \
    '\./usr/share/doc/handfast/handfast\.cdx\.json(\.gz)?$'
  [ "$(dpkg-deb --info "$1" conffiles | sort -u)" = /etc/handfast/handfast.toml ] || die "the settings are no conffile"
  dpkg-deb --info "$1" postinst | grep -q handfast.service || die "the unit is not enabled by the package"
}

look_at_node() { # package
  look "$1" '-rwxr-xr-x (root/root|0/0) .* \./usr/bin/handfast-node$' '\./(usr/)?lib/systemd/system/handfast-node\.service$' \
    '\./(usr/)?lib/systemd/system/handfast-node-provision\.service$' '\./usr/lib/sysusers\.d/handfast-node\.conf$' \
    '\./usr/share/polkit-1/rules\.d/50-handfast-node\.rules$' '\./usr/share/doc/handfast-node/handfast-node\.cdx\.json(\.gz)?$'
}

# Installs, uses, upgrades and purges the packages in a copy of this system.
install() { # both packages
  [ "$(id -u)" -eq 0 ] || die "installing a package needs root"
  unshare --mount --net --fork -- bash -euo pipefail -c '
    ip link set lo up
    copy=$(mktemp -d)
    mount -t tmpfs tmpfs "$copy"
    mkdir "$copy/changed" "$copy/work" "$copy/root"
    mount -t overlay overlay -o "lowerdir=/,upperdir=$copy/changed,workdir=$copy/work" "$copy/root"
    mount --bind /dev "$copy/root/dev"
    mount -t proc proc "$copy/root/proc"
    mount -t tmpfs tmpfs "$copy/root/run"
    cp "$1" "$copy/root/root/handfast.deb"
    cp "$2" "$copy/root/root/handfast-node.deb"
    cp host-tests/packages-inside.sh "$copy/root/root/inside.sh"
    chroot "$copy/root" /bin/bash /root/inside.sh
  ' packages "$1" "$2" || die "the packages do not work once they are installed"
}

case "$#" in
  0) build; gateway=target/package-files/handfast.deb node=target/package-files/handfast-node.deb ;;
  2) gateway=$1 node=$2 ;;
  *) printf 'usage: host-tests/packages.sh [GATEWAY.deb NODE.deb]\n' >&2; exit 2 ;;
esac
look_at_gateway "$gateway"
look_at_node "$node"
install "$gateway" "$node"
printf 'packages.sh: %s and %s are installed, pair, are upgraded and purged\n' "$gateway" "$node"
