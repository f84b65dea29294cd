"""``nas fit``: what people see of published networks that are made to fit."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

Nas = Callable[..., subprocess.CompletedProcess[str]]
PAGE = Path(__file__).parents[3] / "docs" / "spaces.md"
LIMITS = ("--max-params", "102.728k", "--max-multi-adds", "5.64G")


def test_both_shapes_are_listed_with_their_fill(nas: Nas) -> None:
    done = nas("fit", "imdn", "span-48", *LIMITS, "--scale", "4")
    assert done.returncode == 0, done.stderr
    for words in (("imdn-like", "64 x 6", "36 x 2", "96,892", "98.1%"), ("span-48-filling", "48 x 6")):
        [line] = [line for line in done.stdout.splitlines() if words[0] in line]
        assert all(word in line for word in words)


def test_what_does_not_fit_is_said(nas: Nas) -> None:
    done = nas("fit", "imdn", "--max-params", "1k")
    assert done.returncode == 0 and done.stdout.count("none fits") == 2


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("imdn",), "give --max-params, --max-multi-adds or both"),
        (("imdm", *LIMITS), "did you mean 'imdn'"),
        (("swinir-light", *LIMITS), "unknown published network with sizes 'swinir-light'"),
        (("imdn", *LIMITS, "--scale", "5"), "--scale 5: 2, 3 or 4"),
        (("imdn", "--max-params", "many"), "many"),
    ],
)
def test_a_mistake_is_one_line(nas: Nas, words: tuple[str, ...], said: str) -> None:
    done = nas("fit", *words)
    assert done.returncode == 2 and said in done.stderr and len(done.stderr.splitlines()) == 1


@pytest.mark.thorough
def test_the_table_of_the_page_is_what_its_commands_print(nas: Nas) -> None:
    text = PAGE.read_text(encoding="utf-8")
    commands = re.findall(r"^nas (fit .*)$", text, flags=re.MULTILINE)
    cells: dict[str, list[str]] = {}
    for command in commands:
        done = nas(*command.split(), "--json")
        assert done.returncode == 0, done.stderr
        for row in json.loads(done.stdout):
            cells.setdefault(row["name"], []).extend(
                [f"{row['width']} x {row['blocks']}", f"{row['fill']:.1%}"]
            )
            assert row["fill"] >= 0.95
    assert len(commands) == 2
    lines = [f"| `{name}` | {' | '.join(found)} |" for name, found in cells.items()]
    assert "\n".join(lines) in text
