#!/usr/bin/env bash
# The part of packages.sh inside of the copied system: root of that system, nothing else runs in it.
set -euo pipefail
export DEBIAN_FRONTEND=noninteractive PATH=/usr/sbin:/usr/bin:/sbin:/bin
unset HANDFAST_DATA STATE_DIRECTORY XDG_DATA_HOME
fail() { printf 'packages.sh: %s\n' "$1" >&2; exit 1; }
mode() { stat --format '%a %U:%G' "$1"; }
as() { setpriv --reuid="$1" --regid="$2" --init-groups env -u STATE_DIRECTORY HOME=/nonexistent "${@:3}"; }

dpkg -i /root/handfast.deb >/root/log 2>&1 || { cat /root/log >&2; fail "dpkg cannot install it"; }
getent passwd handfast >/dev/null || fail "there is no user handfast"
getent group handfast >/dev/null || fail "there is no group handfast"
[ "$(mode /etc/handfast/handfast.toml)" = '640 root:handfast' ] || fail "the settings are $(mode /etc/handfast/handfast.toml)"
[ "$(mode /etc/handfast)" = '750 root:handfast' ] || fail "their folder is $(mode /etc/handfast)"
[ -e /etc/systemd/system/multi-user.target.wants/handfast.service ] || fail "the unit is not enabled"
if command -v systemd-analyze >/dev/null; then systemd-analyze verify handfast.service || fail "systemd finds fault with the unit"; fi

# As the unit starts it, with what systemd makes for it.
/usr/bin/install -d -o handfast -g handfast -m 0700 /var/lib/handfast
/usr/bin/install -d -o handfast -g handfast -m 0750 /run/handfast
serve=$(sed -n 's/^ExecStart=//p' /usr/lib/systemd/system/handfast.service /lib/systemd/system/handfast.service 2>/dev/null | head -n 1)
start() {
  # shellcheck disable=SC2086
  setpriv --reuid=handfast --regid=handfast --init-groups --no-new-privs --inh-caps=-all --bounding-set=-all \
    env STATE_DIRECTORY=/var/lib/handfast $serve --listen 127.0.0.1:18765 >/root/gateway 2>&1 &
  gateway=$!
  for _ in $(seq 100); do [ -S /run/handfast/handfast.sock ] && return; sleep 0.1; done
  cat /root/gateway >&2
  fail "the gateway does not serve"
}
trap 'kill "$gateway" 2>/dev/null || true' EXIT
start
[ "$(mode /run/handfast/handfast.sock)" = '660 handfast:handfast' ] || fail "the socket is $(mode /run/handfast/handfast.sock)"
[ "$(mode /var/lib/handfast/handfast.sock)" = '600 handfast:handfast' ] || fail "the other socket is open"

# An operator, and somebody else.
useradd --no-create-home hf-operator
usermod -aG handfast hf-operator
useradd --no-create-home hf-somebody
as hf-operator hf-operator handfast status >/dev/null || fail "an operator of the group is refused"
handfast status >/dev/null || fail "root is refused"
said=$(as hf-somebody hf-somebody handfast status 2>&1) && fail "somebody is an operator"
grep -q 'group handfast.*usermod -aG handfast hf-somebody' <<<"$said" || fail "somebody is told: $said"
as handfast handfast handfast backup /var/lib/handfast/backup.db --data /var/lib/handfast >/dev/null || fail "no backup"

# The node's package: nothing runs until its owner says so, and then it pairs and links as its own user.
dpkg -i /root/handfast-node.deb >/root/log 2>&1 || { cat /root/log >&2; fail "dpkg cannot install the node"; }
getent passwd handfast-node >/dev/null || fail "there is no user handfast-node"
for unit in handfast-node handfast-node-provision; do
  [ ! -e "/etc/systemd/system/multi-user.target.wants/$unit.service" ] || fail "$unit is enabled by the package"
  if command -v systemd-analyze >/dev/null; then systemd-analyze verify "$unit.service" || fail "systemd finds fault with $unit"; fi
done
/usr/bin/install -d -o handfast-node -g handfast-node -m 0700 /var/lib/handfast-node
node=(setpriv --reuid=handfast-node --regid=handfast-node --init-groups --no-new-privs --inh-caps=-all --bounding-set=-all
  env STATE_DIRECTORY=/var/lib/handfast-node HOME=/nonexistent)
invitation=$(as hf-operator hf-operator handfast codes create --qr --text --uses 1 | grep -o 'handfast:1?.*') || fail "no invitation"
"${node[@]}" handfast-node pair --qr - --name hall-lamp <<<"$invitation" >/root/node 2>&1 || { cat /root/node >&2; fail "the node does not pair"; }
run=$(sed -n 's/^ExecStart=//p' /usr/lib/systemd/system/handfast-node.service /lib/systemd/system/handfast-node.service 2>/dev/null | head -n 1)
# shellcheck disable=SC2086
"${node[@]}" $run >/root/node 2>&1 &
linked=$!
for _ in $(seq 100); do
  as hf-operator hf-operator handfast nodes list --json | grep -q '"status":"online"' && break
  sleep 0.1
done
as hf-operator hf-operator handfast nodes list --json | grep -q '"status":"online"' || { cat /root/node >&2; fail "the node does not link"; }
kill "$linked" && wait "$linked" || fail "the node does not end in order"
dpkg --purge handfast-node >/root/log 2>&1 || { cat /root/log >&2; fail "dpkg cannot purge the node"; }
[ -n "$(ls /var/lib/handfast-node)" ] || fail "a purge takes the node's keys"

# An upgrade keeps what an administrator changed; the gateway ends in order and finds its registry again.
echo '# mine' >>/etc/handfast/handfast.toml
kill "$gateway" && wait "$gateway"
[ ! -e /run/handfast/handfast.sock ] || fail "the socket stays behind"
dpkg -i /root/handfast.deb >/root/log 2>&1 || { cat /root/log >&2; fail "dpkg cannot upgrade it"; }
grep -q '^# mine$' /etc/handfast/handfast.toml || fail "an upgrade overwrote the settings"
start
kill "$gateway" && wait "$gateway"

dpkg --purge handfast >/root/log 2>&1 || { cat /root/log >&2; fail "dpkg cannot purge it"; }
[ ! -e /etc/handfast/handfast.toml ] || fail "a purge leaves the settings"
[ -s /var/lib/handfast/store.key ] || fail "a purge takes the keys"
