"""Validates what a browser sends before any callback runs: its size, its nesting, the callback, every value.

A browser with our page sends nothing else, so that all that is refused here comes from another program.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from dash import Dash

from leaderboard.page.query import COSTS, TABLES
from leaderboard.tables.front import QUALITY_NAMES
from leaderboard.views import VIEWS

MOST_BYTES = 2**20
"""Of one request."""
MOST_DEPTH = 12
"""Of lists and objects in each other; our page sends seven."""
MOST_LETTERS = 20_000
"""Of one text."""
MOST_ENTRIES = 200
MOST_PICKED = 50_000
"""Networks marked in the figure: a box around all of its points is possible."""
MOST_NUMBER = 10**15

Check = Callable[[Any], bool]


class MalformedRequestError(ValueError):
    """A request that our page never sends: what is wrong with it, in one line."""


def _text(value: Any, most: int = MOST_LETTERS) -> bool:
    return isinstance(value, str) and len(value) <= most and "\0" not in value and _encodes(value)


def _encodes(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:  # half of a surrogate pair
        return False
    return True


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= MOST_NUMBER


def _whole(value: Any) -> bool:
    return _number(value) and isinstance(value, int) and value >= 0


def _maybe(check: Check) -> Check:
    return lambda value: value is None or check(value)


def _among(allowed: Mapping[str, Any]) -> Check:
    return lambda value: value is None or (isinstance(value, str) and value in allowed)


def _several(check: Check, most: int = MOST_ENTRIES) -> Check:
    return lambda value: isinstance(value, list) and len(value) <= most and all(map(check, value))


def _fields(**checks: Check) -> Check:
    """An object of which these fields are checked; a missing one is None, others are passed over."""
    return lambda value: (
        isinstance(value, dict)
        and len(value) <= MOST_ENTRIES
        and all(map(_text, value))
        and all(check(value.get(name)) for name, check in checks.items())
    )


def _condition(value: Any) -> bool:
    """What one column of the table is filtered by: a condition, or several in `conditions`."""
    operand = _maybe(lambda each: _text(each) or _number(each) or isinstance(each, bool))
    name = _maybe(_text)
    fields = _fields(
        type=name, filterType=name, operator=name, filter=operand, filterTo=operand, conditions=_conditions
    )
    return fields(value)


def _conditions(value: Any) -> bool:
    return value is None or (isinstance(value, list) and len(value) <= 10 and all(map(_condition, value)))


def _filters(value: Any) -> bool:
    return value is None or (
        isinstance(value, dict)
        and len(value) <= MOST_ENTRIES
        and all(map(_text, value))
        and all(map(_condition, value.values()))
    )


_ROWS = _fields(
    startRow=_maybe(_whole),
    endRow=_maybe(_whole),
    filterModel=_filters,
    sortModel=_maybe(_several(_fields(colId=_text, sort=lambda value: value in ("asc", "desc")))),
)
_NAMES = _several(_text)
_STAMP = _fields(
    study=_maybe(_text),
    others=_maybe(_NAMES),
    protocol=_maybe(_text),
    events=_maybe(_several(_whole)),
    studies=_maybe(_whole),
)
VALUES: dict[str, Check] = {
    **dict.fromkeys(("study.value", "protocol.value", "low.value", "high.value"), _maybe(_text)),
    **dict.fromkeys(("study.search_value", "others.search_value"), _maybe(_text)),
    **{"cost.value": _among(COSTS), "quality.value": _among(QUALITY_NAMES)},
    **{"view.value": _among(VIEWS), "table.value": _among(TABLES)},
    **dict.fromkeys(("others.value", "filters.value", "columns.value"), _maybe(_NAMES)),
    **dict.fromkeys(("chosen.data", "opened.data"), _maybe(_NAMES)),
    "picked.data": _maybe(_several(_text, MOST_PICKED)),
    "address.search": _maybe(lambda value: _text(value, MOST_BYTES)),
    "clock.data": _maybe(_number),
    "stamp.data": _maybe(_STAMP),
    "grid.getRowsRequest": _maybe(_ROWS),
}
"""What each property that a callback reads may hold; one that is missing here cannot be read by any."""


def _check_of(name: str) -> Check:
    return _maybe(_whole) if name.endswith(".n_clicks") else VALUES[name]


class RequestValidator:
    """Validates the requests for the callbacks of one application.

    Raises KeyError at once where a callback reads a property that `VALUES` lacks.
    """

    def __init__(self, app: Dash) -> None:
        self._inputs: dict[str, list[str]] = {}
        self._states: dict[str, list[str]] = {}
        for callback in app._callback_list:
            if not callback["clientside_function"]:
                name = callback["output"]
                self._inputs[name] = [f"{each['id']}.{each['property']}" for each in callback["inputs"]]
                self._states[name] = [f"{each['id']}.{each['property']}" for each in callback["state"]]
        self._checks = {
            name: _check_of(name)
            for listed in (self._inputs, self._states)
            for names in listed.values()
            for name in names
        }

    def validate(self, body: bytes) -> None:
        """Raises `MalformedRequestError` unless `body` is what our page sends for one of its callbacks."""
        sent = parsed(body)
        if not isinstance(sent, dict):
            raise MalformedRequestError("the request is no JSON object")
        output = sent.get("output")
        if not isinstance(output, str) or output not in self._inputs:
            raise MalformedRequestError("output: no callback of this page")
        if _named(sent.get("outputs")) != output.strip(".").split("..."):
            raise MalformedRequestError("outputs: not those of the callback")
        self._validate_values("inputs", sent.get("inputs"), self._inputs[output])
        self._validate_values("state", sent.get("state", []), self._states[output])
        changed = sent.get("changedPropIds", [])
        if not isinstance(changed, list) or not all(each in self._inputs[output] for each in changed):
            raise MalformedRequestError("changedPropIds: not inputs of the callback")

    def _validate_values(self, what: str, values: Any, expected: Sequence[str]) -> None:
        if _named(values) != list(expected):
            raise MalformedRequestError(f"{what}: not those of the callback")
        for name, each in zip(expected, values, strict=True):
            if not self._checks[name](each.get("value")):
                raise MalformedRequestError(f"{name}: a value that this page never sends")


def _named(parts: Any) -> list[str] | None:
    """The properties that a part of a request names, as `id.property`; None where it is no such part."""
    listed = parts if isinstance(parts, list) else [parts]
    if not all(isinstance(each, dict) for each in listed):
        return None
    names = [(each.get("id"), each.get("property")) for each in listed]
    if not all(isinstance(id, str) and isinstance(property, str) for id, property in names):
        return None
    return [f"{id}.{property}" for id, property in names]


def parsed(body: bytes) -> Any:
    """The JSON value of a request. Raises `MalformedRequestError`, also where it is nested too deeply."""
    try:
        found = json.loads(body, parse_constant=_no_number)
    except (ValueError, RecursionError):
        raise MalformedRequestError("the request is no JSON") from None
    if any(depth > MOST_DEPTH for depth in _depths(found)):
        raise MalformedRequestError(f"the request is nested more than {MOST_DEPTH} deep")
    return found


def _no_number(text: str) -> float:
    raise ValueError(f"{text} is no JSON")


def _depths(value: Any) -> Iterator[int]:
    """The depth of every list and object in `value`, without recursion."""
    left = [(value, 0)]
    while left:
        each, depth = left.pop()
        if isinstance(each, dict | list):
            yield depth + 1
            inside = each.values() if isinstance(each, dict) else each
            left += [(part, depth + 1) for part in inside]
        elif isinstance(each, float) and not math.isfinite(each):  # 1e999
            raise MalformedRequestError("the request holds a number that is too large")
