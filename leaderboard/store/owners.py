"""Who holds a lease: a process, named so that another one on the same machine sees when it is gone."""

from __future__ import annotations

import hashlib
import os
import socket
from pathlib import Path


def this_process() -> str:
    """The name of this process as an owner: `host:pid:machine-start`, never that of another process.

    `machine` stands for one boot and one set of process numbers (a container has its own), `start` for the
    moment the process began; both are empty where the system does not tell them.
    """
    pid = os.getpid()
    return f"{socket.gethostname()}:{pid}:{_machine()}-{_start(pid) or ''}"


def is_gone(owner: str) -> bool:
    """Whether `owner` was a process of this machine and is none any more; False wherever that is unknown."""
    host, _, rest = owner.rpartition(":")[0].rpartition(":")
    machine, dash, start = owner.rpartition(":")[2].partition("-")
    mine = (host, machine) == (socket.gethostname(), _machine())
    if os.name != "posix" or not dash or not mine or not rest.isdecimal():
        return False
    pid = int(rest)
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except (OSError, OverflowError):
        return False  # it is there, and somebody else's
    now = _start(pid)
    return bool(start) and now != start and now is not None


def _machine() -> str:
    """A short digest of this boot and of the set of process numbers that this process sees."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return hashlib.sha256(f"{boot} {Path('/proc/self/ns/pid').readlink()}".encode()).hexdigest()[:6]
    except OSError:
        return ""


def _start(pid: int) -> str | None:
    """When the process began, in the kernel's ticks since boot; `dead` for one that ended unnoticed."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return "dead" if fields[0] in "ZX" else fields[19]
