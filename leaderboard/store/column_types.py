"""The types of columns that are read with care: what a damaged or forged file holds there is one line.

`DamagedValueError` names the kind of the value; `database.said` adds the database.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import JSON, DateTime, Dialect
from sqlalchemy.types import TypeDecorator

from leaderboard.errors import DamagedValueError, StoreError
from leaderboard.untrusted import MOST_LEVELS, is_deeper

Reader = Callable[[Any], Any]


class UtcDateTime(TypeDecorator[datetime]):
    """A moment, always aware and in UTC; SQLite keeps no zone, and what it holds is in UTC."""

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
        return None if value is None else value.astimezone(UTC)

    def result_processor(self, dialect: Dialect, coltype: object) -> Reader | None:
        """Reads a moment; raises `DamagedValueError` for what is none."""
        if dialect.name == "sqlite":
            return _reader(_sqlite_moment, "a moment")
        return _reader(super().result_processor(dialect, coltype), "a moment")


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
            if stored == "{}" and self.kind is dict:  # of most trials' excess
                return {}
            value = stored if parse is None else parse(stored)
            if value is None and (stored is None or self.optional):
                return None
            if not isinstance(value, kinds):
                raise DamagedValueError(f"{_excerpt(stored)} stands where {name} is expected")
            if _may_be_deep(stored) and is_deeper(value, MOST_LEVELS):
                raise DamagedValueError(f"{name} is nested more than {MOST_LEVELS} levels deep")
            return value

        return read


def _sqlite_moment(stored: str | None) -> datetime | None:
    return None if stored is None else datetime.fromisoformat(stored).replace(tzinfo=UTC)


def _may_be_deep(stored: Any) -> bool:
    """Whether a stored value has enough brackets to be nested too deep; PostgreSQL gives it parsed."""
    return not isinstance(stored, str) or stored.count("{") + stored.count("[") > MOST_LEVELS


_JSON_NAMES: dict[type | None, str] = {dict: "a JSON object", list: "a JSON list", None: "a JSON value"}


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
