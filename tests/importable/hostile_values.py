"""Kinds of damage: to a plain value, before it is written, and to the bytes of a file."""

from __future__ import annotations

import copy
import json
import random
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

Path = tuple[str | int, ...]


@dataclass(frozen=True)
class Raw:
    """A text that stands in a JSON or TOML file as it is."""

    text: str


def nested(depth: int, key: str | None = "a") -> Raw:
    """A value of that depth, of tables or (with `key` None) of lists."""
    left, right = (f'{{"{key}":', "}") if key else ("[", "]")
    return Raw(left * depth + "1" + right * depth)


MARKUP = ("<script>document.title='RAN'</script>", '"><img src=x onerror=alert(1)>', 'a":(alert(1)),{}),"b')

REPLACEMENTS: dict[str, tuple[Any, ...]] = {
    "null": (None,),
    "truth value": (True, False),
    "number": (0, -1, 1, 4.0, 0.5, 2**31, 2**63 - 1, 1e30, -1e308),
    "number beyond 64 bits": (2**63, -(2**63) - 1, Raw("9" * 30), Raw("9" * 400), Raw("9" * 5000)),
    "number that is not finite": (Raw("NaN"), Raw("Infinity"), Raw("1e999"), "inf", "nan", "-Infinity"),
    "number in other clothes": ("1_000", " 7", "٣", "0x10", "1e3", "7.0", "+7"),
    "text": ("", " ", "x", "now", "x" * 5000),
    "long text": ("x" * 70_000, "x" * (2**20 + 1)),
    "control characters": ("a\nb", "\x1b[31m", "a\u2028b", "a\x85b", "a\x7fb"),
    "no Unicode": (Raw(r'"\u0000"'), Raw(r'"\ud800"'), Raw(r'"a\udfffb"')),
    "markup": MARKUP,
    "path": ("../x", "/etc/passwd", "..", "a/../../b", "C:\\x", "~root", "//x/y"),
    "code": ("this", "evilmod", "evilmod:main", ".x", "nas.__main__", "os", "__import__('os')", "a:b:c"),
    "list": ([], [[]], ["a"], [1] * 1000, [None], [{}]),
    "table": ({}, {"a": 1}, {"": {}}, {"__class__": "x"}, {"a": {"b": {"c": []}}}),
    "depth": (nested(33), nested(200), nested(50_000), nested(200, None), nested(50_000, None)),
}
"""Kind of damage -> values that take the place of one that is right."""


def places(value: Any, at: Path = ()) -> Iterator[Path]:
    """The paths to everything that a value holds."""
    children: Any = ()
    if isinstance(value, dict):
        children = value.items()
    elif isinstance(value, list):
        children = enumerate(value)
    for key, child in children:
        yield (*at, key)
        yield from places(child, (*at, key))


def replaced(value: Any, at: Path, new: Any) -> Any:
    """A copy with `new` at a place."""
    made = copy.deepcopy(value)
    holder = made
    for key in at[:-1]:
        holder = holder[key]
    holder[at[-1]] = new
    return made


def without(value: Any, at: Path) -> Any:
    """A copy without what is at a place."""
    made = copy.deepcopy(value)
    holder = made
    for key in at[:-1]:
        holder = holder[key]
    del holder[at[-1]]
    return made


def with_more(value: Any, at: Path, draw: random.Random) -> Any:
    """A copy with something more beside what is at a place."""
    made = copy.deepcopy(value)
    holder = made
    for key in at[:-1]:
        holder = holder[key]
    if isinstance(holder, list):
        holder.insert(0, copy.deepcopy(holder[int(at[-1])]))
    else:
        holder[draw.choice(("extra", "", "__proto__", "x" * 300, "a.b", "<b>"))] = draw.choice((1, "x", None))
    return made


def written(value: Any, dumps: Callable[[Any], str]) -> str:
    """The text that `dumps` makes of a value, with every `Raw` as it is."""
    raw: list[str] = []

    def plain(part: Any) -> Any:
        if isinstance(part, Raw):
            raw.append(part.text)
            return f"@@{len(raw) - 1}@@"
        if isinstance(part, dict):
            return {key: plain(each) for key, each in part.items()}
        return [plain(each) for each in part] if isinstance(part, list | tuple) else part

    text = dumps(plain(value))
    return re.sub(r'"@@(\d+)@@"', lambda match: raw[int(match[1])], text)


def json_of(value: Any) -> str:
    return written(value, json.dumps)


def toml_of(value: Any) -> str:
    """TOML; what it cannot say (null) is a date, which is as wrong."""
    import tomli_w

    def sayable(part: Any) -> Any:
        if part is None:
            return Raw("1979-05-27")
        if isinstance(part, int) and not -(2**63) <= part < 2**63:
            return Raw(str(part))
        if isinstance(part, Raw):
            return Raw(part.text.replace('{"a":', "{a=").replace("NaN", "nan").replace("Infinity", "inf"))
        if isinstance(part, dict):
            return {key: sayable(each) for key, each in part.items()}
        return [sayable(each) for each in part] if isinstance(part, list) else part

    return written(sayable(value), tomli_w.dumps)


def _cut(data: bytes, draw: random.Random) -> bytes:
    return data[: draw.randrange(1, max(2, len(data)))]


def _flipped(data: bytes, draw: random.Random) -> bytes:
    changed = bytearray(data)
    for _ in range(draw.choice((1, 3, 20))):
        changed[draw.randrange(len(changed))] ^= 1 << draw.randrange(8)
    return bytes(changed)


def _inserted(data: bytes, draw: random.Random) -> bytes:
    at = draw.randrange(len(data))
    return data[:at] + draw.randbytes(draw.choice((1, 8, 1000))) + data[at:]


BYTES: dict[str, Callable[[bytes, random.Random], bytes]] = {
    "empty": lambda data, draw: draw.choice((b"", b"\n", b" ", b"\0")),
    "cut off": _cut,
    "bits flipped": _flipped,
    "bytes inserted": _inserted,
    "not UTF-8": lambda data, draw: data[:5] + b"\xff\xfe" + data[5:],
    "byte order mark": lambda data, draw: b"\xef\xbb\xbf" + data,
    "UTF-16": lambda data, draw: data.decode("latin-1").encode("utf-16"),
    "twice": lambda data, draw: data + data,
    "another format": lambda data, draw: draw.choice(OTHERS),
    "noise": lambda data, draw: draw.randbytes(draw.choice((10, 1000, 100_000))),
    "one line without end": lambda data, draw: (
        draw.choice((b"a", b"[", b"{", b'"', b"a,", b"\\")) * 3_000_000
    ),
}
"""Kind of damage -> what becomes of a file's bytes."""

OTHERS = (
    b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR",
    b"PK\x03\x04" + bytes(60),
    b"SQLite format 3\0" + bytes(4000),
    b"PAR1" + bytes(40) + b"PAR1",
    b'{"a": 1}',
    b"a = 1\n",
    b"a,b\n1,2\n",
    b"\x80\x04\x95\x10",
    b"%PDF-1.7",
)

STRUCTURES = ("missing", "more")
DAMAGES = (*REPLACEMENTS, *STRUCTURES, *BYTES)


def damaged(value: Any, encode: Callable[[Any], bytes], kind: str, draw: random.Random) -> tuple[Any, bytes]:
    """A right value with one kind of damage, None where only its bytes have it, and its file."""
    if kind in BYTES:
        return None, BYTES[kind](encode(value), draw)
    at = draw.choice(list(places(value)))
    if kind == "missing":
        made = without(value, at)
    elif kind == "more":
        made = with_more(value, at, draw)
    else:
        made = replaced(value, at, draw.choice(REPLACEMENTS[kind]))
    return made, encode(made)
