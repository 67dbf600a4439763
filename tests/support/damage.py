"""Bytes as a bad disk, a cut download or a careless edit leaves them."""

import numpy as np


def hurt(content: bytes, rng: np.random.Generator) -> bytes:
    """``content`` with one to twenty bytes changed, a block zeroed, or its end missing."""
    array = np.frombuffer(content, np.uint8).copy()
    kind = rng.integers(3)
    if kind == 0:
        places = rng.integers(0, len(array), rng.integers(1, 21))
        array[places] = rng.integers(0, 256, len(places))
    elif kind == 1:
        first = rng.integers(0, len(array))
        array[first : first + rng.integers(1, 2000)] = 0
    else:
        array = array[: rng.integers(len(array))]
    return array.tobytes()


def with_flipped_bit(content: bytes, rng: np.random.Generator) -> bytes:
    """``content`` with one bit changed, which leaves length and mostly form as they were."""
    array = np.frombuffer(content, np.uint8).copy()
    array[rng.integers(len(array))] ^= 1 << rng.integers(8)
    return array.tobytes()


# JSON that is no record: of another form, of another version, or without what is read.
OTHER_RECORDS = ("[]", "{}", '{"format": 1}', "3", "null", '"metrics"')

WORDS = (
    "",
    "-1",
    "8",
    "Neutral",
    "nan",
    "{}",
    "[]",
    "null",
    "../x",
    "a/00001.jpg,0",
    "1e999",
    "\x00",
)


def edited(content: bytes, rng: np.random.Generator) -> bytes:
    """Text with a few of its lines removed, repeated, swapped, or replaced by another word."""
    lines = content.decode("utf-8", "replace").split("\n")
    for _ in range(rng.integers(1, 4)):
        at, other = rng.integers(len(lines), size=2)
        kind = rng.integers(4)
        if kind == 0:
            lines[at : at + 1] = []
        elif kind == 1:
            lines.insert(at, lines[other])
        elif kind == 2:
            lines[at], lines[other] = lines[other], lines[at]
        else:
            lines[at] = WORDS[rng.integers(len(WORDS))]
        lines = lines or [""]
    return "\n".join(lines).encode()


def damaged(content: bytes, rng: np.random.Generator, *, text: bool = False) -> bytes:
    """``content`` hurt in one of these ways; ``text``: also by edits of lines."""
    kinds = [hurt, with_flipped_bit, *([edited, edited] if text else [])]
    return kinds[rng.integers(len(kinds))](content, rng)
