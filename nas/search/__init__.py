"""The search: proposals, promotion, feasibility, progress, and processes that join."""

from nas.core.deprecated import NAMES

__getattr__ = NAMES.of(__name__)
