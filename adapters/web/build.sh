#!/usr/bin/env bash
# Builds the modules into dist/: the one place that knows how. Needs the target, once:
#   rustup target add wasm32-unknown-unknown
# HANDFAST_WEB_TARGET names the folder of cargo's results; it is target/web of the repository by default.
set -euo pipefail
cd "$(dirname "$0")"
repository=$(cd ../.. && pwd)
target=${HANDFAST_WEB_TARGET:-$repository/target/web}
cargo_home=${CARGO_HOME:-$HOME/.cargo}

# The rounds of SHA-2 as loops, numbers of 64 bits for the curve, which WebAssembly multiplies as a whole, little inlined, an eighth of the usual
# stack (the deepest call of core takes 12 KB on a microcontroller), and no path of this machine in the result, which would differ on each.
export RUSTFLAGS="--cfg sha2_backend_soft=\"compact\" --cfg curve25519_dalek_bits=\"64\" -Cllvm-args=-inline-threshold=25 -Clink-arg=-zstack-size=131072 \
--remap-path-prefix=$cargo_home= --remap-path-prefix=$repository= --remap-path-prefix=$(rustc --print sysroot)="
# build NAME OPTION…: builds a module with these features into dist/NAME.
build() {
  cargo build --quiet --package handfast-web --lib --profile web --target wasm32-unknown-unknown --target-dir "$target" "${@:2}"
  cp "$target/wasm32-unknown-unknown/web/handfast_web.wasm" "dist/$1"
}

mkdir -p dist
build handfast.wasm
# The module of the page of handfast-node, which is committed there.
build setup.wasm --no-default-features --features phone
# npm leaves links out of an archive.
cp -L LICENSE-MIT LICENSE-APACHE dist/
