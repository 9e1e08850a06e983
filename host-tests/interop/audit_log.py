#!/usr/bin/env python3
"""Verifies an audit log of Handfast with nothing of Handfast: RFC 6962, C2SP signed notes.

audit_log.py verify EXPORT CHECKPOINT KEY
audit_log.py prove ENTRY PROOF.json KEY
audit_log.py continues EARLIER.checkpoint CHECKPOINT.json KEY

It ends with 0 if what is shown holds, and else with 1 and a word about what does not.
"""

import base64
import hashlib
import json
import sys

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey


def sha(data):
    return hashlib.sha256(data).digest()


def leaf(line):
    return sha(b"\0" + line)


def node(left, right):
    return sha(b"\1" + left + right)


def root(leaves):
    if not leaves:
        return sha(b"")
    if len(leaves) == 1:
        return leaves[0]
    k = 1
    while 2 * k < len(leaves):
        k *= 2
    return node(root(leaves[:k]), root(leaves[k:]))


def fail(why):
    print(why)
    sys.exit(1)


def opened(note, key):
    """Returns origin, size and root of a note that the key has signed."""
    name, key_hash, encoded = key.split("+", 2)
    typed = base64.b64decode(encoded)
    if typed[0] != 1 or sha(name.encode() + b"\n" + typed)[:4].hex() != key_hash:
        fail("not a key")
    text, signatures = note.split("\n\n")
    text += "\n"
    origin, size, tree_root = text.split("\n")[:3]
    for line in signatures.splitlines():
        dash, signer, signature = line.split(" ")
        decoded = base64.b64decode(signature)
        if dash != "\u2014" or signer != name or decoded[:4].hex() != key_hash:
            continue
        try:
            Ed25519PublicKey.from_public_bytes(typed[1:]).verify(decoded[4:], text.encode())
        except InvalidSignature:
            fail("the signature is wrong")
        if origin != name:
            fail("another log")
        return origin, int(size), base64.b64decode(tree_root)
    fail("not signed by the key")


def included(index, hashed, size, tree_root, path):
    """RFC 9162, section 2.1.3.2."""
    fn, sn, r = index, size - 1, hashed
    for p in path:
        if sn == 0:
            return False
        if fn & 1 or fn == sn:
            r = node(p, r)
            while not fn & 1 and fn:
                fn, sn = fn >> 1, sn >> 1
        else:
            r = node(r, p)
        fn, sn = fn >> 1, sn >> 1
    return sn == 0 and r == tree_root


def continues(first, first_root, second, second_root, path):
    """RFC 9162, section 2.1.4.2."""
    if first == second:
        return not path and first_root == second_root
    if first == 0:
        return not path
    path = list(path)
    if first & (first - 1) == 0:
        path.insert(0, first_root)
    fn, sn = first - 1, second - 1
    while fn & 1:
        fn, sn = fn >> 1, sn >> 1
    fr = sr = path[0]
    for c in path[1:]:
        if sn == 0:
            return False
        if fn & 1 or fn == sn:
            fr, sr = node(c, fr), node(c, sr)
            while not fn & 1 and fn:
                fn, sn = fn >> 1, sn >> 1
        else:
            sr = node(sr, c)
        fn, sn = fn >> 1, sn >> 1
    return sn == 0 and fr == first_root and sr == second_root


def read(path):
    with open(path, "rb") as file:
        return file.read()


def verify(export, checkpoint, key):
    _, size, tree_root = opened(read(checkpoint).decode(), key)
    lines = read(export).split(b"\n")
    if lines.pop() != b"":
        fail("the last line is cut off")
    if len(lines) < size:
        fail(f"{len(lines)} entries are there, and {size} were signed for")
    for number, line in enumerate(lines):
        entry = json.loads(line)
        if entry["entry"] != number:
            fail(f"entry {number} is missing")
        for member in ("at", "who", "what", "outcome"):
            if member not in entry:
                fail(f"entry {number} does not say {member}")
    if root([leaf(line) for line in lines[:size]]) != tree_root:
        fail("the entries are not those that were signed for")
    print(f"{size} entries")


def prove(number, answer, key):
    shown = json.loads(read(answer))
    _, size, tree_root = opened(shown["checkpoint"], key)
    proof = shown["proof"]
    path = [base64.b64decode(part) for part in proof["proof"]]
    hashed = leaf(proof["line"].encode())
    if proof["size"] != size or not included(int(number), hashed, size, tree_root, path):
        fail("the entry is not proven")
    print(f"entry {number} of {size}")


def continued(earlier, answer, key):
    _, first, first_root = opened(read(earlier).decode(), key)
    shown = json.loads(read(answer))
    _, second, second_root = opened(shown["checkpoint"], key)
    path = [base64.b64decode(part) for part in shown["consistency"]]
    if not continues(first, first_root, second, second_root, path):
        fail("the log does not continue the earlier one")
    print(f"{second} continue {first}")


if __name__ == "__main__":
    verbs = {"verify": verify, "prove": prove, "continues": continued}
    verbs[sys.argv[1]](*sys.argv[2:])
