from __future__ import annotations

import statistics
from collections.abc import Callable
from typing import Any

import numpy as np
import optuna
import pytest
from optuna.trial import Trial, TrialState, create_trial

from leaderboard.fronts.pareto import hypervolume, pareto_mask
from nas.samplers.candidates import Candidates
from nas.samplers.encoding import Encoding
from nas.samplers.evolution import EvolutionSampler
from nas.samplers.process import JITTER, Process, ProcessError
from nas.samplers.proposing_sampler import DIVERGED, RUNGS
from nas.samplers.surrogate import SurrogateSampler, _most_telling

KINDS = ("plain", "wide", "deep", "gated", "dense")


def suggest(trial: Any) -> dict[str, Any]:
    """A space as anybody writes one for Optuna: counts, a logarithmic real and an axis with a condition."""
    chosen = {
        "width": trial.suggest_int("width", 8, 64, step=4),
        "kind": trial.suggest_categorical("kind", KINDS),
        "rate": trial.suggest_float("rate", 1e-4, 1e-1, log=True),
        "links": trial.suggest_categorical("links", ("a", "b", "c", "d")),
    }
    if chosen["kind"] in ("deep", "dense"):
        chosen["depth"] = trial.suggest_int("depth", 1, 6)
    return chosen


def cost(net: dict[str, Any]) -> float:
    return float(net["width"] ** 2 * net.get("depth", 2))


def feasible(net: dict[str, Any]) -> bool:
    return cost(net) <= 6000


def quality(net: dict[str, Any]) -> float:
    rate = -0.3 * (np.log10(net["rate"]) + 2) ** 2
    links = {"a": 0.0, "b": 0.4, "c": -0.3, "d": 0.1}[net["links"]]
    return float(np.log10(cost(net)) + 0.3 * KINDS.index(net["kind"]) + rate + links)


def optimise(sampler: optuna.samplers.BaseSampler, trials: int) -> list[dict[str, Any]]:
    """What was measured; over the budget counts as nothing, and is drawn again."""
    study = optuna.create_study(directions=["maximize", "minimize"], sampler=sampler)
    nets: list[dict[str, Any]] = []
    while len(nets) < trials:
        trial = study.ask()
        net = suggest(trial)
        if feasible(net):
            nets.append(net)
            study.tell(trial, [quality(net), cost(net)])
        else:
            study.tell(trial, state=TrialState.PRUNED)
    return nets


def reached(nets: list[dict[str, Any]]) -> float:
    costs, qualities = [cost(net) for net in nets], [quality(net) for net in nets]
    return hypervolume(costs, qualities, cost_limit=6000, quality_floor=1.0)


def surrogate(seed: int = 0, **changes: Any) -> SurrogateSampler:
    return SurrogateSampler(suggest, cost, feasible, **{"seed": seed, "starts": 6, "floor": 1.0, **changes})


@pytest.fixture(autouse=True)
def _quiet() -> None:
    optuna.logging.set_verbosity(optuna.logging.WARNING)


def test_a_plain_study_runs_inside_the_budget_without_repeats() -> None:
    def objective(trial: Trial) -> tuple[float, float]:
        net = suggest(trial)
        assert feasible(net)
        return quality(net), cost(net)

    study = optuna.create_study(directions=["maximize", "minimize"], sampler=surrogate())
    study.optimize(objective, n_trials=25)
    assert len({tuple(trial.params.items()) for trial in study.trials}) == 25
    kinds = {trial.params["kind"]: "depth" in trial.params for trial in study.trials}
    assert {True, False} <= set(kinds.values())
    assert all(has == (kind in ("deep", "dense")) for kind, has in kinds.items())


@pytest.mark.parametrize(
    ("make", "trials"),
    [
        pytest.param(surrogate, 30, marks=pytest.mark.thorough),
        (lambda seed: EvolutionSampler(Candidates(suggest, cost, feasible, seed), starts=6), 80),
    ],
)
def test_it_beats_chance_by_more_than_chance_varies(
    make: Callable[[int], optuna.samplers.BaseSampler], trials: int
) -> None:
    """Means of eight seeds each, more than four standard errors of their difference apart."""
    seeds = range(8)
    chance = [reached(optimise(optuna.samplers.RandomSampler(seed=seed), trials)) for seed in seeds]
    learned = [reached(optimise(make(seed), trials)) for seed in seeds]
    error = ((statistics.variance(chance) + statistics.variance(learned)) / len(seeds)) ** 0.5
    assert statistics.mean(learned) - statistics.mean(chance) > 4 * error


def test_the_same_seed_gives_the_same_search_and_another_one_another() -> None:
    first = optimise(surrogate(3), 14)
    assert first == optimise(surrogate(3), 14)
    assert first != optimise(surrogate(4), 14)


def test_a_quality_to_be_minimised_is_minimised() -> None:
    up = optuna.create_study(directions=["maximize", "minimize"], sampler=surrogate(floor=None))
    down = optuna.create_study(directions=["minimize", "minimize"], sampler=surrogate(floor=None))
    for _ in range(12):
        trials = up.ask(), down.ask()
        nets = [suggest(trial) for trial in trials]
        assert nets[0] == nets[1]
        up.tell(trials[0], [quality(nets[0]), cost(nets[0])])
        down.tell(trials[1], [-quality(nets[1]), cost(nets[1])])


@pytest.mark.thorough
def test_as_long_as_everything_is_below_the_floor_better_is_still_better() -> None:
    found = [reached(optimise(surrogate(seed, floor=1e6), 30)) for seed in range(3)]
    assert found == [reached(optimise(surrogate(seed, floor=None), 30)) for seed in range(3)]


def test_two_costs_are_traded_at_once() -> None:
    def costs(net: dict[str, Any]) -> tuple[float, float]:
        return cost(net), 1 + net["width"] / (1 + KINDS.index(net["kind"]))

    sampler = SurrogateSampler(suggest, costs, feasible, seed=0, starts=6)
    study = optuna.create_study(directions=["maximize", "minimize", "minimize"], sampler=sampler)
    for _ in range(12):
        trial = study.ask()
        net = suggest(trial)
        assert feasible(net)
        study.tell(trial, [quality(net), *costs(net)])
    assert len({str(trial.params) for trial in study.trials}) == 12


def test_candidates_in_flight_push_the_next_one_elsewhere() -> None:
    """The same knowledge, with and without a trial that runs, leads to different proposals."""
    study = optuna.create_study(directions=["maximize", "minimize"], sampler=surrogate(starts=12))
    for _ in range(12):
        trial = study.ask()
        net = suggest(trial)
        study.tell(trial, [quality(net), cost(net)])
    flying = [suggest(study.ask()) for _ in range(6)]
    assert len({str(net) for net in flying}) == 6

    history = study.sampler.history(study)  # type: ignore[attr-defined]
    assert len(history.pending) == 6
    history.pending.clear()
    sampler = study.sampler
    assert isinstance(sampler, SurrogateSampler)
    alone = sampler.propose(history)
    history = sampler.history(study)
    assert alone is not None
    history.pending.append(alone)
    history.known.add(alone.key)
    after = sampler.propose(history)
    assert after is not None
    assert after.params != alone.params


def test_what_is_in_flight_counts_as_reaching_what_is_predicted_of_it() -> None:
    """A believer leaves the predicted means where they were and takes the uncertainty away."""
    random = np.random.default_rng(0)
    x, basis = random.uniform(size=(20, 3)), np.ones((20, 1))
    y = x[:, 0] + 0.01 * random.normal(size=20)
    process = Process(np.arange(3))
    process.fit(x, basis, y)
    before = process.condition(x, basis, y)
    at = np.array([[0.9, 0.9, 0.9]])
    mean, std = before.mean_and_std(at, np.ones((1, 1)))
    after = process.condition(np.vstack((x, at)), np.ones((21, 1)), np.append(y, mean))
    mean_after, std_after = after.mean_and_std(at, np.ones((1, 1)))
    assert mean_after == pytest.approx(mean, abs=0.02)
    assert std_after < 0.9 * std


@pytest.mark.parametrize("state", [TrialState.FAIL, TrialState.PRUNED])
def test_a_candidate_that_failed_or_diverged_keeps_the_next_ones_away(state: TrialState) -> None:
    """Half of the space fails, always; a search that did not learn from it would go on asking for it."""

    def fails(net: dict[str, Any]) -> bool:
        return net["links"] in ("b", "d")

    study = optuna.create_study(directions=["maximize", "minimize"], sampler=surrogate(starts=8))
    failed = []
    for _ in range(40):
        trial = study.ask()
        net = suggest(trial)
        failed.append(fails(net))
        if fails(net):
            trial.set_user_attr(DIVERGED, state == TrialState.PRUNED)
            study.tell(trial, state=state)
        else:
            study.tell(trial, [quality(net), cost(net)])
    assert sum(failed[-20:]) < 6


def test_lower_rungs_inform_it() -> None:
    """Only rungs tell the kinds apart: every full result is of one kind."""
    study = optuna.create_study(directions=["maximize", "minimize"], sampler=surrogate(starts=0))
    made = Candidates(suggest, cost, feasible, 5)
    for one in made.gather(200):
        net = dict(one.params)
        full = net["kind"] == "plain"
        study.add_trial(
            create_trial(
                state=TrialState.COMPLETE if full else TrialState.PRUNED,
                values=[quality(net), cost(net)] if full else None,
                params=one.params,
                distributions=one.distributions,
                user_attrs={RUNGS: [[0.1, quality(net) - 0.5]]},
            )
        )
    proposed = []
    for _ in range(10):
        trial = study.ask()
        net = suggest(trial)
        proposed.append(net["kind"])
        study.tell(trial, [quality(net), cost(net)])
    best = KINDS[-2:]
    assert sum(kind in best for kind in proposed) >= 7


@pytest.mark.parametrize("value", [lambda net: 1.0, lambda net: float(net["width"] > 30)])
def test_equal_results_end_nothing(value: Callable[[dict[str, Any]], float]) -> None:
    study = optuna.create_study(directions=["maximize", "minimize"], sampler=surrogate(floor=None))
    for _ in range(15):
        trial = study.ask()
        net = suggest(trial)
        assert feasible(net)
        study.tell(trial, [value(net), cost(net)])


def test_repeated_and_contradictory_rows_factorise() -> None:
    x = np.repeat(np.random.default_rng(0).uniform(size=(3, 4)), 40, axis=0)
    y = np.tile([0.0, 1e6], 60)
    process = Process(np.arange(4))
    process.fit(x, np.ones((120, 1)), y)
    mean, std = process.condition(x, np.ones((120, 1)), y).mean_and_std(x, np.ones((120, 1)))
    assert np.isfinite(mean).all()
    assert (std > 0).all()


def test_arithmetic_that_fails_ends_no_search(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows that are no numbers cannot be factorised with any jitter: the proposal is then a random one."""
    rows, one, y = np.full((4, 2), np.nan), np.ones((4, 1)), np.arange(4.0)
    process = Process(np.arange(2))
    process.fit(rows, one, y)
    with pytest.raises(ProcessError, match="4 results"):
        process.condition(rows, one, y)

    monkeypatch.setattr(Encoding, "rows", lambda self, ones: np.full((len(ones), len(self.groups)), np.nan))
    nets = optimise(surrogate(), 12)
    assert all(feasible(net) for net in nets)
    assert len({str(net) for net in nets}) == 12
    assert len(JITTER) > 3


def test_a_result_that_is_no_number_is_a_failure() -> None:
    study = optuna.create_study(directions=["maximize", "minimize"], sampler=surrogate())
    for number in range(12):
        trial = study.ask()
        net = suggest(trial)
        study.tell(trial, [float("-inf") if number % 3 == 0 else quality(net), cost(net)])
    assert len(study.sampler.history(study).failed) == 4  # type: ignore[attr-defined]


def test_a_space_that_is_used_up_is_asked_for_again_without_an_error() -> None:
    def tiny(trial: Any) -> int:
        return int(trial.suggest_int("width", 1, 5))

    sampler = SurrogateSampler(tiny, lambda width: float(width), seed=0, starts=2)
    study = optuna.create_study(directions=["maximize", "minimize"], sampler=sampler)
    study.optimize(lambda trial: (float(tiny(trial) % 3), float(trial.params["width"])), n_trials=9)
    assert [trial.params["width"] for trial in study.trials[:5]] != [1, 1, 1, 1, 1]
    assert {trial.params["width"] for trial in study.trials[:5]} == {1, 2, 3, 4, 5}


def test_trials_of_another_space_and_enqueued_ones_are_lived_with() -> None:
    study = optuna.create_study(directions=["maximize", "minimize"], sampler=surrogate())
    kind = optuna.distributions.CategoricalDistribution(("a", "z"))
    study.add_trial(create_trial(values=[9.0, 1.0], params={"links": "z"}, distributions={"links": kind}))
    wanted = {"width": 8, "kind": "plain", "rate": 0.01, "links": "a"}
    study.enqueue_trial(wanted)
    assert suggest(study.ask()) == wanted
    assert feasible(suggest(study.ask()))


def test_a_number_of_an_objective_that_does_not_exist_is_named() -> None:
    study = optuna.create_study(directions=["maximize", "minimize"], sampler=surrogate(quality=2))
    with pytest.raises(ValueError, match="quality = 2: the study has objectives 0 to 1"):
        study.ask()


def test_a_cost_that_has_no_logarithm_is_named() -> None:
    sampler = SurrogateSampler(suggest, lambda net: 0.0, seed=0)
    study = optuna.create_study(directions=["maximize", "minimize"], sampler=sampler)
    with pytest.raises(ValueError, match=r"a cost of .*'width'.* is 0\.0: positive numbers are needed"):
        study.ask()


def test_a_rung_beyond_the_full_training_is_named() -> None:
    study = optuna.create_study(directions=["maximize", "minimize"], sampler=surrogate())
    trial = study.ask()
    suggest(trial)
    trial.set_user_attr(RUNGS, [[500, 29.0]])
    with pytest.raises(ValueError, match=r"trial 0: rungs has the share 500, not within \(0, 1\]"):
        study.ask()


def test_a_sampler_can_serve_one_study_after_another() -> None:
    sampler = surrogate()
    for _ in range(2):
        study = optuna.create_study(directions=["maximize", "minimize"], sampler=sampler)
        for _ in range(9):
            trial = study.ask()
            net = suggest(trial)
            study.tell(trial, [quality(net), cost(net)])
        assert len(sampler.history(study).results) == 9


def test_of_very_many_results_the_fronts_and_the_latest_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nas.samplers.surrogate.MOST_RESULTS", 30)
    made = Candidates(suggest, cost, feasible, 0)
    results = [(one, quality(one.params)) for one in made.gather(100)]
    kept = _most_telling(results)
    assert len(kept) == 30
    costs, qualities = [cost(one.params) for one, _ in results], [value for _, value in results]
    front = [results[index] for index in np.flatnonzero(pareto_mask(costs, qualities))]
    assert all(any(one is member for one, _ in kept) for member, _ in front)
    assert kept[-1] is results[-1]


def test_an_option_that_does_not_apply_is_no_option_to_the_process() -> None:
    made = Candidates(suggest, cost, feasible, 0)
    ones = made.gather(50)
    encoding = Encoding(made.distributions)
    rows = encoding.rows(ones)
    assert encoding.groups.tolist() == [0, *[1] * len(KINDS), 2, *[3] * 4, 4]
    assert rows.min() == 0 and rows.max() == 1
    for one, row in zip(ones, rows, strict=True):
        assert row[1 : 1 + len(KINDS)].sum() == row[-5:-1].sum() == 1
        depth = one.params.get("depth")
        assert row[-1] == (0.5 if depth is None else (depth - 1) / 5)


def test_a_mutant_differs_on_as_many_axes_as_asked_and_a_crossover_on_none_from_both() -> None:
    made = Candidates(suggest, cost, feasible, 0)
    for _ in range(100):
        parent, other = made.draw(), made.draw()
        child = made.mutant(parent, 1)
        both = set(parent.params) & set(child.params)
        assert sum(parent.params[name] != child.params[name] for name in both) == 1
        mixed = made.crossover(parent, other).params
        allowed = ({**parent.params}, {**other.params})
        assert all(value in (one.get(name) for one in allowed) for name, value in mixed.items())


def test_answers_tell_candidates_apart_where_what_is_returned_cannot() -> None:
    class Net:
        def __init__(self, width: int) -> None:
            self.width = width

    def build(trial: Any) -> Net:
        return Net(trial.suggest_int("width", 1, 4))

    made = Candidates(build, lambda net: net.width, lambda net: True, 0)
    assert len(made.gather(20)) == 4


def test_a_mistake_in_a_space_is_not_taken_for_another_space() -> None:
    made = Candidates(lambda trial: {}["width"], lambda net: 1.0, lambda net: True, 0)
    with pytest.raises(KeyError, match="width"):
        made.recall({})


def test_an_answer_that_is_not_allowed_is_not_recalled() -> None:
    made = Candidates(suggest, cost, feasible, 0)
    answers = {"width": 8, "kind": "deep", "rate": 0.01, "links": "a", "depth": 3}
    recalled = made.recall(answers)
    assert recalled is not None
    assert recalled.params == answers
    assert made.recall({**answers, "width": 9}) is None
    assert made.recall({**answers, "kind": "flat"}) is None
    assert made.recall({name: answers[name] for name in ("width", "kind", "rate", "links")}) is None
