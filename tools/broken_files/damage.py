"""Damage to the bytes of a file: what disks, editors, broken writers and unfinished transfers do."""

from __future__ import annotations

import random

TEXT = [
    b'"',
    b'""',
    b",",
    b"\n",
    b"\r\n",
    b"\r",
    b"\\",
    b"\\u12",
    b"\\ud800",
    b"{",
    b"}",
    b"[",
    b"]",
    b":",
    b"null",
    b"NaN",
    b"1e999",
    b"-",
    b"0",
    b"00",
    b".",
    b"e5",
    b"true",
    b" ",
    b"\t",
    b"\x00",
    b"\xff",
    b"\xc3",
    b"\xef\xbb\xbf",
    b"\n\n",
    b"'",
    b"99999999999999999999",
    b"Infinity",
    b'"id":2,',
    b"{}",
    b"/* */",
    b"#",
    b"\xe2\x80\xa8",
    b"\x0c",
    b"\x1a",
    b"_1",
    b"+1",
]
"""What is put into text anywhere."""

GENTLE = [
    b" ",
    b"\n",
    b"\r\n",
    b"0",
    b"00",
    b"e5",
    b".0",
    b".",
    b"+",
    b"-",
    b"1",
    b'""',
    b"\\n",
    b"\\/",
    b"null",
    b"\xef\xbb\xbf",
    b"\t",
]
"""What is put next to a sign of the format, where the file often stays one that can be read."""

_SIGNS = b'",:{}[]\n'


def damaged(sound: bytes, draw: random.Random, text: bool) -> bytes:
    """Return the bytes with one to three kinds of damage; `text` says that signs of text are put in too."""
    found = bytearray(sound)
    for _ in range(draw.choice([1, 1, 1, 2, 3])):
        _damage(found, draw, text)
    return bytes(found)


def _damage(found: bytearray, draw: random.Random, text: bool) -> None:
    at = draw.randint(0, len(found))
    end = min(len(found), at + draw.choice([1, 1, 1, 2, 8, 40]))
    match draw.choice(["flip", "delete", "repeat", "move", "cut", "zero", "put", "put", *["gentle"] * 8]):
        case "flip" if at < len(found):
            found[at] ^= 1 << draw.randint(0, 7)
        case "delete":
            del found[at:end]
        case "repeat":
            found[end:end] = found[at:end]
        case "move":
            moved = bytes(found[at:end])
            del found[at:end]
            to = draw.randint(0, len(found))
            found[to:to] = moved
        case "cut":
            del found[at:]
        case "zero":
            found[at:end] = bytes(end - at)
        case "gentle" if text and (places := [i for i, byte in enumerate(found) if byte in _SIGNS]):
            at = draw.choice(places) + draw.randint(0, 1)
            found[at:at] = draw.choice(GENTLE)
        case _:
            found[at:at] = draw.choice(TEXT) if text else bytes([draw.randint(0, 255)])
