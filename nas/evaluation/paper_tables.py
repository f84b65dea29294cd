"""The papers' table: networks that were measured here, with the published ones around them.

How a table is written is ``leaderboard.tables.paper``; more printed numbers are rows of
``leaderboard.tables.reported``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from leaderboard.sources import benchmarks
from leaderboard.store import Store
from leaderboard.store.measurements import MARK, WAYS
from leaderboard.tables.paper import paper_rows, with_sets, within_cost
from leaderboard.views import Show
from nas.cost.budget import Cost
from nas.cost.counting import cost_of
from nas.errors import NasError, RunError
from nas.evaluation.benchmark_sets import BICUBIC, Network, load_network
from nas.networks.resolving import find_architecture
from search_spaces import SpaceError, load_space
from search_spaces.published import PUBLISHED

Open = Callable[[], Store]


def networks_meant(
    word: str, *, scale: int | None, weights: Path | None, runs: Path, open_store: Open | None
) -> Iterator[Network]:
    """The networks that ``word`` means in a table, one after another, with their weights.

    A run: all its re-trained networks, or its best one where none is. A genotype's id or how it begins: at
    each scale of which the database knows weights. Anything else is what ``load_network`` takes. ``scale``
    keeps one. Raises what that raises.
    """
    for name, at in _meant(word, scale, weights, open_store):
        yield load_network(
            name, scale=at, weights=weights, runs=runs, open_store=open_store, recorded=name != word
        )


def _meant(
    word: str, scale: int | None, weights: Path | None, open_store: Open | None
) -> list[tuple[str, int | None]]:
    """Word and scale for each network, as ``load_network`` wants them."""
    if weights is not None or open_store is None or not word:
        return [(word, scale)]
    with open_store() as store:
        frame = store.frame(columns=["study", "stage", "genotype", "scale", "checkpoint"])
    kept = frame[frame["checkpoint"].notna()]
    if scale is not None:
        kept = kept[kept["scale"] == scale]
    of_run = kept[(kept["study"] == word) & (kept["stage"] == "retrain")]
    if len(of_run):
        return [(str(one), int(at)) for one, at in _pairs(of_run)]
    same = kept[kept["genotype"].astype(str).str.startswith(word) & (kept["study"] != word)]
    if word in set(frame["study"]) or same["genotype"].nunique() != 1:
        return [(word, scale)]
    return [(str(one), int(at)) for one, at in _pairs(same)]


def _pairs(rows: pd.DataFrame) -> list[tuple[str, int]]:
    """Each genotype and scale once, in the order in which they came."""
    return list(dict.fromkeys(zip(rows["genotype"], rows["scale"], strict=True)))


@dataclass(frozen=True)
class PapersTable:
    """One scale: rows of ``leaderboard.tables.paper.paper_rows``, and a line that says which are shown."""

    rows: pd.DataFrame
    note: str


def papers_tables(
    store: Store,
    words: Sequence[str],
    *,
    scale: int | None,
    metric: str,
    builders: Sequence[str] = (),
    sets: Sequence[str] = (),
    near: float | None = None,
) -> dict[int, PapersTable]:
    """The papers' table for each scale, from the numbers in the database.

    Rows: the networks that ``words`` mean, as measured with ``metric`` and no other; bicubic where it was
    measured; and the published networks that are near them in cost.

    Args:
        store: the results.
        words: runs, ids or their beginnings, names; none is all that was measured.
        scale: 2, 3 or 4; None takes the scales at which one of them was measured.
        metric: ``y_float``, ``y_uint8`` or ``rgb``.
        builders: words that a person wrote: a ``module:function`` among them is imported for its cost.
        sets: keep the columns of these benchmark sets; all if empty.
        near: the factor of ``leaderboard.tables.window.near_cost``.

    Raises:
        RunError: for a word of which nothing was measured so.
        LeaderboardError: for an unknown set.
    """
    frame = benchmarks(store, Show(study=""))
    here = frame["origin"] == "measured"
    with_metric = here & (frame["metric"] == metric)
    if scale is not None:
        with_metric &= frame["scale"] == scale
    chosen = with_metric & (frame["network"] != BICUBIC)
    if words:
        meant = [_rows_of(store, frame, word) & here for word in words]
        for word, rows in zip(words, meant, strict=True):
            if not (rows & with_metric).any():
                raise RunError(_nothing(word, frame[rows], metric, scale))
        chosen = with_metric & pd.concat(meant, axis=1).any(axis=1)
    at = frame.loc[chosen & (frame["network"] != BICUBIC), "scale"]
    scales = [scale] if scale is not None else sorted(set(at if len(at) else frame.loc[chosen, "scale"]))
    shown = frame[~here | chosen | (with_metric & (frame["network"] == BICUBIC))]
    shown = _with_costs(store, shown, builders)
    tables = {int(at): with_sets(paper_rows(shown, int(at)), sets) for at in scales or (2, 3, 4)}
    return {at: PapersTable(*within_cost(rows, near)) for at, rows in tables.items()}


def _with_costs(store: Store, frame: pd.DataFrame, builders: Sequence[str]) -> pd.DataFrame:
    """The frame with the costs of measured networks that no search has counted, where they can be built."""
    made = frame.copy()
    unknown = (frame["origin"] == "measured") & frame["params"].isna() & (frame["network"] != BICUBIC)
    for (name, scale), rows in frame[unknown].groupby(["network", "scale"]):
        try:
            cost = _cost(
                store, rows["genotype"].iloc[0], str(name).removesuffix(MARK), int(str(scale)), builders
            )
        except (NasError, SpaceError):
            continue  # it stands in the table without its cost, as bicubic does
        ways = WAYS if str(name).endswith(MARK) else 1
        made.loc[rows.index, "params"] = cost.params
        made.loc[rows.index, "multi_adds"] = ways * cost.multi_adds
        made.loc[rows.index, "conv_multi_adds"] = ways * cost.conv_multi_adds
    return made


def _cost(store: Store, genotype_id: str | None, name: str, scale: int, builders: Sequence[str]) -> Cost:
    """What a network costs, by its genotype, which the database holds, or as what its name means."""
    if genotype_id is None:
        if name not in PUBLISHED and name not in builders:
            raise RunError(f"{name}: only the database names it, so nothing is imported for its cost")
        return find_architecture(name).cost(scale)
    [(_, space, choices)] = store.find_genotype(genotype_id)
    return cost_of(load_space(space, named_by="the results database").from_dict(choices), scale)


def _rows_of(store: Store, frame: pd.DataFrame, word: str) -> pd.Series:
    """Which rows are of what ``word`` means; a self-ensemble belongs to its network."""
    of_run = {study.name for study in store.studies()} & {word}
    ids = set(store.frame(word, ["genotype"])["genotype"]) if of_run else set()
    names = [frame[column].astype(str).str.removesuffix(MARK) == word for column in ("network", "name")]
    begins = frame["genotype"].astype(str).str.startswith(word)
    if frame.loc[begins, "genotype"].nunique() > 1:
        begins = frame["genotype"] == word
    return frame["genotype"].isin(ids) | names[0] | names[1] | (begins & (not of_run))


def _nothing(word: str, rows: pd.DataFrame, metric: str, scale: int | None) -> str:
    at = "" if scale is None else f" at x{scale}"
    known = sorted({f"{row['metric']} at x{row['scale']}" for row in rows.to_dict("records")})
    told = f"measured with {', '.join(known)}" if known else "nothing was measured of it"
    return f"{word}: no number with {metric}{at} in the database ({told}); --data-dir says where the sets are"
