"""Simulated searches take the decisions that commit 78e810e took, with nothing proposed ahead."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from levels import mostly_thorough

from nas.search.progress import Event
from nas.simulation.objective import Objective
from nas.simulation.replays import SHIPPED
from nas.simulation.simulation import SimulationPlan, simulate
from nas.simulation.synthetic_landscape import surface_of
from nas.simulation.table import read_table
from nas.simulation.tabular_objective import TabularObjective
from nas.simulation.validate_table import COSTS

TRACES = Path(__file__).parents[2] / "traces/simulated"
SAMPLERS = ("random", "tpe", "nsga2", "surrogate")


@pytest.fixture(scope="module")
def table() -> Objective:
    """The table as it was then, with nine costs of networks as trained."""
    today = read_table(SHIPPED / "nas-bench-sr.parquet")
    then = json.loads((TRACES.parent / "costs_before_folding.json").read_text(encoding="utf-8"))
    frame = today.frame.copy()
    for genotype, costs in then.items():
        frame.loc[frame["genotype_id"] == genotype, list(COSTS)] = costs
    return TabularObjective(replace(today, frame=frame))


def decisions(objective: Objective, plan: SimulationPlan) -> dict[str, Any]:
    """The trace in the form of the files: decisions in order, without their times; steps; counts."""
    log: list[list[Any]] = []

    def listen(event: Event) -> None:
        if event.genotype is None:
            return
        kind = event.kind
        if kind == "started":
            kind = "promoted" if event.rung else "begun"
        psnr_db = None if event.psnr_db is None else round(event.psnr_db, 9)
        log.append([kind, event.genotype.id, event.rung, psnr_db])

    trace = simulate(objective, plan, listen)
    steps = [
        [step.begun, step.full, round(step.seconds, 6), round(step.spent, 6), round(step.share, 9)]
        for step in trace.steps
    ]
    counts = {"rejected": trace.rejected, "repeated": trace.repeated, "answered": trace.answered}
    return {"log": log, "steps": steps, **counts}


@pytest.mark.parametrize("sampler", mostly_thorough(SAMPLERS, {"random", "nsga2"}))
def test_simulations_equal_the_recorded_ones(sampler: str, table: Objective) -> None:
    recorded = json.loads((TRACES / f"{sampler}.json").read_text(encoding="utf-8"))
    for name, expected in recorded.items():
        about, _, seed, _, workers, *rungs = name.split()
        plan = SimulationPlan(
            sampler=sampler,
            seed=int(seed),
            workers=int(workers),
            trainings=2 if rungs else 24 if about == "bottleneck" else 16,
            rungs=bool(rungs),
            ahead=0,
        )
        objective = table if about == "nas-bench-sr" else surface_of("bottleneck", int(seed))
        started = ("begun", "promoted")
        expected["log"] = [[*each[:3], None] if each[0] in started else each for each in expected["log"]]
        assert decisions(objective, plan) == expected, name
