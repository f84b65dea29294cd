"""Real searches take the decisions that commit 78e810e took: proposals, promotions, rejections, records."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import golden
import pytest

from nas import errors
from nas.executors import EXECUTORS, Done, Pool, Result, Watch
from nas.training import Job, Outcome

TRACES = Path(__file__).parents[2] / "traces"
SAME_ORDER = (*golden.ONE_WORKER, *golden.LONG)

PSNR_TOLERANCE_DB = 1e-3
"""Between processors, whose sums differ in the last bits; on the one that wrote the traces it is 0."""


def without_psnr(trace: list[list[Any]]) -> list[list[Any]]:
    return [
        [*event[:-1], {key: value for key, value in event[-1].items() if key != "psnr_db"}] for event in trace
    ]


def psnr_of(trace: list[list[Any]]) -> list[float]:
    return [event[-1]["psnr_db"] for event in trace if "psnr_db" in event[-1]]


class Scripted:
    """An executor that returns the recorded outcomes in the recorded order, and trains nothing."""

    attempts = 1

    def __init__(self, pool: Pool, outcomes: list[list[Any]]) -> None:
        self.capacity, self.outcomes = pool.capacity, outcomes
        self.jobs: dict[tuple[str, str], int] = {}

    def submit(self, key: int, job: Job) -> None:
        self.jobs[job.genotype.id, f"{job.seed}/{job.plan.steps}"] = key

    def next_result(self, watch: Watch) -> Done:
        _, _, trial, genotype, details = self.outcomes.pop(0)
        seed_and_steps = "/".join(trial.split("/")[2:])
        return Done(key=self.jobs.pop((genotype, seed_and_steps)), worker="script", result=result_of(details))

    def close(self, save: bool) -> list[Done]:
        return []


def result_of(details: dict[str, Any]) -> Result:
    if "failure" not in details:
        return Outcome(psnr_db=details["psnr_db"], ssim=0.5, per_image={}, train_seconds=1.0)
    known = [kind for kind in vars(errors).values() if isinstance(kind, type)]
    [kind] = [
        kind
        for kind in known
        if vars(kind).get("failure") == details["failure"] and kind.__bases__ != (Exception,)
    ][:1] or [errors.CandidateError]
    return kind(details["reason"])


@pytest.mark.parametrize(
    "scenario",
    [
        *(golden.random_with_repeats, golden.surrogate_with_rungs, golden.tpe_with_rungs, golden.failures),
        *(golden.warm_started, golden.published_first, golden.two_workers, golden.two_workers_surrogate),
    ],
)
def test_the_same_outcomes_in_the_same_order_lead_to_the_same_decisions(
    scenario: Callable[[Path], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also with several workers, whose order of results is otherwise a matter of timing."""
    name = scenario.__name__
    recorded = json.loads((TRACES / "real" / f"{name}.json").read_text(encoding="utf-8"))
    outcomes = [event for event in recorded if event[1] in ("finished", "failed")]
    monkeypatch.setitem(EXECUTORS, "scripted", lambda pool: Scripted(pool, outcomes))
    search = golden.search
    monkeypatch.setattr(
        golden, "search", lambda folder, table: search(folder, {**table, "executor": "scripted"})
    )
    assert golden.record(name) == recorded


@pytest.mark.thorough
@pytest.mark.parametrize("name", [scenario.__name__ for scenario in SAME_ORDER])
def test_one_worker_takes_the_same_decisions_in_the_same_order(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(golden.HERE), prepend=":")
    recorded = json.loads((TRACES / "real" / f"{name}.json").read_text(encoding="utf-8"))
    now = golden.record(name)
    assert without_psnr(now) == without_psnr(recorded)
    assert psnr_of(now) == pytest.approx(psnr_of(recorded), abs=PSNR_TOLERANCE_DB)


@pytest.mark.thorough
def test_a_joined_process_changes_no_proposal_and_trains_nothing_twice(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Timing decides which process trains a candidate, but not what a random sampler proposes."""
    monkeypatch.setenv("PYTHONPATH", str(golden.HERE), prepend=":")
    recorded = json.loads((TRACES / "real/joined.json").read_text(encoding="utf-8"))
    now = golden.record("joined")

    def proposals(trace: list[list[Any]]) -> list[tuple[str, str]]:
        proposed = [event for event in trace if event[1] in ("proposed", "rejected", "repeated")]
        return [(event[2].rpartition("/")[0], event[3]) for event in proposed]

    def finished(trace: list[list[Any]]) -> dict[str, float]:
        ended = [event for event in trace if event[1] == "finished"]
        assert len({event[3] for event in ended}) == len(ended)
        return {event[3]: round(event[-1]["psnr_db"], 3) for event in ended}

    assert proposals(now) == proposals(recorded)
    assert finished(now) == pytest.approx(finished(recorded), abs=2 * PSNR_TOLERANCE_DB)
