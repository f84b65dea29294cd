"""Where candidates are trained: in this process, in several, or on many machines.

To add one, write a class with the members of Executor, called as ``executor(pool)``, and put it in EXECUTORS.
A worker gets a Job and gives an Outcome; it never touches the study or the database.
"""

from __future__ import annotations

from collections.abc import Callable

from nas.executors.inline import Inline
from nas.executors.pool import Done, Executor, Pool, Result, Watch, Work
from nas.executors.processes import Processes
from nas.executors.ray import Ray
from nas.training import Job

EXECUTORS: dict[str, Callable[[Pool], Executor[Job]]] = {"inline": Inline, "processes": Processes, "ray": Ray}

__all__ = ["EXECUTORS", "Done", "Executor", "Pool", "Result", "Watch", "Work"]
