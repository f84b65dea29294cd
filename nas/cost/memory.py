"""How much memory a network's inference needs: counted on the meta device, or by what the process grew."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from nas.cost.counting import OUTPUT, input_size, on_meta


def peak_memory(build: Callable[[], nn.Module], scale: int, output: tuple[int, int] = OUTPUT) -> int:
    """Bytes that weights, input and tensors on the way take at most at once, in float32, one image.

    The network is folded. The image is of ``output`` size (height, width) after enlarging. What the libraries below torch take for
    their own work is not counted: no number but a measured one could be, and it would differ by device.
    """
    network, x = on_meta(build, (1, 3, *input_size(scale, output)))
    watch = _Watch()
    for tensor in (x, *network.parameters(), *network.buffers()):
        watch.see(tensor)
    del tensor
    with torch.no_grad(), watch:
        network(x)
    return watch.most


class _Watch(TorchDispatchMode):
    """The most bytes alive at the end of an operation; views share their storage and count once."""

    def __init__(self) -> None:
        super().__init__()
        self.most = 0
        self._alive: dict[int, tuple[StorageWeakRef, int]] = {}

    def see(self, tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        reference = StorageWeakRef(storage)
        self._alive[reference.cdata] = reference, storage.nbytes()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        out = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(out):
            if isinstance(leaf, Tensor):
                self.see(leaf)
        self._alive = {key: kept for key, kept in self._alive.items() if not kept[0].expired()}
        self.most = max(self.most, sum(size for _, size in self._alive.values()))
        return out


def process_peak(run: Callable[[], object]) -> int | None:
    """Bytes by which this process grew at most in ``run``, libraries' work included; None but on Linux.

    It is small where an earlier run left memory to use again: ask in a process that did nothing yet.
    """
    try:
        Path("/proc/self/clear_refs").write_text("5")  # begins a new highest mark
        before = _said("VmRSS")
        run()
        return max(0, _said("VmHWM") - before)
    except OSError:
        return None


def _said(name: str) -> int:
    """A number of bytes that Linux says of this process."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    (line,) = (line for line in lines if line.startswith(f"{name}:"))
    return int(line.split()[1]) * 1024
