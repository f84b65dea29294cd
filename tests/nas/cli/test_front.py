from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from board_database import make_board_database

Nas = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    make_board_database(tmp_path / "runs" / "results.db", 200, 2)
    return tmp_path / "runs"


def test_the_front_is_drawn_below_the_table_and_out_of_the_way_of_programs(runs: Path, nas: Nas) -> None:
    table = nas("front", "study-001", "--plot")
    assert table.returncode == 0, table.stderr
    _, _, chart = table.stdout.partition("\n\n")
    lines = chart.rstrip("\n").split("\n")
    assert lines[0] == "PSNR (dB) over Multi-Adds: * on the front, . beaten"
    assert len(lines) == 21 and max(map(len, lines)) <= 80
    assert sum(line.count("*") for line in lines[1:-2]) > 3
    program = nas("front", "study-001", "--plot", "--format", "json", "--cost", "params")
    assert json.loads(program.stdout)[0]["rank"] == 1
    assert "PSNR (dB) over Parameters" in program.stderr


def test_a_picture_is_still_made_of_all_columns(runs: Path, nas: Nas) -> None:
    done = nas("front", "study-000", "--png", "front.png")
    assert done.returncode == 0, done.stderr
    assert (runs.parent / "front.png").stat().st_size > 10_000
    assert nas("front", "study-000").stdout == done.stdout
