"""The search: one loop with its schedulers and recorders, promotion, feasibility, joining processes."""

from nas.core.deprecated import NAMES

__getattr__ = NAMES.of(__name__)
