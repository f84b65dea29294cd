"""Formats that a network is exported in; each file is compared with the network before it gets its name.

To add a format, write a function that writes a network to a path and returns how to run that file, and put
it in FORMATS.
"""

from __future__ import annotations

import copy
import json
import random
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from leaderboard.store import Store
from nas.core.files import write_text
from nas.errors import ExportError, RecipeError, unknown
from nas.evaluation.benchmark_sets import Network, read_weights
from nas.export.card import NOT_STATED, as_markdown, make_card
from nas.export.onnx import LEAST_SIDE, OPSET, OnnxNetwork, write_onnx
from nas.export.program import read_program, write_program
from nas.export.python_source import python_source
from nas.training.checkpoint import save_weights
from search_spaces.blocks.folding import fold

TOLERANCE = 1e-4
"""Largest difference to PyTorch in float32, of the image's range or of the largest value, if that is more."""

Run = Callable[[Tensor], Tensor]


@dataclass(frozen=True, kw_only=True)
class Exported:
    """A written network: its file, its cards, the largest difference to PyTorch, and for which sizes."""

    path: Path
    cards: tuple[Path, Path]
    difference: float
    sizes: tuple[tuple[int, int, int], ...]


def _onnx(network: Network, path: Path) -> Run:
    write_onnx(network.module, network.scale, path)
    return OnnxNetwork(path, torch.get_num_threads())


def _program(network: Network, path: Path) -> Run:
    write_program(network.module, path)
    return read_program(path)


def _safetensors(network: Network, path: Path) -> Run:
    about: dict[str, Any] = {"network": network.name, "scale": network.scale}
    if network.genotype is not None:
        about |= {"space": network.genotype.space, "choices": network.genotype.to_dict()}
    save_weights(path, network.module.state_dict(), about)
    module = copy.deepcopy(network.module).cpu().eval()
    module.load_state_dict(read_weights(path))
    return module


def _python(network: Network, path: Path) -> Run:
    module = fold(copy.deepcopy(network.module).cpu().float().eval())
    path.write_text(python_source(module, f"{network.name}, x{network.scale}: {_HOW}"), encoding="utf-8")
    names: dict[str, Any] = {"__name__": path.stem}
    exec(compile(path.read_text(encoding="utf-8"), str(path), "exec"), names)  # noqa: S102  (we wrote it)
    made: nn.Module = names["network"]()
    x = torch.rand(1, 3, LEAST_SIDE + 1, LEAST_SIDE + 4)
    with torch.no_grad():
        if not torch.equal(_in_own_process(path, x), made(x)):
            raise ExportError("gives other numbers in a process of its own")
    return made


_HOW = """written by ParetoSR; needs torch alone.

    from FILE import network
    sr = network()(lr)  # (B, 3, H, W) in [0, 1] -> (B, 3, scale * H, scale * W), not clipped

Weights are at the end; docstrings and papers are those of the parts' own source."""


FORMATS: dict[str, Callable[[Network, Path], Run]] = {
    "onnx": _onnx,
    "torch-export": _program,
    "safetensors": _safetensors,
    "python": _python,
}
SUFFIXES = {"onnx": ".onnx", "torch-export": ".pt2", "safetensors": ".safetensors", "python": ".py"}
TOLD = {
    "onnx": f", opset {OPSET}; any batch, height and width from {LEAST_SIDE}; folded",
    "torch-export": f"; any batch, height and width from {LEAST_SIDE}; folded",
    "safetensors": "; weights by name",
    "python": "; needs torch alone; folded",
}
"""What is said of a format behind its name."""


def export(
    network: Network,
    format: str,
    path: Path,
    *,
    licence: str = NOT_STATED,
    force: bool = False,
    open_store: Callable[[], Store] | None = None,
) -> Exported:
    """Writes ``network`` to ``path`` in ``format``, and its card beside it as ``.json`` and ``.md``.

    The file is run on random odd sizes and compared with the network. Raises RecipeError for an unknown
    format and for a file that is there (unless ``force``), ExportError, which names formats that remain, for
    a network that cannot be written so or comes out different; then nothing is written.
    """
    if format not in FORMATS:
        raise unknown("format", format, FORMATS)
    path = path.with_suffix(SUFFIXES[format]) if not path.suffix else path
    cards = (path.with_suffix(path.suffix + ".json"), path.with_suffix(path.suffix + ".md"))
    for one in (path, *cards):
        if one.exists() and not force:
            raise RecipeError(f"{one}: is there already; --force replaces it")
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".export-") as folder:
        made = Path(folder) / f"network{SUFFIXES[format]}"
        try:
            run = FORMATS[format](network, made)
            difference, sizes = compare(network, run)
        except ExportError as error:
            others = ", ".join(name for name in FORMATS if name != format)
            raise ExportError(
                f"{network.name} as {format}: {error}; nothing was written (other formats: {others})"
            ) from error
        files = {
            "file": path.name,
            "format": format,
            "told": TOLD[format],
            "opset": OPSET if format == "onnx" else None,
            "difference": difference,
            "checked_sizes": [list(size) for size in sizes],
        }
        card = make_card(network, files, licence, open_store)
        texts = (json.dumps(card, indent=2, default=str) + "\n", as_markdown(card))
        for place, text in zip(cards, texts, strict=True):
            write_text(place, text)
        made.replace(path)
    return Exported(path=path, cards=cards, difference=difference, sizes=sizes)


@torch.no_grad()
def compare(network: Network, run: Run, seed: int = 0) -> tuple[float, tuple[tuple[int, int, int], ...]]:
    """The largest difference between ``run`` and the network, and the sizes: random odd ones, and the least.

    Raises ExportError where it is above TOLERANCE, or the shape is another.
    """
    dice = random.Random(seed)  # noqa: S311  (no secret)
    odd = [(batch, *(2 * dice.randrange(10, 30) + 1 for _ in range(2))) for batch in (1, 1, 2)]
    sizes = ((1, LEAST_SIDE, LEAST_SIDE), *((batch, height, width) for batch, height, width in odd))
    module = copy.deepcopy(network.module).cpu().float().eval()
    generator = torch.Generator().manual_seed(seed)
    worst = 0.0
    for batch, height, width in sizes:
        x = torch.rand(batch, 3, height, width, generator=generator)
        wanted, got = module(x), run(x)
        if got.shape != wanted.shape:
            raise ExportError(f"gives {tuple(got.shape)} for {tuple(x.shape)}, not {tuple(wanted.shape)}")
        difference = (got - wanted).abs().max().item()
        allowed = TOLERANCE * max(1.0, wanted.abs().max().item())
        if not difference <= allowed:  # NaN, too
            raise ExportError(f"differs by {difference:.1e} at {width}x{height} (allowed: {allowed:.1e})")
        worst = max(worst, difference)
    return worst, sizes


_ALONE = """
import sys, torch
for ours in ("nas", "search_spaces", "leaderboard", "safetensors"):
    sys.modules[ours] = None  # an import of it fails
sys.path.insert(0, sys.argv[1])
torch.set_num_threads(int(sys.argv[3]))
from network import network
torch.save(network()(torch.load(sys.argv[2], weights_only=True)), sys.argv[2])
"""


def _in_own_process(path: Path, x: Tensor) -> Tensor:
    """What a Python file gives where nothing of ours can be imported."""
    with tempfile.TemporaryDirectory() as folder:
        tensors = Path(folder) / "x.pt"
        torch.save(x, tensors)
        # -I: neither the working folder nor PYTHONPATH.
        threads = str(torch.get_num_threads())
        command = [sys.executable, "-I", "-c", _ALONE, str(path.parent), str(tensors), threads]
        done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603  (our own)
        if done.returncode:
            raise ExportError(f"the file fails ({done.stderr.strip().splitlines()[-1][:200]})")
        result: Tensor = torch.load(tensors, weights_only=True)
        return result
