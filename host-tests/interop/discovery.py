"""A gateway that announces itself, nodes that look for it, and attackers, on a network of their own.

usage: unshare --net --mount python3 discovery.py SCENARIO HANDFAST HANDFAST_NODE DIRECTORY

The nodes and avahi are in the script's own network namespace, at 10.77.0.2, and so is who answers
with lies, at 10.77.0.3. The gateways, the attacker's among them, are in another one behind a virtual
cable: 10.77.0.1 and up. Needs root. DNS is read and written here
by hand, so that a defect of our libraries is not on both sides.
"""

import json
import os
import pty
import re
import select
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from pathlib import Path

SERVICE = "_handfast._tcp.local"
PTR, TXT, AAAA, SRV, A = 12, 16, 28, 33, 1
NODE, LIAR = "10.77.0.2", "10.77.0.3"
HALL, MOVED, ATTACKER = "10.77.0.1", "10.77.0.9", "10.77.0.66"
PATIENCE = 30

scenario, handfast, node_program, directory = sys.argv[1:5]
directory = Path(directory)
children = []


def run(*words, **more):
    return subprocess.run(words, check=True, capture_output=True, text=True, **more)


def start(*words, **more):
    child = subprocess.Popen(words, stdin=subprocess.PIPE, text=True, **more)
    children.append(child)
    return child


def there(*words):
    """The words of a command in the gateways' namespace."""
    return ["ip", "netns", "exec", "there", *words]


def network():
    run("mount", "-t", "tmpfs", "none", "/run")
    os.makedirs("/run/netns")
    run("ip", "netns", "add", "there")
    run("ip", "link", "add", "near", "type", "veth", "peer", "name", "far", "netns", "there")
    for address in (NODE, LIAR):
        run("ip", "addr", "add", address + "/24", "dev", "near")
    for name in ("lo", "near"):
        run("ip", "link", "set", name, "up")
    for address in (HALL, MOVED, ATTACKER):
        run(*there("ip", "addr", "add", address + "/24", "dev", "far"))
    for name in ("lo", "far"):
        run(*there("ip", "link", "set", name, "up"))
    run("ip", "route", "add", "224.0.0.0/4", "dev", "near")
    run(*there("ip", "route", "add", "224.0.0.0/4", "dev", "far"))


class Gateway:
    """A running gateway, and what it printed."""

    def __init__(self, place, listen, *more):
        self.data = directory / place
        self.data.mkdir(mode=0o700, exist_ok=True)
        self.said = ""
        words = [handfast, "serve", "--data", str(self.data), "--listen", listen, *more]
        self.child = start(*there(*words), stdout=subprocess.PIPE)
        threading.Thread(target=self.read, daemon=True).start()
        self.says("approve nodes with")
        self.fingerprint = re.search(r"^fingerprint: (\S+)$", self.said, re.M).group(1)

    def read(self):
        for line in self.child.stdout:
            self.said += line

    def says(self, words):
        until = time.monotonic() + PATIENCE
        while words not in self.said:
            assert time.monotonic() < until, f"{words!r} was not printed, only {self.said}"
            time.sleep(0.02)

    def pin(self):
        self.says("PIN: ")
        return re.findall(r"^PIN: (\S+)$", self.said, re.M)[-1]

    def verb(self, *words):
        return run(handfast, *words, "--data", str(self.data)).stdout

    def stop(self):
        self.child.send_signal(signal.SIGINT)
        assert self.child.wait(PATIENCE) == 0


# --- DNS by hand --------------------------------------------------------------------------------


def name(text):
    labels = [label.encode() for label in text.split(".")]
    return b"".join(bytes([len(label)]) + label for label in labels) + b"\0"


def read_name(packet, at):
    labels, end, hops = [], None, 0
    while packet[at]:
        if packet[at] & 0xC0 == 0xC0:
            end = at + 2 if end is None else end
            at = struct.unpack(">H", packet[at : at + 2])[0] & 0x3FFF
            hops += 1
            assert hops < 20
            continue
        labels.append(packet[at + 1 : at + 1 + packet[at]].decode())
        at += 1 + packet[at]
    return labels, (at + 1 if end is None else end)


def records(packet):
    """The records of an answer: owner, type, lifetime, and the place of the data."""
    _, _, questions, *counts = struct.unpack(">6H", packet[:12])
    at, found = 12, []
    for _ in range(questions):
        at = read_name(packet, at)[1] + 4
    for _ in range(sum(counts)):
        owner, at = read_name(packet, at)
        kind, _, ttl, length = struct.unpack(">HHIH", packet[at : at + 10])
        found.append((owner, kind, ttl, at + 10, length))
        at += 10 + length
    return found


def question(number):
    return struct.pack(">6H", number, 0, 1, 0, 0, 0) + name(SERVICE) + struct.pack(">HH", PTR, 1)


def announced(wait=1.5):
    """Asks once, and returns what is announced: name, (port, address, entries)."""
    asking = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    asking.bind((NODE, 0))
    asking.sendto(question(77), ("224.0.0.251", 5353))
    found, until = {}, time.monotonic() + wait
    while (left := until - time.monotonic()) > 0:
        if not select.select([asking], [], [], left)[0]:
            break
        packet, sender = asking.recvfrom(9000)
        ports, texts = {}, {}
        for owner, kind, _, at, length in records(packet):
            if kind == SRV:
                ports[owner[0]] = struct.unpack(">H", packet[at + 4 : at + 6])[0]
            if kind == TXT:
                entries, end = {}, at + length
                while at < end:
                    entry = packet[at + 1 : at + 1 + packet[at]].decode()
                    entries.update([entry.split("=", 1)])
                    at += 1 + packet[at]
                texts[owner[0]] = entries
        found.update({who: (ports[who], sender[0], texts[who]) for who in ports if who in texts})
    return found


def record(owner, kind, data):
    return name(owner) + struct.pack(">HHIH", kind, 1, 10, len(data)) + data


def text_of(entries):
    entries = [entry.encode() for entry in entries]
    return b"".join(bytes([len(entry)]) + entry for entry in entries)


def answer(number, label, fingerprint, address, port, scheme="ws", more=()):
    owner = name(SERVICE)
    raw = label.encode()
    instance = bytes([len(raw)]) + raw + owner
    host = "evil.local"
    head = struct.pack(">6H", number, 0x8400, 0, 4, 0, 0)
    kinds = [
        owner + struct.pack(">HHIH", PTR, 1, 10, len(instance)) + instance,
        instance
        + struct.pack(">HHIH", SRV, 1, 10, 6 + len(name(host)))
        + struct.pack(">HHH", 0, 0, port)
        + name(host),
    ]
    text = text_of(["v=1", f"fp={fingerprint}", f"s={scheme}", *more])
    kinds.append(instance + struct.pack(">HHIH", TXT, 1, 10, len(text)) + text)
    kinds.append(record(host, A, socket.inet_aton(address)))
    return head + b"".join(kinds)


def attack(answers):
    """Answers each question on the network with these answers, from an address of its own, as long
    as the scenario lasts."""
    reading, writing = os.pipe()
    child = os.fork()
    if child:
        children.append(child)
        os.close(writing)
        assert os.read(reading, 1) == b".", "the attacker did not start"
        return
    try:
        answer_all(answers, writing)
    finally:
        os._exit(1)


def answer_all(answers, ready):
    group = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    group.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    group.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    group.bind(("224.0.0.251", 5353))
    member = socket.inet_aton("224.0.0.251") + socket.inet_aton(LIAR)
    group.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, member)
    telling = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    telling.bind((LIAR, 0))
    os.write(ready, b".")
    while True:
        packet, asker = group.recvfrom(9000)
        if asker[1] == 5353:
            continue
        number = struct.unpack(">H", packet[:2])[0]
        for each in answers(number):
            telling.sendto(each, asker)


# --- Nodes --------------------------------------------------------------------------------------


def state(place):
    path = directory / place
    path.mkdir(mode=0o700, exist_ok=True)
    return str(path)


def pair(place, *way, typed=""):
    """Pairs without a terminal."""
    words = [node_program, "pair", *way, "--state", state(place)]
    ended = subprocess.run(words, input=typed, capture_output=True, text=True, timeout=PATIENCE)
    return ended.returncode, ended.stdout + ended.stderr


class Terminal:
    """A node on a terminal."""

    def __init__(self, place, *way):
        pid, self.screen = pty.fork()
        words = [node_program, "pair", *way, "--state", state(place)]
        if pid == 0:
            os.execv(words[0], words)
        self.pid, self.said = pid, ""

    def says(self, words):
        until = time.monotonic() + PATIENCE
        while words not in self.said:
            assert time.monotonic() < until, f"{words!r} was not shown, only {self.said}"
            if select.select([self.screen], [], [], 0.2)[0]:
                try:
                    self.said += os.read(self.screen, 65536).decode(errors="replace")
                except OSError:
                    assert words in self.said, f"{words!r} was not shown, only {self.said}"

    def types(self, line):
        os.write(self.screen, line.encode() + b"\n")

    def ends(self):
        try:
            while chunk := os.read(self.screen, 65536):
                self.said += chunk.decode(errors="replace")
        except OSError:
            pass
        _, status, used = os.wait4(self.pid, 0)
        return os.waitstatus_to_exitcode(status), used.ru_maxrss


def kept(place):
    return json.loads((directory / place / "native.json").read_text())


def linked(place):
    words = [node_program, "status", "--json", "--state", state(place)]
    until = time.monotonic() + 60
    while True:
        ended = subprocess.run(words, capture_output=True, text=True)
        if ended.returncode == 0:
            stands = json.loads(ended.stdout)
            if stands["running"] and stands["link"] == "linked":
                return
        assert time.monotonic() < until, f"not linked: {ended.stdout}{ended.stderr}"
        time.sleep(0.1)


# --- Scenarios ----------------------------------------------------------------------------------


def announces():
    """A gateway is announced where it listens beyond loopback, and only while it runs."""
    hall = Gateway("hall", "0.0.0.0:8765", "--listen-tcp", "0.0.0.0:7331", "--name", "Hall v1.2")
    time.sleep(2)
    found = announced()
    told = {"v": "1", "fp": hall.fingerprint}
    assert found["Hall v1.2"] == (8765, HALL, {**told, "s": "ws"}), found
    assert found["Hall v1.2 2"] == (7331, HALL, {**told, "s": "tcp"}), found
    assert "announced on the network as Hall v1.2" in hall.said
    browsed = avahi()
    assert f'"fp={hall.fingerprint}"' in browsed and ";8765;" in browsed, browsed
    # A new key is announced at once, under the same names.
    hall.verb("gateway", "rotate-key")
    newer = hall.verb("gateway", "fingerprint").strip()
    assert newer != hall.fingerprint
    until = time.monotonic() + PATIENCE
    told, found = {"Hall v1.2": newer, "Hall v1.2 2": newer}, {}
    while {who: entries["fp"] for who, (_, _, entries) in found.items()} != told:
        assert time.monotonic() < until, found
        found = announced()
    listening = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    listening.bind(("224.0.0.251", 5353))
    member = socket.inet_aton("224.0.0.251") + socket.inet_aton(NODE)
    listening.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, member)
    hall.stop()
    goodbyes, until = set(), time.monotonic() + 3
    while len(goodbyes) < 2 and time.monotonic() < until:
        if select.select([listening], [], [], 0.5)[0]:
            packet = listening.recv(9000)
            for owner, kind, ttl, at, _ in records(packet):
                if kind == PTR and ttl == 0 and ".".join(owner) == SERVICE:
                    goodbyes.add(read_name(packet, at)[0][0])
    assert goodbyes == {"Hall v1.2", "Hall v1.2 2"}, goodbyes
    assert announced() == {}
    for listen, more in (("0.0.0.0:8765", ["--no-announce"]), ("127.0.0.1:8765", [])):
        quiet = Gateway("hall", listen, *more)
        time.sleep(2)
        assert announced() == {}, listen
        assert "announced" not in quiet.said
        quiet.stop()
    # One address is announced on its own interface, with no other address.
    one = Gateway("hall", MOVED + ":8765", "--name", "Hall")
    time.sleep(2)
    assert announced()["Hall"][0] == 8765
    one.stop()


def avahi():
    """What avahi's browser finds, which is not ours."""
    place = directory / "avahi"
    place.mkdir()
    for path in ("/run/avahi-daemon", "/run/dbus"):
        os.makedirs(path, exist_ok=True)
    (place / "bus.conf").write_text(
        f"""<busconfig><type>system</type><listen>unix:path={place}/bus</listen>
<auth>EXTERNAL</auth><policy context="default"><allow own="*"/><allow send_destination="*"/>
<allow receive_sender="*"/></policy></busconfig>"""
    )
    (place / "avahi.conf").write_text("[server]\nhost-name=node\nuse-ipv6=no\n[rlimits]\n")
    os.environ["DBUS_SYSTEM_BUS_ADDRESS"] = f"unix:path={place}/bus"
    start("dbus-daemon", f"--config-file={place}/bus.conf", "--nofork")
    while not (place / "bus").exists():
        time.sleep(0.05)
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    options = ["--no-drop-root", "--no-chroot", "--no-rlimits", "--no-proc-title"]
    daemon = start("avahi-daemon", "-f", f"{place}/avahi.conf", *options, **quiet)
    browsed, until = "", time.monotonic() + 20
    while ";8765;" not in browsed and time.monotonic() < until:
        words = ["avahi-browse", "-rpt", "_handfast._tcp"]
        browsed = subprocess.run(words, capture_output=True, text=True).stdout
        time.sleep(0.3)
    daemon.terminate()
    daemon.wait()
    return browsed


def pairs():
    """A node pairs with a gateway that it found; its owner chooses, or is told how."""
    code, said = pair("none", "--pin")
    assert code == 1 and "no gateway announces itself" in said and "--gateway" in said, said
    hall = Gateway("hall", "0.0.0.0:8765", "--pairing", "--name", "Hall")
    shed = Gateway("shed", HALL + ":9000", "--name", "Shed\u0645")
    time.sleep(2)
    # A flow whose token would go out in plain looks for nothing.
    code, said = pair("plain", "--name", "Lamp", "--room", "Hall")
    assert code == 2 and "Looking" not in said, said
    # Without a terminal the owner is told what to choose from.
    code, said = pair("told", "--pin")
    assert code == 2 and "Hall" in said and "Shed" in said, said
    commands = [line.strip() for line in said.splitlines() if "--gateway-key" in line]
    [command] = [line for line in commands if hall.fingerprint in line]
    words = command.split()[2:]
    node = subprocess.Popen(
        [node_program, "pair", *words],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )
    said, _ = node.communicate(hall.pin() + "\n", timeout=PATIENCE)
    assert node.returncode == 0 and "(as expected)" in said, said
    # On a terminal, with an approval: the fingerprint is compared first.
    terminal = Terminal("compared", "--approval", "--name", "Compared")
    terminal.says("Which one (1 to 2")
    number = re.search(rf"(\d+)  {hall.fingerprint}  Hall", terminal.said).group(1)
    terminal.types("7")
    terminal.says("type a number from 1 to 2")
    terminal.types(number)
    terminal.says("handfast status")
    assert hall.fingerprint in hall.verb("status")
    terminal.types("no")
    code, _ = terminal.ends()
    assert code == 1 and "Nothing was told" in terminal.said, terminal.said
    assert "Compared" not in hall.verb("pending")
    terminal = Terminal("compared", "--approval", "--name", "Compared")
    terminal.says("Which one (1 to 2")
    number = re.search(rf"(\d+)  {hall.fingerprint}  Hall", terminal.said).group(1)
    terminal.types(number)
    terminal.says("Are they the same")
    terminal.types("yes")
    hall.says("Pairing request from \"Compared\"")
    hall.verb("approve", "Compared")
    code, _ = terminal.ends()
    assert code == 0 and "Linked" in terminal.said, terminal.said
    # A given key finds its gateway without a question.
    code, said = pair("keyed", "--approval", "--gateway-key", "AAIS-EM2E-KVTH-PCEZ-VK54-ZXPO")
    assert code == 1 and "does not announce itself" in said, said
    shed.stop()
    hall.stop()


def lies():
    """Announcements that lie name a key that is not proven, and are told nothing."""
    hall = Gateway("hall", HALL + ":8765", "--no-announce")
    other = Gateway("other", ATTACKER + ":8765", "--pairing", "--no-announce")
    lie = lambda number: [
        answer(number, "Hall\x1b[2J\u202e", hall.fingerprint, ATTACKER, 8765),
    ]
    attack(lie)
    for way in ("--pin", "--approval"):
        terminal = Terminal("fooled", way, "--name", "Fooled")
        terminal.says("Which one (1 to 1")
        shown = terminal.said
        assert "\x1b" not in shown and "\u202e" not in shown, shown
        terminal.types("1")
        if way == "--approval":
            terminal.says("Are they the same")
            terminal.types("yes")
        code, _ = terminal.ends()
        said = terminal.said
        assert code == 1 and "gateway_key_mismatch" in said and other.fingerprint in said, said
        assert "PIN" not in said, said
    # That gateway was asked nothing, and shows no PIN.
    assert "Fooled" not in other.verb("pending") and "PIN: " not in other.said, other.said
    other.stop()
    hall.stop()


def floods():
    """However much is answered, the list, the time and the memory are bounded."""
    hall = Gateway("hall", HALL + ":8765", "--name", "Hall", "--pairing")
    time.sleep(2)
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"

    def key(number):
        text = "".join(letters[number >> shift & 31] for shift in (15, 10, 5, 0)) * 6
        return "-".join(text[at : at + 4] for at in range(0, 24, 4))

    def flood(number):
        owner = name(SERVICE)
        head = struct.pack(">6H", number, 0x8400, 0, 1, 0, 0)
        # A name that points to itself, counts that nothing follows, and a TXT of 60 KB.
        pointing = struct.pack(">H", 0xC000 | 12)
        yield head + pointing + struct.pack(">HHIH", PTR, 1, 10, 2) + pointing
        yield struct.pack(">6H", number, 0x8400, 65535, 65535, 65535, 65535)
        yield struct.pack(">6H", number, 0x8400, 0, 65535, 0, 0) + owner
        yield answer(number, "big", key(1), ATTACKER, 1, more=["x" * 250] * 240)
        yield b""
        for each in range(10_000):
            yield answer(number, f"no {each}", key(each), ATTACKER, 1 + each)

    attack(flood)
    begun = time.monotonic()
    terminal = Terminal("flooded", "--pin")
    terminal.says("Which one (1 to ")
    assert time.monotonic() - begun < 6
    assert int(re.search(r"Which one \(1 to (\d+)", terminal.said).group(1)) <= 32
    assert "More gateways announce themselves" in terminal.said, terminal.said
    number = re.search(rf"(\d+)  {hall.fingerprint}  Hall", terminal.said)
    assert number, terminal.said
    terminal.types(number.group(1))
    terminal.says("PIN")
    terminal.types(hall.pin())
    code, peak = terminal.ends()
    assert code == 0, terminal.said
    assert peak < 80_000, f"{peak} KB"
    hall.stop()


def moves():
    """A paired node finds its gateway where it moved, keeps the address, and believes no lie."""
    hall = Gateway("hall", HALL + ":8765", "--pairing", "--name", "Hall")
    node = subprocess.Popen(
        [node_program, "pair", "--pin", "--gateway", f"ws://{HALL}:8765", "--state", state("lamp")],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )
    said, _ = node.communicate(hall.pin() + "\n", timeout=PATIENCE)
    assert node.returncode == 0, said
    fingerprint = hall.fingerprint
    other = Gateway("other", ATTACKER + ":8765", "--no-announce")
    log = open(directory / "lamp.log", "w")
    running = start(node_program, "run", "--state", state("lamp"), stderr=log)
    linked("lamp")
    hall.stop()

    def lie(number):
        # Our key at an attacker's gateway, at a closed port, and at the node itself; and our name
        # with the attacker's own key.
        yield answer(number, "Hall", fingerprint, ATTACKER, 8765)
        yield answer(number, "Hall", fingerprint, ATTACKER, 1)
        yield answer(number, "Hall", fingerprint, "127.0.0.1", 8765)
        yield answer(number, "Hall", other.fingerprint, ATTACKER, 8765)

    attack(lie)
    # Long enough for searches that only the attacker answers.
    time.sleep(12)
    assert kept("lamp")["gateways"] == [f"ws://{HALL}:8765/"], kept("lamp")
    hall = Gateway("hall", MOVED + ":8770", "--name", "Hall")
    hall.says("announced on the network")
    until = time.monotonic() + 90
    moved = [f"ws://{MOVED}:8770/", f"ws://{HALL}:8765/"]
    while kept("lamp")["gateways"] != moved:
        text = (directory / "lamp.log").read_text()
        assert time.monotonic() < until, f"{kept('lamp')}\n{text}"
        time.sleep(0.1)
    linked("lamp")
    assert "online" in hall.verb("nodes", "list")
    assert not other.verb("nodes", "list", "--json").count('"node_id"')
    # The token went with the address, and a restart links there at once.
    running.send_signal(signal.SIGINT)
    assert running.wait(PATIENCE) == 0
    status = run(node_program, "status", "--json", "--state", state("lamp")).stdout
    assert json.loads(status)["gateway"].startswith(f"ws://{MOVED}:8770"), status
    tokens = json.loads((directory / "lamp" / "tokens.json").read_text())
    assert f"{MOVED}:8770" in json.dumps(tokens) and f"{HALL}:8765" not in json.dumps(tokens)
    running = start(node_program, "run", "--state", state("lamp"), stderr=log)
    linked("lamp")
    hall.stop()
    other.stop()


try:
    network()
    {"announces": announces, "pairs": pairs, "lies": lies, "floods": floods, "moves": moves}[
        scenario
    ]()
finally:
    for child in children:
        if isinstance(child, int):
            os.kill(child, signal.SIGKILL)
        elif child.poll() is None:
            child.kill()
print("ok")
