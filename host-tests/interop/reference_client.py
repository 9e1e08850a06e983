#!/usr/bin/env python3
"""A node of the `missy` dialect, written from the description of the dialect alone: it stands in for the original's clients in our tests.

  reference_client.py pair --url ws://127.0.0.1:8765 --name Kitchen --room Kitchen [--profile '{}']
  reference_client.py run  --url ws://127.0.0.1:8765 --node-id ID [--heartbeats N] [--every SECONDS]     (token on standard input)
  reference_client.py raw  --url ws://127.0.0.1:8765 [--binary]                                           (frames on standard input, one a line)

Prints one line per event: `pair_pending ID`, `auth_ok ID ROOM`, `auth_fail REASON`, `muted`, `error MESSAGE`, `heartbeat N`, `frame TEXT`,
`close CODE REASON`. Exits 0 if the gateway did what was asked, 1 if it refused, 2 on wrong usage.
"""

import argparse
import asyncio
import json
import sys

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed


def say(*words):
    print(*words, flush=True)


def closed(socket):
    say("close", socket.close_code, socket.close_reason)


async def answer(socket):
    """The next frame that means something to a node, or None once the connection is closed."""
    try:
        async for frame in socket:
            if isinstance(frame, bytes):
                continue
            message = json.loads(frame)
            kind = message.get("type")
            if kind == "pair_pending":
                say("pair_pending", message["node_id"])
            elif kind == "auth_ok":
                say("auth_ok", message["node_id"], message["room"])
            elif kind == "auth_fail":
                say("auth_fail", message["reason"])
            elif kind == "muted":
                say("muted")
            elif kind == "error":
                say("error", message["message"])
            else:
                continue
            return kind
    except ConnectionClosed:
        pass
    return None


async def pair(args):
    request = {
        "type": "pair_request",
        "friendly_name": args.name,
        "room": args.room,
        "hardware_profile": json.loads(args.profile),
    }
    async with connect(args.url) as socket:
        await socket.send(json.dumps(request))
        kind = await answer(socket)
        await socket.wait_closed()
        closed(socket)
        return 0 if kind == "pair_pending" and socket.close_code == 1000 else 1


async def run(args):
    token = sys.stdin.readline().strip()
    async with connect(args.url) as socket:
        await socket.send(json.dumps({"type": "auth", "node_id": args.node_id, "token": token}))
        if await answer(socket) != "auth_ok":
            await socket.wait_closed()
            closed(socket)
            return 1
        listening = asyncio.create_task(listen(socket))
        sent = 0
        while args.heartbeats is None or sent < args.heartbeats:
            sent += 1
            heartbeat = {"type": "heartbeat", "occupancy": sent % 2 == 1, "noise_level": 0.25 * sent, "wake_word_fp": False}
            try:
                await socket.send(json.dumps(heartbeat))
            except ConnectionClosed:
                break
            say("heartbeat", sent)
            done, _ = await asyncio.wait([listening], timeout=args.every)
            if done:
                break
        if listening.done():
            closed(socket)
            return 1
        await socket.close()
        await listening
        closed(socket)
        return 0


async def listen(socket):
    while await answer(socket) is not None:
        pass


async def raw(args):
    """Sends what it is given, whatever that is, and shows what comes back."""
    async with connect(args.url) as socket:
        async def send():
            for line in await asyncio.to_thread(sys.stdin.readlines):
                text = line.rstrip("\n")
                await socket.send(text.encode() if args.binary else text)

        sending = asyncio.create_task(send())
        try:
            async for frame in socket:
                say("frame", frame if isinstance(frame, str) else frame.hex())
        except ConnectionClosed:
            pass
        sending.cancel()
        closed(socket)
        return 0


def main():
    parser = argparse.ArgumentParser(description="A reference node of the missy dialect")
    verbs = parser.add_subparsers(dest="verb", required=True)
    one = verbs.add_parser("pair")
    one.add_argument("--url", required=True)
    one.add_argument("--name", default="unknown")
    one.add_argument("--room", default="unknown")
    one.add_argument("--profile", default="{}")
    one = verbs.add_parser("run")
    one.add_argument("--url", required=True)
    one.add_argument("--node-id", required=True)
    one.add_argument("--heartbeats", type=int)
    one.add_argument("--every", type=float, default=60.0)
    one = verbs.add_parser("raw")
    one.add_argument("--url", required=True)
    one.add_argument("--binary", action="store_true")
    args = parser.parse_args()
    try:
        code = asyncio.run({"pair": pair, "run": run, "raw": raw}[args.verb](args))
    except (OSError, ConnectionClosed) as error:
        print("reference_client:", error, file=sys.stderr)
        code = 1
    except KeyboardInterrupt:
        code = 0
    sys.exit(code)


if __name__ == "__main__":
    main()
