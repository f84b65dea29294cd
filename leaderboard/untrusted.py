"""Untrusted text and values: read within bounds of size, depth and type, before anything else sees them.

Every error is an `UntrustedError` whose text follows the name of a file or field: `recipe.toml: TEXT`.
"""

from __future__ import annotations

import json
import math
import re
import tomllib
from itertools import chain
from pathlib import Path
from typing import Any, NoReturn

MOST_DOCUMENT_BYTES = 64 * 1024
"""Of a recipe or the file of a genotype."""

MOST_LINE_BYTES = 16 * 2**20
"""Of a line of JSON, a trial with all that is known of it, and of a line of CSV."""

MOST_TEXT = 2**20
"""Characters of one text."""

MOST_LEVELS = 32
"""Of nested tables and lists."""

MOST_KEY_PARTS = 32
"""Of a dotted key in TOML."""


class UntrustedError(ValueError):
    """A text or value beyond a bound, or of another kind than needed."""


def read_text(path: Path, most_bytes: int = MOST_DOCUMENT_BYTES) -> str:
    """The text of a file in UTF-8. Raises OSError, and `UntrustedError` for a larger file or other bytes."""
    with path.open("rb") as file:
        data = file.read(most_bytes + 1)
    if len(data) > most_bytes:
        raise UntrustedError(f"is larger than {most_bytes:,} bytes, the most that is read")
    return decoded(data)


def decoded(data: bytes) -> str:
    """Bytes as the text in UTF-8 that they are. Raises `UntrustedError` for other bytes."""
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise UntrustedError(f"is no text in UTF-8 ({error.reason} at byte {error.start})") from None


def parse_json(text: str | bytes) -> Any:
    """The plain value of a JSON text; see :func:`check_plain`."""
    try:
        value = json.loads(text, parse_constant=_refuse_constant)
    except RecursionError:
        raise UntrustedError(_too_deep()) from None
    except UntrustedError:
        raise
    except ValueError as error:  # also of a whole number with thousands of digits
        raise UntrustedError(f"is no JSON ({error})") from None
    check_plain(value)
    return value


def parse_toml(text: str) -> dict[str, Any]:
    """The plain values of a TOML text; see :func:`check_plain`.

    The parser's time and memory grow with the square of a key's parts, so they are counted first.
    """
    bare = _TOML_TEXTS.sub(lambda match: "" if match[0].startswith("#") else "t", text)
    if _LONG_KEY.search(bare) is not None:
        raise UntrustedError(f"has a dotted key of more than {MOST_KEY_PARTS} parts")
    level = 0
    for bracket in re.findall(r"[\[\]{}]", bare):
        level += 1 if bracket in "[{" else -1
        if level > MOST_LEVELS:
            raise UntrustedError(_too_deep())
    try:
        value = tomllib.loads(text)
    except RecursionError:
        raise UntrustedError(_too_deep()) from None
    except ValueError as error:
        raise UntrustedError(f"is no TOML ({error})") from None
    check_plain(value)
    return value


# Strings and comments of TOML. One that does not end is taken to its end too, so that every character is
# looked at once: the parser stops there.
_TOML_TEXTS = re.compile(
    r'"""(?:\\(?:.|\Z)|[^\\])*?(?:"{3,5}|\Z)|'
    r"'{3}.*?(?:'{3,5}|\Z)|"
    r'"(?:\\(?:.|\Z)|[^"\\\n])*+"?|'
    r"'[^'\n]*+'?|"
    r"#[^\n]*+",
    re.DOTALL,
)
_LONG_KEY = re.compile(rf"(?<![\w-])[\w-]++(?:[ \t]*+\.[ \t]*+[\w-]++){{{MOST_KEY_PARTS}}}")


def check_plain(value: Any) -> None:
    """Raise `UntrustedError` unless a value is plain: what JSON can say, within the bounds.

    Tables with texts as keys, lists, texts (Unicode without NUL, `MOST_TEXT` at most), truth values, None,
    whole numbers of 64 bits and finite numbers, nested `MOST_LEVELS` deep at most.
    """
    if is_deeper(value, MOST_LEVELS):
        raise UntrustedError(_too_deep())
    waiting = [value]
    while waiting:
        value = waiting.pop()
        if isinstance(value, str):
            _check_text(value)
        elif isinstance(value, dict):
            for key in value:
                if not isinstance(key, str):
                    raise UntrustedError(f"has a key that is no text: {key!r:.80}")
                _check_text(key)
            waiting += value.values()
        elif isinstance(value, list | tuple):
            waiting += value
        elif isinstance(value, bool) or value is None:
            continue
        elif isinstance(value, int):
            if not -(2**63) <= value < 2**63:
                raise UntrustedError("has a whole number of more than 64 bits")
        elif not isinstance(value, float):
            raise UntrustedError(f"has a value that is a {type(value).__name__}: {value!s:.80}")
        elif not math.isfinite(value):
            raise UntrustedError(f"has the number {value}, which is not finite")


def is_deeper(value: Any, levels: int) -> bool:
    """Whether lists and dicts are nested in `value` more than `levels` deep."""
    level = [value] if type(value) in _NESTING else []
    for _ in range(levels):
        if not level:
            return False
        items = chain.from_iterable([each.values() if type(each) is dict else each for each in level])
        level = [item for item in items if type(item) in _NESTING]
    return bool(level)


_NESTING = frozenset((dict, list, tuple))
"""What JSON is read into, and what is written as lists; no subclasses, since this runs over all values."""


def _check_text(text: str) -> None:
    if len(text) > MOST_TEXT:
        raise UntrustedError(f"has a text of {len(text):,} characters; at most {MOST_TEXT:,} are read")
    if "\0" in text or (not text.isascii() and _SURROGATE.search(text) is not None):
        raise UntrustedError(f"has a text that no file can hold: {text!r:.80}")


_SURROGATE = re.compile("[\ud800-\udfff]")


def _refuse_constant(name: str) -> NoReturn:
    raise UntrustedError(f"has the number {name}, which is not finite")


def _too_deep() -> str:
    return f"is nested more than {MOST_LEVELS} levels deep"
