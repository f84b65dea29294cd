"""Runs the page on this machine."""

from __future__ import annotations

import gc
import secrets
import socket
from collections.abc import Callable
from pathlib import Path

from werkzeug.serving import WSGIRequestHandler, make_server

from leaderboard.errors import LeaderboardError
from leaderboard.page.app import make_app
from leaderboard.page.security import LOOPBACK


def serve(
    store_url: str,
    runs: Path,
    *,
    host: str = "127.0.0.1",
    port: int = 8050,
    allow_queue: bool = False,
    options: str = "",
    announce: Callable[[str], None] = lambda address: None,
) -> None:
    """Serves the page until interrupted; `announce` is given its address once it answers.

    On another address than loopback a fresh token is part of that address. `runs` is the folder whose
    pictures are shown, `options` what a `nas` command needs to find the same results. With `allow_queue` the
    page may ask for re-trainings. Port 0 takes a free one. Raises `LeaderboardError` when the address cannot
    be used.
    """
    _check(host, port)
    token = None if host in LOOPBACK else secrets.token_urlsafe(24)
    app = make_app(store_url, runs, allow_queue=allow_queue, options=options, token=token)
    gc.set_threshold(100_000, 20, 20)  # reading 100,000 trials takes a third less without looking for cycles
    try:
        server = make_server(host, port, app.server, threaded=True, request_handler=_QuietRequests)
    except (OSError, SystemExit) as error:  # taken since we looked
        raise LeaderboardError(f"cannot serve on {host}:{port}; choose another with --port") from error
    shown = f"[{host}]" if ":" in host else host
    announce(f"http://{shown}:{server.server_port}/" + (f"?token={token}" if token else ""))
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        pass
    finally:
        server.server_close()


def _check(host: str, port: int) -> None:
    """Tries the address, since the server itself would say on several lines what is wrong with it."""
    try:
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        raise LeaderboardError(
            f"cannot serve on {host}:{port} ({reason}); choose another with --port or --host"
        ) from error


class _QuietRequests(WSGIRequestHandler):
    """Says nothing of each request: a page that refreshes asks every few seconds."""

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Nothing; errors are still said."""
