"""Answers to requests that fail: one line for the browser, and never a traceback in the terminal.

A malformed request is answered with 400. An error of ours is answered with 500; the terminal gets one line
that names the file with the traceback.
"""

from __future__ import annotations

import os
import sys
import tempfile
import threading
import traceback
from pathlib import Path

from dash import Dash
from dash.exceptions import DependencyException
from flask import Flask, Response, request
from werkzeug.exceptions import HTTPException

from leaderboard.errors import LeaderboardError
from leaderboard.names import shortened
from leaderboard.page.validation import MOST_BYTES, MalformedRequestError, RequestValidator

CALLBACKS = "/_dash-update-component"
MOST_KINDS = 20
"""So many different errors are written down; a request that is repeated fills no disk."""


def handle_failures(app: Dash) -> None:
    """Validates every request for a callback of `app`, and answers those that fail in one line."""
    server = app.server
    server.config["MAX_CONTENT_LENGTH"] = MOST_BYTES
    validator = RequestValidator(app)

    @server.before_request
    def validate() -> None:
        if request.method == "POST" and request.path == CALLBACKS:
            if not request.is_json:
                raise MalformedRequestError("the request is no JSON: its Content-Type is another")
            validator.validate(request.get_data(cache=True))

    _answer_in_one_line(server, ErrorLog())


def _answer_in_one_line(server: Flask, log: ErrorLog) -> None:
    @server.errorhandler(MalformedRequestError)
    def malformed(error: MalformedRequestError) -> Response:
        return one_line(400, str(error))

    @server.errorhandler(LeaderboardError)
    def impossible(error: LeaderboardError) -> Response:
        return one_line(400, str(error))

    @server.errorhandler(DependencyException)
    def missing(error: DependencyException) -> Response:
        return one_line(404, "No such file.")

    @server.errorhandler(HTTPException)
    def refused(error: HTTPException) -> Response:
        if error.code is None or error.code < 400:
            return error.get_response()  # type: ignore[return-value]  # a redirection
        return one_line(error.code, error.name)

    @server.errorhandler(Exception)
    def unexpected(error: Exception) -> Response:
        log.write(error)
        return one_line(500, "The page failed; the terminal of `nas board` names a file with the details.")


def one_line(status: int, why: str) -> Response:
    """An answer that says why a request is refused."""
    return Response(" ".join(why.split()) + "\n", status=status, mimetype="text/plain")


class ErrorLog:
    """A file of tracebacks, made with the first one; each kind of error is written once."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._path: Path | None = None
        self._known: set[tuple[str, str, int]] = set()

    def write(self, error: Exception) -> None:
        """Writes the traceback into the file, and a line that names it into the terminal."""
        last = traceback.extract_tb(error.__traceback__)[-1]
        kind = (type(error).__name__, last.filename, last.lineno or 0)
        with self._lock:
            if kind in self._known or len(self._known) >= MOST_KINDS:
                return
            self._known.add(kind)
            where = self._append("".join(traceback.format_exception(error)))
        asked, said = f"{request.method} {request.path[:80]!r}", shortened(error, 200)
        sys.stderr.write(f"error: the page failed at {asked}: {kind[0]}: {said!r}; {where}\n")
        sys.stderr.flush()

    def _append(self, text: str) -> str:
        try:
            if self._path is None:
                handle, path = tempfile.mkstemp(prefix="paretosr-board-", suffix=".log")
                os.close(handle)
                self._path = Path(path)
            with self._path.open("a", encoding="utf-8", errors="backslashreplace") as file:
                file.write(text + "\n")
        except OSError as problem:
            return f"its traceback cannot be written ({problem.strerror or problem})"
        return f"traceback in {self._path}"
