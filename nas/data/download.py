"""Fetching a data set from its official address: resumed where it broke off, checked, whole or absent.

To add one, put a line in DOWNLOADS.
"""

from __future__ import annotations

import hashlib
import http.client
import shutil
import tempfile
import time
import urllib.error
import urllib.request
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

from filelock import FileLock, Timeout

from nas.errors import DataError

CHUNK = 2**20
TRIES = 6
TIMEOUT_SECONDS = 60.0

Report = Callable[[str, int, int], None]
"""Told a file's name, the bytes that are there, and all of its bytes (0 where the server does not say)."""


@dataclass(frozen=True, kw_only=True)
class Archive:
    """One archive: the folder that it holds, its MD5 where it is known, its scale (None: at every one)."""

    archive: str
    folder: str
    md5: str = ""
    scale: int | None = None


@dataclass(frozen=True, kw_only=True)
class Download:
    """A data set of several archives below one address."""

    address: str
    parts: tuple[Archive, ...]


MD5 = {
    "train_HR": "bdc2d9338d4e574fe81bf7d158758658",
    "valid_HR": "9fcdda83005c5e5997799b69f955ff88",
    "train_LR_bicubic_X2": "9a637d2ef4db0d0a81182be37fb00692",
    "valid_LR_bicubic_X2": "1512c9a3f7bde2a1a21a73044e46b9cb",
    "train_LR_bicubic_X3": "ad80b9fe40c049a07a8a6c51bfab3b6d",
    "valid_LR_bicubic_X3": "18b1d310f9f88c13618c287927b29898",
    "train_LR_bicubic_X4": "76c43ec4155851901ebbe8339846d93d",
    "valid_LR_bicubic_X4": "21962de700c8d368c6ff83314480eff0",
}
"""Of DIV2K's archives, as the loaders of several projects have them; the official page prints none."""


def _div2k() -> tuple[Archive, ...]:
    parts = [
        Archive(archive=f"DIV2K_{split}_HR.zip", folder=f"DIV2K_{split}_HR", md5=MD5[f"{split}_HR"])
        for split in ("train", "valid")
    ]
    for scale in (2, 3, 4):
        for split in ("train", "valid"):
            name = f"{split}_LR_bicubic_X{scale}"
            folder = f"DIV2K_{split}_LR_bicubic/X{scale}"
            parts.append(Archive(archive=f"DIV2K_{name}.zip", folder=folder, md5=MD5[name], scale=scale))
    return tuple(parts)


DOWNLOADS: dict[str, Download] = {
    "div2k": Download(address="https://data.vision.ee.ethz.ch/cvl/DIV2K/", parts=_div2k()),
}


def download(
    wanted: Download, root: Path, *, scale: int, address: str | None = None, report: Report | None = None
) -> list[str]:
    """Fetch and unpack what is missing below ``root`` for ``scale``; the folders that are there now.

    What broke off goes on from there, also in another call. An archive is checked before it is unpacked and
    removed afterwards; a folder appears when it is complete. Raises DataError in one line.
    """
    base = address or wanted.address
    if not base.startswith(("http://", "https://")):
        raise DataError(f"address {base!r}: http:// or https:// is needed")
    base = base if base.endswith("/") else f"{base}/"
    root.mkdir(parents=True, exist_ok=True)
    folders = []
    try:
        with FileLock(root / ".download.lock", timeout=0):
            for part in wanted.parts:
                if part.scale not in (None, scale):
                    continue
                if not (root / part.folder).is_dir():
                    archive = fetch(base + part.archive, root / part.archive, md5=part.md5, report=report)
                    unpack(archive, root, part.folder)
                    archive.unlink()
                folders.append(part.folder)
    except Timeout:
        raise DataError(f"{root}: another process is downloading there already") from None
    return folders


def fetch(url: str, path: Path, *, md5: str = "", report: Report | None = None) -> Path:
    """The file at ``url``, whole and with the right MD5, as ``path``; ``path`` with ``.part`` until then.

    A connection that breaks is taken up again; TRIES without a single new byte are the end. Raises DataError.
    """
    if path.exists():
        return path
    partial = path.with_name(f"{path.name}.part")
    failures = 0
    while True:
        before = partial.stat().st_size if partial.exists() else 0
        try:
            if _receive(url, partial, before, report):
                break
            reason = "the connection ended early"
        except urllib.error.HTTPError as error:
            if error.code < 500 and error.code != 429:
                raise DataError(f"{url}: the server says {error.code} {error.reason}") from None
            reason = f"the server says {error.code} {error.reason}"
        except (urllib.error.URLError, http.client.HTTPException, ConnectionError, TimeoutError) as error:
            reason = str(getattr(error, "reason", error)) or type(error).__name__
        after = partial.stat().st_size if partial.exists() else 0
        failures = 0 if after > before else failures + 1
        if failures >= TRIES:
            raise DataError(f"{url}: {reason}; {after:,} bytes are kept, the same command goes on from there")
        time.sleep(_pause(failures))
    found = _md5(partial) if md5 else ""
    if found != md5:
        partial.unlink()
        raise DataError(f"{url}: its MD5 is {found}, and {md5} is expected; it was removed, try again")
    partial.replace(path)
    return path


def _pause(failures: int) -> float:
    """Seconds to wait before the next try."""
    return 0.0 if failures == 0 else min(30.0, 0.5 * 2**failures)


def _receive(url: str, partial: Path, start: int, report: Report | None) -> bool:
    """Receive from byte ``start`` on; whether the file is complete now."""
    headers = {"Range": f"bytes={start}-"} if start else {}
    request = urllib.request.Request(url, headers={**headers, "User-Agent": "paretosr"})  # noqa: S310
    try:
        answer = urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS)  # noqa: S310
    except urllib.error.HTTPError as error:
        size = (error.headers.get("Content-Range") or "").rpartition("/")[2]
        if error.code == 416 and size == str(start):
            return True  # it was complete already
        if error.code == 416:
            partial.unlink(missing_ok=True)  # longer than the file at the address: another one's
            return False
        raise
    with answer:
        if answer.status != 206 or not (answer.headers.get("Content-Range") or "").startswith(
            f"bytes {start}-"
        ):
            start = 0  # the server sends all of it again
        length = answer.headers.get("Content-Length")
        total = start + int(length) if length else 0
        _require_space(partial.parent, 2 * total - start, url)
        with partial.open("r+b" if start else "wb") as file:
            file.seek(start)
            there = start + _copy(answer, file, partial.name.removesuffix(".part"), start, total, report)
            file.truncate()
    return there == total if total else True


def _copy(
    answer: IO[bytes], file: IO[bytes], name: str, start: int, total: int, report: Report | None
) -> int:
    done = 0
    while chunk := answer.read(CHUNK):
        file.write(chunk)
        done += len(chunk)
        if report is not None:
            report(name, start + done, total)
    return done


def _require_space(folder: Path, needed: int, what: str) -> None:
    """The archive and what it unpacks to, which is about as large, have to fit."""
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise DataError(
            f"{what}: needs {needed / 1e9:.1f} GB to be fetched and unpacked, and {folder} has "
            f"{free / 1e9:.1f} GB free"
        )


def _md5(path: Path) -> str:
    total = hashlib.md5(usedforsecurity=False)
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            total.update(chunk)
    return total.hexdigest()


def unpack(archive: Path, root: Path, folder: str) -> None:
    """Unpack ``folder`` of an archive into ``root``, under its name only when it is complete.

    Raises DataError for a damaged archive, one without the folder, or one that would write elsewhere.
    """
    with tempfile.TemporaryDirectory(dir=root, prefix=".unpacking-") as place:
        try:
            with zipfile.ZipFile(archive) as held:
                for name in held.namelist():
                    path = PurePosixPath(name)
                    if path.is_absolute() or ".." in path.parts:
                        raise DataError(f"{archive}: holds {name!r}, which would be written elsewhere")
                held.extractall(place)
        except (zipfile.BadZipFile, EOFError) as error:
            raise DataError(f"{archive}: is no whole archive ({error}); remove it and try again") from None
        made = Path(place) / folder
        if not made.is_dir():
            raise DataError(f"{archive}: holds no folder {folder!r}")
        target = root / folder
        target.parent.mkdir(parents=True, exist_ok=True)
        made.replace(target)
