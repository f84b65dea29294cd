"""The composed space as a later version might have it: one more axis, and more options on two others."""

from __future__ import annotations

from dataclasses import dataclass

from search_spaces import choice
from search_spaces.lightweight import Lightweight

_AXES = {axis.name: axis for axis in Lightweight.axes()}


@dataclass(frozen=True, kw_only=True)
class Grown(Lightweight):
    """Its networks with a new option cannot be built here: an older run must never propose one."""

    space = "lightweight"

    block: str = choice(
        *_AXES["block"].options, "block-of-2027", when=_AXES["block"].when, later={"block-of-2027": 1}
    )
    kernel: str = choice(
        *(*_AXES["kernel"].options, "kernel-of-2028"),
        when=_AXES["kernel"].when,
        same=_AXES["kernel"].same,
        later={"kernel-of-2028": 2},
    )
    branches: str = choice("none", "branches-of-2027", since=1)
