"""The scheduler of a tuning: settings proposed, trained on every network, and the best promoted.

Successive halving (arXiv 1502.07943, algorithm 1) with a setting as the unit: a rung ends when all its
settings are trained on all networks, and the best third is trained for longer. Waiting for a rung costs
little with a few dozen settings, and all gains that the sampler learns from come from one length of training.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from nas.search.promotion import KEEP
from nas.search.requests import Action, Changes, Key, Observation, Pause, Train, changes_key
from nas.tuning.networks import TunedNetwork
from nas.tuning.proposer import SettingProposer, Values

PATIENCE = 200
"""Proposals in a row that are known or impossible, after which no new setting is looked for."""

REPEATS_BEFORE_RANDOM = 20
"""Such proposals in a row after which settings are drawn at random."""

TrainingOfNetwork = tuple[str, int, int]
"""Genotype id, rung, seed."""


@dataclass(frozen=True, kw_only=True)
class TuningAims:
    """What a tuning trains.

    Attributes:
        networks: Every setting is trained on all of them.
        rungs: How many lengths of training there are.
        seeds: The seeds of the longest rung; shorter ones have the first of them.
        trials: How many settings are trained, those of ``queue`` included.
        queue: Settings that are trained before the sampler is asked; the first is the plan as it is.
        plan: Tuned field -> its value in the plan.
        bicubic_psnr_db: PSNR of bicubic interpolation, from which a gain counts.
        can_continue: Whether a longer training under these changes continues a shorter one.
        is_possible: Whether a plan can have these changes together.
        seconds: Seconds after which no new training starts; None for no limit.
    """

    networks: Sequence[TunedNetwork]
    rungs: int
    seeds: Sequence[int]
    trials: int
    queue: Sequence[Mapping[str, Any]]
    plan: Mapping[str, Any]
    bicubic_psnr_db: float
    can_continue: Callable[[Mapping[str, Any]], bool] = lambda changes: False
    is_possible: Callable[[Mapping[str, Any]], bool] = lambda changes: True
    seconds: float | None = None

    def request(self, changes: Mapping[str, Any], network: TunedNetwork, rung: int, seed: int) -> Train:
        """The training of a network with a setting."""
        first = seed == self.seeds[0]
        goes_on = first and self.can_continue(changes)
        return Train(
            genotype=network.genotype,
            cost=network.cost,
            seed=seed,
            rung=rung,
            stage="search" if first else "seeds",
            changes=changes,
            continues=rung - 1 if rung and goes_on else None,
            keep_state=goes_on and rung < self.rungs - 1,
            name=network.name if network.name != network.genotype.id else None,
        )

    def seeds_of(self, rung: int) -> Sequence[int]:
        """The seeds of a rung."""
        return self.seeds if rung == self.rungs - 1 else self.seeds[:1]

    def trainings(self, rung: int) -> list[tuple[TunedNetwork, int]]:
        """Network and seed of each training of a setting on a rung."""
        return [(network, seed) for seed in self.seeds_of(rung) for network in self.networks]


@dataclass
class _Setting:
    """A setting; ``gains`` holds None for a training that has no result, ``diverged`` those that diverged."""

    changes: dict[str, Any]
    rung: int = 0
    gains: dict[TrainingOfNetwork, float | None] = field(default_factory=dict)
    diverged: set[TrainingOfNetwork] = field(default_factory=set)
    token: Any = None
    is_told: bool = False

    @property
    def has_failed(self) -> bool:
        return any(gain is None and key not in self.diverged for key, gain in self.gains.items())


class TuningScheduler:
    """Requests every network with every setting, and the best settings on longer rungs; see ``Scheduler``.

    Args:
        aims: What is trained.
        make_proposer: Called once with the number of recorded trainings, so that a resumed sampler does not
            repeat its draws.
        has_diverged: Whether a failed request diverged.
        note: Receives a line for the person who watches.
    """

    def __init__(
        self,
        aims: TuningAims,
        make_proposer: Callable[[int], SettingProposer],
        *,
        has_diverged: Callable[[Observation], bool],
        note: Callable[[str], None] = lambda text: None,
    ) -> None:
        self.aims = aims
        self._make_proposer, self._has_diverged, self._note = make_proposer, has_diverged, note
        self._proposer: SettingProposer | None = None
        self._settings: dict[Changes, _Setting] = {}
        self._pending: dict[Key, Train] = {}
        self._queue: list[dict[str, Any]] = []
        self._wanted = aims.trials
        self._fruitless = 0

    # Results

    def restore(self, past: Sequence[Observation], pending: Sequence[Train]) -> None:
        """Rebuild settings and sampler from the recorded trials."""
        self._proposer = self._make_proposer(len(past) + len(pending))
        for request in (*(each.request for each in past), *pending):
            self._setting_of(request)
        for observation in past:
            self._count(observation)
        for request in pending:
            self._pending[request.key] = request
        for setting in self._settings.values():
            self._resume_trial(setting)
        self._queue = [
            dict(changes) for changes in self.aims.queue if changes_key(changes) not in self._settings
        ]

    def on_result(self, observation: Observation) -> None:
        """Count a result or a repeat, and tell the sampler once all networks are trained."""
        self._pending.pop(observation.request.key, None)
        setting = self._count(observation)
        if setting.token is not None and not setting.is_told and self._is_over(setting, 0):
            assert self._proposer is not None
            setting.is_told = True
            self._proposer.tell(setting.token, self.gain_db(setting, 0))

    def on_failure(self, observation: Observation) -> None:
        """Count a divergence as a result; a setting that failed otherwise is trained no further."""
        self.on_result(observation)

    def on_elsewhere(self, request: Train) -> None:
        """Another process trains it: its result is awaited."""

    def _count(self, observation: Observation) -> _Setting:
        request, evaluation = observation.request, observation.evaluation
        setting = self._setting_of(request)
        training = request.genotype.id, request.rung, request.seed
        setting.gains[training] = None
        if evaluation is not None:
            setting.gains[training] = evaluation.psnr_db - self.aims.bicubic_psnr_db
        elif observation.state == "failed" and self._has_diverged(observation):
            setting.diverged.add(training)
        return setting

    def _setting_of(self, request: Train) -> _Setting:
        """The setting of a request, on the highest rung that it was requested for."""
        key = changes_key(request.changes)
        setting = self._settings.setdefault(key, _Setting(dict(request.changes)))
        setting.rung = max(setting.rung, request.rung)
        return setting

    def _resume_trial(self, setting: _Setting) -> None:
        """Tell the sampler of a recorded setting: its gain, or that it is being trained."""
        assert self._proposer is not None
        values = self._values_of(setting.changes)
        if values is None:
            return
        if not self._is_over(setting, 0):
            setting.token = self._proposer.begin(values)
        elif (gain_db := self.gain_db(setting, 0)) is not None:
            self._proposer.add(values, gain_db)

    def _values_of(self, changes: Mapping[str, Any]) -> Values | None:
        """The tuned fields of a setting; None for one that the sampler could not have proposed."""
        assert self._proposer is not None
        values = {name: changes.get(name, value) for name, value in self.aims.plan.items()}
        foreign = changes.keys() - values.keys()
        return None if foreign or not self._proposer.contains(values) else values

    def gain_db(self, setting: _Setting, rung: int) -> float | None:
        """The mean gain over the networks on a rung; None while it is not known, and after a failure."""
        trainings = [(network.genotype.id, rung, seed) for network, seed in self.aims.trainings(rung)]
        gains = [
            self._gain_of_diverged(training) if training in setting.diverged else setting.gains.get(training)
            for training in trainings
        ]
        known = [gain for gain in gains if gain is not None]
        return statistics.fmean(known) if len(known) == len(gains) else None

    def _gain_of_diverged(self, training: TrainingOfNetwork) -> float:
        """No gain over bicubic; where the network has gained less with another setting, the least gain."""
        genotype_id, rung, _ = training
        gains = (
            gain
            for setting in self._settings.values()
            for key, gain in setting.gains.items()
            if gain is not None and key[:2] == (genotype_id, rung)
        )
        return min([0.0, *gains])

    def _is_over(self, setting: _Setting, rung: int) -> bool:
        """Whether nothing of the setting is left to train on a rung."""
        wanted = ((network.genotype.id, rung, seed) for network, seed in self.aims.trainings(rung))
        return setting.has_failed or all(training in setting.gains for training in wanted)

    # What is next

    def next(self, elapsed: float) -> Action:
        """The next training of a setting that is begun, else a new setting, else a promotion."""
        if self.aims.seconds is not None and elapsed > self.aims.seconds:
            return self._pause()
        request = self._missing(self._settings.values())
        if request is None and self._wants_more():
            return self._propose()
        if request is None and self._promote():
            request = self._missing(self._settings.values())
        return self._pause() if request is None else self._asked(request)

    def _pause(self) -> Pause:
        return Pause.WAIT if self._pending else Pause.OVER

    def _asked(self, request: Train) -> Train:
        self._pending[request.key] = request
        return request

    def _missing(self, settings: Iterable[_Setting]) -> Train | None:
        """A training of a begun setting that has no result and is not in training."""
        for setting in settings:
            if setting.has_failed:
                continue
            for network, seed in self.aims.trainings(setting.rung):
                request = self.aims.request(setting.changes, network, setting.rung, seed)
                training = network.genotype.id, setting.rung, seed
                if training not in setting.gains and request.key not in self._pending:
                    return request
        return None

    def _wants_more(self) -> bool:
        if self._queue:
            return True
        if len(self._settings) >= self._wanted:
            return False
        if not self.aims.plan:
            return False
        if self._fruitless >= PATIENCE:
            self._note(
                f"the last {self._fruitless} proposals were known or impossible: there is no new setting"
            )
            self._wanted = len(self._settings)
            return False
        return True

    def _propose(self) -> Action:
        """The first training of a new setting."""
        assert self._proposer is not None
        token = None
        if self._queue:
            changes = self._queue.pop(0)
        else:
            changes, token = self._proposal()
            known = self._settings.get(changes_key(changes))
            if known is not None or not self.aims.is_possible(changes):
                self._fruitless += 1
                if token is not None:
                    self._proposer.tell(token, None if known is None else self.gain_db(known, 0))
                return Pause.SKIPPED
        self._fruitless = 0
        values = self._values_of(changes)
        if token is None and values is not None:
            token = self._proposer.begin(values)
        setting = self._settings[changes_key(changes)] = _Setting(changes, token=token)
        request = self._missing([setting])
        assert request is not None
        return self._asked(request)

    def _proposal(self) -> tuple[dict[str, Any], Any]:
        """The changes that the sampler proposes, with its trial, or random ones after many repeats."""
        assert self._proposer is not None
        token = None
        if self._fruitless >= REPEATS_BEFORE_RANDOM:
            values = self._proposer.draw()
        else:
            values, token = self._proposer.ask()
        return {name: value for name, value in values.items() if value != self.aims.plan[name]}, token

    def _promote(self) -> bool:
        """Promote from the shortest rung that is over; whether a setting is to be trained for longer."""
        for rung in range(self.aims.rungs - 1):
            members = [setting for setting in self._settings.values() if setting.rung >= rung]
            if not all(self._is_over(setting, rung) for setting in members):
                return False
            promoted = [setting for setting in self._best(members, rung) if setting.rung == rung]
            for setting in promoted:
                setting.rung = rung + 1
            if promoted:
                return True
        return False

    def _best(self, members: Sequence[_Setting], rung: int) -> list[_Setting]:
        """The plan as it is, and the best third of the other settings, one at least."""
        gains = {id(setting): self.gain_db(setting, rung) for setting in members}
        trained = [
            setting
            for setting in members
            if gains[id(setting)] is not None and not self._all_diverged(setting, rung)
        ]
        others = [setting for setting in trained if setting.changes]
        others.sort(key=lambda setting: -(gains[id(setting)] or 0.0))
        return [setting for setting in trained if not setting.changes] + others[: max(1, len(others) // KEEP)]

    def _all_diverged(self, setting: _Setting, rung: int) -> bool:
        trainings = ((network.genotype.id, rung, seed) for network, seed in self.aims.trainings(rung))
        return all(training in setting.diverged for training in trainings)
