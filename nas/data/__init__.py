"""Images for training and validation: sources, low-resolution images, patches, benchmark sets.

A new source is one function and one line in ``SOURCES`` of ``sources.py``.
"""

from nas.data.dataset import Dataset, Pairs, load_data
from nas.data.patches import Patches
from nas.data.sources import SOURCES

__all__ = ["SOURCES", "Dataset", "Pairs", "Patches", "load_data"]
