"""How we search: cost, data, training, the search loop and the command line of ParetoSR."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("paretosr")
except PackageNotFoundError:  # a source tree that was never installed
    __version__ = "0+unknown"

__all__ = ["__version__"]
