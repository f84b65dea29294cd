"""Which options a control offers.

A control of Dash indexes every part of each word in the browser (js-search), as the names of an object's
properties. So a long word would freeze the page, and `__proto__` would change all objects of the page.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

MOST_WORK = 100_000
"""The work of indexing one option: a word of 300 letters."""
MOST_WORK_IN_ALL = 3_000_000
MOST_LETTERS = 2_000
MOST_OFFERED = 300
"""Studies that a control lists: thousands would take seconds. A typed text finds all others."""


def work_of(text: str) -> int:
    """How much a browser does to index `text`: it takes every part of each word."""
    return sum(len(word) ** 2 for word in text.split())


def can_be_offered(text: str) -> bool:
    """Whether `text` can be an option; every name that this program gives can."""
    return len(text) <= MOST_LETTERS and work_of(text) <= MOST_WORK and "__proto__" not in text.lower()


def bounded(options: Iterable[Mapping[str, str]]) -> list[dict[str, str]]:
    """The first of the options, each `value` and `label`, that a browser indexes in good time."""
    found: list[dict[str, str]] = []
    left = MOST_WORK_IN_ALL
    for option in options:
        if not can_be_offered(option["value"]):
            continue
        label = option["label"] if can_be_offered(option["label"]) else option["value"]
        left -= work_of(option["value"]) + work_of(label)
        if left < 0:
            break
        found.append({"value": option["value"], "label": label})
    return found


def offered(names: Sequence[str], selected: Sequence[str], text: str | None = None) -> list[str]:
    """The newest of `names` that hold `text`, `MOST_OFFERED` at most, and all selected ones; newest first.

    `names` are oldest first, and all can be offered. A control forgets what is selected when it is not among
    its options.
    """
    wanted = (text or "").lower()
    found: list[str] = []
    left = MOST_WORK_IN_ALL
    for name in reversed(names):
        if wanted in name.lower():
            left -= work_of(name)
            if left < 0 or len(found) == MOST_OFFERED:
                break
            found.append(name)
    return list(dict.fromkeys([*found, *selected]))
