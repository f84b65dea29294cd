"""Real searches take the decisions that commit 78e810e took: proposals, promotions, rejections, records."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import golden
import pytest

TRACES = Path(__file__).parent / "traces"
SAME_ORDER = (*golden.ONE_WORKER, *golden.LONG)

PSNR_TOLERANCE_DB = 1e-3
"""Between processors, whose sums differ in the last bits; on the one that wrote the traces it is 0."""


def without_psnr(trace: list[list[Any]]) -> list[list[Any]]:
    return [
        [*event[:-1], {key: value for key, value in event[-1].items() if key != "psnr_db"}] for event in trace
    ]


def psnr_of(trace: list[list[Any]]) -> list[float]:
    return [event[-1]["psnr_db"] for event in trace if "psnr_db" in event[-1]]


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
