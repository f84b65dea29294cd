"""Results as tables: the front, trials, papers' tables, and files of results."""
