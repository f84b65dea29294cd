"""Samplers side by side: the statistics by hand and by other ways, many replays, the report."""

from __future__ import annotations

import itertools
import json
import math
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from nas.errors import RecipeError
from nas.simulation.comparison_report import lines_of, markdown_of, write_report
from nas.simulation.replays import AnswerSource, Curve, Spec, Task, parse_specs, run_tasks, source_of
from nas.simulation.sampler_comparison import gather, one_sampler
from nas.simulation.statistics import (
    compare,
    holm,
    marks_up_to,
    mean_interval,
    means_at,
    needs,
    rank_samplers,
)

SOURCE = AnswerSource(surface="bottleneck")


def curve(share: list[float], seed: int = 0, sampler: str = "random", pace: float = 1.0) -> Curve:
    """One that has trained a candidate in full with every step."""
    count = len(share)
    spec = Spec(sampler=sampler, trainings=count)
    return Curve(
        task=Task(source=SOURCE, spec=spec, workers=1, seed=seed),
        begun=list(range(1, count + 1)),
        full=list(range(1, count + 1)),
        seconds=[pace * n for n in range(1, count + 1)],
        spent=[pace * n for n in range(1, count + 1)],
        share=share,
        full_seconds=1.0,
    )


def test_a_mean_has_students_interval() -> None:
    point = mean_interval([0.4, 0.5, 0.9], 7)
    low, high = stats.t.interval(0.95, 2, loc=0.6, scale=stats.sem([0.4, 0.5, 0.9]))
    assert (point.mean, point.seeds, point.mark) == (pytest.approx(0.6), 3, 7)
    assert point.half == pytest.approx((high - low) / 2)
    assert mean_interval([0.5]).half == 0
    assert mean_interval([0.5, float("nan")]).seeds == 1
    assert math.isnan(mean_interval([]).mean)


def test_holm_corrects_as_a_hand_does() -> None:
    assert holm([0.04, 0.01, 0.03]) == pytest.approx([0.06, 0.03, 0.06])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []


def test_shares_are_read_off_at_trainings_and_at_seconds() -> None:
    slow = curve([0.1, 0.2, 0.3, 0.4], pace=2.0)
    assert [slow.at("trainings", mark) for mark in (1, 4)] == [0.1, 0.4]
    assert math.isnan(slow.at("trainings", 5))
    assert [slow.at("seconds", mark) for mark in (0.5, 2, 3.9, 8)] == [0, 0.1, 0.1, 0.4]
    assert math.isnan(slow.at("seconds", 10))
    assert [point.mark for point in means_at([slow, slow], "trainings", [1, 4, 9])] == [1, 4]
    assert [point.mean for point in means_at([slow, slow], "seconds", [4, 100])] == [0.2]
    assert marks_up_to(60) == [16, 30, 50, 60] and marks_up_to(5) == [2, 4, 5]


def test_how_many_trainings_are_needed_is_where_the_mean_gets_there() -> None:
    curves = [curve([0.1, 0.2, 0.4, 0.8], 0), curve([0.1, 0.4, 0.6, 0.6], 1)]
    need = needs(curves, 0.5)  # means 0.1, 0.3, 0.5, 0.7
    assert (need.trainings, need.low, need.high) == (3, 3, 4)
    never = needs(curves, 0.9)
    assert (never.trainings, never.most) == (None, 4)
    sometimes = needs(curves, 0.69)
    assert sometimes.trainings == 4 and sometimes.high is None  # not for those of the second seed alone
    assert needs([curve([0.1, 0.5], pace=3.0)], 0.5, "seconds").trainings == pytest.approx(6)


def test_ranks_are_friedmans_and_pairs_are_wilcoxons() -> None:
    random = np.random.default_rng(0)
    shares = {"a": random.normal(0.9, 0.02, 12), "b": random.normal(0.8, 0.02, 12)}
    shares["c"] = shares["b"] + random.normal(0, 0.001, 12)
    found = rank_samplers({name: values.tolist() for name, values in shares.items()}, 50)
    assert found.mean_ranks["a"] == 1 and sum(found.mean_ranks.values()) == pytest.approx(6)
    assert found.friedman_p == pytest.approx(stats.friedmanchisquare(*shares.values()).pvalue)
    # Demsar 2006, table 5: q of three classifiers at 5 % is 2.343
    assert found.critical == pytest.approx(2.343 * math.sqrt(3 * 4 / (6 * 12)), rel=1e-3)
    plain = [stats.wilcoxon(shares[x] - shares[y]).pvalue for x, y in itertools.combinations("abc", 2)]
    assert [pair.p for pair in found.pairs] == pytest.approx(holm(plain))
    assert found.pairs[0].difference == pytest.approx(float(np.mean(shares["a"] - shares["b"])))
    two = rank_samplers({"a": [0.5, 0.5], "b": [0.5, 0.5]}, 1)
    assert two.friedman_p is None and two.pairs[0].p == 1


def test_words_of_samplers_are_understood() -> None:
    specs = parse_specs("surrogate, tpe=20,random+rungs=3,tpe+rungs", 50)
    assert [(spec.name, spec.trainings) for spec in specs] == [
        *(("surrogate", 50), ("tpe", 20), ("random+rungs", 3), ("tpe+rungs", 30)),
    ]
    for wrong in ("", "tpe,tpe", "tpe=x", "tpe=-1", "tpe+", "tpe+rungs+rungs"):
        with pytest.raises(RecipeError):
            parse_specs(wrong, 50)


@pytest.mark.thorough
def test_replays_are_kept_and_gone_on_with_and_processes_change_nothing(tmp_path: Path) -> None:
    tasks = [
        Task(source=SOURCE, spec=Spec(sampler="random", trainings=6), workers=2, seed=seed)
        for seed in range(3)
    ]
    told: list[int] = []
    alone = run_tasks(tasks[:2], folder=tmp_path, tell=told.append)
    assert told == [0, 1, 2] and len(list(tmp_path.glob("*.json"))) == 2
    kept = tmp_path / f"{tasks[0].key}.json"
    kept.write_text(json.dumps({**json.loads(kept.read_text()), "rejected": 77}))  # it is read, not made
    (tmp_path / f"{tasks[1].key}.json").write_text("{")  # a damaged one is made again
    told.clear()
    together = run_tasks(tasks, folder=tmp_path, processes=2, tell=told.append)
    assert told[0] == 1 and told[-1] == 3
    assert together[0].rejected == 77 and together[1] == alone[1]
    assert [one.task.seed for one in together] == [0, 1, 2]


@pytest.mark.thorough
def test_a_comparison_is_told_whole(tmp_path: Path) -> None:
    specs = parse_specs("tpe=12,random=16,random+rungs=3", 20)
    groups, told = gather(source_of("bottleneck", None), specs, [1, 2], 3, folder=tmp_path)
    assert told == json.loads(json.dumps(told, allow_nan=False))
    for workers in ("1", "2"):
        found = told["workers"][workers]
        assert set(found["trainings"]) == {"tpe", "random"}
        assert set(found["seconds"]) == {"tpe", "random", "random+rungs"}
        assert found["ranks"]["mark"] == 12
        [saved] = found["rungs"]
        assert saved["sampler"] == "random" and 0 < saved["level"] < 1
        assert {goal["of"] for goal in found["goals"]} == {"random", "tpe"}
        assert found["counts"]["random+rungs"]["begun"] > found["counts"]["random+rungs"]["full"] > 0
    text = markdown_of(told)
    for word in ("## 1 worker", "## 2 workers", "| `tpe` |", "Wilcoxon, Holm", "with rungs after", "3 seeds"):
        assert word in text, word
    paths = write_report(groups, told, tmp_path / "out")
    assert {path.name for path in paths} == {
        *("comparison.md", "comparison.json", "comparison.html", "comparison.figure.json", "comparison.png"),
    }
    assert (tmp_path / "out" / "comparison.png").read_bytes().startswith(b"\x89PNG")
    figure = json.loads((tmp_path / "out" / "comparison.figure.json").read_text())
    names = {trace.get("name") for trace in figure["data"]}
    assert {"tpe", "random", "random+rungs"} <= names
    assert set(lines_of(groups[1], "trainings")) == {"tpe", "random"}


def test_what_is_compared_is_what_the_curves_say() -> None:
    good = [curve([0.3, 0.6, 0.9], seed, "tpe") for seed in range(4)]
    poor = [curve([0.2, 0.3, 0.6], seed) for seed in range(4)]
    [found] = compare({1: {"tpe": good, "random": poor}})["workers"].values()
    goal = found["goals"][0]
    assert (goal["of"], goal["trainings"], goal["level"]) == ("random", 3, pytest.approx(0.6))
    assert goal["needs"][0]["name"] == "tpe" and goal["needs"][0]["trainings"] == 2
    assert found["ranks"]["mean_ranks"] == {"tpe": 1, "random": 2}


def test_one_sampler_is_told_over_trainings_and_seconds() -> None:
    told = one_sampler(source_of("bottleneck", None), Spec(sampler="random", trainings=10), 2, 2)
    assert [point["mark"] for point in told["trainings"]] == [2, 4, 8, 10]
    assert told["counts"]["full"] == 10
    rungs = one_sampler(SOURCE, Spec(sampler="random", rungs=True, trainings=3), 1, 2)
    assert rungs["trainings"] == [] and rungs["seconds"]


def test_a_replay_that_ends_before_anything_is_full_is_told() -> None:
    with pytest.raises(RecipeError, match="no candidate was trained in full"):
        one_sampler(SOURCE, Spec(sampler="random", rungs=True, trainings=1), 1, 1)
