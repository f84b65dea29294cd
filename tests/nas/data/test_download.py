"""Downloads against a real server on loopback: ranges, broken connections, wrong checksums."""

from __future__ import annotations

import hashlib
import io
import shutil
import subprocess
import threading
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from nas.data import download as module
from nas.data.download import DOWNLOADS, Archive, Download, download, fetch, unpack
from nas.errors import DataError


@dataclass
class Site:
    """What the server has, how it behaves, and what it was asked."""

    files: dict[str, bytes] = field(default_factory=dict)
    break_after: list[int] = field(default_factory=list)
    ranges: bool = True
    status: int = 0
    asked: list[tuple[str, str]] = field(default_factory=list)
    address: str = ""


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    made = Site()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            wanted = self.headers.get("Range", "")
            made.asked.append((self.path, wanted))
            body = made.files.get(self.path.lstrip("/"))
            if made.status or body is None:
                self.send_error(made.status or 404)
                return
            start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted and made.ranges else 0
            if start >= len(body) > 0 and wanted and made.ranges:
                self.send_response(416)
                self.send_header("Content-Range", f"bytes */{len(body)}")
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            self.send_response(206 if start else 200)
            if start:
                self.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
            self.send_header("Content-Length", str(len(body) - start))
            self.end_headers()
            most = made.break_after.pop(0) if made.break_after else len(body)
            self.wfile.write(body[start : start + most])

        def log_message(self, format: str, *arguments: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    made.address = f"http://127.0.0.1:{server.server_address[1]}/"
    monkeypatch.setattr(module, "_pause", lambda failures: 0.0)
    yield made
    server.shutdown()
    thread.join()
    server.server_close()


BODY = np.random.default_rng(0).bytes(300_000)
MD5 = hashlib.md5(BODY, usedforsecurity=False).hexdigest()


def archive_of(files: dict[str, bytes]) -> bytes:
    memory = io.BytesIO()
    with zipfile.ZipFile(memory, "w") as held:
        for name, body in files.items():
            held.writestr(name, body)
    return memory.getvalue()


def test_a_file_arrives_whole_and_its_progress_is_told(site: Site, tmp_path: Path) -> None:
    site.files["a.zip"] = BODY
    told: list[tuple[str, int, int]] = []
    path = fetch(f"{site.address}a.zip", tmp_path / "a.zip", md5=MD5, report=lambda *now: told.append(now))
    assert path.read_bytes() == BODY
    assert told[-1] == ("a.zip", len(BODY), len(BODY))
    assert [path.name for path in tmp_path.iterdir()] == ["a.zip"]


def test_a_connection_that_breaks_is_taken_up_where_it_broke(site: Site, tmp_path: Path) -> None:
    site.files["a.zip"] = BODY
    site.break_after = [100_000, 0, 50_000]
    assert fetch(f"{site.address}a.zip", tmp_path / "a.zip", md5=MD5).read_bytes() == BODY
    assert [wanted for _, wanted in site.asked] == ["", "bytes=100000-", "bytes=100000-", "bytes=150000-"]


def test_a_server_without_ranges_sends_all_of_it_again(site: Site, tmp_path: Path) -> None:
    site.files["a.zip"] = BODY
    site.ranges = False
    (tmp_path / "a.zip.part").write_bytes(b"x" * 1000)
    assert fetch(f"{site.address}a.zip", tmp_path / "a.zip", md5=MD5).read_bytes() == BODY


def test_an_interrupted_download_goes_on_in_the_next_call(site: Site, tmp_path: Path) -> None:
    site.files["a.zip"] = BODY
    (tmp_path / "a.zip.part").write_bytes(BODY[:123_456])
    assert fetch(f"{site.address}a.zip", tmp_path / "a.zip", md5=MD5).read_bytes() == BODY
    assert site.asked == [("/a.zip", "bytes=123456-")]
    (tmp_path / "b.zip.part").write_bytes(BODY)
    site.files["b.zip"] = BODY
    assert fetch(f"{site.address}b.zip", tmp_path / "b.zip", md5=MD5).read_bytes() == BODY


def test_a_partial_file_longer_than_the_whole_starts_afresh(site: Site, tmp_path: Path) -> None:
    site.files["a.zip"] = BODY
    (tmp_path / "a.zip.part").write_bytes(BODY + b"more")
    assert fetch(f"{site.address}a.zip", tmp_path / "a.zip", md5=MD5).read_bytes() == BODY


def test_a_wrong_checksum_is_refused_and_nothing_is_kept(site: Site, tmp_path: Path) -> None:
    site.files["a.zip"] = BODY[:-1] + b"?"
    with pytest.raises(DataError, match=f"its MD5 is .*, and {MD5} is expected"):
        fetch(f"{site.address}a.zip", tmp_path / "a.zip", md5=MD5)
    assert list(tmp_path.iterdir()) == []


def test_a_line_that_stays_dead_ends_in_one_line_and_keeps_what_came(site: Site, tmp_path: Path) -> None:
    site.files["a.zip"] = BODY
    site.break_after = [1000] + [0] * 20
    with pytest.raises(DataError, match="1,000 bytes are kept, the same command goes on"):
        fetch(f"{site.address}a.zip", tmp_path / "a.zip", md5=MD5)
    assert (tmp_path / "a.zip.part").read_bytes() == BODY[:1000]
    site.status = 503
    with pytest.raises(DataError, match="the server says 503"):
        fetch(f"{site.address}a.zip", tmp_path / "a.zip", md5=MD5)


def test_what_is_not_there_or_nobody_at_all_is_told_at_once(site: Site, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="the server says 404"):
        fetch(f"{site.address}none.zip", tmp_path / "none.zip")
    assert len(site.asked) == 1
    with pytest.raises(DataError, match="refused"):
        fetch("http://127.0.0.1:9/a.zip", tmp_path / "a.zip")
    with pytest.raises(DataError, match="http:// or https:// is needed"):
        download(DOWNLOADS["div2k"], tmp_path, scale=4, address="file:///etc/")


def test_a_disk_without_room_is_told_before_anything_is_fetched(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.files["a.zip"] = BODY
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=400_000))
    with pytest.raises(DataError, match=r"needs 0\.0 GB to be fetched and unpacked"):
        fetch(f"{site.address}a.zip", tmp_path / "a.zip")
    assert list(tmp_path.iterdir()) == []


def test_archives_that_are_damaged_or_write_elsewhere_are_refused(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "torn.zip").write_bytes(archive_of({"f/a": b"1" * 1000})[:500])
    with pytest.raises(DataError, match="is no whole archive"):
        unpack(tmp_path / "torn.zip", tmp_path / "out", "f")
    (tmp_path / "evil.zip").write_bytes(archive_of({"../owned": b"1"}))
    with pytest.raises(DataError, match="would be written elsewhere"):
        unpack(tmp_path / "evil.zip", tmp_path / "out", "f")
    (tmp_path / "other.zip").write_bytes(archive_of({"g/a": b"1"}))
    with pytest.raises(DataError, match="holds no folder 'f'"):
        unpack(tmp_path / "other.zip", tmp_path / "out", "f")
    assert list((tmp_path / "out").iterdir()) == []
    assert not (tmp_path / "owned").exists()


def png(seed: int, side: int) -> bytes:
    memory = io.BytesIO()
    pixels = np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(memory, format="PNG")
    return memory.getvalue()


def small_div2k(site: Site) -> Download:
    """DIV2K's archives with four images, and the digests that belong to them."""
    parts = []
    for part in DOWNLOADS["div2k"].parts:
        side = 64 // (part.scale or 1)
        numbers = range(801, 803) if "valid" in part.folder else range(1, 3)
        ending = f"x{part.scale}" if part.scale else ""
        body = archive_of({f"{part.folder}/{n:04}{ending}.png": png(n, side) for n in numbers})
        site.files[part.archive] = body
        md5 = hashlib.md5(body, usedforsecurity=False).hexdigest()
        parts.append(Archive(archive=part.archive, folder=part.folder, md5=md5, scale=part.scale))
    return Download(address=site.address, parts=tuple(parts))


def test_div2k_is_fetched_once_for_a_scale_and_can_be_trained_on(site: Site, tmp_path: Path) -> None:
    from nas.data import load_data

    wanted = small_div2k(site)
    site.break_after = [100, 100]
    folders = download(wanted, tmp_path / "DIV2K", scale=2)
    assert folders == [
        "DIV2K_train_HR",
        "DIV2K_valid_HR",
        "DIV2K_train_LR_bicubic/X2",
        "DIV2K_valid_LR_bicubic/X2",
    ]
    assert not list((tmp_path / "DIV2K").glob("*.zip*"))
    asked = len(site.asked)
    assert download(wanted, tmp_path / "DIV2K", scale=2) == folders
    assert len(site.asked) == asked
    data = load_data(f"div2k:{tmp_path / 'DIV2K'}", 2, 12)
    assert (len(data.train), len(data.valid), data.low_resolution) == (2, 2, "read")


Nas = Callable[..., subprocess.CompletedProcess[str]]


def test_the_command_names_what_it_finds_and_what_it_cannot_fetch(
    nas: Nas, site: Site, tmp_path: Path
) -> None:
    small_div2k(site)
    refused = nas("data", "download", "div2k", "--data-dir", "d", "--scale", "2", "--address", site.address)
    assert refused.returncode == 2
    assert "is expected" in refused.stderr  # these are not the real archives
    assert "DIV2K_train_HR.zip" in refused.stdout
    for name in ("0001", "0002"):
        (tmp_path / "d" / "DIV2K" / "DIV2K_train_HR").mkdir(parents=True, exist_ok=True)
        (tmp_path / "d" / "DIV2K" / "DIV2K_train_HR" / f"{name}.png").write_bytes(png(1, 64))
    (tmp_path / "d" / "Set5").mkdir()
    (tmp_path / "d" / "Set5" / "a.png").write_bytes(png(1, 64))
    listed = nas("data", "--data-dir", "d")
    assert listed.returncode == 0, listed.stderr
    assert "div2k:d/DIV2K" in listed.stdout
    assert "2 images" in listed.stdout
    assert "LR made" in listed.stdout
    assert "Set5" in listed.stdout
    assert "not decoded yet" in listed.stdout
    wrong = nas("data", "download", "div3k", "--data-dir", "d")
    assert "did you mean 'div2k'" in wrong.stderr
    assert "unknown action 'lst'; did you mean 'list'" in nas("data", "lst").stderr
    bundled = nas("data")
    assert bundled.returncode == 0
    assert "photos" in bundled.stdout
    assert "give --data-dir PATH for more" in bundled.stdout
