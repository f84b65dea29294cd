"""Networks by their specification: resolve it, load its weights, the pretrained ones."""

from nas.core.deprecated import NAMES

__getattr__ = NAMES.of(__name__)
