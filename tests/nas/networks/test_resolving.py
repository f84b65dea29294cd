from __future__ import annotations

from pathlib import Path

import pytest

from nas.errors import RecipeError
from nas.networks.resolving import find_architecture
from search_spaces.published import PUBLISHED

MODULE = """
from torch import nn

def scaled(scale):
    return nn.Sequential(nn.Conv2d(3, 3 * scale**2, 3, padding=1), nn.PixelShuffle(scale))

def doubled():
    return scaled(2)

def wrong(scale):
    return "no network"
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    name = f"lab_{tmp_path.name}".replace("-", "_")
    (tmp_path / f"{name}.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    return name


def test_anybodys_function_is_a_network(module: str) -> None:
    assert find_architecture(f"{module}:scaled").cost(3).params == 27 * 27 + 27
    assert find_architecture(f"{module}:doubled").cost(2).params == 27 * 12 + 12


def test_what_is_no_network_is_refused(module: str) -> None:
    with pytest.raises(RecipeError, match=r"returned str, not a torch\.nn\.Module"):
        find_architecture(f"{module}:wrong").cost(2)
    with pytest.raises(RecipeError, match="cannot be imported"):
        find_architecture(f"{module}:nothing")
    with pytest.raises(RecipeError, match="cannot be imported"):
        find_architecture("no_such_lab:build")


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_networks_are_found_by_name(name: str) -> None:
    assert find_architecture(name).source == PUBLISHED[name].source
