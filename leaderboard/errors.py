"""What goes wrong with results, each as one clear line; a new kind is one subclass here."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class LeaderboardError(Exception):
    """Anything a user can cause here: what was wrong, the value, what is allowed, the nearest name."""


class StoreError(LeaderboardError):
    """The results database cannot be opened, read or written."""


class NewerSchemaError(StoreError):
    """The results database was written by a newer version of this program."""


class OlderSchemaError(StoreError):
    """The results database has an older schema, and reading cannot change it."""


class DamagedValueError(StoreError):
    """A value of the results database is not what its column holds, as in a damaged or forged file."""


class OldCostsError(StoreError):
    """Costs of networks as trained, which are not comparable with those of networks as used."""


class LeaseLostError(StoreError):
    """A trial is not, or no longer, trained by whom says so: somebody else has it, or it is over."""


class StudyTakenError(LeaderboardError):
    """Another search with this name is running."""


class StudyMismatchError(LeaderboardError):
    """A study of this name exists, with another recipe or another search space."""


class UnknownStudyError(LeaderboardError):
    """No study of this name is in the results database."""


def not_of_the_run(run: str, id: str, known: Iterable[str]) -> str:
    """One line that says `id` is no network of `run`, with the nearest of the `known` ones."""
    ids = list(known)
    near = difflib.get_close_matches(id[:100], ids, n=1)
    hint = f"; did you mean {near[0]}?" if near else ""
    return (
        f"run {run!r} has no network {id!r:.100}{hint} (it has {len(ids):,}; nas front {run} shows the best)"
    )


def unknown_name(kind: str, name: str, known: Iterable[str]) -> str:
    """One line that says `name` is no `kind`, with the nearest of the `known` names and all of them."""
    names = sorted(known)
    near = difflib.get_close_matches(name[:100], names, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    listed = ", ".join(names) if names else "none yet"
    return f"unknown {kind} {name!r:.100}{hint} (known: {listed})"
