"""Reads a provisioned node's files with the reference library, prints what they hold, and writes
another network in their place."""

import json
import pathlib
import sys

from cryptography.fernet import Fernet

folder = pathlib.Path(sys.argv[1])
fernet = Fernet((folder / "secrets.key").read_bytes())
k2 = fernet.decrypt((folder / "k2.enc").read_bytes())
wifi_file = folder / "wifi_credentials.enc"
wifi = json.loads(fernet.decrypt(wifi_file.read_bytes()))
assert json.loads((folder / "k2_metadata.json").read_text())["kid"] == "k1"
assert (folder / ".provisioned").read_bytes() == b""
print(k2.hex(), wifi["ssid"], wifi["password"])
wifi.update(ssid="IoT_Network", password="wrong")
wifi_file.write_bytes(fernet.encrypt(json.dumps(wifi).encode()))
