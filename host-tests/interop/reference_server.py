#!/usr/bin/env python3
"""A gateway of the `missy` dialect, written from the description of the dialect alone: it stands in for the original'server in our tests.

  reference_server.py [--host 127.0.0.1] [--port 8765] [--registry devices.json] [--first-message SECONDS] [--capacity N] [--chatty]

Commands on standard input, one a line; each is answered by one line on standard output:
  approve ID   -> `token ID TOKEN`     unpair ID -> `unpaired ID`     mute ID -> `muted ID`     unmute ID -> `unmuted ID`
  list         -> `list JSON`          quit      -> `bye`             anything that fails -> `refused WHY`
Events: `listening PORT`, `pending ID`, `linked ID`, `heartbeat ID JSON`, `frame ID TEXT`, `offline ID`. The registry is in the form that `import`
reads. `--chatty` makes it send fields and types that no client knows, as a newer server might. Approving, muting and unpairing reach a node at
its next connection, as in the original.
"""

import argparse
import asyncio
import hashlib
import hmac
import json
import os
import secrets
import sys
import time
import uuid

from websockets.asyncio.server import serve
from websockets.exceptions import ConnectionClosed

LARGEST = 1_048_576
POLICY = 1008


def say(*words):
    print(*words, flush=True)


def token_hash(node_id, token):
    """PBKDF2-HMAC-SHA256 over the characters themselves, salted with the text of the node id."""
    return hashlib.pbkdf2_hmac("sha256", token.encode(), node_id.encode(), 100_000, 32).hex()


VECTOR = ("caa4270d-912f-4099-ac2d-45e9d0253e3e", "HTrGwLwHno_hwtsvczbQgcFJdi-WS068rgQyr4fD2ZQ")
assert token_hash(*VECTOR) == "bf2eb2b4ebe1ff9da42988c31ddc553050e2870f8a9e935f94218e75693e97a3"


class Refused(Exception):
    pass


class Registry:
    """The nodes, in a file that is written as a whole."""

    def __init__(self, path):
        self.path = path
        self.nodes = {}
        if path and os.path.exists(path):
            with open(path, encoding="utf-8") as file:
                self.nodes = {node["node_id"]: node for node in json.load(file)}

    def save(self):
        if not self.path:
            return
        beside = self.path + ".tmp"
        with open(beside, "w", encoding="utf-8") as file:
            json.dump(list(self.nodes.values()), file, indent=2)
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, self.path)

    def ask(self, name, room, profile, address):
        node_id = str(uuid.uuid4())
        self.nodes[node_id] = {
            "node_id": node_id,
            "friendly_name": name,
            "room": room,
            "ip_address": address,
            "hardware_profile": profile,
            "last_seen": time.time(),
            "status": "offline",
            "policy_mode": "full",
            "paired": False,
            "token_hash": "",
            "audio_logging": False,
            "audio_log_dir": "",
            "audio_log_retention_days": 7,
            "sensor_data": {"occupancy": None, "noise_level": None, "updated_at": None},
        }
        self.save()
        return node_id

    def get(self, node_id):
        if node_id not in self.nodes:
            raise Refused(f"no node {node_id}")
        return self.nodes[node_id]

    def approve(self, node_id):
        node = self.get(node_id)
        if node["paired"]:
            raise Refused(f"node {node_id} is already paired")
        token = secrets.token_urlsafe(32)
        node["paired"] = True
        node["token_hash"] = token_hash(node_id, token)
        self.save()
        return token

    def unpair(self, node_id):
        self.get(node_id)
        del self.nodes[node_id]
        self.save()

    def mode(self, node_id, mode):
        self.get(node_id)["policy_mode"] = mode
        self.save()

    def check(self, node_id, token):
        """Token, exists, approved, muted, in this order; an unknown node costs as much as a known one."""
        node = self.nodes.get(node_id)
        stored = (node or {}).get("token_hash") or "0" * 64
        given = token_hash(node_id, token)
        right = hmac.compare_digest(stored, given)
        if not right or node is None:
            return "invalid credentials", None
        if not node["paired"]:
            return "node is not yet approved", None
        if node["policy_mode"] == "muted":
            return "muted", node
        return None, node


class Server:
    def __init__(self, registry, args):
        self.registry = registry
        self.args = args
        self.open = 0

    async def send(self, socket, message):
        if self.args.chatty:
            message = {"server": "reference", "extra": {"nested": [1, None, "\u00fc"]}, **message}
        await socket.send(json.dumps(message))

    async def refuse(self, socket, message, reason):
        if message is not None:
            await self.send(socket, message)
        await socket.close(POLICY, reason)

    async def connection(self, socket):
        if self.open >= self.args.capacity:
            await socket.close(1013, "Server at capacity")
            return
        self.open += 1
        try:
            await self.first(socket)
        except ConnectionClosed:
            pass
        finally:
            self.open -= 1

    async def first(self, socket):
        try:
            frame = await asyncio.wait_for(socket.recv(), self.args.first_message)
        except asyncio.TimeoutError:
            return await socket.close(POLICY, "Authentication timeout")
        if isinstance(frame, bytes):
            return await socket.close(POLICY, "First frame must be JSON auth or pair_request")
        try:
            message = json.loads(frame)
        except ValueError:
            return await socket.close(POLICY, "Malformed JSON")
        if not isinstance(message, dict):
            error = {"type": "error", "message": "Message must be a JSON object"}
            return await self.refuse(socket, error, "Protocol violation")
        kind = message.get("type")
        if kind == "pair_request":
            return await self.pair(socket, message)
        if kind == "auth":
            return await self.auth(socket, message)
        error = {"type": "error", "message": "First message must be auth or pair_request"}
        return await self.refuse(socket, error, "Protocol violation")

    async def pair(self, socket, message):
        name = message.get("friendly_name", "unknown")
        room = message.get("room", "unknown")
        profile = message.get("hardware_profile", {})
        if not (isinstance(name, str) and isinstance(room, str) and isinstance(profile, dict)):
            error = {"type": "error", "message": "friendly_name and room must be text, hardware_profile an object"}
            return await self.refuse(socket, error, "Protocol violation")
        node_id = self.registry.ask(name, room, profile, socket.remote_address[0])
        say("pending", node_id)
        if self.args.chatty:
            await self.send(socket, {"type": "motd", "text": "hello"})
        await self.send(socket, {"type": "pair_pending", "node_id": node_id})
        await socket.close(1000, "Pairing pending")

    async def auth(self, socket, message):
        node_id, token = message.get("node_id", ""), message.get("token", "")
        if not (isinstance(node_id, str) and isinstance(token, str)):
            error = {"type": "error", "message": "node_id and token must be text"}
            return await self.refuse(socket, error, "Protocol violation")
        refusal, node = await asyncio.to_thread(self.registry.check, node_id, token)
        if refusal == "muted":
            return await self.refuse(socket, {"type": "muted"}, "Node is muted")
        if refusal is not None:
            return await self.refuse(socket, {"type": "auth_fail", "reason": refusal}, "Authentication failed")
        node["status"] = "online"
        self.registry.save()
        await self.send(socket, {"type": "auth_ok", "node_id": node_id, "room": node["room"]})
        say("linked", node_id)
        try:
            await self.linked(socket, node)
        finally:
            node["status"] = "offline"
            self.registry.save()
            say("offline", node_id)

    async def linked(self, socket, node):
        async for frame in socket:
            if isinstance(frame, bytes):
                say("frame", node["node_id"], len(frame), "bytes")
                continue
            try:
                message = json.loads(frame)
            except ValueError:
                await self.send(socket, {"type": "error", "message": "Malformed JSON"})
                continue
            if isinstance(message, dict) and message.get("type") == "heartbeat":
                sensors = node["sensor_data"]
                for field in ("occupancy", "noise_level"):
                    if message.get(field) is not None:
                        sensors[field] = message[field]
                node["last_seen"] = sensors["updated_at"] = time.time()
                self.registry.save()
                say("heartbeat", node["node_id"], json.dumps(message))
                if self.args.chatty:
                    await self.send(socket, {"type": "weather", "x": None})
                    await socket.send(b"\x00\x01")
            elif isinstance(message, dict) and message.get("type") in ("auth", "pair_request"):
                continue
            else:
                say("frame", node["node_id"], frame)


async def commands(registry):
    """Until `quit` or the end of standard input."""
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := await reader.readline():
        words = line.decode().split()
        try:
            match words:
                case []:
                    continue
                case ["approve", node_id]:
                    say("token", node_id, registry.approve(node_id))
                case ["unpair", node_id]:
                    registry.unpair(node_id)
                    say("unpaired", node_id)
                case ["mute", node_id]:
                    registry.mode(node_id, "muted")
                    say("muted", node_id)
                case ["unmute", node_id]:
                    registry.mode(node_id, "full")
                    say("unmuted", node_id)
                case ["list"]:
                    say("list", json.dumps(list(registry.nodes.values())))
                case ["quit"]:
                    break
                case _:
                    raise Refused("commands: approve ID, unpair ID, mute ID, unmute ID, list, quit")
        except Refused as why:
            say("refused", why)
    say("bye")


async def main():
    parser = argparse.ArgumentParser(description="A reference gateway of the missy dialect")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8765, help="0 for any free one")
    parser.add_argument("--registry", help="where the nodes are kept; in memory if not given")
    parser.add_argument("--first-message", type=float, default=10.0)
    parser.add_argument("--capacity", type=int, default=50)
    parser.add_argument("--chatty", action="store_true")
    args = parser.parse_args()
    registry = Registry(args.registry)
    server = Server(registry, args)
    async with serve(
        server.connection, args.host, args.port, max_size=LARGEST, compression=None, ping_interval=20, ping_timeout=20
    ) as listening:
        say("listening", listening.sockets[0].getsockname()[1])
        await commands(registry)


if __name__ == "__main__":
    try:
        asyncio.run(main())
    except KeyboardInterrupt:
        pass
