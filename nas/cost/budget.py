"""The cost of one network, and the budget that limits it; torch is not needed for either."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass

from nas.errors import BudgetError


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What one network costs in use, with the branches folded that only its training has.

    ``params``: trainable numbers. ``multi_adds``: everything that multiplies (convolutions, linear layers,
    matrix products, attention), half of what torch's FlopCounterMode counts. ``conv_multi_adds``: the
    convolutions alone, which several papers print. ``activations``: elements of all convolutions' outputs.
    """

    params: int
    multi_adds: int
    conv_multi_adds: int
    activations: int

    def to_dict(self) -> dict[str, int]:
        """The four numbers by name."""
        return asdict(self)


@dataclass(frozen=True, kw_only=True)
class Budget:
    """Limits, each None where there is none. What equals its limit is inside.

    ``params``, ``multi_adds``, ``conv_multi_adds``: at most, of a Cost; ``min_params``, ``min_multi_adds``:
    at least. ``memory`` (bytes) and ``latency_ms`` are of one inference, found by ``nas.cost.memory`` and
    ``nas.cost.latency`` for those candidates that keep the others.
    """

    params: int | None = None
    multi_adds: int | None = None
    conv_multi_adds: int | None = None
    min_params: int | None = None
    min_multi_adds: int | None = None
    memory: int | None = None
    latency_ms: float | None = None

    def __post_init__(self) -> None:
        for name, least in self.floors().items():
            most = getattr(self, name)
            if most is not None and least > most:
                raise BudgetError(f"min_{name} = {least} is above {name} = {most}: nothing is between")

    def limits(self) -> dict[str, float]:
        """Every limit that is set, in one fixed order."""
        return {name: limit for name, limit in vars(self).items() if limit is not None}

    def ceilings(self) -> dict[str, int]:
        """What a Cost may be at most."""
        limits = {
            "params": self.params,
            "multi_adds": self.multi_adds,
            "conv_multi_adds": self.conv_multi_adds,
        }
        return {name: limit for name, limit in limits.items() if limit is not None}

    def floors(self) -> dict[str, int]:
        """What a Cost must be at least."""
        limits = {"params": self.min_params, "multi_adds": self.min_multi_adds}
        return {name: limit for name, limit in limits.items() if limit is not None}

    def measured(self) -> dict[str, float]:
        """The limits of what a Cost does not know."""
        return {name: limit for name, limit in self.limits().items() if name in ("memory", "latency_ms")}

    def violations(self, cost: Cost, measured: Mapping[str, float] | None = None) -> dict[str, float]:
        """Limit -> how far over it as a fraction, zero or less inside, in one fixed order.

        What ``measured`` does not hold counts as being on its limit.
        """
        found = {name: getattr(cost, name) / limit - 1 for name, limit in self.ceilings().items()}
        found |= {f"min_{name}": 1 - getattr(cost, name) / limit for name, limit in self.floors().items()}
        known = measured or {}
        return found | {name: known.get(name, limit) / limit - 1 for name, limit in self.measured().items()}

    def excess(self, cost: Cost, measured: Mapping[str, float] | None = None) -> dict[str, float]:
        """The limits that are broken, with their fractions; empty inside."""
        return {name: over for name, over in self.violations(cost, measured).items() if over > 0}
