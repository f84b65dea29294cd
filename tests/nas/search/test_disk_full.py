"""A disk that fills in the middle of a search: a real, small file system."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from small_disk import mounted

from leaderboard.store import Store

RECIPE = """
name = "full"
scale = 2
data = "folder:{images}"
trials = 12
device = "cpu"
sampler = "random"
executor = "{executor}"
[space.only]
width = [32]
blocks = [2, 3]
transformers = [0]
[proxy]
plan = "quick"
steps = 3
batch = 2
lr_patch = 12
"""


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1.2 MB in memory."""
    with mounted(tmp_path / "runs", "1200k") as place:
        yield place


def test_reading_results_on_a_full_disk_says_that_it_is_full(
    disk: Path, nas: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    Store.at(disk / "results.db").close()
    with (disk / "filler").open("wb", buffering=0) as filler, contextlib.suppress(OSError):
        while True:
            filler.write(bytes(4096))
    done = nas("front", "demo", "--runs", str(disk))
    assert done.returncode == 2
    assert "the disk is full" in done.stderr
    assert done.stderr.count("\n") == 1
    (disk / "filler").unlink()
    assert "disk" not in nas("front", "demo", "--runs", str(disk)).stderr


@pytest.mark.thorough
@pytest.mark.parametrize("executor", ["inline", "processes"])
def test_a_search_stops_on_a_full_disk_with_one_line_and_goes_on_when_there_is_room(
    disk: Path,
    tmp_path: Path,
    images: Path,
    nas: Callable[..., subprocess.CompletedProcess[str]],
    executor: str,
) -> None:
    (tmp_path / "full.toml").write_text(RECIPE.format(images=images, executor=executor))
    stopped = nas("search", "full.toml")
    assert stopped.returncode == 2, stopped.stdout
    assert stopped.stderr.count("\n") == 1
    assert "no space left" in stopped.stderr.lower() or "disk is full" in stopped.stderr.lower()
    subprocess.run(["mount", "-o", "remount,size=64m", disk], check=True)
    with Store.at(disk / "results.db", read_only=True) as store:
        kept = store.frame("full")
    kept = kept[kept["state"] == "finished"]
    assert 0 < len(kept) < 12
    for checkpoint in kept["checkpoint"]:  # what a result names is there, whole
        assert (disk / checkpoint).stat().st_size > 0
    assert not list(disk.rglob("*.tmp"))
    again = nas("search", "full.toml")
    assert again.returncode == 0, again.stderr
    with Store.at(disk / "results.db", read_only=True) as store:
        frame = store.frame("full")
    finished = frame[frame["state"] == "finished"]
    assert len(finished) == 12
    assert finished["genotype"].is_unique
    assert not frame["state"].isin(["running", "waiting", "failed"]).any()
    same = finished.set_index("genotype").loc[kept["genotype"]]
    assert list(same["psnr_db"]) == list(kept["psnr_db"])
