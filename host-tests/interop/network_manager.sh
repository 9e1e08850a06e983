#!/usr/bin/env bash
# Runs the real NetworkManager on a bus of its own, in a network and mount namespace of its own, so
# that it touches nothing of this machine. It has a wired device, link0. Needs root.
#
# usage: network_manager.sh DIRECTORY      The bus is DIRECTORY/bus. Ends with its caller.
set -euo pipefail
if [ "${2-}" != inside ]; then
  exec unshare --net --mount "$0" "$1" inside
fi
directory=$1
mkdir -p /run/NetworkManager
for path in /run/NetworkManager /var/lib/NetworkManager /etc/NetworkManager; do
  mount -t tmpfs none "$path"
done
mkdir "$directory/profiles"
chmod 700 "$directory/profiles"
cat >"$directory/bus.conf" <<CONF
<busconfig>
  <type>system</type>
  <listen>unix:path=$directory/bus</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow own="*"/>
    <allow send_destination="*"/>
    <allow receive_sender="*"/>
  </policy>
</busconfig>
CONF
cat >"$directory/nm.conf" <<CONF
[main]
plugins=keyfile
dns=none
rc-manager=unmanaged
auth-polkit=false
no-auto-default=*
[keyfile]
path=$directory/profiles
CONF
ip link set lo up
ip link add link0 type veth peer name link1
ip link set link1 up
setpriv --pdeathsig KILL dbus-daemon --config-file="$directory/bus.conf" --nofork &
while [ ! -S "$directory/bus" ]; do sleep 0.05; done
export DBUS_SYSTEM_BUS_ADDRESS=unix:path=$directory/bus
setpriv --pdeathsig KILL NetworkManager --no-daemon --config "$directory/nm.conf" --log-level "${NM_LOG:-ERR}" &
wait -n
