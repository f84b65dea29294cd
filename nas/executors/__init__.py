"""Executors: train in this process, in several processes, or on a Ray cluster.

To add one, write a class with the members of Executor, called as ``executor(pool)``, and put it in EXECUTORS.
A worker gets a Job and gives an Outcome; it never touches the study or the database.
"""

from __future__ import annotations

from collections.abc import Callable

from nas.executors.inline import Inline
from nas.executors.pool import Done, Executor, Pool, Result, Watch, Work, require_room
from nas.executors.processes import Processes
from nas.executors.ray import Ray
from nas.training import Job

EXECUTORS: dict[str, Callable[[Pool], Executor[Job]]] = {"inline": Inline, "processes": Processes, "ray": Ray}


def require_room_for(executor: str, workers: int) -> None:
    """Raise RecipeError, before any work, for more workers than this machine has room for.

    A Ray cluster is asked when its executor starts.
    """
    if EXECUTORS[executor] is not Ray:
        require_room(workers)


__all__ = ["EXECUTORS", "Done", "Executor", "Pool", "Result", "Watch", "Work", "require_room_for"]
