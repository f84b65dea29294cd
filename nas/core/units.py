"""Counts and times as people write them: 300k, 15G, 1h 05m."""

from __future__ import annotations

import re

from leaderboard.names import shortened
from nas.errors import RecipeError

MOST = 10**18
"""The greatest count."""

SUFFIXES = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}


def parse_count(text: str | float) -> int:
    """A positive whole number from ``300k``, ``1.5M``, ``15G`` (powers of 1000) or plain digits.

    Raises RecipeError for anything else.
    """
    match = re.fullmatch(
        r"\s*([0-9][0-9_]*(?:\.[0-9]+)?(?:e[0-9]{1,2})?)\s*([kmgt]?)\s*", str(text).lower(), re.ASCII
    )
    value = float(match[1]) * SUFFIXES[match[2]] if match else 0.0
    if value < 1:
        raise RecipeError(f"{shortened(text)!r} is no count above zero (write 300000, 300k, 1.5M or 15G)")
    if value > MOST:
        raise RecipeError(f"{shortened(text)!r} is above {MOST:.0e}, the greatest count")
    return round(value)


def format_count(value: float) -> str:
    """About four digits and a suffix: 715176 -> 715.2K, 40885862400 -> 40.89G."""
    for suffix, factor in (("T", 1e12), ("G", 1e9), ("M", 1e6), ("K", 1e3)):
        if abs(value) >= factor:
            return f"{value / factor:.4g}{suffix}"
    return f"{value:g}"


def format_seconds(seconds: float) -> str:
    """0:42, 12:05 or 3:07:09."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
