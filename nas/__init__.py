"""Search for super-resolution networks: costs, data, training, the search loop and the command line."""

import sys

from nas._version import __version__
from nas.core.deprecated import NAMES
from nas.core.trusted_spaces import read_trusted
from search_spaces import use_stored_trust

sys.meta_path.append(NAMES)
use_stored_trust(read_trusted)

__all__ = ["__version__"]
