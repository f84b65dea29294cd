"""The composed space as a later version might have it: more options on three axes, and one more axis."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from search_spaces import choice
from search_spaces.lightweight import Lightweight

_AXES = {field.name: field.metadata["axis"] for field in dataclasses.fields(Lightweight)}
_KERNEL = _AXES["kernel"]


@dataclass(frozen=True, kw_only=True)
class Grown(Lightweight):
    """Its networks with a new option cannot be built here: an older run must never propose one."""

    space = "lightweight"

    block: str = choice(
        *(*_AXES["block"]["options"], "block-of-2027"),
        when=_AXES["block"]["when"],
        later={**_AXES["block"]["later"], "block-of-2027": 3},
    )
    kernel: str = choice(
        *(*_KERNEL["options"], "kernel-of-2028"),
        when=_KERNEL["when"],
        former={option: (former.before, former.now) for option, former in _KERNEL["former"].items()},
        later={"kernel-of-2028": 4},
    )
    branches: str = choice(
        *(*_AXES["branches"]["options"], "branches-of-2027"),
        when=_AXES["branches"]["when"],
        same=_AXES["branches"]["same"],
        since=1,
        later={"branches-of-2027": 3},
    )
    padding: str = choice("zeros", "padding-of-2028", since=4)
