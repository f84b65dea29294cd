"""Which of fp32 and bf16 a device trains faster in; only the last test reads a real clock."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from small_networks import TINY

from nas.training import Plan, step_rates
from nas.training.plan import named_plan
from nas.training.step_rates import StepRates, best_rates, measure_step_rates


def rates(fp32: float, bf16: float) -> StepRates:
    return StepRates(fp32=fp32, bf16=bf16, batch=4, lr_patch=24)


@pytest.mark.parametrize(
    ("fp32", "bf16", "precision"),
    [
        (10.0, 18.0, "bf16"),
        (10.0, 10.5, "bf16"),
        (10.0, 10.4, "fp32"),
        (10.0, 5.0, "fp32"),
        (10.0, 0.0, "fp32"),
    ],
)
def test_bf16_is_chosen_where_it_is_clearly_faster(fp32: float, bf16: float, precision: str) -> None:
    assert rates(fp32, bf16).precision == precision


def test_rates_are_told_with_their_batch() -> None:
    assert str(rates(5.4321, 9.8765)) == "fp32 5.43, bf16 9.88 steps a second of 4 patches of 24x24"


def test_the_precisions_take_turns_and_the_best_round_of_each_counts() -> None:
    order: list[str] = []

    def timer(name: str, seconds: list[float]) -> Callable[[int], float]:
        def timed(count: int) -> float:
            order.append(name)
            return count * seconds[min(len(order) // 2, len(seconds) - 1)]

        return timed

    disturbed = {"fp32": timer("fp32", [0.5, 0.9, 0.2, 0.9]), "bf16": timer("bf16", [0.5, 0.9, 0.9, 0.1])}
    assert best_rates(disturbed, seconds=0) == {"fp32": pytest.approx(5), "bf16": pytest.approx(10)}
    assert order == ["fp32", "bf16"] * 4


def test_short_steps_are_timed_together_and_no_longer_than_needed() -> None:
    counts: list[int] = []

    def timed(count: int) -> float:
        counts.append(count)
        return count * 0.004

    assert best_rates({"fp32": timed}, seconds=0.5) == {"fp32": pytest.approx(250)}
    assert counts == [1, *[25] * 5]


def test_a_patch_is_enough_where_bf16_is_hopeless(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[tuple[int, int]] = []

    def measured(genotype: object, scale: int, plan: Plan, device: str, *, seconds: float) -> StepRates:
        sizes.append((plan.batch, plan.lr_patch))
        return StepRates(fp32=10, bf16=slow, batch=plan.batch, lr_patch=plan.lr_patch)

    monkeypatch.setattr(step_rates, "_rates", measured)
    slow = 1.0
    assert measure_step_rates(TINY, 4, named_plan("gpdn"), "cpu", 1).precision == "fp32"
    assert sizes == [(1, 32)]
    slow = 9.0
    measure_step_rates(TINY, 4, named_plan("gpdn"), "cpu", 1)  # 64 patches of 72x72 would take half a minute
    measure_step_rates(TINY, 4, named_plan("quick"), "cpu", 1)
    assert sizes[1:] == [(1, 32), (1, 71), (1, 24), (4, 24)]


def test_a_device_without_bf16_trains_in_fp32(monkeypatch: pytest.MonkeyPatch) -> None:
    def timer(genotype: object, scale: int, plan: Plan, device: torch.device) -> Callable[[int], float]:
        if plan.precision == "bf16":
            raise RuntimeError("no bf16 here")
        return lambda count: 0.1 * count

    monkeypatch.setattr(step_rates, "_timer", timer)
    found = measure_step_rates(TINY, 2, named_plan("quick"), "cpu")
    assert (found.fp32, found.bf16, found.precision) == (pytest.approx(10), 0, "fp32")


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def test_a_real_measurement_leaves_threads_and_random_numbers_alone(
    device: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(step_rates, "SECONDS", 0.1)
    monkeypatch.setattr(step_rates, "ROUND_SECONDS", 0.01)
    threads = torch.get_num_threads()
    torch.manual_seed(3)
    plan = named_plan("quick", batch=2, lr_patch=12, precision="auto", ema=0.9, adversarial="ragan")
    assert measure_step_rates(TINY, 2, plan, device, threads + 1).precision in ("fp32", "bf16")
    drawn = torch.rand(1)
    torch.manual_seed(3)
    assert torch.equal(drawn, torch.rand(1))
    assert torch.get_num_threads() == threads
