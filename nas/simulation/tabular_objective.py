"""A table of trainings as a surface: what was recorded, and on request what a model makes of it elsewhere.

Without a model the space is the list of the table's architectures (``nas/samplers/listed.py``): whatever
a sampler answers becomes the nearest of them. With one, the whole space is open; what the table does not hold
is answered by a Gaussian process for each rung (that of the surrogate sampler), costs are counted, and every
such answer is marked.
"""

from __future__ import annotations

import functools
import random
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from leaderboard.fronts.pareto import pareto_mask
from nas.calibration.rank_correlation import kendall
from nas.cost.budget import Budget, Cost
from nas.cost.counting import cost_of
from nas.samplers import Listed, Setting
from nas.samplers.candidates import PricedCandidate
from nas.samplers.encoding import Encoding
from nas.samplers.process import Prediction, Process
from nas.simulation.objective import Objective
from nas.simulation.table import Table
from nas.simulation.validate_table import COSTS, TableError, trunk_share_of
from search_spaces import Genotype

FLOOR_QUANTILE = 0.1
"""Hypervolume counts from the PSNR that this part of a table's architectures is below, or from bicubic's."""

LEAST = 4
"""Architectures, trained at every rung, that a replay needs at least."""

LEAST_FOR_MODEL = 12
FOLDS = 5
"""Parts of a table, each of which a model of the others is asked about."""

Array = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class ModelQuality:
    """What a model says of architectures that it was not told of: Kendall's tau with their truths, in dB off.

    ``error_db`` is the root of the mean squared error, ``spread_db`` the standard deviation of the truths.
    """

    tau: float
    error_db: float
    spread_db: float


class TabularObjective(Objective):
    """The trainings of a table.

    An architecture that lacks a rung is left out (``left_out`` counts them). Its truth is the mean over the
    seeds of the longest rung; a training in a replay measures one of the recorded seeds, drawn once by the
    replay's own seed. Seconds are means over seeds. With ``model``, noise of the size that seeds of the table
    differ by is added to what the model says. Raises TableError where too few architectures are whole.
    """

    def __init__(self, table: Table, *, model: bool = False) -> None:
        self.table, self.name, self.model = table, str(table.card["name"]), model
        rungs = range(len(table.rungs))
        steps = [about["steps"] for about in table.rungs]
        self.shares = tuple(one / steps[-1] for one in steps)
        self.goes_on = bool(table.card["goes_on"])
        self.trunk_share = trunk_share_of(table.card)
        self._rows: dict[str, list[list[tuple[int, float, float]]]] = {}
        columns = table.frame[["genotype_id", "rung", "seed", "psnr_db", "seconds"]]
        for name, rung, seed, psnr, seconds in columns.itertuples(index=False):
            self._rows.setdefault(name, [[] for _ in rungs])[rung].append((seed, psnr, seconds))
        whole = sorted(name for name, rows in self._rows.items() if all(rows))
        self.left_out = len(self._rows) - len(whole)
        needed = LEAST_FOR_MODEL if model else LEAST
        if len(whole) < needed:
            raise TableError(
                f"{self.name}: {len(whole)} architectures were trained at every rung; {needed} are needed"
            )
        firsts = table.frame.drop_duplicates("genotype_id").set_index("genotype_id")[list(COSTS)]
        costs = firsts.to_dict("index")
        self._costs = {
            table.genotypes[name]: Cost(**{str(k): int(v) for k, v in costs[name].items()}) for name in whole
        }
        self.entries = tuple(table.genotypes[name] for name in whole)
        space = table.space
        self.space = (
            space if model else Listed(space.genotype, space.only, self.entries, version=space.version)
        )
        self.budget = self._budget()
        costliest = max(cost.multi_adds for cost in self._costs.values())
        self.cost_limit = 1.05 * costliest
        truths = [self.truth_db(genotype) for genotype in self.entries]
        bicubic = float(table.card["bicubic_psnr_db"])
        self.floor_db = max(float(np.quantile(truths, FLOOR_QUANTILE)), min(bicubic, max(truths) - 1e-6))

    def _budget(self) -> Budget:
        """That of the table; and with a model nothing costlier than its costliest."""
        known = self.table.card["budget"]
        limits = {name: known[name] for name in ("params", "multi_adds", "conv_multi_adds") if name in known}
        if self.model:
            for name in ("params", "multi_adds"):
                limits.setdefault(name, max(getattr(cost, name) for cost in self._costs.values()))
        return Budget(**{name: int(limit) for name, limit in limits.items()})

    def is_recorded(self, genotype: Genotype) -> bool:
        """Whether the table holds it."""
        return genotype in self._costs

    def inside(self, genotype: Genotype) -> bool:
        """All of the table is; elsewhere the budget decides."""
        return genotype in self._costs or super().inside(genotype)

    def cost(self, genotype: Genotype) -> Cost:
        """As recorded, or counted."""
        known = self._costs.get(genotype)
        return self._counted(genotype) if known is None else known

    def truth_db(self, genotype: Genotype) -> float:
        """The mean over the seeds of the longest rung, or the model's mean."""
        if genotype not in self._costs:
            return self._predicted(genotype)[-1]
        return float(np.mean([psnr for _, psnr, _ in self._rows[genotype.id][-1]]))

    def measured_db(self, genotype: Genotype, rung: int, seed: int) -> float:
        """One of the recorded seeds: the same at every rung that has it."""
        luck = random.Random(f"{genotype.id}-{seed}")  # noqa: S311
        if genotype not in self._costs:
            return self._predicted(genotype)[rung] + luck.gauss(0, self.noise_db[rung])
        rows = self._rows[genotype.id]
        wanted = luck.choice(sorted({one for one, _, _ in rows[-1]}))
        there = {one: psnr for one, psnr, _ in rows[rung]}
        return there[wanted] if wanted in there else luck.choice(sorted(there.values()))

    def seconds(self, genotype: Genotype, rung: int) -> float:
        """The mean over seeds, or in proportion to what its Multi-Adds suggest."""
        if genotype in self._costs:
            return float(np.mean([seconds for _, _, seconds in self._rows[genotype.id][rung]]))
        slope, level = self._pace[rung]
        return float(np.exp(level + slope * np.log(self.price(genotype))))

    def front(self) -> tuple[list[float], list[float]]:
        """The table's own; a model may go beyond it, to shares above 1."""
        costs = np.array([self.price(genotype) for genotype in self.entries])
        truths = np.array([self.truth_db(genotype) for genotype in self.entries])
        best = pareto_mask(costs, truths)
        return costs[best].tolist(), truths[best].tolist()

    @functools.cached_property
    def noise_db(self) -> list[float]:
        """Standard deviation between seeds of one architecture at each rung.

        Where all have one seed it is that of the rung before, and 0 where no rung before has more.
        """
        found: list[float] = []
        for rung in range(len(self.shares)):
            squares, freedom = 0.0, 0
            for genotype in self.entries:
                values = [psnr for _, psnr, _ in self._rows[genotype.id][rung]]
                squares += float(np.sum((np.array(values) - np.mean(values)) ** 2))
                freedom += len(values) - 1
            before = found[-1] if found else 0.0
            found.append(float(np.sqrt(squares / freedom)) if freedom else before)
        return found

    @functools.cached_property
    def _pace(self) -> list[tuple[float, float]]:
        """Of each rung: slope and level of log seconds over log Multi-Adds."""
        x = np.log([self.price(genotype) for genotype in self.entries])
        found = []
        for rung in range(len(self.shares)):
            y = np.log([max(1e-6, self.seconds(genotype, rung)) for genotype in self.entries])
            slope = float(np.cov(x, y)[0, 1] / x.var(ddof=1)) if x.var() > 0 else 0.0
            found.append((slope, float(y.mean() - slope * x.mean())))
        return found

    @functools.cached_property
    def _model(self) -> _Model:
        return _Model(self, self.entries, range(len(self.shares)))

    @functools.cached_property
    def asked(self) -> ModelQuality:
        """How good the model is: each fifth of the table, at the longest rung, by a model of the others."""
        order = np.random.default_rng(0).permutation(len(self.entries))
        told = np.empty(len(order))
        for fold in range(FOLDS):
            hidden = order[fold::FOLDS]
            known = [self.entries[place] for place in np.setdiff1d(order, hidden)]
            model = _Model(self, known, [len(self.shares) - 1])
            told[hidden] = [model.predict(self.entries[place])[0] for place in hidden]
        truths = np.array([self.truth_db(genotype) for genotype in self.entries])
        error = float(np.sqrt(np.mean((told - truths) ** 2)))
        return ModelQuality(tau=kendall(told, truths), error_db=error, spread_db=float(truths.std()))

    @functools.lru_cache(maxsize=100_000)  # noqa: B019  (a surface lives as long as its process)
    def _counted(self, genotype: Genotype) -> Cost:
        return cost_of(genotype, int(self.table.card["scale"]))

    @functools.lru_cache(maxsize=100_000)  # noqa: B019
    def _predicted(self, genotype: Genotype) -> list[float]:
        return self._model.predict(genotype)


class _Model:
    """A Gaussian process for each of ``rungs``, of the means over seeds of ``entries``."""

    def __init__(self, surface: TabularObjective, entries: Sequence[Genotype], rungs: Sequence[int]) -> None:
        space = surface.space
        setting = Setting(seed=0, space=space, price=surface.price, inside=surface.inside)
        self._candidates = setting.candidates()
        listed = Listed(space.genotype, space.only, surface.entries, version=space.version)
        self._answers = listed.answers
        rows = [self._candidate(genotype) for genotype in entries]
        self._encoding = Encoding(self._candidates.distributions)
        logs = np.log([one.costs[0] for one in rows])
        self._low, self._range = float(logs.min()), float(np.ptp(logs)) or 1.0
        x, basis = self._at(rows)
        groups = np.append(self._encoding.groups, self._encoding.groups.max(initial=-1) + 1)
        self._rungs: list[Prediction] = []
        for rung in rungs:
            y = np.array([np.mean([psnr for _, psnr, _ in surface._rows[one.id][rung]]) for one in entries])
            process = Process(groups)
            process.fit(x, basis, y)
            self._rungs.append(process.condition(x, basis, y))

    def predict(self, genotype: Genotype) -> list[float]:
        """The mean at each rung, in dB."""
        x, basis = self._at([self._candidate(genotype)])
        return [float(prediction.mean(x, basis)[0]) for prediction in self._rungs]

    def _candidate(self, genotype: Genotype) -> PricedCandidate:
        found = self._candidates.recall(self._answers(genotype))
        if found is None:
            raise TableError(f"genotype {genotype.id} is none of the table's space")
        return found

    def _at(self, rows: list[PricedCandidate]) -> tuple[Array, Array]:
        # Beyond the table's costs a parabola would lead anywhere: there the ends' answers hold.
        logs = (np.log([one.costs for one in rows])[:, :1] - self._low) / self._range
        logs = logs.clip(0, 1)
        x = np.hstack((self._encoding.rows(rows), logs))
        return x, np.hstack((np.ones_like(logs), logs, logs**2))
