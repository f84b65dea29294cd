"""Which cases of a test run every time, which thoroughly and which only nightly."""

from __future__ import annotations

from collections.abc import Container, Iterable
from typing import Any

import pytest


def mostly_thorough(cases: Iterable[Any], quick: Container[Any]) -> list[Any]:
    """Cases for `pytest.mark.parametrize`: those in `quick` run every time, the others with make thorough."""
    return [case if case in quick else pytest.param(case, marks=pytest.mark.thorough) for case in cases]


def nightly(cases: Iterable[Any]) -> list[Any]:
    """Cases that run with make nightly only."""
    return [pytest.param(case, marks=pytest.mark.nightly) for case in cases]
