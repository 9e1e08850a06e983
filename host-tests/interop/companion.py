#!/usr/bin/env python3
"""Both ends of a companion's handshake on `/pair`, written from the description of the dialect alone: it stands in for the original's companion, and for the
original's gateway.

  companion.py show  --payload PAYLOAD | --url URL --token TOKEN      shows a setup code, as a companion does
  companion.py serve --answer FRAME                                   hears one companion, as a gateway does, and answers so

`show` prints `answer FRAME` and `close CODE`; it exits 0 if a session's token came, 1 if not. `serve` prints `listening PORT`, `frame FRAME` and exits 0 if
that was a code shown exactly as it has to be.
"""

import argparse
import asyncio
import base64
import json
import sys

from websockets.asyncio.client import connect
from websockets.asyncio.server import serve
from websockets.exceptions import ConnectionClosed


def say(*words):
    print(*words, flush=True)


def first_frame(token):
    """As serde_json writes `struct { bootstrap_token: String }`: nothing between the bytes, and nothing after them."""
    return json.dumps({"bootstrap_token": token}, ensure_ascii=False, separators=(",", ":"))


def decoded(payload):
    raw = base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4))
    members = json.loads(raw)
    return members["url"], members["bootstrap_token"]


async def show(args):
    # It connects exactly where the payload says, as the original's companion does.
    url, token = decoded(args.payload) if args.payload else (args.url, args.token)
    async with connect(url) as socket:
        await socket.send(first_frame(token))
        answer = await asyncio.wait_for(socket.recv(), 20)
        say("answer", answer if isinstance(answer, str) else "binary")
        try:
            while True:
                say("more", await asyncio.wait_for(socket.recv(), 20))
        except ConnectionClosed:
            say("close", socket.close_code)
    members = json.loads(answer)
    return 0 if set(members) == {"session_token"} and len(members["session_token"]) == 43 else 1


async def hear(args):
    heard = asyncio.get_running_loop().create_future()

    async def companion(socket):
        frame = await socket.recv()
        say("frame", frame)
        await socket.send(args.answer)
        if not heard.done():
            heard.set_result(isinstance(frame, str) and socket.request.path == "/pair" and frame == first_frame(json.loads(frame)["bootstrap_token"]))

    async with serve(companion, "127.0.0.1", 0) as server:
        say("listening", server.sockets[0].getsockname()[1])
        return 0 if await asyncio.wait_for(heard, 30) else 1


parser = argparse.ArgumentParser()
verbs = parser.add_subparsers(required=True)
verb = verbs.add_parser("show")
verb.add_argument("--payload")
verb.add_argument("--url")
verb.add_argument("--token")
verb.set_defaults(run=show)
verb = verbs.add_parser("serve")
verb.add_argument("--answer", required=True)
verb.set_defaults(run=hear)
args = parser.parse_args()
sys.exit(asyncio.run(args.run(args)))
