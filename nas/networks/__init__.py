"""Networks from a specification: resolve a name, an id or a file, and load its weights."""

from nas.core.deprecated import NAMES

__getattr__ = NAMES.of(__name__)
