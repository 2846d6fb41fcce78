"""Damage the content of files at random: bytes, and what the format is made of (numbers, tags, values, directories)."""

import copy
import json
import random
import re
import struct
import zlib
from collections.abc import Callable, Sequence
from typing import Any
from xml.etree import ElementTree

from napari_pathseg.masks.journal import _CHECK, _FRAME, _MAGIC, RecordKind

Mutation = Callable[[bytes, random.Random, Sequence[bytes]], bytes]

MAX_BYTES = 6000  # longer inputs are cut: small ones are read faster
_NUMBER = re.compile(rb"-?\d+(?:\.\d+)?")
_TAG = re.compile(rb"<[^<>]*>")
_WORD = re.compile(rb"[A-Za-z#][\w:.#-]+")
_NUMBERS = [
    *(b"0", b"-1", b"1", b"2", b"3", b"255", b"256", b"65535", b"65536", b"2147483647", b"2147483648", b"4294967296"),
    *(b"18446744073709551616", b"1e308", b"1e999", b"-1e308", b"1e-300", b"nan", b"inf", b"-inf", b"0.5", b"-0", b".5"),
    *(b"1e7", b"1e9", b"1" * 400, b"0x10", b"1_0", b"", b"\xd9\xa1", b"5%", b"3mm", b"1,5"),
]
_VALUES: list[Any] = [
    *(None, True, False, 0, 1, -1, 3, 255, 2**31, 2**63, 10**30, 0.5, -1e300, float("nan"), float("inf"), "", "x", "1"),
    *("\x00", "a\nb", "../x", "é" * 300, [], {}, [[]], [0], [[0, 0]], [[1, 2], [3, 4], [5, 6]], {"a": 1}, [None]),
]
_TEXTS = ["", "none", "auto", "0,0 1,1", "1;2", "M0 0z", "rotate(9)", "url(#p)", "#a", "1 1 1 1", "evenodd", "x" * 999]
_SIZES = [0, 1, 2, 3, 4, 7, 8, 15, 16, 17, 255, 256, 65535, 65536, 2**31 - 1, 2**31, 2**32 - 1]


# -- of bytes


def flip(data: bytes, rng: random.Random, pool: Sequence[bytes]) -> bytes:
    """Change a bit or a byte in some places."""
    changed = bytearray(data or b"\0")
    for _ in range(rng.choice((1, 1, 2, 4, 16))):
        at = rng.randrange(len(changed))
        changed[at] = rng.choice((changed[at] ^ 1 << rng.randrange(8), 0, 255, 0x7F, 0x80, rng.randrange(256)))
    return bytes(changed)


def cut(data: bytes, rng: random.Random, pool: Sequence[bytes]) -> bytes:
    """Leave out a part, or the end."""
    begin, end = _part(data, rng)
    return data[:begin] if rng.random() < 0.3 else data[:begin] + data[end:]


def repeat(data: bytes, rng: random.Random, pool: Sequence[bytes]) -> bytes:
    """Repeat a part."""
    begin, end = _part(data, rng)
    return data[:end] + data[begin:end] * rng.choice((1, 1, 2, 20)) + data[end:]


def splice(data: bytes, rng: random.Random, pool: Sequence[bytes]) -> bytes:
    """Replace a part by one of another file."""
    other = rng.choice(pool)
    (begin, end), (first, last) = _part(data, rng), _part(other, rng)
    return data[:begin] + other[first:last] + data[end:]


# -- of text


def replace_number(data: bytes, rng: random.Random, pool: Sequence[bytes]) -> bytes:
    """Replace a number by one at some limit."""
    return _replace(_NUMBER, data, rng, rng.choice(_NUMBERS))


def replace_word(data: bytes, rng: random.Random, pool: Sequence[bytes]) -> bytes:
    """Replace a name by one that occurs elsewhere."""
    words = _WORD.findall(rng.choice(pool))
    return _replace(_WORD, data, rng, rng.choice(words)) if words else data


def move_tag(data: bytes, rng: random.Random, pool: Sequence[bytes]) -> bytes:
    """Repeat, leave out or insert a tag of XML, or an element up to the end of another."""
    tags, others = list(_TAG.finditer(data)), _TAG.findall(rng.choice(pool))
    if not tags or not others:
        return data
    first, second = sorted(rng.choices(tags, k=2), key=lambda tag: tag.start())
    kind = rng.randrange(4)
    if kind == 0:
        return data[: first.start()] + data[first.end() :]
    if kind == 1:
        return data[: first.end()] + data[first.start() : second.end()] + data[first.end() :]
    if kind == 2:
        return data[: first.start()] + data[second.end() :]
    return data[: first.end()] + rng.choice(others) + data[first.end() :]


def change_element(data: bytes, rng: random.Random, pool: Sequence[bytes]) -> bytes:
    """Repeat, leave out, move or exchange an element of XML, or exchange an attribute or a text."""
    try:
        root, other = ElementTree.fromstring(data), ElementTree.fromstring(rng.choice(pool))
    except (ElementTree.ParseError, ValueError, LookupError):
        return data
    elements, others = list(root.iter()), list(other.iter())
    parent, kind = rng.choice(elements), rng.randrange(6)
    at, source = rng.randrange(len(parent) + 1), rng.choice(others)
    if kind == 0 and at < len(parent):
        del parent[at]
    elif kind == 1 and at < len(parent):
        parent.insert(at, copy.deepcopy(parent[at]))
    elif kind == 2:
        parent.insert(at, copy.deepcopy(source))
    elif kind == 3:
        parent.text = source.text if rng.random() < 0.5 else rng.choice(_NUMBERS).decode("utf8")
    elif kind == 4 and parent.attrib:
        parent.attrib.pop(rng.choice(list(parent.attrib)))
    elif parent.attrib or source.attrib:
        name = rng.choice([*parent.attrib, *source.attrib])
        parent.set(name, rng.choice([*source.attrib.values(), *_TEXTS, rng.choice(_NUMBERS).decode("utf8")]))
    return ElementTree.tostring(root)


def change_value(data: bytes, rng: random.Random, pool: Sequence[bytes]) -> bytes:
    """Change, leave out, repeat or exchange values of a JSON document."""
    try:
        document, other = json.loads(data), json.loads(rng.choice(pool))
    except (ValueError, RecursionError):
        return data
    places = [place for place in _places(document) if place]
    if not places:
        return data
    *path, key = rng.choice(places)
    parent = document
    for step in path:
        parent = parent[step]
    kind = rng.randrange(5)
    if kind == 0:
        del parent[key]
    elif kind == 1 and isinstance(parent, list):
        parent.insert(key, copy.deepcopy(parent[key]))
    elif kind == 2:
        *path, last = rng.choice([place for place in _places(other) if place] or [("",)])
        for step in path:
            other = other[step]
        parent[key] = other[last] if last != "" else None
    else:
        parent[key] = copy.deepcopy(rng.choice(_VALUES))
    return json.dumps(document).encode()


# -- of TIFF


def change_directory(data: bytes, rng: random.Random, pool: Sequence[bytes]) -> bytes:
    """Change, repeat, exchange or replace an entry of an image file directory of a little-endian TIFF."""
    if data[:4] != b"II*\0" or len(data) < 10:
        return data
    start = struct.unpack_from("<I", data, 4)[0] + 2
    count = struct.unpack_from("<H", data, start - 2)[0] if start <= len(data) else 0
    entries = [start + 12 * number for number in range(min(count, 200)) if start + 12 * (number + 1) <= len(data)]
    if not entries:
        return data
    changed, at, other = bytearray(data), rng.choice(entries), rng.choice(entries)
    kind = rng.randrange(6)
    if kind == 0:
        struct.pack_into("<H", changed, at, rng.choice(_TAGS))
    elif kind == 1:
        struct.pack_into("<H", changed, at + 2, rng.choice((*range(19), 65535)))
    elif kind == 2:
        struct.pack_into("<I", changed, at + 4, rng.choice(_SIZES))
    elif kind == 3:
        struct.pack_into("<I", changed, at + 8, rng.choice((*_SIZES, rng.randrange(len(data)))))
    elif kind == 4:
        changed[at : at + 12] = data[other : other + 12]
    else:
        struct.pack_into("<H", changed, at + 8, rng.choice(_CODES))
    return bytes(changed)


_TAGS = [
    *(254, 255, 256, 257, 258, 259, 262, 266, 270, 273, 274, 277, 278, 279, 282, 283, 284, 296, 305, 317, 320, 322),
    *(323, 324, 325, 330, 338, 339, 347, 512, 513, 514, 529, 530, 531, 532, 700, 32997, 34675, 50838, 50839, 65420),
    *(65421, 65422, 65423, 33550, 34118, 34361, 37706, 42113, 65000),
]
_CODES = [
    *(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 14, 16, 24, 32, 64, 128, 32773, 32946, 34661, 34676, 34712, 34887, 34892),
    *(34925, 34926, 34927, 34933, 34934, 50000, 50001, 50002, 65535),
]


# -- of the journal


def change_records(data: bytes, rng: random.Random, pool: Sequence[bytes]) -> bytes:
    """Change the payload, kind or order of records whose check sums are right again afterwards."""
    records, others = _records(data), _records(rng.choice(pool))
    if not records or not others:
        return data
    at, kind = rng.randrange(len(records)), rng.randrange(6)
    code, payload = records[at]
    if kind == 0:
        del records[at]
    elif kind == 1:
        records.insert(at, rng.choice(others))
    elif kind == 2:
        records[at] = rng.choice(list(RecordKind)), payload
    elif kind == 3:
        records[at] = code, rng.choice(others)[1]
    else:
        mutate = rng.choice((flip, cut, repeat, splice, replace_number, _change_box))
        records[at] = code, mutate(payload, rng, [one for _, one in others])
    return b"".join(frame(code, payload) for code, payload in records)


def frame(kind: int, payload: bytes) -> bytes:
    """Return a record of the journal with right check sums."""
    head = _FRAME.pack(_MAGIC, kind, len(payload), zlib.crc32(payload))
    return head + _CHECK.pack(zlib.crc32(head)) + payload


def _records(data: bytes) -> list[tuple[int, bytes]]:
    found, at, head = [], 0, _FRAME.size + _CHECK.size
    while at + head <= len(data):
        magic, kind, length, _ = _FRAME.unpack_from(data, at)
        if magic != _MAGIC:
            break
        found.append((kind, data[at + head : at + head + length]))
        at += head + length
    return found


def _change_box(payload: bytes, rng: random.Random, pool: Sequence[bytes]) -> bytes:
    """Replace one of the four numbers at the beginning, or a double of a stroke."""
    changed, at = bytearray(payload), 4 * rng.randrange(4)
    if len(changed) >= at + 4:
        struct.pack_into("<I", changed, at, rng.choice(_SIZES))
    if len(changed) >= 76 and rng.random() < 0.5:
        number = rng.choice((0.0, -1.0, 1e9, 2.0**31, 1e308, float("nan"), float("inf"), 1e-300, 0.5))
        struct.pack_into("<d", changed, 36 + 8 * rng.randrange(5), number)
    return bytes(changed)


# -- all


BYTES: tuple[Mutation, ...] = (flip, cut, repeat, splice)
TEXT: tuple[Mutation, ...] = (*BYTES, replace_number, replace_number, replace_number, replace_word, replace_word)
XML: tuple[Mutation, ...] = (*TEXT, *(replace_number,) * 4, move_tag, *(change_element,) * 12)
JSON: tuple[Mutation, ...] = (*TEXT, *(change_value,) * 8)
TIFF: tuple[Mutation, ...] = (*BYTES, replace_number, *(change_directory,) * 8)
JOURNAL: tuple[Mutation, ...] = (flip, cut, splice, *(change_records,) * 8)


def mutated(kinds: Sequence[Mutation], data: bytes, rng: random.Random, pool: Sequence[bytes]) -> bytes:
    """Return a file after one to six random mutations."""
    for _ in range(rng.choice((1, 1, 1, 2, 2, 3, 4, 6))):
        data = rng.choice(kinds)(data, rng, pool)[:MAX_BYTES]
    return data


def _part(data: bytes, rng: random.Random) -> tuple[int, int]:
    begin = rng.randrange(len(data) + 1)
    return begin, min(len(data), begin + rng.choice((1, 1, 2, 4, 8, 30, 100, 1000)))


def _replace(pattern: re.Pattern[bytes], data: bytes, rng: random.Random, new: bytes) -> bytes:
    found = list(pattern.finditer(data))
    if not found:
        return data
    place = rng.choice(found)
    return data[: place.start()] + new + data[place.end() :]


def _places(content: Any, here: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner = content.items() if isinstance(content, dict) else enumerate(content) if isinstance(content, list) else ()
    return [here, *(place for key, value in inner for place in _places(value, (*here, key)))]
