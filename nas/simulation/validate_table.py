"""What a table of trainings must be: its columns, and the checks that each value of a file has to pass."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from leaderboard.names import shortened
from leaderboard.store.cost_forms import COST_FORMS, form_of_unmarked
from leaderboard.untrusted import UntrustedError, parse_json
from nas.cost.counting import cost_of
from nas.errors import NasError, RecipeError
from nas.training.plan import trunk_share
from search_spaces import Genotype, Space, SpaceError, UntrustedSpaceError, load_space

VERSION = 1
MOST_CHOICES = 10_000
"""Characters of a text in a table."""

COSTS = ("params", "multi_adds", "conv_multi_adds", "activations")
COLUMNS: dict[str, str] = {
    **dict.fromkeys(("genotype_id", "genotype"), "text"),
    **dict.fromkeys(COSTS, "count"),
    **dict.fromkeys(("rung", "steps", "seed"), "count"),
    "protocol": "text",
    **dict.fromkeys(("psnr_db", "ssim", "seconds"), "number"),
    **dict.fromkeys(("device", "torch_version"), "text"),
}
"""Of every table: name -> kind. ``seconds`` are of all steps from the first to this rung; PSNR (dB) and SSIM
are of what was held out. ``psnr_db_SET`` and ``ssim_SET`` follow where benchmark sets were measured.
"""

KEY = ["genotype_id", "protocol", "seed"]


class TableError(NasError):
    """A table that cannot be read, or that cannot be meant."""


def checked_card(card: Any, where: str) -> dict[str, Any]:
    """The data card itself; Raises TableError, beginning with ``where``, for what it lacks or cannot say."""
    kinds: dict[str, type | tuple[type, ...]] = {
        **dict.fromkeys(("name", "space", "space_digest", "metric", "data", "data_digest", "created"), str),
        **dict.fromkeys(("code_version", "licence", "sample"), str),
        **dict.fromkeys(("only", "budget"), dict),
        **dict.fromkeys(("rungs", "machines"), list),
        **dict.fromkeys(("version", "scale", "wanted"), int),
        "goes_on": bool,
        "bicubic_psnr_db": (int, float),
    }
    if not isinstance(card, dict):
        raise TableError(f"{where}: its data card is no set of named values")
    for name, kind in kinds.items():
        if not isinstance(card.get(name), kind):
            raise TableError(f"{where}: its data card has {name} = {shortened(repr(card.get(name)))}")
    if card["version"] != VERSION:
        raise TableError(f"{where}: is of version {card['version']}; this program reads {VERSION}")
    if card.get("cost_form") not in (None, *COST_FORMS):
        raise TableError(f"{where}: its data card has cost_form = {shortened(repr(card['cost_form']))}")
    if card["scale"] not in (2, 3, 4) or not math.isfinite(card["bicubic_psnr_db"]):
        raise TableError(f"{where}: its data card has scale {card['scale']}")
    steps = []
    for about in card["rungs"]:
        sound = isinstance(about, dict) and isinstance(about.get("steps"), int)
        if not sound or not isinstance(about.get("protocol"), str) or not isinstance(about.get("plan"), dict):
            raise TableError(f"{where}: its data card has a rung {shortened(repr(about))}")
        steps.append(about["steps"])
    if not steps or sorted(set(steps)) != steps or steps[0] < 1:
        raise TableError(
            f"{where}: its data card has rungs of {shortened(repr(steps))} steps; growing ones are needed"
        )
    try:
        trunk_share_of(card)
    except RecipeError as error:
        raise TableError(f"{where}: its data card has an impossible plan: {line_of(error)}") from None
    limits = card["budget"].values()
    if not all(isinstance(limit, int | float) and limit > 0 for limit in limits):
        raise TableError(f"{where}: its data card has the budget {shortened(repr(card['budget']))}")
    return card


def checked_frame(frame: pd.DataFrame, card: dict[str, Any], where: str) -> pd.DataFrame:
    """The rows, typed and sorted, and their ``counts`` in ``card``. Raises TableError for a wrong value."""
    missing = [name for name in COLUMNS if name not in frame.columns]
    if missing:
        raise TableError(f"{where}: has no column {missing[0]!r}")
    sets = [name for name in frame.columns if name not in COLUMNS]
    for name in sets:
        if not name.startswith(("psnr_db_", "ssim_")):
            raise TableError(f"{where}: has a column {str(name)[:80]!r} that no table has")
    if frame.empty:
        raise TableError(f"{where}: has no rows")
    made = {}
    for name, kind in COLUMNS.items():
        made[name] = _column(frame[name], name, kind, where)
    for name in sets:
        made[name] = pd.to_numeric(frame[name], errors="coerce").astype("float64")
    frame = pd.DataFrame(made).sort_values(["genotype_id", "rung", "seed"], ignore_index=True)
    _check_values(frame, card, where)
    rows = len(frame)
    card["counts"] = {
        "rows": rows,
        "architectures": int(frame["genotype_id"].nunique()),
        "seconds": round(_paid(frame, trunk_share_of(card) if card["goes_on"] else 0.0), 3),
    }
    return frame


def trunk_share_of(card: Mapping[str, Any]) -> float:
    """Share of a shorter training that a longer one of the card's plan continues. Raises RecipeError."""
    return trunk_share(card["rungs"][0]["plan"])


def _column(values: pd.Series, name: str, kind: str, where: str) -> pd.Series:
    if kind == "text":
        if not all(isinstance(value, str) and len(value) <= MOST_CHOICES for value in values):
            raise TableError(f"{where}: column {name!r} holds something that is no text")
        return values.astype(object)
    numbers = pd.to_numeric(values, errors="coerce")
    if not np.isfinite(numbers.to_numpy(dtype=float)).all():
        raise TableError(f"{where}: column {name!r} holds something that is no number")
    if kind == "count":
        if (numbers < 0).any() or (numbers % 1 != 0).any():
            raise TableError(f"{where}: column {name!r} holds {numbers.min()}, which is no count")
        return numbers.astype("int64")
    return numbers.astype("float64")


def _check_values(frame: pd.DataFrame, card: dict[str, Any], where: str) -> None:
    ranges = {"psnr_db": (-50.0, 150.0), "ssim": (-1.0, 1.0), "seconds": (0.0, 1e9)}
    for name, (low, high) in ranges.items():
        if not frame[name].between(low, high).all():
            wrong = frame.loc[~frame[name].between(low, high), name].iloc[0]
            raise TableError(f"{where}: column {name!r} holds {wrong}, not from {low:g} to {high:g}")
    if (frame[list(COSTS[:2])] < 1).any(axis=None):
        raise TableError(f"{where}: has an architecture without parameters or Multi-Adds")
    rungs = {(r, about["steps"], about["protocol"]) for r, about in enumerate(card["rungs"])}
    found = set(frame[["rung", "steps", "protocol"]].itertuples(index=False, name=None))
    if strange := found - rungs:
        told = min(strange)
        raise TableError(f"{where}: rung {told[0]} of {told[1]} steps ({told[2]!r:.60}) is not in its card")
    if frame.duplicated(KEY).any():
        twice = frame.loc[frame.duplicated(KEY), KEY].iloc[0]
        raise TableError(f"{where}: genotype {twice.iloc[0]!r:.60} has two rows of seed {twice.iloc[2]}")
    unlike = frame.groupby("genotype_id")[[*COSTS, "genotype"]].nunique().gt(1).any(axis=1)
    if unlike.any():
        raise TableError(f"{where}: genotype {unlike.idxmax()!r:.60} has rows of different costs or choices")


def genotypes_of(frame: pd.DataFrame, card: dict[str, Any], where: str) -> dict[str, Genotype]:
    """The architectures by id. Raises TableError where choices, id and space do not belong together."""
    space = space_of_card(card, where).genotype
    genotypes = {}
    for name, text in frame.drop_duplicates("genotype_id")[["genotype_id", "genotype"]].itertuples(
        index=False
    ):
        try:
            genotype = space.from_dict(_choices(text))
        except ValueError as error:
            raise TableError(f"{where}: genotype {name!r:.60}: {line_of(error)}") from None
        if genotype.id != name:
            raise TableError(f"{where}: genotype {name!r:.60} has the choices of {genotype.id}")
        genotypes[name] = genotype
    return genotypes


def recounted(frame: pd.DataFrame, genotypes: Mapping[str, Genotype], scale: int, where: str) -> pd.DataFrame:
    """The rows with costs of the networks as used; those that cost the same as trained are not counted.

    Raises TableError for a network that cannot be counted.
    """
    known = frame.drop_duplicates("genotype_id").set_index("genotype_id")[list(COSTS)].copy()
    for name, genotype in genotypes.items():
        if form_of_unmarked(genotype.space, genotype.to_dict()) == "use":
            continue
        try:
            cost = cost_of(genotype, scale)
        except Exception as error:  # a space may be anybody's code
            raise TableError(f"{where}: genotype {name!r:.60} cannot be counted: {line_of(error)}") from None
        known.loc[name] = [getattr(cost, column) for column in COSTS]
    costs = known.loc[frame["genotype_id"]].reset_index(drop=True)
    return frame.assign(**{column: costs[column] for column in COSTS})


def space_of_card(card: dict[str, Any], where: str) -> Space:
    """The space of a table as it was when the table was made.

    Raises TableError for a space that is unknown, and for a version of it that is no part of today's.
    """
    try:
        only = {name: tuple(options) for name, options in card["only"].items()}
        space = Space(space_class(card["space"], where), only).of_digest(card["space_digest"])
    except (SpaceError, TypeError) as error:
        raise TableError(f"{where}: {line_of(error)}") from None
    if space is None:
        raise TableError(f"{where}: was made with another version of space {card['space']!r}")
    return space


def _choices(text: str) -> dict[str, Any]:
    choices = parse_json(text)
    if not isinstance(choices, dict):
        raise UntrustedError(f"is {shortened(repr(choices))}, and no table of choices")
    return choices


def space_class(name: str, where: str) -> type[Genotype]:
    """The space of a table. Raises TableError for one that cannot be imported or that no person named."""
    try:
        return load_space(name)
    except UntrustedSpaceError as error:
        raise TableError(f"{where}: {error}") from None
    except SpaceError as error:
        raise TableError(f"{where}: {line_of(error)}") from None


def _paid(frame: pd.DataFrame, continued: float) -> float:
    """Seconds of devices that the rows took.

    Args:
        frame: The rows, sorted by architecture, rung and seed.
        continued: Share of a shorter training that a longer one continues; 0 where it starts anew.
    """
    below = frame.groupby(["genotype_id", "seed"])["seconds"].shift(1).fillna(0.0)
    return float((frame["seconds"] - continued * below).sum())


def line_of(error: BaseException) -> str:
    """What an error says, in one line."""
    return " ".join(str(error).split())[:200] or type(error).__name__
