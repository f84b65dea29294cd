"""What the page shows, as its address says it: `?study=x4&cost=params&chosen=ab12&chosen=cd34`.

A further setting is a field of `Query`, a control of the layout with the same id, and its name in `FIELDS`.
Whatever stands in an address is checked here, since anybody can write one.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from urllib.parse import parse_qsl

from leaderboard.errors import LeaderboardError, unknown_name
from leaderboard.tables.front import COST_NAMES, QUALITY_NAMES, RUNTIME_NAMES
from leaderboard.views import VIEWS

COSTS = {**COST_NAMES, **RUNTIME_NAMES}
TABLES = {"networks": "Networks under this protocol", "trials": "All trials, rejected and failed ones too"}
MOST_NAMES = 40
"""How many networks an address names at most, chosen ones or picked ones."""
MOST_COMPARED = 4


@dataclass(frozen=True, kw_only=True)
class Query:
    """The state of the page; fields as the controls of the same id have them.

    `low` and `high` are as typed (`300K`), `filters` are texts `axis=option`, `opened` holds one network to
    look at or several to compare, `picked` those marked in the figure, `chosen` those put aside.
    """

    study: str | None = None
    others: tuple[str, ...] = ()
    protocol: str | None = None
    cost: str = "multi_adds"
    quality: str = "psnr_db"
    low: str = ""
    high: str = ""
    filters: tuple[str, ...] = ()
    view: str = next(iter(VIEWS))
    table: str = next(iter(TABLES))
    columns: tuple[str, ...] = ()
    chosen: tuple[str, ...] = ()
    picked: tuple[str, ...] = ()
    opened: tuple[str, ...] = ()


FIELDS = tuple(Query.__dataclass_fields__)


def parse(search: str | None) -> Query:
    """The state that the query part of an address holds; what it does not know, or wrongly, is the usual."""
    given: dict[str, list[str]] = {}
    for key, value in parse_qsl((search or "").removeprefix("?")):
        given.setdefault(key, []).append(value)

    def one(name: str, allowed: object = None) -> str | None:
        value = given.get(name, [None])[-1]
        known = allowed is None or (isinstance(allowed, dict) and value in allowed)
        return value if known else None

    def several(name: str, most: int = MOST_NAMES) -> tuple[str, ...]:
        return tuple(dict.fromkeys(given.get(name, [])))[:most]

    usual = Query()
    return Query(
        study=one("study"),
        others=several("others"),
        protocol=one("protocol"),
        cost=one("cost", COSTS) or usual.cost,
        quality=one("quality", QUALITY_NAMES) or usual.quality,
        low=one("low") or "",
        high=one("high") or "",
        filters=several("filters"),
        view=one("view", VIEWS) or usual.view,
        table=one("table", TABLES) or usual.table,
        columns=several("columns"),
        chosen=several("chosen"),
        picked=several("picked"),
        opened=several("opened", MOST_COMPARED),
    )


_FACTORS = {"": 1.0, "k": 1e3, "m": 1e6, "g": 1e9, "t": 1e12}


def count(text: str | None) -> float | None:
    """A cost as people write it, `300K`, `1.5 M`, `12 G` or `4200`; None for an empty text.

    Raises `LeaderboardError` for anything else.
    """
    if text is None or not str(text).strip():
        return None
    found = re.fullmatch(r"\s*(\d+(?:[.,]\d+)?(?:e\d{1,2})?)\s*([kmgt]?)\s*", str(text).lower())
    if found is None:
        raise LeaderboardError(f"{text!r} is no cost; write 300K, 1.5M or 12G")
    value = float(found[1].replace(",", ".")) * _FACTORS[found[2]]
    if not math.isfinite(value):
        raise LeaderboardError(f"{text!r} is too large")
    return value


def require_view(name: str) -> str:
    """`name`, when it is a view; raises `LeaderboardError` with the nearest one."""
    if name not in VIEWS:
        raise LeaderboardError(unknown_name("view", name, VIEWS))
    return name
