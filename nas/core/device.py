"""This machine: devices, a CPU's threads and cores, free and exhausted memory."""

from __future__ import annotations

import os
from pathlib import Path

import torch

from nas.errors import RecipeError

MOST_THREADS = 4
"""More threads than this wait for each other longer than they compute, in networks this small."""


def cpu_threads(workers: int = 1) -> int:
    """Threads for each of ``workers`` trainings on this CPU: half of the logical cores, shared out.

    A thread that shares its core with anything else holds up all the others at every operation: on two busy
    cores two threads were measured slower than one, at worst eight times.
    """
    return max(1, min(MOST_THREADS, usable_cores() // 2 // workers))


def usable_cores() -> int:
    """Logical cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def free_memory() -> int:
    """Bytes of memory that this machine has left, without swapping."""
    try:
        for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2
    except (ValueError, OSError, AttributeError):
        return 4 * 2**30


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


def pick_devices(words: str) -> str:
    """The same for words with commas between them."""
    return ",".join(pick_device(word.strip()) for word in words.split(","))


def device_name(device: torch.device) -> str:
    """What a device is called in results; a CPU with the threads that torch has now."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"cpu ({torch.get_num_threads()} threads)"


def out_of_memory(error: Exception) -> str | None:
    """What the error says, in one line, if it is about memory; the kinds of device have no common type."""
    text = str(error).splitlines()[0] if str(error) else type(error).__name__
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return text
    signs = ("can't allocate memory", "not enough memory", "ALLOC_FAILED")
    return text if isinstance(error, RuntimeError) and any(sign in str(error) for sign in signs) else None
