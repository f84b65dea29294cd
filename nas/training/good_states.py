"""Good states of a training, kept in its device's memory: one that diverges resumes from the last of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

EVERY = 50
"""Steps between two states: whole windows of the loss, and no matter of time, so that trainings repeat."""

State = dict[str, Any]
"""Nested dicts, lists and tuples of tensors and plain values; ``step`` says after which step it was taken."""


class GoodStates:
    """The last state whose training went well for EVERY steps after it, and the one that may follow it.

    A divergence begins before it is seen. A state is therefore only resumed from once the next one is due and
    the loss has not risen in between; while the loss is high, none is taken.

    Args:
        first: The state at the first step, which is resumed from until another one has proved good.
    """

    def __init__(self, first: State) -> None:
        self._good: State = _copied(first, None)
        self._recent: State | None = None
        self._spare: State | None = None

    def keep(self, step: int, state: Callable[[], State], risen: int) -> None:
        """Take the state after ``step`` steps, if the loss is low.

        Args:
            step: A multiple of EVERY.
            state: The state, with the training's own tensors.
            risen: Where the last window of the loss ended that was high.
        """
        if self._recent is not None:
            if risen <= self._recent["step"]:
                self._good, self._spare = self._recent, self._good
            else:
                self._spare = self._recent
            self._recent = None
        if risen < step:
            self._recent, self._spare = _copied(state(), self._spare), None

    def last_good(self) -> State:
        """A copy of the state to resume from. The one that may have followed it is forgotten."""
        if self._recent is not None:
            self._recent, self._spare = None, self._recent
        return _copied(self._good, None)

    def state(self) -> list[State]:
        """The states as they are saved."""
        return [self._good] if self._recent is None else [self._good, self._recent]

    def load(self, states: list[State], move: Callable[[State], State]) -> None:
        """Take over what :meth:`state` gave; ``move`` puts a state on the training's device."""
        self._good, *later = [move(state) for state in states]
        self._recent, self._spare = (later[0] if later else None), None


def _copied(state: State, into: State | None) -> State:
    """A copy, in the memory of ``into`` as far as that fits."""
    old: list[Tensor] = []
    new: list[Tensor] = []

    def copy(value: Any, place: Any) -> Any:
        if isinstance(value, Tensor):
            if not isinstance(place, Tensor) or not _fits(place, value):
                return value.detach().clone()
            old.append(place)
            new.append(value.detach())
            return place
        if isinstance(value, dict):
            places = place if isinstance(place, dict) else {}
            return {key: copy(item, places.get(key)) for key, item in value.items()}
        if isinstance(value, list | tuple):
            many = (
                place if isinstance(place, list | tuple) and len(place) == len(value) else [None] * len(value)
            )
            return type(value)(copy(item, other) for item, other in zip(value, many, strict=True))
        return value

    copied = copy(state, into)
    if old:
        torch._foreach_copy_(old, new)
    return copied


def on_device(state: State, device: torch.device) -> State:
    """The state with all of its tensors on a device."""

    def move(value: Any) -> Any:
        if isinstance(value, Tensor):
            return value.to(device)
        if isinstance(value, dict):
            return {key: move(item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return type(value)(move(item) for item in value)
        return value

    moved: State = move(state)
    return moved


def _fits(place: Tensor, value: Tensor) -> bool:
    kind = (place.shape, place.dtype, place.device, place.stride())
    return kind == (value.shape, value.dtype, value.device, value.stride())
