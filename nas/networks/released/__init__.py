"""Weights that authors released: recognised by their tensors, converted to the networks built here.

Nothing of a file runs. To add a layout, write a function that reads it beside its relatives and put a line
into
``table.LAYOUTS``.
"""

from __future__ import annotations

from nas.networks.released.reading import Released, read_released

__all__ = ["Released", "read_released"]
