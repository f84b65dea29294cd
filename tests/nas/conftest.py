"""A small space, small images and plans of a few steps: real trainings that take a moment."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from forked import Forker
from wave_images import write_images

from nas.recipes.recipe import Recipe, make_recipe

QUICK_SPACE: dict[str, list[Any]] = {
    "width": [16, 24],
    "blocks": [1, 2],
    "block": ["residual", "rlfb", "imdb", "safm"],
    "transformers": [0, 1],
    "transformer": ["window", "channel"],
}
"""Networks whose cost is counted in moments: others take up to two seconds each, before their training."""


@pytest.fixture(scope="session")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of five small images."""
    return write_images(tmp_path_factory.mktemp("images"))


@pytest.fixture(scope="session")
def small_recipe(images: Path) -> Callable[..., Recipe]:
    """A recipe whose candidates train in a fraction of a second; keywords change it."""

    def make(**changes: Any) -> Recipe:
        table: dict[str, Any] = {
            "name": "small",
            "scale": 2,
            "data": f"folder:{images}",
            "trials": 5,
            "device": "cpu",
            "space": {"only": QUICK_SPACE},
            "budget": {"params": "30k", "multi_adds": "8G"},
            "proxy": {"plan": "quick", "steps": 3, "batch": 2, "lr_patch": 12},
            "retrain": {"plan": "longer", "steps": 6, "batch": 2, "lr_patch": 12},
        }
        return make_recipe({**table, **changes})

    return make


@pytest.fixture
def nas(tmp_path: Path, forker: Forker) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs the real command in a process and a folder of its own."""
    return partial(forker.run_nas, cwd=tmp_path)


@pytest.fixture(scope="session")
def features(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of VGG19 in torchvision's layout; its weights are random, since the real ones are not here."""
    from nas.training.features import VGG19

    torch.manual_seed(5)
    network = VGG19()
    for layer in network.features:
        if isinstance(layer, torch.nn.Conv2d):
            torch.nn.init.kaiming_normal_(layer.weight)
    path = tmp_path_factory.mktemp("features") / "vgg19.pth"
    torch.save({**network.state_dict(), "classifier.6.bias": torch.zeros(1000)}, path)
    return path


@pytest.fixture
def run_script(tmp_path: Path) -> Callable[..., str]:
    """Runs a script of ``docs/`` in `tmp_path`, with the ``nas`` of these tests; keywords are settings."""
    command = tmp_path / "bin" / "nas"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m nas "$@"\n')
    command.chmod(0o755)

    def run(name: str, *arguments: str, **settings: str) -> str:
        path = f"{command.parent}{os.pathsep}{os.environ['PATH']}"
        done = subprocess.run(
            ["sh", Path(__file__).parents[2] / "docs" / name, *arguments],
            cwd=tmp_path,
            env={**os.environ, **settings, "PATH": path, "NAS_CACHE": str(tmp_path / "cache")},
            capture_output=True,
            text=True,
            timeout=900,
        )
        assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
        return done.stdout

    return run
