"""``nas board`` in a process of its own, for benchmarks of the page."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from leaderboard.store import sqlite_url

ROOT = Path(__file__).parents[2]


@contextmanager
def board_server(path: Path) -> Iterator[str]:
    """The address of a server over the database at `path`; prints its peak memory at the end."""
    command = [sys.executable, "-m", "nas", "board", "--port", "0", "--db", sqlite_url(path)]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)
    try:
        assert server.stdout is not None
        address = re.search(r"(http://\S+)", server.stdout.readline())
        assert address
        yield address[1]
        status = Path(f"/proc/{server.pid}/status")
        if status.exists():
            peak = re.search(r"VmHWM:\s+(\d+) kB", status.read_text())
            assert peak
            print(f"memory of `nas board` at its most: {int(peak[1]) / 1024:.0f} MiB")
    finally:
        server.terminate()
        server.wait()
