"""How we search: cost, data, training, the search loop and the command line of ParetoSR."""

from nas._version import __version__

__all__ = ["__version__"]
