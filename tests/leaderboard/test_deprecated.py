from __future__ import annotations

import importlib

import pytest

from leaderboard.deprecated import NAMES


def from_import(full_name: str) -> object:
    """What ``from MODULE import NAME`` gives."""
    module, _, name = full_name.rpartition(".")
    return getattr(importlib.import_module(module), name)


@pytest.mark.parametrize(("old", "new"), NAMES.new_names.items())
def test_an_old_path_gives_the_same_thing_and_names_the_new_path(old: str, new: str) -> None:
    with pytest.warns(DeprecationWarning, match=f"^{old} is now {new}$"):
        assert from_import(old) is from_import(new)
