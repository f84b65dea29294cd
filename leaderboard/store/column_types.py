"""The types of columns that are read with care: what a damaged or forged file holds there is one line.

`DamagedValueError` names the kind of the value; `database.said` adds the database.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from itertools import chain
from typing import Any

from sqlalchemy import JSON, BigInteger, DateTime, Dialect, Double, Integer, String
from sqlalchemy.types import TypeDecorator

from leaderboard.errors import DamagedValueError, StoreError
from leaderboard.untrusted import MOST_LEVELS

Reader = Callable[[Any], Any]


class UtcDateTime(TypeDecorator[datetime]):
    """A moment, always aware and in UTC, also where the database keeps no zone (SQLite)."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """The moment in UTC; a naive one is a mistake of the caller."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"a time without a zone: {value!r}")
        return value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """The stored moment, aware and in UTC."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)

    def result_processor(self, dialect: Dialect, coltype: object) -> Reader | None:
        """Reads a moment; raises `DamagedValueError` for what is none."""
        return _reader(super().result_processor(dialect, coltype), "a moment")


class _Exact(TypeDecorator[Any]):
    """A column whose values are of its type, which SQLite alone does not see to."""

    cache_ok = True
    kind: type
    name: str

    def result_processor(self, dialect: Dialect, coltype: object) -> Reader | None:
        """Reads a value; raises `DamagedValueError` for one of another type."""
        if dialect.name != "sqlite":
            return super().result_processor(dialect, coltype)
        kind, name = self.kind, self.name

        def read(stored: Any) -> Any:
            if type(stored) is kind or stored is None:
                return stored
            if kind is float and type(stored) is int:
                return float(stored)
            raise DamagedValueError(f"{_excerpt(stored)} stands where {name} is expected")

        return read


class StoredWhole(_Exact):
    """A whole number."""

    impl, kind, name = Integer, int, "a whole number"
    cache_ok = True


class StoredNumber(_Exact):
    """A number."""

    impl, kind, name = Double, float, "a number"
    cache_ok = True


class StoredText(_Exact):
    """A text."""

    impl, kind, name = String, str, "a text"
    cache_ok = True


class StoredBigWhole(StoredWhole):
    """A whole number of 64 bits."""

    impl = BigInteger
    cache_ok = True


class StoredJson(TypeDecorator[Any]):
    """A JSON object (`kind` dict) or list, nested `MOST_LEVELS` levels at most; None is SQL's NULL.

    Args:
        kind: dict or list; None takes both.
        optional: Whether the JSON text `null`, which older versions wrote for None, is read as None.
    """

    impl = JSON
    cache_ok = True

    def __init__(self, kind: type | None = None, *, optional: bool = False) -> None:
        super().__init__(none_as_null=True)
        self.kind, self.optional = kind, optional

    def process_bind_param(self, value: Any, dialect: Dialect) -> Any:
        """The value as it is; raises `StoreError` for one that could not be read again."""
        if is_deeper(value, MOST_LEVELS):
            raise StoreError(f"a JSON value is nested more than {MOST_LEVELS} levels deep")
        return value

    def result_processor(self, dialect: Dialect, coltype: object) -> Reader | None:
        """Reads a value; raises `DamagedValueError` for what is no JSON of its kind and depth."""
        name = _JSON_NAMES[self.kind]
        kinds = (dict, list) if self.kind is None else self.kind
        parse = _reader(super().result_processor(dialect, coltype), name)

        def read(stored: Any) -> Any:
            value = stored if parse is None else parse(stored)
            if value is None and (stored is None or self.optional):
                return None
            if not isinstance(value, kinds):
                raise DamagedValueError(f"{_excerpt(stored)} stands where {name} is expected")
            if is_deeper(value, MOST_LEVELS):
                raise DamagedValueError(f"{name} is nested more than {MOST_LEVELS} levels deep")
            return value

        return read


def is_deeper(value: Any, levels: int) -> bool:
    """Whether lists and dicts are nested in `value` more than `levels` deep."""
    level = [value] if type(value) in _NESTING else []
    for _ in range(levels):
        if not level:
            return False
        items = chain.from_iterable([each.values() if type(each) is dict else each for each in level])
        level = [item for item in items if type(item) in _NESTING]
    return bool(level)


_JSON_NAMES: dict[type | None, str] = {dict: "a JSON object", list: "a JSON list", None: "a JSON value"}

_NESTING = frozenset((dict, list, tuple))
"""What JSON is read into, and what is written as lists; no subclasses, since this runs over all values."""


def _reader(parse: Reader | None, name: str) -> Reader | None:
    """`parse`, whose errors say that the value is not `name`."""
    if parse is None:
        return None

    def read(stored: Any) -> Any:
        try:
            return parse(stored)
        except RecursionError:
            raise DamagedValueError(f"{name} is nested more than {MOST_LEVELS} levels deep") from None
        except (ValueError, TypeError, OverflowError) as error:
            raise DamagedValueError(f"{_excerpt(stored)} stands where {name} is expected") from error

    return read


def _excerpt(stored: Any) -> str:
    text = repr(stored[:60] if isinstance(stored, str | bytes) else stored)
    return text if len(text) <= 48 else f"{text[:48]}..."
