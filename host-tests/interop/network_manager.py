"""NetworkManager for tests: python-dbusmock's template, with what it lacks.

It plays the states of a device, with their reasons, as real radios were measured to report them.
Parameters:
  networks       SSID -> {"strength": percent, "flags": n, "rsn": n}: the access points in reach
  plays          SSID -> list of plays, one for each activation, the last for all further ones;
                 a play is a list of [state, reason]
  access_point   the play of the node's own access point
  leftover       true: a checkpoint of a process that has died is there
  WirelessEnabled, WirelessHardwareEnabled, Connectivity

The methods Calls and Play of org.freedesktop.DBus.Mock list what was called, and play states now.
"""

import json
import uuid

import dbus
import dbusmock
from dbusmock.templates import networkmanager as base
from dbusmock.templates.networkmanager import *  # noqa: F403 (the methods of the template)
from dbusmock.templates.networkmanager import (
    ACCESS_POINT_IFACE,
    ACTIVE_CONNECTION_IFACE,
    CSETTINGS_IFACE,
    DEVICE_IFACE,
    MANAGER_IFACE,
    MANAGER_OBJ,
    SETTINGS_IFACE,
    SETTINGS_OBJ,
    WIRELESS_DEVICE_IFACE,
)
from gi.repository import GLib

MOCK_IFACE = "org.freedesktop.DBus.Mock"
CHECKPOINT_IFACE = MANAGER_IFACE + ".Checkpoint"
JOINS = [[40, 0], [50, 0], [60, 0], [40, 0], [50, 0], [70, 0], [80, 0], [90, 0], [100, 0]]
STARTS = [[40, 0], [50, 0], [70, 0], [80, 0], [90, 0], [100, 0]]
# Milliseconds between two states.
STEP = 5


def plain(value):
    """Turns what D-Bus gave into what JSON takes; bytes become text."""
    if isinstance(value, (dbus.ByteArray, bytes)):
        return bytes(value).decode()
    if isinstance(value, dict):
        return {str(key): plain(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        if isinstance(value, dbus.Array) and value.signature == "y":
            return bytes(value).decode()
        return [plain(one) for one in value]
    if isinstance(value, dbus.Boolean):
        return bool(value)
    if isinstance(value, int):
        return int(value)
    return str(value)


def failure(name, text):
    return dbus.exceptions.DBusException(text, name=MANAGER_IFACE + "." + name)


class Played:
    """The radio and the profiles."""

    def __init__(self, mock, parameters):
        self.mock = mock
        self.parameters = parameters
        self.calls = []
        self.numbers = {}
        self.activations = {}
        self.playing = None
        self.state = 30
        self.device = base.AddWiFiDevice(mock, "wlan0", "wlan0", 30)
        self.wlan = dbusmock.get_object(self.device)
        self.wlan.props[WIRELESS_DEVICE_IFACE]["LastScan"] = dbus.Int64(-1)
        self.manager = dbusmock.get_object(MANAGER_OBJ)
        for number, (ssid, ap) in enumerate(parameters.get("networks", {}).items()):
            base.AddAccessPoint(
                mock, self.device, f"ap{number}", ssid, f"00:23:f8:7e:12:{number:02x}", 2, 2437, 5400, ap["strength"], ap["rsn"]
            )
            point = dbusmock.get_object(f"/org/freedesktop/NetworkManager/AccessPoint/ap{number}")
            point.props[ACCESS_POINT_IFACE]["Flags"] = dbus.UInt32(ap["flags"])
            point.props[ACCESS_POINT_IFACE]["WpaFlags"] = dbus.UInt32(0)
        self.manager.props[MANAGER_IFACE]["Checkpoints"] = dbus.Array([], signature="o")
        if parameters.get("leftover"):
            self.add_checkpoint()

    def path(self, kind):
        number = self.numbers[kind] = self.numbers.get(kind, 0) + 1
        return f"/org/freedesktop/NetworkManager/{kind}/{number}"

    def called(self, name, *args):
        self.calls.append([name, *plain(args)])

    # The device's states.

    def change(self, state, reason):
        before, self.state = self.state, state
        self.wlan.props[DEVICE_IFACE]["State"] = dbus.UInt32(state)
        active = self.wlan.props[DEVICE_IFACE]["ActiveConnection"]
        if active != "/" and state == 100:
            dbusmock.get_object(active).props[ACTIVE_CONNECTION_IFACE]["State"] = dbus.UInt32(2)
        self.wlan.EmitSignal(DEVICE_IFACE, "StateChanged", "uuu", [dbus.UInt32(state), dbus.UInt32(before), dbus.UInt32(reason)])
        if state == 30:
            self.deactivated()

    def deactivated(self):
        active = self.wlan.props[DEVICE_IFACE]["ActiveConnection"]
        if active == "/":
            return
        self.wlan.props[DEVICE_IFACE]["ActiveConnection"] = dbus.ObjectPath("/")
        profile = dbusmock.get_object(active).props[ACTIVE_CONNECTION_IFACE]["Connection"]
        self.mock.RemoveObject(active)
        if profile in self.profiles() and dbusmock.get_object(profile).volatile:
            self.remove(profile)

    def play(self, states):
        states = list(states)

        def step():
            if self.playing is not step:
                return False
            if states:
                self.change(*states.pop(0))
            # As after every failure, and later than it.
            elif self.state == 120:
                self.change(30, 0)
            return bool(states) or self.state == 120

        self.playing = step
        GLib.timeout_add(STEP, step)

    # The methods of the device.

    def request_scan(self, options):
        self.called("RequestScan", options)

        def ended():
            self.wlan.UpdateProperties(WIRELESS_DEVICE_IFACE, {"LastScan": dbus.Int64(GLib.get_monotonic_time())})
            return False

        GLib.timeout_add(STEP, ended)

    # Checkpoints.

    def add_checkpoint(self):
        path = self.path("Checkpoint")
        devices = dbus.Array([dbus.ObjectPath(self.device)], signature="o")
        self.mock.AddObject(path, CHECKPOINT_IFACE, {"Devices": devices}, [])
        self.manager.props[MANAGER_IFACE]["Checkpoints"].append(dbus.ObjectPath(path))
        return dbus.ObjectPath(path)

    def checkpoint_create(self, devices, timeout, flags):
        self.called("CheckpointCreate", devices, timeout, flags)
        if flags & 4 and devices:
            raise failure("InvalidArguments", "the DISCONNECT_NEW_DEVICES flag can only be used with an empty device list")
        if self.manager.props[MANAGER_IFACE]["Checkpoints"]:
            raise failure("InvalidArguments", "device 'wlan0' is already included in a checkpoint")
        self.before = set(self.profiles())
        return self.add_checkpoint()

    def end_checkpoint(self, path):
        self.manager.props[MANAGER_IFACE]["Checkpoints"].remove(path)
        self.mock.RemoveObject(path)

    def checkpoint_destroy(self, path):
        self.called("CheckpointDestroy", path)
        self.end_checkpoint(path)

    def checkpoint_rollback(self, path):
        self.called("CheckpointRollback", path)
        self.end_checkpoint(path)
        for profile in set(self.profiles()) - getattr(self, "before", set(self.profiles())):
            self.remove(profile)
        return dbus.Dictionary({self.device: dbus.UInt32(0)}, signature="su")

    # Profiles.

    def profiles(self):
        return dbusmock.get_object(SETTINGS_OBJ).props[SETTINGS_IFACE]["Connections"]

    def add(self, settings, volatile):
        settings["connection"].setdefault("uuid", str(uuid.uuid4()))
        path = dbus.ObjectPath(self.path("Settings"))
        methods = [
            ("GetSettings", "", "a{sa{sv}}", "ret = self.played.settings(self)"),
            ("Update2", "a{sa{sv}}ua{sv}", "a{sv}", "ret = self.played.update(self, *args)"),
            ("Delete", "", "", "self.played.delete(self)"),
        ]
        self.mock.AddObject(path, CSETTINGS_IFACE, {"Unsaved": volatile}, methods)
        profile = dbusmock.get_object(path)
        profile.played, profile.given, profile.volatile = self, settings, volatile
        self.profiles().append(path)
        return path

    def remove(self, path):
        self.profiles().remove(path)
        self.mock.RemoveObject(path)

    def settings(self, profile):
        told = {name: dict(section) for name, section in profile.given.items()}
        told.get("802-11-wireless-security", {}).pop("psk", None)
        return dbus.Dictionary({name: dbus.Dictionary(section, signature="sv") for name, section in told.items()}, signature="sa{sv}")

    def update(self, profile, settings, flags, options):
        self.called("Update2", settings, flags, options)
        if settings["connection"].get("uuid") != profile.given["connection"]["uuid"]:
            raise failure("Settings.InvalidConnection", "the unique id changed")
        profile.given, profile.volatile = settings, profile.volatile and not flags & 1
        return dbus.Dictionary({}, signature="sv")

    def delete(self, profile):
        self.called("Delete", profile.given["connection"]["id"])
        self.remove(profile.path)

    # Activation.

    def activate(self, path):
        profile = dbusmock.get_object(path)
        active = dbus.ObjectPath(self.path("ActiveConnection"))
        properties = {"Connection": dbus.ObjectPath(path), "State": dbus.UInt32(1)}
        self.playing = None
        self.deactivated()
        self.mock.AddObject(active, ACTIVE_CONNECTION_IFACE, properties, [])
        self.wlan.props[DEVICE_IFACE]["ActiveConnection"] = active
        wireless = profile.given["802-11-wireless"]
        if wireless["mode"] == "ap":
            self.play(self.parameters.get("access_point", STARTS))
        else:
            ssid = plain(wireless["ssid"])
            plays = self.parameters.get("plays", {}).get(ssid, [JOINS])
            number = self.activations[ssid] = self.activations.get(ssid, 0) + 1
            self.play(plays[min(number, len(plays)) - 1])
        return active

    def add_and_activate(self, settings, device, specific, options):
        self.called("AddAndActivateConnection2", settings, device, specific, options)
        path = self.add(settings, options.get("persist") == "volatile")
        return (path, self.activate(path), dbus.Dictionary({}, signature="sv"))

    def activate_kept(self, path, device, specific):
        self.called("ActivateConnection", dbusmock.get_object(path).given["connection"]["id"], device, specific)
        return self.activate(path)

    def deactivate(self, active):
        self.called("DeactivateConnection", active)
        if self.wlan.props[DEVICE_IFACE]["ActiveConnection"] != active:
            raise failure("ConnectionNotActive", "the connection is not active")
        self.play([[110, 39], [30, 39]])


def load(mock, parameters):
    known = ("WirelessEnabled", "WirelessHardwareEnabled")
    told = {name: parameters[name] for name in known if name in parameters}
    base.load(mock, {**told, "Connectivity": dbus.UInt32(parameters.get("Connectivity", 4))})
    played = Played(mock, parameters)
    played.wlan.played = played.manager.played = played
    played.wlan.AddMethod(WIRELESS_DEVICE_IFACE, "RequestScan", "a{sv}", "", "self.played.request_scan(*args)")
    for name, takes, gives, does in (
        ("CheckpointCreate", "aouu", "o", "ret = self.played.checkpoint_create(*args)"),
        ("CheckpointDestroy", "o", "", "self.played.checkpoint_destroy(*args)"),
        ("CheckpointRollback", "o", "a{su}", "ret = self.played.checkpoint_rollback(*args)"),
        ("CheckpointAdjustRollbackTimeout", "ou", "", "self.played.called('CheckpointAdjustRollbackTimeout', *args)"),
        ("AddAndActivateConnection2", "a{sa{sv}}ooa{sv}", "ooa{sv}", "ret = self.played.add_and_activate(*args)"),
        ("ActivateConnection", "ooo", "o", "ret = self.played.activate_kept(*args)"),
        ("DeactivateConnection", "o", "", "self.played.deactivate(*args)"),
    ):
        played.manager.AddMethod(MANAGER_IFACE, name, takes, gives, does)
    played.manager.AddMethod(MOCK_IFACE, "Calls", "", "s", "ret = self.played.told()")
    played.manager.AddMethod(MOCK_IFACE, "Play", "a(uu)", "", "self.played.play([list(one) for one in args[0]])")
    played.told = lambda: json.dumps(played.calls)
    print("NetworkManager is played", flush=True)
