#!/usr/bin/env bash
# Measures a gateway with a fleet of nodes beside mosquitto, which it installs if it is missing:
# host-tests/benches/fleet.sh [LINKS [PART…]]
set -euo pipefail
cd "$(dirname "$0")/../.."

if ! command -v mosquitto >/dev/null && ! [ -x /usr/sbin/mosquitto ]; then
  command -v apt-get >/dev/null || {
    printf 'fleet.sh: mosquitto is missing and there is no apt-get; install it by hand\n' >&2
    exit 1
  }
  sudo=
  [ "$(id -u)" -eq 0 ] || sudo=sudo
  $sudo apt-get update -qq
  DEBIAN_FRONTEND=noninteractive $sudo apt-get install -y -qq --no-install-recommends mosquitto \
    >/dev/null || {
    printf 'fleet.sh: mosquitto cannot be installed\n' >&2
    exit 1
  }
fi
exec cargo bench -p handfast-host-tests --bench fleet -- "$@"
