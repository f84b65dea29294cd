from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

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
        "leaderboard.schema",
        "leaderboard.store",
        "leaderboard.pareto",
    )
    assert not imported(*light) & (HEAVY | NEVER)


FLOORS = (
    "errors",
    "schema",
    "database",
    "records",
    "owners",
    "store.transactions",
    "store.rows",
    "store.studies",
    "store.trials",
    "store.leases",
    "store.measurements",
    "store.requests",
    "store.runtimes",
    "store.trainings",
    "store.frames",
    "store.contents",
    "store.merging",
    "store",
    "trial_tables",
    "chart",
    "exchange",
    "dominance",
    "pareto",
    "pictures",
    "reported",
    "tables",
    "paper",
    "views.show",
    "views.style",
    "views.points",
    "views.front",
    "views.axes",
    "views.rejects",
    "views.fronts",
    "views.benchmarks",
    "views.progress",
    "views.effort",
    "views.importance",
    "views.slices",
    "views.heatmap",
    "views.parallel",
    "views.agreement",
    "views.curves",
    "views.timeline",
    "views.parts",
    "views",
    "sources",
    "png",
    "page.query",
    "page.parts",
    "page.diagram",
    "page.gathering",
    "page.security",
    "page.rows",
    "page.plain",
    "page.reading",
    "page.detail",
    "page.scene",
    "page.comparison",
    "page.layout",
    "page.drawing",
    "page.table",
    "page.selecting",
    "page.panel",
    "page.app",
    "page.serving",
    "page",
    "site.markup",
    "site.folder",
    "site.pages",
    "site",
)


@pytest.mark.parametrize("name", FLOORS)
def test_no_module_imports_from_a_higher_floor(name: str) -> None:
    assert set(FILES) == set(FLOORS)
    text = FILES[name].read_text("utf-8")
    above = FLOORS[FLOORS.index(name) + 1 :]
    assert not [other for other in above if f"from leaderboard.{other} " in text]
