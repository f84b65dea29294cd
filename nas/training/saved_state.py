"""The form of a saved training state, checked before a training resumes from it.

A runs folder may come from anybody. `check_form` refuses what no training writes, without the network;
`check_like` compares a part of the state with the part that it replaces.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from leaderboard.names import shortened
from leaderboard.untrusted import UntrustedError, check_plain
from nas.errors import CheckpointError, DivergedError

MOST_STEPS = 10**12
MOST_LEVELS = 8
"""Of tables and lists that hold tensors; the optimiser's state has four."""

PARTS = ("identity", "step", "seconds", "curve", "network", "work", "patches")
JUDGED = "judged"
"""How far the loss has been judged; states of older versions lack it."""
RESCUE = ("halvings", "good")
"""What a plan with ``halvings`` saves besides."""
GOOD = ("step", "network", "work", "patches", JUDGED)
"""The parts of a good state."""
MOST_GOOD = 2
"""Good states that are kept."""
MOST_HALVINGS = 4
"""The most that a plan allows."""
MOMENTS = ("exp_avg", "exp_avg_sq")
"""Of Adam and AdamW, for each parameter that had a gradient, besides the number of its steps."""


def check_form(state: Any) -> None:
    """Raise UntrustedError for a state that no training writes, DivergedError for a number not finite."""
    _check_parts(state, PARTS, (JUDGED, *RESCUE))
    if not isinstance(state["identity"], dict):
        raise UntrustedError(f"identity is {_shown(state['identity'])}; a table is needed")
    check_plain(state["identity"])
    if not _is_number(state["seconds"]) or state["seconds"] < 0:
        raise UntrustedError(f"seconds is {_shown(state['seconds'])}; a number from 0 is needed")
    _check_training(state, state["curve"])
    if not state.keys().isdisjoint(RESCUE):
        _check_parts(state, (*PARTS, JUDGED, *RESCUE))
        _check_halvings(state["halvings"])
        good = state["good"]
        if not isinstance(good, list) or not 1 <= len(good) <= MOST_GOOD:
            raise UntrustedError(f"good is {_shown(good)}; a list of 1 to {MOST_GOOD} states is needed")
        for each in good:
            _check_parts(each, GOOD)
            _check_training(each, [])


def _check_parts(state: Any, needed: Sequence[str], allowed: Sequence[str] = ()) -> None:
    if not isinstance(state, dict) or not set(needed) <= set(state) <= {*needed, *allowed}:
        kind = ", ".join(map(str, state)) if isinstance(state, dict) else type(state).__name__
        raise UntrustedError(f"a table of {', '.join(needed)} is needed, not {shortened(kind)}")


def _check_training(state: Mapping[str, Any], curve: Any) -> None:
    """What decides the steps that follow: of a saved state and of the good states in it."""
    for name in ("network", "work"):
        if not isinstance(state[name], dict):
            raise UntrustedError(f"{name} is {_shown(state[name])}; a table is needed")
    step = state["step"]
    if type(step) is not int or not 0 <= step <= MOST_STEPS:
        raise UntrustedError(f"step is {_shown(step)}; a whole number from 0 to {MOST_STEPS} is needed")
    _check_curve(curve, step)
    for name, tensor in state["network"].items():
        if not isinstance(name, str) or not isinstance(tensor, Tensor):
            raise UntrustedError(f"network has {_shown(name)}, which is {_shown(tensor)} and no tensor")
        _check_tensor(name, tensor)
    _check_values("work", state["work"], MOST_LEVELS)
    _check_generator(state["patches"])
    if JUDGED in state:
        _check_judged(state[JUDGED], step)


def _check_judged(judged: Any, step: int) -> None:
    """Counts and steps up to ``step``, and losses: infinite where there is none yet."""
    counts, losses = ("entries", "opened", "closed", "high", "risen"), ("before", "lowest", "untrained")
    sound = isinstance(judged, dict) and judged.keys() == {*counts, *losses, "first"}
    sound = sound and all(type(judged[name]) is int and 0 <= judged[name] <= step for name in counts)
    sound = sound and all(_is_loss(judged[name]) for name in losses)
    if not sound or not (judged["first"] is None or _is_loss(judged["first"])):
        raise UntrustedError(f"judged is {_shown(judged)}; counts up to the step and losses are needed")


def _is_loss(value: Any) -> bool:
    return type(value) in (int, float) and not math.isnan(value)


def _check_halvings(halvings: Any) -> None:
    """Step of the divergence, step resumed from, factor of the rate."""
    sound = isinstance(halvings, list) and len(halvings) <= MOST_HALVINGS
    for each in halvings if sound else ():
        sound = sound and isinstance(each, list | tuple) and len(each) == 3
        sound = sound and type(each[0]) is type(each[1]) is int and 0 <= each[1] <= each[0] <= MOST_STEPS
        sound = sound and type(each[2]) is float and 0 < each[2] < 1
    if not sound:
        raise UntrustedError(f"halvings is {_shown(halvings)}; steps and factors are needed")


def check_like(what: str, saved: Any, own: Any) -> None:
    """Raise CheckpointError unless a saved value has the keys, types and shapes of the one it replaces."""
    if isinstance(own, Tensor):
        fits = isinstance(saved, Tensor) and (saved.dtype, saved.shape) == (own.dtype, own.shape)
    elif isinstance(own, Mapping):
        fits = isinstance(saved, dict) and saved.keys() == own.keys()
        for key in own if fits else ():
            check_like(f"{what}, {shortened(key)}", saved[key], own[key])
    elif isinstance(own, Sequence) and not isinstance(own, str):
        fits = isinstance(saved, list | tuple) and len(saved) == len(own)
        for number, each in enumerate(own if fits else ()):
            check_like(f"{what}, number {number}", saved[number], each)
    else:
        fits = type(saved) is type(own)
    if not fits:
        raise _misfit(what, saved, own)


def optimizer_state(what: str, saved: Any, optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    """What an optimiser of Adam's kind loads: the saved moments with its own settings.

    The settings (betas, weight decay) follow from the plan, so those of the file are not used. Raises
    CheckpointError for moments of other parameters.
    """
    own = optimizer.state_dict()
    parameters = [each for group in optimizer.param_groups for each in group["params"]]
    moments = saved.get("state") if isinstance(saved, dict) else None
    if not isinstance(moments, dict) or not all(
        type(key) is int and 0 <= key < len(parameters) for key in moments
    ):
        raise CheckpointError(f"{_PREFIX}{what} is not of this network's {len(parameters)} parameters")
    loaded = {}
    for key, values in moments.items():
        parameter = parameters[key].detach()
        layout = {"step": torch.zeros(()), **dict.fromkeys(MOMENTS, parameter)}
        check_like(f"{what}, parameter {key}", values, layout)
        loaded[key] = {"step": values["step"].clone()} | {
            name: torch.empty_like(parameter).copy_(values[name]) for name in MOMENTS
        }
    return {"state": loaded, "param_groups": own["param_groups"]}


def load_part(what: str, module: nn.Module, saved: Any) -> None:
    """Load the saved state of a module. Raises CheckpointError where it does not fit."""
    check_like(what, saved, module.state_dict())
    module.load_state_dict(saved)


_PREFIX = "the saved state of this training does not fit: "


def _misfit(what: str, saved: Any, own: Any) -> CheckpointError:
    return CheckpointError(
        f"{_PREFIX}{what} is {_shown(saved)}, not {_shown(own)}; move state.pt away to start afresh"
    )


def _shown(value: Any) -> str:
    if isinstance(value, Tensor):
        return f"{str(value.dtype).removeprefix('torch.')} of shape {tuple(value.shape)}"
    if isinstance(value, Mapping):
        return f"a table of {shortened(', '.join(map(str, value)) or 'nothing')}"
    return f"{len(value)} values" if isinstance(value, list | tuple) else shortened(repr(value))


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and abs(value) < 2**63 and math.isfinite(value)


def _check_curve(curve: Any, step: int) -> None:
    """Losses by ascending steps: the next entry divides by the steps since the last one."""
    before = 0
    if not isinstance(curve, list):
        raise UntrustedError(f"curve is {_shown(curve)}; a list is needed")
    for entry in curve:
        sound = isinstance(entry, list | tuple) and len(entry) == 3
        if not sound or not _is_entry(*entry) or not before < entry[0] <= step:
            raise UntrustedError(
                f"curve has {_shown(entry)}; step, loss and PSNR, steps ascending, are needed"
            )
        before = entry[0]


def _is_entry(step: Any, loss: Any, psnr_db: Any) -> bool:
    """Whether these are an entry's; the PSNR of an image that is reproduced exactly is infinite."""
    measured = psnr_db is None or (type(psnr_db) in (int, float) and psnr_db == psnr_db)
    return type(step) is int and _is_number(loss) and measured


def _check_values(what: str, value: Any, levels: int) -> None:
    """Plain values and dense tensors of finite numbers, within bounds of depth."""
    if isinstance(value, Tensor):
        _check_tensor(what, value)
    elif isinstance(value, dict | list | tuple):
        if levels == 0:
            raise UntrustedError(f"{shortened(what)} is nested more than {MOST_LEVELS} levels deep")
        for key, each in value.items() if isinstance(value, dict) else enumerate(value):
            _check_values(f"{what}, {key}", each, levels - 1)
    else:
        check_plain(value)


def _check_tensor(what: str, tensor: Tensor) -> None:
    if tensor.layout != torch.strided or tensor.device.type != "cpu" or tensor.is_quantized:
        raise UntrustedError(f"{shortened(what)} is no plain tensor ({tensor.layout})")
    if tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes():
        raise UntrustedError(f"{shortened(what)} has {tensor.numel():,} numbers, more than the file holds")
    if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
        raise DivergedError(f"{shortened(what)} has a number that is not finite")


def _check_generator(value: Any) -> None:
    """The state of the generator that draws patches."""
    generator = torch.Generator()
    own = generator.get_state()
    fits = isinstance(value, Tensor) and (value.dtype, value.shape) == (own.dtype, own.shape)
    try:
        if fits:
            _check_tensor("patches", value)
            generator.set_state(value)
    except RuntimeError:
        fits = False
    if not fits:
        raise UntrustedError(f"patches is {_shown(value)}, which is no state of a random generator")
