"""The benchmarks are run by hand; that each can still be started is a test."""

from __future__ import annotations

from pathlib import Path

import pytest
from forked import Forker

SCRIPTS = sorted((Path(__file__).parent / "benchmarks").glob("*.py"))

START = """
import pathlib, runpy, sys
del sys.argv[0]
sys.path[0] = str(pathlib.Path(sys.argv[0]).parent)
runpy.run_path(sys.argv[0], run_name="__main__")
"""


@pytest.mark.thorough
@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_a_benchmark_starts(script: Path, forker: Forker) -> None:
    process = forker.python(START, str(script), "--help")
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
