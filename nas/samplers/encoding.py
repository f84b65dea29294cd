"""Candidates as numbers for a Gaussian process: one column an option, counts between 0 and 1."""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from nas.samplers.candidates import PricedCandidate

ABSENT = 0.5
"""Where a count stands that does not apply. That it does not, the axis shows on which it depends."""


class Encoding:
    """Rows for candidates of the axes in ``distributions``; every row is made once.

    ``groups`` (columns,) numbers the axis to which each column belongs: an option that does not apply is zero
    in all columns of its axis.
    """

    def __init__(self, distributions: Mapping[str, BaseDistribution]) -> None:
        self.names = tuple(name for name, kind in distributions.items() if not kind.single())
        self._kinds = {name: distributions[name] for name in self.names}
        self._begins: dict[str, int] = {}
        groups: list[int] = []
        for number, name in enumerate(self.names):
            self._begins[name] = len(groups)
            kind = self._kinds[name]
            groups += [number] * (len(kind.choices) if isinstance(kind, CategoricalDistribution) else 1)
        self.groups = np.array(groups, dtype=np.intp)
        self._empty = np.zeros(len(groups))
        for name, kind in self._kinds.items():
            if not isinstance(kind, CategoricalDistribution):
                self._empty[self._begins[name]] = ABSENT
        self._rows: dict[Hashable, NDArray[np.float64]] = {}

    def rows(self, candidates: Iterable[PricedCandidate]) -> NDArray[np.float64]:
        """(n, columns)."""
        rows = [self._row(one) for one in candidates]
        return np.array(rows) if rows else np.empty((0, len(self.groups)))

    def keep(self, candidates: Sequence[PricedCandidate]) -> None:
        """Forget the rows of all others."""
        self._rows = {one.key: self._row(one) for one in candidates}

    def _row(self, candidate: PricedCandidate) -> NDArray[np.float64]:
        row = self._rows.get(candidate.key)
        if row is None:
            row = self._empty.copy()
            for name, kind in self._kinds.items():
                if name in candidate.params:
                    _write(row, self._begins[name], kind, candidate.params[name])
            self._rows[candidate.key] = row
        return row


def _write(row: NDArray[np.float64], begin: int, kind: BaseDistribution, answer: Any) -> None:
    if isinstance(kind, CategoricalDistribution):
        row[begin + int(kind.to_internal_repr(answer))] = 1.0
        return
    assert isinstance(kind, IntDistribution | FloatDistribution)
    low, high = float(kind.low), float(kind.high)
    if kind.log:
        low, high, answer = math.log(low), math.log(high), math.log(answer)
    row[begin] = (answer - low) / (high - low)
