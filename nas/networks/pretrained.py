"""Weights that come with the package: networks that enlarge photographs at once, each with its model card.

To add one, name its architecture in ``search_spaces.published`` and put ``NAME-xSCALE.safetensors``, with the
cards that ``nas export`` writes beside it, into ``nas/weights``.
"""

from __future__ import annotations

from pathlib import Path

WEIGHTS = Path(__file__).parents[1] / "weights"

DEFAULT = "paretosr-1"
"""The network that enlarges where nobody names one."""


def shipped_weights(name: str) -> dict[int, Path]:
    """Scale -> file of the weights of the published network ``name``; empty where none are here."""
    files = WEIGHTS.glob(f"{name}-x[234].safetensors")
    return {int(path.stem[-1]): path for path in sorted(files)}
