"""Weights that authors released: recognised by their tensors, converted to the networks built here.

Nothing of a file runs. To add a layout, write a function that reads it beside its relatives and put a line
into
``table.LAYOUTS``.
"""

from __future__ import annotations

from nas.networks.released.naming import plain_form, plain_name
from nas.networks.released.reading import (
    Released,
    convert,
    is_released_file,
    layout_of,
    read_released,
    read_tensors,
)

__all__ = [
    "Released",
    "convert",
    "is_released_file",
    "layout_of",
    "plain_form",
    "plain_name",
    "read_released",
    "read_tensors",
]
