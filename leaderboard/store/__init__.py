"""The results database: the only package that reads or writes it; plain values in and out.

A new question is one method of the part it belongs to, in its file here; a new column is described in
`leaderboard/store/schema.py`.
"""

from __future__ import annotations

from leaderboard.store.calibrations import Calibrations
from leaderboard.store.contents import ContentsReader
from leaderboard.store.database import sqlite_url
from leaderboard.store.frames import Frames
from leaderboard.store.leases import Leases
from leaderboard.store.measurements import Measurements
from leaderboard.store.merging import Merging
from leaderboard.store.records import (
    Calibration,
    Evaluation,
    Measurement,
    NewEvaluation,
    NewTrial,
    Protocol,
    Request,
    Runtime,
    Study,
    Trial,
)
from leaderboard.store.recounting import Recounting
from leaderboard.store.remote_workers import JoinedWorkers
from leaderboard.store.requests import Requests
from leaderboard.store.runtimes import Runtimes
from leaderboard.store.studies import Studies
from leaderboard.store.trainings import Trainings
from leaderboard.store.trials import Trials

__all__ = [
    "Calibration",
    "Evaluation",
    "Measurement",
    "NewEvaluation",
    "NewTrial",
    "Protocol",
    "Request",
    "Runtime",
    "Store",
    "Study",
    "Trial",
    "sqlite_url",
]


class Store(
    Studies,
    Trials,
    Leases,
    JoinedWorkers,
    Measurements,
    Runtimes,
    Requests,
    Trainings,
    Calibrations,
    Frames,
    ContentsReader,
    Merging,
    Recounting,
):
    """The results database at an SQLAlchemy `url`, created or brought up to date on opening.

    With `read_only` no result is changed and no writer has to wait. A server that is lost is waited for,
    `retry_seconds` at most. Whatever goes wrong raises a `StoreError` that is one line. Use it with `with`,
    or call `close`.
    """
