from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import nbformat
import pytest
from notebook import PAGE, executed

ROOT = Path(__file__).parents[1]


def kinds(notebook: Any) -> list[list[str]]:
    """What each cell gave, without its values."""
    return [
        sorted({kind for output in cell.outputs for kind in output.get("data", {})})
        for cell in notebook.cells
        if cell.cell_type == "code"
    ]


@pytest.mark.thorough
# of the kernel's own process and of libraries on the way to it
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::RuntimeWarning")
def test_the_notebook_runs_and_its_outputs_are_of_the_kind_that_it_shows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    run = executed(tmp_path)
    assert (tmp_path / "runs" / "results.db").exists()
    kept = nbformat.read(PAGE, as_version=4)
    assert kinds(run) == kinds(kept)
    assert "application/vnd.plotly.v1+json" in json.dumps(kinds(kept))
    for cell in kept.cells:
        if cell.cell_type == "code":
            assert cell.execution_count is not None
            assert not any(output.output_type == "error" for output in cell.outputs)


@pytest.mark.thorough
def test_the_notebook_names_no_folder_of_a_machine() -> None:
    text = PAGE.read_text("utf-8")
    assert "site-packages" not in text and "/home/" not in text
