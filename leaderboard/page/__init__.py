"""The leaderboard as a live page: `make_app` builds the application, `serve` runs it.

It reads the database; the one thing that it writes, and only when asked to allow it, is the queue of
re-trainings. A new view of `VIEWS` appears by itself.
"""

from __future__ import annotations

from leaderboard.page.app import make_app
from leaderboard.page.serving import serve

__all__ = ["make_app", "serve"]
