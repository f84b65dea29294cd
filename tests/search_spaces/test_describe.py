"""docs/spaces.md is what the code says, its examples run, and drawings show what the network runs."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import torch

import search_spaces
from search_spaces import Space, load_space
from search_spaces.describe import EXAMPLE, draw, renew
from search_spaces.lightweight import Lightweight

PAGE = Path(__file__).parents[2] / "docs" / "spaces.md"


def _examples(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE.read_text(encoding="utf-8"), flags=re.DOTALL)


def test_the_page_is_current() -> None:
    page = PAGE.read_text(encoding="utf-8")
    message = "run python -m search_spaces.describe docs/spaces.md"
    assert renew(page) == page, message


def test_a_page_without_its_markers_is_refused() -> None:
    with pytest.raises(ValueError, match="no section 'count'"):
        renew("nothing")


def test_the_example_recipe_narrows_the_space() -> None:
    table = tomllib.loads(_examples("toml")[0])["space"]
    assert Space(load_space(table["name"]), table["only"]).count() > 0


def test_the_example_space_works_from_outside(tmp_path: Path, monkeypatch, dice) -> None:  # type: ignore[no-untyped-def]
    [example] = [text for text in _examples("python") if "class Chain" in text]
    (tmp_path / "my_space.py").write_text(example, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    try:
        chain = load_space("my_space", trust=True)
        assert chain.space == "my_space:Chain" and load_space("my_space:Chain") is chain
        assert load_space(chain.space) is chain
        space = Space(chain)
        widths, kernels = 5, 7
        assert space.count() == widths * kernels * (1 + 5 * 2)
        for seed in range(5):
            genotype = chain.suggest(dice(seed))
            assert chain.from_dict(genotype.to_dict()) == genotype
            assert genotype.build(2)(torch.rand(1, 3, 5, 6)).shape == (1, 3, 10, 12)
    finally:
        sys.modules.pop("my_space", None)


def test_the_example_block_is_one_class_and_one_line(tmp_path: Path) -> None:
    package = tmp_path / "search_spaces"
    shutil.copytree(
        Path(search_spaces.__file__).parent, package, ignore=shutil.ignore_patterns("__pycache__")
    )
    file = package / "blocks" / "distillation.py"
    source = file.read_text(encoding="utf-8")
    table = "DISTILLERS: dict[str, type[nn.Module]] = {\n"
    assert table in source
    changed = source.replace(table, f'{_examples("python")[0]}\n\n{table}    "mine": MyBlock,\n')
    file.write_text(changed, encoding="utf-8")
    program = (
        "import torch; from search_spaces.lightweight import Lightweight as L;"
        "g = L(block='mine', attention='pa', kernel='strip'); assert 'depth' not in g.to_dict();"
        "print(tuple(g.build(2)(torch.rand(1, 3, 5, 6)).shape))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, env={"PYTHONPATH": str(tmp_path)}, capture_output=True
    )
    assert done.stdout.decode().strip() == "(1, 3, 10, 12)", done.stderr.decode()


@pytest.mark.parametrize("seed", range(25))
def test_a_drawing_has_the_parts_that_the_network_runs_in_their_order(seed: int, dice) -> None:  # type: ignore[no-untyped-def]
    genotype = EXAMPLE if seed == 0 else Lightweight.suggest(dice(seed))
    network = genotype.build(2)
    ran: list[str] = []
    for name, module in network.named_modules():
        if re.fullmatch(r"stem|end|tail|shallow_tail|(blocks|transformers)\.\d+", name):
            module.register_forward_hook(lambda *_, name=name: ran.append(name))
    network(torch.rand(1, 3, 8, 8))
    drawn = []
    for node in re.findall(r"^  (\w+)[\[(]", draw(genotype), flags=re.MULTILINE):
        part = re.sub(r"^(blocks_\d+)_\d+$", r"\1", node).replace("end_part", "end")
        if re.fullmatch(r"stem|end|tail|shallow_tail|(blocks|transformers)_\d+", part):
            drawn.append(re.sub(r"^(blocks|transformers)_", r"\1.", part))
    assert drawn == ran


@pytest.mark.parametrize("seed", range(25))
def test_a_drawing_joins_only_nodes_that_it_has(seed: int, dice) -> None:  # type: ignore[no-untyped-def]
    drawing = draw(Lightweight.suggest(dice(seed)))
    nodes = set(re.findall(r"^  (\w+)[\[(]", drawing, flags=re.MULTILINE))
    edges = re.findall(r"^  (\w+) --> (\w+)$", drawing, flags=re.MULTILINE)
    assert {node for edge in edges for node in edge} == nodes
