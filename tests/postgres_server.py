"""A real PostgreSQL server for tests and benchmarks: its own cluster in a temporary folder, on loopback.

It needs the server's programs (Debian: apt-get install postgresql) and no server that runs already.
"""

from __future__ import annotations

import itertools
import os
import re
import shutil
import socket
import subprocess
import tempfile
from pathlib import Path
from typing import Self

MISSING = "no PostgreSQL server's programs here (Debian and Ubuntu: apt-get install postgresql)"


def programs() -> Path | None:
    """The folder of initdb, pg_ctl and postgres: on the PATH, or the newest of Debian's; None without."""
    found = shutil.which("initdb")
    if found:
        return Path(found).resolve().parent
    versions = [path.parent for path in Path("/usr/lib/postgresql").glob("*/bin/initdb")]
    return max(versions, key=lambda path: float(re.sub(r"[^0-9.]", "", path.parent.name) or 0), default=None)


class PostgresServer:
    """A cluster that starts with the object and ends with `close`; `durable` writes through to the disk."""

    def __init__(self, *, durable: bool = False) -> None:
        folder = programs()
        if folder is None:
            raise FileNotFoundError(MISSING)
        self._programs = folder
        # Not below pytest's folders: those are closed to the user that the server runs as.
        root = os.geteuid() == 0
        self._folder = Path(tempfile.mkdtemp(prefix="paretosr-postgres-", dir="/tmp" if root else None))  # noqa: S108
        # The server refuses to run as root, and then runs as the user that its package made.
        self._as: list[str] = []
        if root:
            shutil.chown(self._folder, "postgres", "postgres")
            self._as = ["runuser", "-u", "postgres", "--"]
        self._data = self._folder / "data"
        self._durable = durable
        self._count = itertools.count()
        self._call("initdb", "-D", self._data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-sync")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port: int = free.getsockname()[1]
        self.start()

    def start(self) -> None:
        """Runs the server and waits until it answers."""
        options = f"-h 127.0.0.1 -p {self.port} -k {self._folder} -c max_connections=200"
        if not self._durable:
            options += " -c fsync=off -c full_page_writes=off"
        log = self._folder / "log"
        self._call("pg_ctl", "-D", self._data, "-l", log, "-w", "-o", options, "start")

    def stop(self, mode: str = "fast") -> None:
        """`fast` ends all sessions in order; `immediate` is a crash."""
        self._call("pg_ctl", "-D", self._data, "-m", mode, "-w", "stop")

    def close(self) -> None:
        try:
            self.stop("immediate")
        finally:
            shutil.rmtree(self._folder, ignore_errors=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def address(self, database: str) -> str:
        return f"postgresql+psycopg://postgres@127.0.0.1:{self.port}/{database}"

    def new_database(self) -> str:
        """The address of a new database."""
        name = f"paretosr_{next(self._count)}"
        self._say("postgres", f"CREATE DATABASE {name}")
        return self.address(name)

    def empty(self, address: str) -> None:
        """Takes all rows out of a results database, and whoever is still in it: cheaper than a new one."""
        from leaderboard.store.schema import TableBase

        name = address.rpartition("/")[2]
        others = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()"
        tables = ", ".join(TableBase.metadata.tables)
        self._say(name, f"{others} AND pid <> pg_backend_pid()")
        self._say(name, f"TRUNCATE {tables} RESTART IDENTITY")

    def _say(self, database: str, statement: str) -> None:
        import psycopg

        with psycopg.connect(
            host="127.0.0.1", port=self.port, user="postgres", dbname=database, autocommit=True
        ) as connection:
            connection.execute(statement.encode())

    def _call(self, program: str, *arguments: object) -> None:
        command = [*self._as, str(self._programs / program), *map(str, arguments)]
        # Into a file and not a pipe: the server inherits it, and a pipe would never end.
        with tempfile.TemporaryFile("w+") as said:
            done = subprocess.run(command, stdout=said, stderr=said, cwd="/", check=False)
            said.seek(0)
            if done.returncode:
                raise RuntimeError(f"{program} failed: {said.read()}")
