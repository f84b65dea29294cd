"""The surrogate sampler: a Gaussian process for quality, and costs used for what they are, exact and free."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from leaderboard.fronts.pareto import pareto_mask
from nas.samplers.candidates import Candidates, PricedCandidate
from nas.samplers.encoding import Encoding
from nas.samplers.improvement import expected_hypervolume_improvement
from nas.samplers.process import Prediction, Process, ProcessError
from nas.samplers.proposing_sampler import History, ProposingSampler
from nas.samplers.starts import STARTS

Array = NDArray[np.float64]

FRESH = 64
"""Candidates made and priced for one proposal, besides those kept from earlier ones.

Not thousands, since the cost of a network of parts that are new takes tens of milliseconds. The best that
were kept make up for it: ``docs/samplers.md`` has both measured.
"""

KEPT = 2000
"""The most promising candidates that are kept for the next proposal."""

MOST_RESULTS = 1500
"""Results that predictions are made from, since their time grows with the cube: the fronts and the latest."""

MOST_RUNGS, MOST_FAILED = 1000, 300
"""Results of lower rungs, and failed candidates, that are taken into account: the latest."""


class SurrogateSampler(ProposingSampler):
    """Proposes what is expected to add the most hypervolume, for any Optuna study whose costs are known.

    ``suggest(trial)`` asks a trial as an objective does and returns what it chose; it may have axes that
    apply only sometimes. ``cost`` takes what it returned and gives the costs to keep low (one positive
    number, or several); ``feasible`` says whether it may be proposed at all, and then nothing else ever is.
    Nothing is proposed twice while there is something new. ``quality`` is the number of the study's objective
    that is learned; its direction is the study's. ``published`` are answers worth a look, such as networks
    that are known to be good.

        def suggest(trial):
            return {"width": trial.suggest_int("width", 8, 64), "depth": trial.suggest_int("depth", 1, 9)}

        sampler = SurrogateSampler(suggest, cost=lambda net: net["width"] ** 2 * net["depth"], seed=0)
        study = optuna.create_study(directions=["maximize", "minimize"], sampler=sampler)

    After ``starts`` results at points spread over the costs, a Gaussian process (Matern-5/2, one length scale
    an axis, mean quadratic in log cost, noise learned) predicts the quality of a pool of candidates: random
    ones, mutants and crossovers of the two best fronts, and the best of the pools before. What earlier rungs
    of a trial reached (its user attribute ``rungs``) informs it, too. Trials that run count as reaching what
    is predicted of them, failed ones as reaching the worst that was seen. Should the arithmetic ever fail,
    the proposal is a random candidate.

    ``floor`` is the quality from which hypervolume counts; None, like a floor that nothing is above, takes
    what is a little worse than the worst result. ``fresh`` bounds how many candidates are priced for a
    proposal. ``answers`` is needed where ``suggest`` may return something else than was answered: see
    :class:`nas.samplers.candidates.Candidates`.
    """

    def __init__(
        self,
        suggest: Callable[[Any], Any],
        cost: Callable[[Any], float | Sequence[float]],
        feasible: Callable[[Any], bool] = lambda _: True,
        *,
        seed: int | None = None,
        quality: int = 0,
        floor: float | None = None,
        starts: int = STARTS,
        published: Sequence[dict[str, Any]] = (),
        fresh: int = FRESH,
        answers: Callable[[Any], Mapping[str, Any]] | None = None,
    ) -> None:
        candidates = Candidates(suggest, cost, feasible, seed, answers)
        super().__init__(candidates, quality=quality, starts=starts, published=published)
        self._floor, self._fresh = floor, fresh
        self._kept: dict[Hashable, PricedCandidate] = {one.key: one for one in self._published}
        self._encoding: Encoding | None = None
        self._process: Process | None = None
        self._fitted_at = 0

    def propose(self, history: History) -> PricedCandidate | None:
        """The candidate of the pool with the greatest expected hypervolume improvement."""
        if len(history.results) + len(history.rungs) < 2:
            return None
        try:
            return self._best(history)
        except ProcessError:
            self._process = None  # with scales that do not work, the next one begins afresh
            return None

    def _best(self, history: History) -> PricedCandidate | None:
        for one in self._starts or ():
            self._kept.setdefault(one.key, one)
        rows = _Rows(history, self._encoded())
        predicted = self._learned(rows, len(history.results) + len(history.rungs))
        means = predicted.mean(*rows.at(rows.measured))
        pool = self._pool(history, rows.measured, means)
        if not pool:
            return None
        members = [*rows.measured, *history.pending]
        if history.pending:
            believed = predicted.mean(*rows.at(history.pending))
            means = np.concatenate((means, believed))
            predicted = self._require_process().condition(*rows.all_with(history.pending, believed))
        mean, std = predicted.mean_and_std(*rows.at(pool))
        costs, known_costs = _costs(pool), _costs(members)
        worth = expected_hypervolume_improvement(
            mean,
            std,
            costs,
            known=means,
            known_costs=known_costs,
            floor=self._level(history, means),
            limits=np.maximum(costs.max(axis=0), known_costs.max(axis=0)) * (1 + 1e-9),
        )
        order = np.argsort(-worth, kind="stable")
        self._kept = {pool[index].key: pool[index] for index in order[1 : KEPT + 1]}
        self._encoded().keep([*members, *self._kept.values()])
        return pool[order[0]]

    def _encoded(self) -> Encoding:
        """The encoding of all axes that have been met; a new axis begins a new one."""
        axes = self._candidates.distributions
        met = tuple(name for name, kind in axes.items() if not kind.single())
        if self._encoding is None or self._encoding.names != met:
            self._encoding, self._process = Encoding(axes), None
        return self._encoding

    def _learned(self, rows: _Rows, results: int) -> Prediction:
        """Predictions from all rows; scales and noise are learned anew only now and then."""
        every = 5 if results < 100 else 10 if results < 200 else 20
        if self._process is None or results >= self._fitted_at + every or results < self._fitted_at:
            if self._process is None:
                self._process = Process(rows.groups)
            self._process.fit(*rows.all())
            self._fitted_at = results
        return self._process.condition(*rows.all())

    def _level(self, history: History, means: Array) -> float:
        """The quality from which hypervolume counts, turned as the history's.

        Nothing could be preferred as long as everything is below ``floor``: then it does not count yet.
        """
        if self._floor is not None and history.sign * self._floor < means.max():
            return history.sign * self._floor
        return float(means.min() - 0.1 * np.ptp(means))

    def _require_process(self) -> Process:
        assert self._process is not None
        return self._process

    def _pool(self, history: History, measured: list[PricedCandidate], means: Array) -> list[PricedCandidate]:
        """New candidates inside: what was kept, and mutants, crossovers and random ones."""
        candidates, draw = self._candidates, self._candidates.random
        parents = _two_fronts(measured, means)
        pool = dict(self._kept)
        for number in range(self._fresh):
            if number % 4 < 2:
                child = candidates.mutant(draw.choice(parents), draw.randint(1, 3))
            elif number % 4 == 2:
                child = candidates.crossover(draw.choice(parents), draw.choice(parents))
            else:
                child = candidates.draw()
            if child.inside:
                pool.setdefault(child.key, child)
        return [one for key, one in pool.items() if key not in history.known]


class _Rows:
    """A history as rows for :class:`Process`.

    Behind the encoded answers ``x`` has the logarithms of the costs and, where there are lower rungs, how far
    below full length a result was. The basis is 1, log costs and their squares, and the same for the rungs.
    """

    def __init__(self, history: History, encoding: Encoding) -> None:
        results, rungs = _most_telling(history.results), history.rungs[-MOST_RUNGS:]
        worst = min([quality for _, quality in results] or [quality for _, _, quality in rungs])
        # Who was trained for a short while counts as well, with what is predicted of a full training.
        seen = [*(one for one, _ in results), *(one for one, _, _ in rungs)]
        self.measured = list({one.key: one for one in seen}.values())
        observed = [(one, 1.0, quality) for one, quality in results]
        observed += [(one, 1.0, worst) for one in history.failed[-MOST_FAILED:]]
        observed += rungs
        self._observed = observed
        self._encoding = encoding
        logs = np.log(_costs([one for one, _, _ in observed]))
        self._low, self._range = logs.min(axis=0), np.ptp(logs, axis=0)
        self._range[self._range == 0] = 1.0
        self._depth = max((-np.log(share) for _, share, _ in observed), default=0.0)
        behind = logs.shape[1] + (self._depth > 0)
        after = encoding.groups.max(initial=-1) + 1
        self.groups = np.concatenate((encoding.groups, after + np.arange(behind)))

    def at(self, candidates: Sequence[PricedCandidate]) -> tuple[Array, Array]:
        """(x, basis) of candidates at full length."""
        return self._at(candidates, np.ones(len(candidates)))

    def all(self) -> tuple[Array, Array, Array]:
        """(x, basis, y) of everything that was measured."""
        shares = np.array([share for _, share, _ in self._observed])
        x, basis = self._at([one for one, _, _ in self._observed], shares)
        return x, basis, np.array([quality for _, _, quality in self._observed])

    def all_with(self, others: Sequence[PricedCandidate], qualities: Array) -> tuple[Array, Array, Array]:
        """The same and ``others`` as if they had been measured, at full length."""
        x, basis, y = self.all()
        more_x, more_basis = self.at(others)
        return np.vstack((x, more_x)), np.vstack((basis, more_basis)), np.concatenate((y, qualities))

    def _at(self, candidates: Sequence[PricedCandidate], shares: Array) -> tuple[Array, Array]:
        logs = (np.log(_costs(candidates)) - self._low) / self._range
        columns, basis = [self._encoding.rows(candidates), logs], [np.ones((len(logs), 1)), logs, logs**2]
        if self._depth > 0:
            below = -np.log(shares)[:, None] / self._depth
            columns.append(below)
            basis += [below, below**2, below * logs]
        return np.hstack(columns), np.hstack(basis)


def _most_telling(results: list[tuple[PricedCandidate, float]]) -> list[tuple[PricedCandidate, float]]:
    """All, or the two fronts and the latest others where there are too many."""
    if len(results) <= MOST_RESULTS:
        return results
    fronts = _in_two_fronts(_costs([one for one, _ in results]), np.array([q for _, q in results]))
    others = np.flatnonzero(~fronts)[-max(1, MOST_RESULTS - int(fronts.sum())) :]
    return [results[index] for index in sorted([*np.flatnonzero(fronts), *others])]


def _costs(candidates: Sequence[PricedCandidate]) -> Array:
    return np.array([one.costs for one in candidates])


def _two_fronts(candidates: list[PricedCandidate], qualities: Array) -> list[PricedCandidate]:
    """The members of the front, and of the front without them."""
    return [candidates[index] for index in np.flatnonzero(_in_two_fronts(_costs(candidates), qualities))]


def _in_two_fronts(costs: Array, qualities: Array) -> NDArray[np.bool_]:
    first = pareto_mask(costs, qualities)
    return first | pareto_mask(costs, np.where(first, np.nan, qualities))
