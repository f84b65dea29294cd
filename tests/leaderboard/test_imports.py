from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import leaderboard

FOLDER = Path(leaderboard.__file__).parent
FILES = {
    ".".join(path.relative_to(FOLDER).with_suffix("").parts).removesuffix(".__init__"): path
    for path in FOLDER.rglob("*.py")
    if "migrations" not in path.parts and path != FOLDER / "__init__.py"
}
MODULES = sorted(f"leaderboard.{name}" for name in FILES)
HEAVY = {"pandas", "plotly", "dash", "matplotlib", "alembic"}
NEVER = {"torch", "optuna", "nas", "search_spaces"}


def imported(*modules: str) -> set[str]:
    """The packages that a fresh process holds after importing `modules`."""
    lines = [f"import {module}" for module in modules]
    code = "; ".join([*lines, "import sys", "print(*{name.partition('.')[0] for name in sys.modules})"])
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_browsing_results_never_imports_the_training_side() -> None:
    assert "leaderboard.store" in MODULES
    assert not imported(*MODULES) & NEVER


def test_a_search_starts_without_the_page_and_the_figures() -> None:
    light = (
        "leaderboard",
        "leaderboard.errors",
        "leaderboard.store.schema",
        "leaderboard.store",
        "leaderboard.fronts.pareto",
    )
    assert not imported(*light) & (HEAVY | NEVER)
