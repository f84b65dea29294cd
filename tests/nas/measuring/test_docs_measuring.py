"""The commands and the program of docs/measuring.md, run in one folder as a reader would."""

from __future__ import annotations

import re
import shlex
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

PAGE = (Path(__file__).parents[3] / "docs" / "measuring.md").read_text(encoding="utf-8")
Nas = Callable[..., subprocess.CompletedProcess[str]]


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, flags=re.DOTALL)


@pytest.mark.thorough
def test_every_command_of_the_page_works(nas: Nas) -> None:
    commands = [line for block in blocks("sh") for line in block.splitlines()]
    assert len(commands) == 3
    for command in commands:
        done = nas(*shlex.split(command)[1:])
        assert done.returncode == 0, f"{command}\n{done.stderr}"


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")  # of the exporter
@pytest.mark.thorough
def test_the_program_of_the_page_runs(tmp_path: Path) -> None:
    (code,) = blocks("python")
    names: dict[str, object] = {"folder": tmp_path}
    exec(code, names)  # noqa: S102  (our own page)
    assert names["sr"].shape == (1, 3, 192, 192)  # type: ignore[attr-defined]
