"""What can be proposed, and what it costs: random draws, mutants and crossovers of any define-by-run space.

A space is a function that asks a chooser (an Optuna trial has the same methods) and returns what was chosen.
It is run again for every candidate, which is why axes that apply only sometimes need no description here.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Container, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

Params = Mapping[str, Any]

MOST_PRICED = 50_000
"""Prices that are remembered; the oldest are forgotten first."""


class RandomChooser:
    """Chooses every option with equal probability; for candidates that no sampler proposes."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)  # noqa: S311  (not for secrets)

    def suggest_categorical(self, name: str, choices: Sequence[Any], /) -> Any:
        """One of ``choices``."""
        return self._random.choice(choices)

    def suggest_int(self, name: str, low: int, high: int, /, *, step: int = 1) -> int:
        """One of low, low + step, ..., high."""
        return self._random.randrange(low, high + 1, step)


@dataclass(frozen=True, kw_only=True, eq=False)
class PricedCandidate:
    """One point of a space: ``params`` are the answers that were asked for, ``key`` tells it from others."""

    params: dict[str, Any]
    distributions: dict[str, BaseDistribution]
    key: Hashable
    costs: NDArray[np.float64]
    inside: bool


class Candidates:
    """Makes candidates and remembers their prices.

    ``suggest(chooser)`` asks the chooser's ``suggest_categorical``, ``suggest_int`` and ``suggest_float`` and
    returns what was chosen; ``cost`` and ``inside`` take what it returned: the costs to keep low (one number
    or several, positive) and whether it may be proposed. What ``suggest`` returns tells candidates apart
    where it can be hashed and compared, otherwise the answers do. Everything depends on ``seed`` and the
    order of calls alone.

    ``answers`` is for a ``suggest`` that may return something else than was answered (the nearest of a list):
    it gives what has to be answered for what was returned, and candidates then have these answers.
    """

    def __init__(
        self,
        suggest: Callable[[Any], Any],
        cost: Callable[[Any], float | Sequence[float]],
        inside: Callable[[Any], bool],
        seed: int | None,
        answers: Callable[[Any], Params] | None = None,
    ) -> None:
        self._suggest, self._cost, self._inside, self._answers = suggest, cost, inside, answers
        self.random = random.Random(seed)  # noqa: S311  (not for secrets)
        self.distributions: dict[str, BaseDistribution] = {}
        self._priced: dict[Hashable, tuple[NDArray[np.float64], bool]] = {}

    def draw(self) -> PricedCandidate:
        """A random one, inside or not."""
        return self._answer({})

    def mutant(self, parent: PricedCandidate, changes: int) -> PricedCandidate:
        """``parent`` with the answers of ``changes`` axes drawn anew; axes that then start to apply, too.

        At least one of them differs wherever there is another answer.
        """
        free = [name for name, kind in parent.distributions.items() if not kind.single()]
        given = dict(parent.params)
        for name in self.random.sample(free, min(changes, len(free))):
            kind = parent.distributions[name]
            given[name] = _draw_other(kind, parent.params[name], self.random)
        return self._answer(given)

    def crossover(self, one: PricedCandidate, other: PricedCandidate) -> PricedCandidate:
        """Every answer from one of two parents."""
        given = {**one.params, **other.params}
        mine = [name for name in one.params if name not in other.params or self.random.random() < 0.5]
        given.update((name, one.params[name]) for name in mine)
        return self._answer(given)

    def recall(self, params: Params) -> PricedCandidate | None:
        """The candidate with exactly these answers; None where the space does not ask for them."""
        recorder = _Recorder(params, None, self.distributions)
        try:
            return self._made(recorder, self._suggest(recorder))
        except _NoAnswerError:
            return None

    def completed(self, params: Params) -> PricedCandidate:
        """A candidate with these answers where they are asked for and allowed, and others drawn."""
        return self._answer(params)

    def gather(self, count: int, avoid: Container[Hashable] = ()) -> list[PricedCandidate]:
        """``count`` different candidates inside, none of ``avoid``; fewer where they are hard to find.

        First by drawing. Where few draws are inside, mutants of those that are; where none is, mutants of the
        cheapest, which walk down to where the budget is.
        """
        found: dict[Hashable, PricedCandidate] = {}
        cheapest: list[PricedCandidate] = []
        for attempt in range(20 * max(count, 20)):
            if len(found) == count:
                break
            parents = list(found.values()) or cheapest
            if attempt < 2 * count or not parents or self.random.random() < 0.1:
                candidate = self.draw()
            else:
                candidate = self.mutant(self.random.choice(parents), self.random.randint(1, 3))
            if candidate.inside:
                if candidate.key not in avoid:
                    found.setdefault(candidate.key, candidate)
            elif not found:
                cheapest = sorted([*cheapest, candidate], key=lambda c: float(np.prod(c.costs)))[:10]
        return list(found.values())

    def _answer(self, given: Params) -> PricedCandidate:
        recorder = _Recorder(given, self.random, self.distributions)
        return self._made(recorder, self._suggest(recorder))

    def _made(self, recorder: _Recorder, value: Any) -> PricedCandidate:
        if self._answers is not None:
            recorder = _Recorder(self._answers(value), self.random, self.distributions)
            value = self._suggest(recorder)
        key = value if _can_be_told_apart(value) else tuple(recorder.params.items())
        known = self._priced.get(key)
        if known is None:
            costs = np.atleast_1d(np.asarray(self._cost(value), dtype=np.float64))
            if not np.all(np.isfinite(costs) & (costs > 0)):
                raise ValueError(f"a cost of {value!r} is {self._cost(value)}: positive numbers are needed")
            if len(self._priced) >= MOST_PRICED:
                del self._priced[next(iter(self._priced))]
            known = self._priced[key] = (costs, bool(self._inside(value)))
        return PricedCandidate(
            params=recorder.params,
            distributions=recorder.distributions,
            key=key,
            costs=known[0],
            inside=known[1],
        )


class _NoAnswerError(Exception):
    """The space asked for what was not given, or not allowed."""


class _Recorder:
    """A chooser that gives the answers it was given and remembers all; others are drawn, or refused."""

    def __init__(
        self, given: Params, random: random.Random | None, known: dict[str, BaseDistribution]
    ) -> None:
        self._given, self._random, self._known = given, random, known
        self.params: dict[str, Any] = {}
        self.distributions: dict[str, BaseDistribution] = {}

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        known = self._known.get(name)
        if not isinstance(known, CategoricalDistribution) or known.choices != tuple(choices):
            known = CategoricalDistribution(choices)
        return self._take(name, known)

    def suggest_int(self, name: str, low: int, high: int, *, step: int = 1, log: bool = False) -> Any:
        known = self._known.get(name)
        if (
            not isinstance(known, IntDistribution)
            or (known.low, known.step, known.log) != (low, step, log)
            or known.high != high - (high - low) % step
        ):
            known = IntDistribution(low, high, log=log, step=step)
        return self._take(name, known)

    def suggest_float(
        self, name: str, low: float, high: float, *, step: float | None = None, log: bool = False
    ) -> Any:
        return self._take(name, FloatDistribution(low, high, log=log, step=step))

    def _take(self, name: str, kind: BaseDistribution) -> Any:
        self._known[name] = self.distributions[name] = kind
        answer = self._given.get(name, _NOTHING)
        if answer is _NOTHING or not _allowed(kind, answer):
            if self._random is None:
                raise _NoAnswerError(name)
            answer = _draw(kind, self._random)
        self.params[name] = answer
        return answer


_NOTHING = object()


def _can_be_told_apart(value: Any) -> bool:
    try:
        hash(value)
    except TypeError:
        return False
    return type(value).__eq__ is not object.__eq__


def _allowed(kind: BaseDistribution, answer: Any) -> bool:
    if isinstance(kind, CategoricalDistribution):
        return any(answer == choice and type(answer) is type(choice) for choice in kind.choices)
    return isinstance(answer, int | float) and kind._contains(answer)


def _draw(kind: BaseDistribution, draw: random.Random) -> Any:
    if isinstance(kind, CategoricalDistribution):
        return draw.choice(kind.choices)
    assert isinstance(kind, IntDistribution | FloatDistribution)
    low, high, step = kind.low, kind.high, kind.step
    if kind.log:
        value = math.exp(draw.uniform(math.log(low), math.log(high)))
        return min(max(round(value), low), high) if isinstance(kind, IntDistribution) else value
    if step is None:
        return draw.uniform(low, high)
    return low + step * draw.randint(0, round((high - low) / step))


def _draw_other(kind: BaseDistribution, than: Any, draw: random.Random) -> Any:
    """Another answer than ``than``; half of the time a near one where answers are counts."""
    if isinstance(kind, CategoricalDistribution):
        return draw.choice([choice for choice in kind.choices if choice != than])
    assert isinstance(kind, IntDistribution | FloatDistribution)
    if isinstance(kind, IntDistribution) and not kind.log and draw.random() < 0.5:
        near = [than + way * far * kind.step for way in (-1, 1) for far in (1, 2)]
        return draw.choice([number for number in near if kind.low <= number <= kind.high])
    while True:
        value = _draw(kind, draw)
        if value != than:
            return value
