"""Which device ``auto`` means, and whether a named one is there."""

from __future__ import annotations

import torch

from nas.errors import RecipeError


def pick_device(word: str) -> str:
    """``auto``: the first CUDA device, or the CPU where there is none; otherwise ``word``, if it exists."""
    if word == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(word)
    except RuntimeError:
        raise RecipeError(f"device {word!r} is not known (write auto, cpu, cuda or cuda:1)") from None
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise RecipeError(f"device {word!r}: this machine has {torch.cuda.device_count()} CUDA device(s)")
    if device.type not in ("cpu", "cuda"):
        raise RecipeError(f"device {word!r} is not supported (allowed: auto, cpu, cuda, cuda:N)")
    return word
