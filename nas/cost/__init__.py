"""Exact costs before training: parameters, Multi-Adds, memory, latency, and budgets over them."""

from nas.core.deprecated import NAMES

__getattr__ = NAMES.of(__name__)
