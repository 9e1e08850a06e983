#!/usr/bin/env bash
# Measures a gateway with a fleet of nodes beside mosquitto, and several gateways over PostgreSQL;
# it installs both if they are missing: host-tests/benches/fleet.sh [LINKS [PART…]]
set -euo pipefail
cd "$(dirname "$0")/../.."

# Installs the package that has this program.
install() { # program, package
  command -v apt-get >/dev/null || {
    printf 'fleet.sh: %s is missing and there is no apt-get; install it by hand\n' "$1" >&2
    exit 1
  }
  sudo=
  [ "$(id -u)" -eq 0 ] || sudo=sudo
  $sudo apt-get update -qq
  DEBIAN_FRONTEND=noninteractive $sudo apt-get install -y -qq --no-install-recommends "$2" \
    >/dev/null || {
    printf 'fleet.sh: %s cannot be installed\n' "$2" >&2
    exit 1
  }
}
command -v mosquitto >/dev/null || [ -x /usr/sbin/mosquitto ] || install mosquitto mosquitto
# Debian keeps the server's programs out of the search path.
command -v initdb >/dev/null || compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null ||
  install initdb postgresql
exec cargo bench -p handfast-host-tests --bench fleet -- "$@"
