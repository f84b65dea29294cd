from __future__ import annotations

import struct
from pathlib import Path

import pandas as pd
import pytest

from leaderboard.errors import LeaderboardError
from leaderboard.store import Store
from leaderboard.views import Show
from leaderboard.views.static_png import save_front_png


def test_the_picture_is_whole_and_large_enough_to_read(filled: Path, tmp_path: Path) -> None:
    with Store.at(filled, read_only=True) as store:
        frame = store.frame("x4-300k")
    path = save_front_png(
        frame, tmp_path / "new" / "front.png", Show(study="x4-300k", budget={"multi_adds": 15e9})
    )
    data = path.read_bytes()
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    assert struct.unpack(">II", data[16:24]) == (1600, 1000)
    assert [file.name for file in path.parent.iterdir()] == ["front.png"]


def test_names_are_no_formulas(filled: Path, tmp_path: Path) -> None:
    with Store.at(filled, read_only=True) as store:
        frame = store.frame("x4-300k").assign(study="$\\frac{$", data="a_b^$")
    save_front_png(frame, tmp_path / "front.png", Show(study="$\\frac{$", cost="params"), dpi=50)


def test_nothing_measured_is_said_and_nothing_written(filled: Path, tmp_path: Path) -> None:
    with Store.at(filled, read_only=True) as store:
        frame = store.frame("empty")
    with pytest.raises(LeaderboardError, match="run 'empty' has no measured network"):
        save_front_png(frame, tmp_path / "front.png", Show(study="empty"))
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_cannot_be_written_is_one_line(filled: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with Store.at(filled, read_only=True) as store:
        frame = store.frame("x4-300k")
    with pytest.raises(LeaderboardError, match=r"front\.png: cannot be written"):
        save_front_png(frame, tmp_path / "file" / "front.png", Show(study="x4-300k"), dpi=50)


@pytest.mark.thorough
def test_seeds_and_published_networks_are_in_the_picture(tmp_path: Path) -> None:
    from PIL import Image
    from rich_results import RECIPE, STUDY, make

    with Store.at(make(tmp_path / "results.db", trials=60), read_only=True) as store:
        frame = store.frame(STUDY)

    def pixels(frame: pd.DataFrame, protocol: str, **changes: str) -> bytes:
        show = Show(study=STUDY, protocol=protocol, budget=RECIPE["budget"], **changes)  # type: ignore[arg-type]
        path = save_front_png(frame, tmp_path / "front.png", show, dpi=60)
        with Image.open(path) as image:
            return image.tobytes()

    plain = frame.assign(name=None)
    assert pixels(frame, "rung0-5a17") != pixels(plain, "rung0-5a17")  # the names
    once = frame[frame["seed"] == 0]
    assert pixels(frame, "rung1-5a17") != pixels(once, "rung1-5a17")  # the bars
    assert pixels(frame, "rung0-5a17") != pixels(frame, "rung0-5a17", quality="ssim")
