"""Search for super-resolution networks: costs, data, training, the search loop and the command line."""

import sys

from nas._version import __version__
from nas.core.deprecated import NAMES

sys.meta_path.append(NAMES)

__all__ = ["__version__"]
