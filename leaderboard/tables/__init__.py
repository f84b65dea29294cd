"""Results as tables: the front, trials, papers' tables, and files of results."""

from leaderboard.deprecated import NAMES

__getattr__ = NAMES.of(__name__)
