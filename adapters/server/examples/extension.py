#!/usr/bin/env python3
"""An extension for a Handfast gateway: a channel called "echo", in Python 3 without anything else.

The gateway starts it and speaks with it over its standard streams:

    python3 extension.py [--prefix echo] [--record FILE]

or it runs by itself, and the gateway sends a POST for each call:

    python3 extension.py --http 127.0.0.1:9000 [--prefix echo] [--record FILE]

What it "sends" to people it writes to FILE, one JSON object a line; without a FILE it only says on its standard error that it did, for that goes
to a log, and what it sends may be a code. EXTENSIONS.md beside the crate handfast-server is the protocol.
"""

import argparse
import base64
import http.server
import itertools
import json
import sys
import threading

LINE_BYTES = 1 << 20
REQUESTS = 16  # The gateway answers so many of ours at once; further ones would only wait there.


class Refusal(Exception):
    """What the gateway is told instead of a result."""


class Echo:
    """What the extension can do. Each method of the protocol is one of its methods."""

    def __init__(self, prefix, record, gateway=None):
        self.prefix = prefix
        self.record = record
        self.gateway = gateway
        self.lock = threading.Lock()
        self.sent = 0
        self.methods = {
            "pairing.normalize_sender": self.normalize_sender,
            "pairing.send_reply": self.send_reply,
            "pairing.send_qr_image": self.send_qr_image,
            "admin.call": self.admin,
            "http.request": self.http,
            "metrics.scrape": self.metrics,
            "poll.tick": self.poll,
        }

    def call(self, method, params):
        prefix, _, rest = method.partition(".")
        if prefix != self.prefix or rest not in self.methods:
            raise Refusal(f"there is no method {method}")
        return self.methods[rest](params)

    def normalize_sender(self, params):
        """One spelling for each sender. Groups are nobody who could be paired: null."""
        sender = params["raw"].strip().lower()
        return {"normalized": None if sender.startswith("#") else sender}

    def send_reply(self, params):
        return self.send({"account": params["account"], "to": params["to"], "text": params["text"]})

    def send_qr_image(self, params):
        png = base64.b64decode(params["png_base64"], validate=True)
        return self.send({"account": params["account"], "to": params["to"], "png_bytes": len(png)})

    def send(self, message):
        if message["to"] == "nobody":
            return {"ok": False, "error": "nobody has no mailbox"}
        with self.lock:
            self.sent += 1
            if self.record is None:
                print("sent", file=sys.stderr, flush=True)
            else:
                with open(self.record, "a", encoding="utf-8") as file:
                    file.write(json.dumps(message) + "\n")
        return {"ok": True}

    def admin(self, params):
        """What an operator calls: `echo.stats`, and `echo.ask`, which passes a question on to the gateway."""
        method, params = params["method"], params["params"]
        if method == f"{self.prefix}.stats":
            return {"ok": True, "result": {"sent": self.sent}}
        if method == f"{self.prefix}.ask" and self.gateway is not None:
            return {"ok": True, "result": self.gateway.ask(params["method"], params["params"])}
        return {"ok": False, "error": f"there is no method {method}"}

    def http(self, params):
        """A page, for whoever opens a path that the operator has given to this extension."""
        text = f"{params['method']} {params['path']}?{params['query']} {len(base64.b64decode(params['body_base64']))}\n"
        return {
            "status": 200,
            "headers": {"content-type": "text/plain; charset=utf-8"},
            "body_base64": base64.b64encode(text.encode()).decode(),
        }

    def metrics(self, _params):
        name = f"{self.prefix}_messages_total"
        return {"text": f"# HELP {name} What was sent.\n# TYPE {name} counter\n{name} {self.sent}\n"}

    def poll(self, params):
        """Three items, one at a time; the cursor says which were taken."""
        taken = int(params["cursor"] or 0)
        items = [{"number": taken + 1}] if taken < 3 else []
        return {"cursor": str(taken + len(items)), "items": items}


def answer(echo, request):
    """The answer to a request, whatever comes of it."""
    try:
        return {"id": request["id"], "ok": True, "result": echo.call(request["method"], request["params"])}
    except Refusal as refusal:
        return {"id": request["id"], "ok": False, "error": str(refusal)}
    except Exception as error:  # A fault of ours is no reason to leave the gateway without an answer.
        print(f"{request.get('method')}: {error!r}", file=sys.stderr, flush=True)
        return {"id": request["id"], "ok": False, "error": "internal"}


class Gateway:
    """The other end of the standard streams."""

    def __init__(self):
        self.lock = threading.Lock()
        self.ids = itertools.count(1)
        self.waiting = {}
        self.slots = threading.Semaphore(REQUESTS)

    def say(self, message):
        line = json.dumps(message, separators=(",", ":")) + "\n"
        with self.lock:
            sys.stdout.write(line)
            sys.stdout.flush()

    def ask(self, method, params):
        """Asks the gateway something. These ids are ours, and have nothing to do with those of its calls."""
        with self.slots:
            number, arrived, box = next(self.ids), threading.Event(), []
            self.waiting[number] = (arrived, box)
            self.say({"id": number, "method": method, "params": params})
            if not arrived.wait(30):
                self.waiting.pop(number, None)
                raise Refusal("the gateway does not answer")
        if not box[0]["ok"]:
            raise Refusal(box[0]["error"])
        return box[0]["result"]

    def serve(self, echo):
        """Reads until the gateway closes our standard input, which is how it says goodbye."""
        for line in sys.stdin:
            message = json.loads(line)
            if "method" in message:
                # A thread for each call, so that one which waits for the gateway holds up no other. There are 64 at most.
                threading.Thread(target=lambda m=message: self.say(answer(echo, m)), daemon=True).start()
            elif message["id"] in self.waiting:
                arrived, box = self.waiting.pop(message["id"])
                box.append(message)
                arrived.set()


def serve_http(address, echo):
    class Handler(http.server.BaseHTTPRequestHandler):
        timeout = 30

        def do_POST(self):
            length = int(self.headers.get("content-length") or 0)
            if not 0 < length <= LINE_BYTES:
                self.send_error(413)
                return
            body = json.dumps(answer(echo, json.loads(self.rfile.read(length)))).encode()
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    host, _, port = address.rpartition(":")
    server = http.server.ThreadingHTTPServer((host, int(port)), Handler)
    print(f"listening {server.server_address[1]}", flush=True)
    server.serve_forever()


def main():
    options = argparse.ArgumentParser(description="A channel called echo, for a Handfast gateway.")
    options.add_argument("--prefix", default="echo")
    options.add_argument("--record", metavar="FILE", help="where to write what is sent to people")
    options.add_argument("--http", metavar="HOST:PORT", help="answer over HTTP; port 0 chooses one and says it")
    options = options.parse_args()
    if options.http:
        serve_http(options.http, Echo(options.prefix, options.record))
    else:
        sys.stdin.reconfigure(encoding="utf-8")
        sys.stdout.reconfigure(encoding="utf-8")
        gateway = Gateway()
        gateway.serve(Echo(options.prefix, options.record, gateway))


if __name__ == "__main__":
    main()
