"""A saved training state of a stranger: refused in one line, or resumed as the plan says."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from small_networks import BIG, TINY

from nas.errors import CheckpointError, DivergedError, NasError
from nas.training import Job, Plan, train
from nas.training.checkpoint import load_state, save_state

State = dict[str, Any]


def continued(images: Path, folder: Path, first_steps: int, **plan: Any) -> tuple[Job, Path]:
    """A training, and the state that a shorter one of ``first_steps`` steps left in ``folder``."""
    job = Job(
        genotype=TINY,
        scale=2,
        plan=Plan(batch=2, lr_patch=12, lr=1e-3, schedule="constant", **plan),
        data=f"folder:{images}",
        threads=1,
    )
    shorter = replace(job, plan=replace(job.plan, steps=first_steps), folder=folder, keep_state=True)
    state = train(shorter).state
    assert state is not None
    return job, state


@pytest.fixture(scope="module")
def short(images: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Job, Path]:
    """A training of six steps, and the state that one of three steps left."""
    return continued(images, tmp_path_factory.mktemp("short"), 3, steps=6, ema=0.9)


def weight(state: State) -> str:
    """The name of the first weight."""
    return next(iter(state["network"]))


def in_network(change: Callable[[torch.Tensor], Any]) -> Callable[[State], None]:
    """A change of the first weight."""

    def spoil(state: State) -> None:
        state["network"][weight(state)] = change(state["network"][weight(state)])

    return spoil


def in_moments(change: Callable[[torch.Tensor], Any]) -> Callable[[State], None]:
    """A change of the optimiser's first moment."""

    def spoil(state: State) -> None:
        moments = state["work"]["optimizer"]["state"][0]
        moments["exp_avg"] = change(moments["exp_avg"])

    return spoil


def nan(tensor: torch.Tensor) -> torch.Tensor:
    return torch.full_like(tensor, torch.nan)


REFUSED: dict[str, tuple[Callable[[State], Any], type[NasError], str]] = {
    "a part is missing": (lambda state: state.pop("curve"), CheckpointError, "a table of identity"),
    "text as a step": (lambda state: state.update(step="3"), CheckpointError, "step is '3'"),
    "a step below zero": (lambda state: state.update(step=-1), CheckpointError, "step is -1"),
    "a list as identity": (lambda state: state.update(identity=[]), CheckpointError, "identity is 0 values"),
    "a tensor in the identity": (
        lambda state: state["identity"].update(genotype=torch.zeros(2)),
        CheckpointError,
        "a value that is a Tensor",
    ),
    "steps of the curve descend": (
        lambda state: state.update(curve=[(3, 0.1, None), (2, 0.1, None)]),
        CheckpointError,
        "steps ascending",
    ),
    "no state of a generator": (
        lambda state: state.update(patches=torch.zeros(5056, dtype=torch.uint8)),
        CheckpointError,
        "no state of a random generator",
    ),
    "weights of whole numbers": (in_network(lambda tensor: tensor.int()), CheckpointError, "of another type"),
    "weights of another shape": (in_network(lambda tensor: tensor[:1]), CheckpointError, "of another shape"),
    "text for weights": (in_network(str), CheckpointError, "no tensor"),
    "weights without a number": (in_network(nan), DivergedError, "had diverged"),
    "more numbers than the file has": (
        in_network(lambda tensor: torch.zeros(1).expand(10**6, 10**6)),
        CheckpointError,
        "more than the file holds",
    ),
    "moments of whole numbers": (
        in_moments(lambda tensor: tensor.int()),
        CheckpointError,
        "exp_avg is int32",
    ),
    "moments of another shape": (
        in_moments(lambda tensor: tensor[:1]),
        CheckpointError,
        "exp_avg is float32",
    ),
    "moments of no parameter": (
        lambda state: state["work"]["optimizer"]["state"].update({10_000: {}}),
        CheckpointError,
        "is not of this network's",
    ),
    "an average too few": (lambda state: state["work"]["average"].pop(), CheckpointError, "average is"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_state_that_no_training_writes_is_one_line(
    case: str, short: tuple[Job, Path], tmp_path: Path
) -> None:
    job, path = short
    state = load_state(path)
    spoil, kind, said = REFUSED[case]
    spoil(state)
    save_state(tmp_path / "state.pt", state)
    with pytest.raises(kind) as caught:
        train(replace(job, folder=tmp_path))
    assert said in str(caught.value) and "\n" not in str(caught.value)


def test_settings_of_the_optimiser_are_the_plans_and_not_the_files(
    short: tuple[Job, Path], tmp_path: Path
) -> None:
    job, path = short
    state = load_state(path)
    (group,) = state["work"]["optimizer"]["param_groups"]
    group |= {"betas": (0.1, 0.1), "weight_decay": 0.5, "maximize": True}
    save_state(tmp_path / "other.pt", state)
    right, other = train(replace(job, begin=path)), train(replace(job, begin=tmp_path / "other.pt"))
    assert (other.psnr_db, other.curve) == (right.psnr_db, right.curve)


def test_a_state_of_another_network_is_said_to_be_so(short: tuple[Job, Path]) -> None:
    job, path = short
    with pytest.raises(CheckpointError, match=r"belongs to another training \(genotype was"):
        train(replace(job, genotype=BIG, begin=path))


@pytest.fixture(scope="module")
def rescuable(images: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Job, Path]:
    """A training that may halve its rate, and the state that a shorter one left with its good states."""
    return continued(images, tmp_path_factory.mktemp("rescuable"), 55, steps=70, halvings=2)


RESCUE: dict[str, Callable[[State], Any]] = {
    "no good state": lambda state: state.update(good=[]),
    "no table": lambda state: state["good"].append(3),
    "a good state without weights": lambda state: state["good"][0].pop("network"),
    "a good state's step is text": lambda state: state["good"][0].update(step="0"),
    "halvings without good states": lambda state: state.pop("good"),
    "a factor above 1": lambda state: state.update(halvings=[(25, 0, 2.0)]),
    "a halving before the step it resumed from": lambda state: state.update(halvings=[(25, 50, 0.5)]),
    "nothing judged": lambda state: state.update(judged={}),
    "a window after the step": lambda state: state["judged"].update(opened=10**6),
    "a lowest loss that is no number": lambda state: state["judged"].update(lowest=float("nan")),
    "more than was ever kept": lambda state: state.update(good=state["good"] * 9),
}


@pytest.mark.parametrize("damage", RESCUE.values(), ids=RESCUE)
def test_damaged_good_states_are_refused_in_one_line(
    rescuable: tuple[Job, Path], tmp_path: Path, damage: Callable[[State], Any]
) -> None:
    job, path = rescuable
    state = load_state(path)
    damage(state)
    save_state(tmp_path / "state.pt", state)
    with pytest.raises(CheckpointError) as caught:
        train(replace(job, begin=tmp_path / "state.pt"))
    assert "\n" not in str(caught.value)
    assert train(replace(job, begin=path)).psnr_db > 0
