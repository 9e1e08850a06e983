#!/usr/bin/env python3
"""Setup codes made by nothing of ours: hmac, base64 and json of Python, from the description of the format alone. `setup_codes.json` beside it is what this
prints, and the tests hold our own reading and writing against it.

  python3 setup_codes.py > setup_codes.json
"""

import base64
import hashlib
import hmac
import json

KEY = bytes(range(1, 33))
OLDER = bytes([0xEE] * 32)
NOW = 1_750_000_000  # 2025-06-15T15:06:40Z
NONCE = "00112233445566778899aabbccddeeff"
END = "2025-06-15T15:16:40Z"
END_SECS = NOW + 600


def b64(raw):
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def token(claims, key=KEY):
    raw = claims if isinstance(claims, bytes) else claims.encode()
    return b64(raw) + "." + b64(hmac.new(key, raw, hashlib.sha256).digest())


def compact(**members):
    """As serde_json writes a struct: in the order of its fields, nothing escaped that need not be, no white space."""
    return json.dumps(members, ensure_ascii=False, separators=(",", ":"))


def said(profile="companion-v1", end=END_SECS, nonce=NONCE, label=None):
    return {"profile": profile, "expires_at": end, "nonce": nonce.lower(), "device_label": label}


def good():
    def claims(**more):
        return compact(**{"profile": "companion-v1", "expires_at": END, "nonce": NONCE, **more})

    # Those that our own issuing has to write to the last byte.
    yield "without a label", True, token(claims()), said()
    yield "with a label", True, token(claims(device_label="phone")), said(label="phone")
    yield "a label that is not ASCII", True, token(claims(device_label="Küche 🦀 日本")), said(label="Küche 🦀 日本")
    yield "a label with quotes", True, token(claims(device_label='Ana\'s "big" \\ phone/tablet')), said(label='Ana\'s "big" \\ phone/tablet')
    yield "another profile", True, token(compact(profile="admin.v2", expires_at=END, nonce=NONCE)), said(profile="admin.v2")
    # Those that others write, and we read.
    for name, end in [
        ("a time with nanoseconds", "2025-06-15T15:16:40.123456789Z"),
        ("a time with microseconds and an offset of nothing", "2025-06-15T15:16:40.123456+00:00"),
        ("a time with an offset of nothing", "2025-06-15T15:16:40+00:00"),
        ("a time with another offset", "2025-06-15T17:46:40+02:30"),
        ("a time with a space and small letters", "2025-06-15 15:16:40z"),
    ]:
        yield name, False, token(claims(expires_at=end)), said()
    yield "escaped as ASCII", False, token(json.dumps(json.loads(claims(device_label="Küche 🦀")), separators=(",", ":"))), said(label="Küche 🦀")
    yield "white space", False, token(json.dumps(json.loads(claims()), indent=2)), said()
    yield "another order, and more", False, token(compact(nonce=NONCE.upper(), scopes=["a", {"b": None}], expires_at=END, v=1, profile="companion-v1")), said()
    yield "a label that is null", False, token(claims(device_label=None)), said()
    yield "repeated, the last counts", False, token('{"profile":"x",' + claims()[1:]), said()
    yield "of the older key", False, token(claims(), OLDER), said()


def bad():
    claims = compact(profile="companion-v1", expires_at=END, nonce=NONCE)
    valid = token(claims)
    first, second = valid.split(".")
    other = bytes([0x11] * 32)
    yield "empty", "", "Form"
    yield "one part", first, "Form"
    yield "three parts", valid + ".x", "Form"
    yield "no claims", "." + second, "Form"
    yield "no signature", first + ".", "Form"
    yield "padded claims", token(claims + "  ").replace(".", "=."), "ClaimsEncoding"
    yield "claims of the other alphabet", "ab+/." + second, "ClaimsEncoding"
    yield "claims with bits left over", "e31." + second, "ClaimsEncoding"
    yield "padded signature", valid + "=", "SignatureEncoding"
    yield "short signature", first + "." + b64(b"\0" * 31), "SignatureEncoding"
    yield "long signature", first + "." + b64(b"\0" * 33), "SignatureEncoding"
    yield "of another key", token(claims, other), "Signature"
    yield "truncated HMAC", first + "." + b64(hmac.new(KEY, claims.encode(), hashlib.sha256).digest()[:16]), "SignatureEncoding"
    yield "HMAC over the base64", first + "." + b64(hmac.new(KEY, first.encode(), hashlib.sha256).digest()), "Signature"
    yield "SHA-256 without a key", first + "." + b64(hashlib.sha256(KEY + claims.encode()).digest()), "Signature"
    yield "not JSON", token("profile"), "Claims"
    yield "not UTF-8", token(b"\xff" + claims.encode()), "Claims"
    yield "an array", token("[" + claims + "]"), "Claims"
    yield "no nonce", token(compact(profile="companion-v1", expires_at=END)), "Claims"
    yield "a short nonce", token(compact(profile="companion-v1", expires_at=END, nonce=NONCE[:-1])), "Claims"
    yield "a blank profile", token(compact(profile="  ", expires_at=END, nonce=NONCE)), "Claims"
    yield "a number for a time", token(compact(profile="companion-v1", expires_at=END_SECS, nonce=NONCE)), "Claims"
    yield "a time without an offset", token(compact(profile="companion-v1", expires_at=END[:-1], nonce=NONCE)), "Claims"
    yield "a label that reorders text", token(compact(profile="companion-v1", expires_at=END, nonce=NONCE, device_label="a\u202eb")), "Claims"
    yield "over since a second", token(compact(profile="companion-v1", expires_at="2025-06-15T15:06:39Z", nonce=NONCE)), "Expired"
    yield "over now", token(compact(profile="companion-v1", expires_at="2025-06-15T15:06:40Z", nonce=NONCE)), "Expired"


def payloads():
    valid = token(compact(profile="companion-v1", expires_at=END, nonce=NONCE))
    for name, ours, url, end, more in [
        ("wss", True, "wss://gateway.example/", END, {}),
        ("ws with a port", True, "ws://192.168.1.10:8765", END, {}),
        ("a URL with a query", True, "https://gateway.example/a/b?c=%22d%22&e=f", END, {}),
        ("a time with nanoseconds", False, "wss://gateway.example/", "2025-06-15T15:16:40.000000001+00:00", {}),
        ("bound", True, "wss://gateway.example/", END, {"fingerprint": "ABCD-2345-EFGH-JKMN-PQRS-TUVW"}),
        ("more members", False, "wss://gateway.example/", END, {"version": 2, "fingerprint": None}),
    ]:
        object = compact(url=url, bootstrap_token=valid, expires_at=end, **more)
        yield {"name": name, "ours": ours, "payload": b64(object.encode()), "url": url, "bootstrap_token": valid, "expires_at": END_SECS,
               "fingerprint": more.get("fingerprint")}


print(json.dumps({
    "key": KEY.hex(),
    "older_key": OLDER.hex(),
    "now": NOW,
    "good": [{"name": name, "ours": ours, "token": text, **claims} for name, ours, text, claims in good()],
    "bad": [{"name": name, "token": text, "why": why} for name, text, why in bad()],
    "payloads": list(payloads()),
}, indent=1, ensure_ascii=False))
