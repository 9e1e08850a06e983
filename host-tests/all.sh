#!/usr/bin/env bash
# Every check of the project, in the order in which they fail fastest. It installs by package name what is missing, and where a piece cannot be
# had it says so and fails: nothing is left out silently. One release-like profile serves tests, demo and shipped binaries.
#
# With --long it also does what takes long: every state of larger models, two minutes for each fuzz target, every package built from its own
# archive, the images for boards that QEMU does not have and the shipped binaries, with their sizes, and the Debian package, which it installs in
# a copy of this system.
set -euo pipefail
cd "$(dirname "$0")/.."
export CARGO_TERM_COLOR=never RUSTFLAGS="${RUSTFLAGS--D warnings}" RUSTDOCFLAGS="-D warnings"
unset CARGO_TARGET_DIR

long=
case "$#:${1-}" in
  0:) ;;
  1:--long) long=yes ;;
  *) printf 'usage: host-tests/all.sh [--long]\n' >&2; exit 2 ;;
esac
FUZZ_SECONDS=${FUZZ_SECONDS:-${long:+120}}
FUZZ_SECONDS=${FUZZ_SECONDS:-8}
BARE_TARGETS="thumbv6m-none-eabi thumbv7em-none-eabihf riscv32imc-unknown-none-elf wasm32-unknown-unknown"
# The boards of firmware/boards: those that QEMU runs, and those whose chips it does not have, which are checked, and linked with --long.
EMULATED_BOARDS="qemu-mps2-an386 microbit"
HARDWARE_BOARDS="nrf52840 rp2040 rp2350 esp32-c6"
HARDWARE_TARGETS="thumbv8m.main-none-eabihf riscv32imac-unknown-none-elf" # those of the other boards are among the bare targets

start=$SECONDS
step_name='' step_start=0
# Ends the step before with its time, and names the next.
step() {
  [ -z "$step_name" ] || printf -- '--- %s: %d s\n' "$step_name" $((SECONDS - step_start))
  step_name=$1 step_start=$SECONDS
  printf '\n=== %s (%d s)\n' "$1" $((SECONDS - start))
}
die() { printf 'all.sh: %s\n' "$1" >&2; exit 1; }
has() { command -v "$1" >/dev/null 2>&1; }

# --- what is needed -------------------------------------------------------------------------------------------------------------------------
apt_updated=
apt_install() {
  has apt-get || die "$1 is missing and there is no apt-get to install it with; install it by hand"
  local sudo=
  if [ "$(id -u)" -ne 0 ]; then
    has sudo || die "$1 is missing, and installing it needs root or sudo"
    sudo=sudo
  fi
  if [ -z "$apt_updated" ]; then
    $sudo apt-get update -qq || die "the package lists cannot be read"
    apt_updated=yes
  fi
  DEBIAN_FRONTEND=noninteractive $sudo apt-get install -y -qq --no-install-recommends "$1" >/dev/null || die "$1 cannot be installed"
}
# The newest version of a tool that this toolchain is known to build, pinned, with the lock file its authors tested.
cargo_tool() { # command, crate, version
  if has "$1" && [ "$("$1" "${@:4}" --version 2>/dev/null | grep -oE '[0-9]+\.[0-9]+\.[0-9]+' | head -n 1)" = "$3" ]; then return; fi
  RUSTFLAGS='' cargo install --quiet --locked "$2" --version "$3" || die "$2 $3 cannot be installed"
}

step "tools"
has rustup || die "rustup is missing: https://rustup.rs"
has cc || apt_install build-essential
has python3 || apt_install python3
has faketime || apt_install faketime
has openssl || apt_install openssl
has curl || apt_install curl
has qemu-system-arm || apt_install qemu-system-arm
has dbus-run-session || apt_install dbus
# Debian keeps the server's programs out of the search path.
has initdb || compgen -G "/usr/lib/postgresql/*/bin/initdb" >/dev/null || apt_install postgresql
has nats-server || [ -x /usr/sbin/nats-server ] || apt_install nats-server
has nginx || [ -x /usr/sbin/nginx ] || apt_install nginx-light
has haproxy || [ -x /usr/sbin/haproxy ] || apt_install haproxy
has promtool || apt_install prometheus
has NetworkManager || [ -x /usr/sbin/NetworkManager ] || apt_install network-manager
has hostapd || [ -x /usr/sbin/hostapd ] || apt_install hostapd
has dnsmasq || [ -x /usr/sbin/dnsmasq ] || apt_install dnsmasq-base
has wpa_supplicant || [ -x /usr/sbin/wpa_supplicant ] || apt_install wpasupplicant
has strace || apt_install strace
has systemd-analyze || apt_install systemd
has udhcpc || [ -x /usr/sbin/udhcpc ] || apt_install udhcpc
has avahi-daemon || [ -x /usr/sbin/avahi-daemon ] || apt_install avahi-daemon
has avahi-browse || apt_install avahi-utils
has ip || [ -x /usr/sbin/ip ] || apt_install iproute2
/usr/bin/python3 -c "import dbusmock" 2>/dev/null || apt_install python3-dbusmock
has gnome-keyring-daemon || apt_install gnome-keyring
has node || apt_install nodejs
has npm || apt_install npm
has chromium || apt_install chromium
[ "$(node -p 'process.versions.node.split(".")[0]')" -ge 20 ] || die "Node.js 20 or newer is needed, $(node --version) is here: https://nodejs.org"
rustup component add --toolchain stable rustfmt clippy llvm-tools >/dev/null 2>&1 || die "rustfmt, clippy or llvm-tools cannot be installed"
# shellcheck disable=SC2086
rustup target add --toolchain stable $BARE_TARGETS $HARDWARE_TARGETS >/dev/null 2>&1 || die "a bare-metal target cannot be installed"
# Core and edge build with an older Rust than the rest, which both manifests name.
oldest=$(sed -n 's/^rust-version = "\(.*\)"$/\1/p' core/Cargo.toml)
[ -n "$oldest" ] && [ "$oldest" = "$(sed -n 's/^rust-version = "\(.*\)"$/\1/p' adapters/edge/Cargo.toml)" ] || die "core and edge name no common rust-version"
rustup toolchain install "$oldest" --profile minimal --target thumbv7em-none-eabihf >/dev/null 2>&1 || die "Rust $oldest, with which core and edge are built, cannot be installed"
rustup toolchain list | grep -q '^nightly' || rustup toolchain install nightly --profile minimal >/dev/null || die "the nightly toolchain, which fuzzing needs, cannot be installed"
[ -z "$long" ] || rustup component add --toolchain nightly rust-src >/dev/null 2>&1 || die "the sources of Rust, with which nightly builds the smallest image, cannot be installed"
cargo_tool cargo-deny cargo-deny 0.20.2
cargo_tool cargo-fuzz cargo-fuzz 0.13.2
python3 -c 'import websockets, cryptography, schemathesis' 2>/dev/null || {
  python3 -m venv target/venv 2>/dev/null || { apt_install python3-venv; python3 -m venv target/venv; }
  target/venv/bin/pip install --quiet -r host-tests/interop/requirements.txt || die "the Python packages of host-tests/interop/requirements.txt cannot be installed"
}
[ -x target/venv/bin/python3 ] && PATH="$PWD/target/venv/bin:$PATH"

# --- what is checked ------------------------------------------------------------------------------------------------------------------------
step "format"
cargo fmt --all --check
(cd firmware && cargo fmt --all --check)
(cd fuzz && cargo fmt --all --check)

step "lints"
cargo clippy --quiet --release --workspace --all-targets
for board in $EMULATED_BOARDS $HARDWARE_BOARDS; do
  (cd "firmware/boards/$board" && cargo clippy --quiet --release)
done

step "bare targets"
for target in $BARE_TARGETS; do
  cargo check --quiet --release -p handfast-core --target "$target"
  cargo check --quiet --release -p handfast-core --features defmt --target "$target"
done
for target in thumbv6m-none-eabi thumbv7em-none-eabihf riscv32imc-unknown-none-elf; do
  cargo check --quiet --release -p handfast-edge --target "$target"
  cargo check --quiet --release -p handfast-edge --features defmt,identity --target "$target"
done
cargo check --quiet --release -p handfast-edge --features defmt,embassy,identity --target thumbv7em-none-eabihf

step "core and edge with Rust $oldest"
# What an older compiler warns of, a newer one has thought better of.
for target in "" "--target thumbv7em-none-eabihf"; do
  # shellcheck disable=SC2086
  RUSTFLAGS='' cargo "+$oldest" check --quiet --target-dir target/oldest -p handfast-edge --features identity $target
done

step "the server without its features, and with some"
# Each alone with --long: every build of SQLite and of the cryptography of TLS is C that is compiled anew.
some=("" serial,metrics,extensions)
[ -z "$long" ] || some+=(serial metrics extensions sqlite tls nats announce)
for features in "${some[@]}"; do
  cargo check --quiet --target-dir target/embedder -p handfast-server --no-default-features --features "$features"
done
[ -z "$long" ] || cargo check --quiet --target-dir target/embedder -p handfast-store --no-default-features --features postgres

step "dependencies"
for manifest in Cargo.toml firmware/Cargo.toml fuzz/Cargo.toml; do
  cargo deny --manifest-path "$manifest" --config .deny.toml check --hide-inclusion-graph bans licenses sources
done

step "packages are complete"
# What is published is what its archive holds; the files are listed without building them, since the tests build the same sources.
cargo package --quiet --workspace --exclude handfast-host-tests --no-verify --allow-dirty

step "tests"
for board in $EMULATED_BOARDS; do
  (cd "firmware/boards/$board" && cargo build --quiet --release)
done
# Tests in modules called `long` take minutes each.
long_tests='--skip ::long::'
[ -z "$long" ] || long_tests=
# A session bus with an unlocked keyring of its own, so that the client's token store meets a real one and nobody's own is touched.
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
run_tests() { # what libtest is given
  SCRATCH="$scratch" dbus-run-session -- bash -ec '
    if [ ! -d "$SCRATCH/keyring" ]; then mkdir -m 700 "$SCRATCH/keyring"; fi
    printf secret | XDG_DATA_HOME="$SCRATCH/keyring" XDG_RUNTIME_DIR="$SCRATCH/keyring" gnome-keyring-daemon --unlock --components=secrets >/dev/null
    cargo test --release --workspace --quiet --no-fail-fast -- --include-ignored "$@"
  ' run_tests "$@"
}
# Some tests run real programs against real clocks, and on a loaded machine one of them can come too late. So up to three that fail are run
# once more, alone; what failed is named in any case, also at the end. What fails alone, and more than three, is a failure.
again=()
# shellcheck disable=SC2086
run_tests $long_tests 2>&1 | tee "$scratch/tests" || {
  mapfile -t again < <(sed -n 's/^---- \(.*\) stdout ----$/\1/p' "$scratch/tests" | sort -u)
  [ "${#again[@]}" -ge 1 ] && [ "${#again[@]}" -le 3 ] || die "tests failed: ${#again[@]}"
  printf '\nall.sh: failed, and run once more alone: %s\n' "${again[*]}"
  run_tests --test-threads=1 --exact "${again[@]}" 2>&1 | tee "$scratch/again" || die "failed twice: ${again[*]}"
  passed=$(awk '/^test result: ok/ { n += $4 } END { print n + 0 }' "$scratch/again")
  [ "$passed" -ge "${#again[@]}" ] || die "was not run a second time: ${again[*]}"
}

step "what a board costs"
(cd firmware && cargo test --quiet -p handfast-cost -p handfast-parts --features handfast-parts/weak-entropy && cargo run --quiet --release -p handfast-cost -- --check)
[ -z "$long" ] || (cd firmware && cargo run --quiet --release -p handfast-cost -- --nightly)

step "documentation"
cargo doc --quiet --release --workspace --no-deps

step "fuzz targets are built, all in one build"
(cd fuzz && RUSTFLAGS='' cargo +nightly fuzz build 2>"$scratch/fuzz-build" || { cat "$scratch/fuzz-build" >&2; die "the fuzz targets cannot be built"; })

step "fuzzing, $FUZZ_SECONDS s a target"
fuzz_host=$(rustc -vV | sed -n 's/^host: //p')
# New inputs go into the scratch folder, the committed corpus is only read. What a target says is shown only if it finds something.
fuzz_one() {
  mkdir -p "$scratch/$1" "fuzz/corpus/$1" "fuzz/artifacts/$1"
  # As cargo-fuzz sets it: the crates' constants are in several objects, which is no fault.
  ASAN_OPTIONS=detect_odr_violation=0 "fuzz/target/$fuzz_host/release/$1" -artifact_prefix="fuzz/artifacts/$1/" -max_total_time="$FUZZ_SECONDS" -verbosity=0 \
    "$scratch/$1" "fuzz/corpus/$1" >"$scratch/$1.log" 2>&1 || { cat "$scratch/$1.log" >&2; return 1; }
}
pids=() running=() found=()
reap() { # the oldest
  wait "${pids[0]}" || found+=("${running[0]}")
  pids=("${pids[@]:1}") running=("${running[@]:1}")
}
for target in $(cd fuzz && cargo +nightly fuzz list); do
  if [ "${#pids[@]}" -ge "$(nproc)" ]; then reap; fi
  fuzz_one "$target" &
  pids+=($!) running+=("$target")
done
while [ "${#pids[@]}" -gt 0 ]; do reap; done
[ "${#found[@]}" -eq 0 ] || die "fuzz targets found something, see fuzz/artifacts: ${found[*]}"

step "demo"
# The program that the tests have built: what cargo run builds has other features in its dependencies, so it would build half of them again.
target/release/handfast demo --boards

if [ -n "$long" ]; then
  step "images for boards that QEMU does not have"
  readobj=$(rustc --print sysroot)/lib/rustlib/$fuzz_host/bin/llvm-readobj
  for board in $HARDWARE_BOARDS; do
    (
      cd "firmware/boards/$board"
      # The flags of the checks would replace those of the board.
      env -u RUSTFLAGS cargo build --quiet --release
      target=$(sed -n 's/^target = "\(.*\)"$/\1/p' .cargo/config.toml)
      "$readobj" --program-headers "../../target/$target/release/handfast-board-$board" |
        awk -v board="$board" '/ Type: /{ load = /PT_LOAD/ } /FileSize:/ && load { sum += $2 } END { printf "%s: %d bytes of flash\n", board, sum }'
    )
  done

  step "packages are built from their archives"
  cargo package --quiet --workspace --exclude handfast-host-tests --allow-dirty

  step "shipped binaries"
  cargo build --quiet --profile dist -p handfast-cli -p handfast-node
  stat --format '%n: %s bytes' target/dist/handfast target/dist/handfast-node

  step "Debian package"
  host-tests/packages.sh
fi

step "done"
[ "${#again[@]}" -eq 0 ] || printf 'all.sh: failed at first, and passed alone: %s\n' "${again[*]}"
