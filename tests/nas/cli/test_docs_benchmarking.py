"""The commands of docs/benchmarking.md, run in one folder as a reader would."""

from __future__ import annotations

import re
import shlex
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

PAGE = (Path(__file__).parents[3] / "docs" / "benchmarking.md").read_text(encoding="utf-8")
Nas = Callable[..., subprocess.CompletedProcess[str]]


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, flags=re.DOTALL)


@pytest.mark.thorough
def test_every_command_of_the_page_works(nas: Nas, tmp_path: Path) -> None:
    [recipe] = blocks("toml")
    (tmp_path / "tiny.toml").write_text(recipe)
    printed = {}
    commands = [line for block in blocks("sh") for line in block.splitlines()]
    assert len(commands) == 9
    for command in commands:
        done = nas(*shlex.split(command)[1:], timeout=300)
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
        printed[command] = done.stdout
    assert "8 architectures, 24 trainings" in printed[commands[2]]
    assert "a table of 240 architectures" in printed[commands[3]]  # the one that is shipped
    assert "a table of 8 architectures" in printed[commands[4]]
    assert {path.name for path in (tmp_path / "cmp").iterdir()} >= {"comparison.md", "comparison.png"}
    assert "| `surrogate` |" in printed[commands[8]]
