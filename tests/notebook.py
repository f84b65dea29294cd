"""Runs docs/notebook.ipynb from its first cell to its last, in a folder of its own.

python tests/notebook.py    writes the outputs into the file anew
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient

PAGE = Path(__file__).parents[1] / "docs" / "notebook.ipynb"


def executed(folder: Path) -> Any:
    """The notebook with the outputs of a run in `folder`; raises when a cell does.

    What libraries say on standard error stays out: it names the machine's folders.
    """
    notebook = nbformat.read(PAGE, as_version=4)
    NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(folder)}}).execute()
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
        if cell.cell_type == "code":
            cell.outputs = [output for output in cell.outputs if output.get("name") != "stderr"]
    notebook.metadata = {
        "kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"},
        "language_info": {"name": "python"},
    }
    return notebook


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as place:
        nbformat.write(executed(Path(place)), PAGE)
