from __future__ import annotations

import importlib
import subprocess
import sys

import pytest

from leaderboard.deprecated import NAMES as LEADERBOARD_NAMES
from nas.core.deprecated import NAMES


def from_import(full_name: str) -> object:
    """What ``from MODULE import NAME`` gives."""
    module, _, name = full_name.rpartition(".")
    return getattr(importlib.import_module(module), name)


@pytest.mark.parametrize(("old", "new"), [*LEADERBOARD_NAMES.new_names.items(), *NAMES.new_names.items()])
def test_an_old_path_gives_the_same_thing_and_names_the_new_path(old: str, new: str) -> None:
    with pytest.warns(DeprecationWarning, match=f"^{old} is now {new}$"):
        assert from_import(old) is from_import(new)


@pytest.mark.thorough
def test_a_fresh_process_may_import_an_old_path_first() -> None:
    code = "from nas.compress.quantise import prepare_qat, quantise_onnx; from nas.search import search"
    done = subprocess.run(
        [sys.executable, "-W", "always", "-c", code], capture_output=True, text=True, check=True
    )
    assert "<string>:1: DeprecationWarning: nas.compress.quantise.prepare_qat is now" in done.stderr


@pytest.mark.parametrize("name", ["nas.compress.nothing", "nas.nothing", "nas.calibrate.nothing"])
def test_other_modules_that_are_not_there_are_not_found(name: str) -> None:
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module(name)


@pytest.mark.parametrize("module", ["nas.search", "nas.calibrate"])
def test_an_old_module_has_the_documented_names_alone(module: str) -> None:
    with pytest.raises(AttributeError, match=f"module '{module}' has no attribute 'nothing'"):
        from_import(f"{module}.nothing")
