"""Networks measured side by side on one device: latency, throughput and peak memory, by engine and
precision.

To add an engine, write a function that gives a ready network (see ``_eager``) and put it in ENGINES.
"""

from __future__ import annotations

import copy
import importlib.util
import multiprocessing
import os
import pickle
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from leaderboard.store.records import Runtime
from nas._version import __version__
from nas.core.device import out_of_memory
from nas.cost.counting import input_size
from nas.cost.latency import WARM_UP, Latency, processor, timed_ms
from nas.cost.memory import process_peak
from nas.data import Patches, load_data
from nas.errors import NasError, RecipeError, unknown
from nas.export.onnx import OnnxNetwork, write_onnx
from nas.export.onnx_int8 import quantise_onnx
from search_spaces import Genotype, TrustedModule, trusted_spaces
from search_spaces.blocks.folding import fold
from search_spaces.trusted import adopt

RUNS = 10

DTYPES = {"fp32": torch.float32, "tf32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}

MOST_COMPILED = 1000
"""Networks share their blocks' code; over torch's limit of 8 versions of it they would run uncompiled,
untold.
"""

CALIBRATION = (16, 48)
"""How many patches of the bundled photographs an int8 file is made with here, and their side in LR pixels.
"""


SMALL = (24, 24)
"""Height and width of an LR image that needs next to no memory."""


@dataclass(frozen=True, kw_only=True)
class Subject:
    """A network to be measured: a module, or an ONNX file. ``published`` is what a paper calls it."""

    name: str
    scale: int
    module: nn.Module | None = None
    file: Path | None = None
    genotype: Genotype | None = None
    published: str | None = None
    weights: str = "random"


@dataclass(frozen=True, kw_only=True)
class MeasurementSetting:
    """How everything of one run is measured.

    ``size`` (height, width) is that of the output, or of the LR input where ``of_input``. ``threads`` are a
    CPU's. ``warm_up`` inferences do not count. ``memory`` False leaves the peak memory out.
    """

    device: torch.device
    threads: int
    size: tuple[int, int]
    of_input: bool = False
    batch: int = 1
    runs: int = RUNS
    warm_up: int = WARM_UP
    memory: bool = True

    def input_shape(self, scale: int) -> tuple[int, int, int, int]:
        """(B, 3, H, W) of the low-resolution input."""
        return self.batch, 3, *(self.size if self.of_input else input_size(scale, self.size))

    def output_size(self, scale: int) -> tuple[int, int]:
        """Height and width of the output as they were asked for."""
        return (self.size[0] * scale, self.size[1] * scale) if self.of_input else self.size


@dataclass(frozen=True, kw_only=True)
class Row:
    """What was found for one network on one engine in one precision; ``reason`` says why nothing was.

    ``megapixels_a_second`` are those of the output. ``peak_memory_bytes``: weights, images, what is kept on
    the way and what libraries take for their work; on a GPU as torch's allocator counts it, on a CPU as a
    process of its own grows. None where that was not measured.
    """

    subject: Subject
    engine: str
    precision: str
    latency: Latency | None = None
    images_a_second: float | None = None
    megapixels_a_second: float | None = None
    peak_memory_bytes: int | None = None
    reason: str | None = None


Run = Callable[[], object]


def measure_networks(
    subjects: Sequence[Subject],
    engines: Sequence[str],
    precisions: Sequence[str],
    setting: MeasurementSetting,
    tell: Callable[[str], None] = lambda text: None,
) -> list[Row]:
    """A row for each network, engine and precision, networks first; an engine has only its own precisions.

    The runs take turns (A B C A B C), so that a device that becomes slower makes all of them slower.
    Gradients are off; PyTorch computes channels last; the device is waited for before and after each run.
    ``tell`` hears what is done. A network that an engine cannot run has a row with its reason. Raises
    RecipeError for unknown words, engines that are not installed, and where nothing is left to measure.
    """
    ways = _ways(engines, precisions, setting.device)
    rows = [Row(subject=s, engine=engine, precision=word) for s in subjects for engine, word in ways]
    with tempfile.TemporaryDirectory(prefix="paretosr-") as folder, _measuring(setting, engines):
        ready: dict[int, Run] = {}
        for number, row in enumerate(rows):
            tell(f"{row.subject.name}: {row.engine}, {row.precision}")
            try:
                ready[number], rows[number] = _prepare(row, setting, Path(folder) / str(number))
            except Exception as error:  # whatever an engine says of a network is its row's reason
                rows[number] = replace(row, reason=_why(error))
        taken = _take_turns(ready, rows, setting, tell)
    return [_told(row, taken.get(number, []), setting) for number, row in enumerate(rows)]


def runtime_of(row: Row, setting: MeasurementSetting) -> Runtime:
    """A row that has a latency, as the results database keeps it."""
    assert row.latency is not None
    subject, on_cpu = row.subject, setting.device.type == "cpu"
    height, width = setting.output_size(subject.scale)
    return Runtime(
        network=subject.name,
        genotype_id=None if subject.genotype is None else subject.genotype.id,
        scale=subject.scale,
        height=height,
        width=width,
        batch=setting.batch,
        device=processor(setting.device),
        threads=setting.threads if on_cpu else 0,
        precision=row.precision,
        engine=row.engine,
        **vars(row.latency),
        peak_memory_bytes=row.peak_memory_bytes,
        torch_version=torch.__version__,
        code_version=__version__,
    )


def _ways(engines: Sequence[str], precisions: Sequence[str], device: torch.device) -> list[tuple[str, str]]:
    known = dict.fromkeys(word for _, words in ENGINES.values() for word in words)
    for kind, words, allowed in (("engine", engines, list(ENGINES)), ("precision", precisions, list(known))):
        for word in words:
            if word not in allowed:
                raise unknown(kind, word, allowed)
    ways = [(engine, word) for engine in engines for word in precisions if word in ENGINES[engine][1]]
    if device.type == "cpu":
        ways = [way for way in ways if way[1] != "tf32"]
    for engine in engines:
        if not any(way[0] == engine for way in ways):
            raise RecipeError(
                f"{engine} computes in {', '.join(ENGINES[engine][1])}, not in {', '.join(precisions)}"
            )
    if "onnxruntime" in engines:
        if device.type != "cpu":
            raise RecipeError(f"onnxruntime is measured on the CPU, not on {device}: give --device cpu")
        missing = [
            name for name in ("onnx", "onnxscript", "onnxruntime") if not importlib.util.find_spec(name)
        ]
        if missing:
            raise RecipeError(f"onnxruntime needs {', '.join(missing)}: pip install 'paretosr[export]'")
    compilers = [os.environ.get("CXX", "g++"), "clang++"]
    if "compiled" in engines and device.type == "cpu" and not any(map(shutil.which, compilers)):
        raise RecipeError(
            f"compiled needs a C++ compiler on the CPU, and none of {', '.join(compilers)} is here"
        )
    return ways


def _prepare(row: Row, setting: MeasurementSetting, folder: Path) -> tuple[Run, Row]:
    """A call that infers once, after those that warm up; the row with the memory that it took."""
    device, subject = setting.device, row.subject
    x = torch.rand(setting.input_shape(subject.scale), generator=torch.Generator().manual_seed(0))
    folder.mkdir()
    held = torch.cuda.memory_allocated(device) if device.type == "cuda" else 0
    network = ENGINES[row.engine][0](row, setting, folder)
    x = x.to(device, dtype=DTYPES.get(row.precision, torch.float32) if row.engine != "onnxruntime" else None)
    x = x.contiguous(memory_format=torch.channels_last)

    def run() -> None:
        with _products(row.precision):
            network(x)

    run()  # compiles, loads kernels
    peak = None
    if setting.memory and device.type == "cuda":
        torch.cuda.synchronize(device)
        torch.cuda.reset_peak_memory_stats(device)
        run()
        torch.cuda.synchronize(device)
        peak = torch.cuda.max_memory_allocated(device) - held
    elif setting.memory and row.engine != "compiled":
        peak = _peak_of_a_process(network, x, setting.threads)
    return run, replace(row, peak_memory_bytes=peak)


def _take_turns(
    ready: dict[int, Run], rows: list[Row], setting: MeasurementSetting, tell: Callable[[str], None]
) -> dict[int, list[float]]:
    """Milliseconds of each row's runs; a row that fails on the way gets its reason in ``rows``."""
    taken: dict[int, list[float]] = {number: [] for number in ready}
    for turn in range(1 - setting.warm_up, setting.runs + 1):
        tell(f"round {turn} of {setting.runs}" if turn > 0 else "warming up")
        for number in list(ready):
            try:
                took = timed_ms(ready[number], setting.device)
                if turn > 0:
                    taken[number].append(took)
            except Exception as error:  # as above
                rows[number] = replace(rows[number], reason=_why(error))
                del ready[number], taken[number]
    return taken


def _told(row: Row, taken: list[float], setting: MeasurementSetting) -> Row:
    if not taken:
        return row
    latency = Latency.of(taken)
    images = setting.batch * 1e3 / latency.median_ms
    _, _, height, width = setting.input_shape(row.subject.scale)
    pixels = height * width * row.subject.scale**2
    return replace(row, latency=latency, images_a_second=images, megapixels_a_second=images * pixels / 1e6)


def _eager(row: Row, setting: MeasurementSetting, folder: Path) -> nn.Module:
    module = row.subject.module
    if module is None:
        raise RecipeError("an ONNX file runs in onnxruntime only")
    network = fold(copy.deepcopy(module)).eval().to(setting.device, dtype=DTYPES[row.precision])
    return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def _compiled(row: Row, setting: MeasurementSetting, folder: Path) -> nn.Module:
    network: Any = torch.compile(_eager(row, setting, folder), dynamic=False)
    return network


def _onnxruntime(row: Row, setting: MeasurementSetting, folder: Path) -> nn.Module:
    subject, path, small = row.subject, folder / "fp32.onnx", folder / "int8.onnx"
    if subject.file is not None:
        path = subject.file
        if _is_quantised(path) != (row.precision == "int8"):
            raise RecipeError(f"the file is no {row.precision}")
    else:
        assert subject.module is not None
        write_onnx(subject.module, subject.scale, path)
        if row.precision == "int8":
            count, side = CALIBRATION
            pairs = load_data("photos", subject.scale, side).train
            patches = Patches(pairs, scale=subject.scale, lr_patch=side, seed=0, device=torch.device("cpu"))
            quantise_onnx(path, small, [patches.draw(count)[0]])
            path = small
    return _File(path, setting.threads)


class _File(OnnxNetwork):
    """An ONNX file that remembers where it lies."""

    def __init__(self, path: Path, threads: int) -> None:
        super().__init__(path, threads)
        self.path = path


def _is_quantised(path: Path) -> bool:
    import onnx

    return any(node.op_type in ("QuantizeLinear", "QLinearConv") for node in onnx.load(str(path)).graph.node)


Engine = Callable[[Row, MeasurementSetting, Path], nn.Module]

ENGINES: dict[str, tuple[Engine, tuple[str, ...]]] = {
    "eager": (_eager, tuple(DTYPES)),
    "compiled": (_compiled, tuple(DTYPES)),
    "onnxruntime": (_onnxruntime, ("fp32", "int8")),
}
"""How a network is run: a function that makes it ready, and the precisions that it can be asked for."""


def _peak_of_a_process(network: nn.Module, x: Tensor, threads: int) -> int | None:
    """What a fresh process grows by for the weights and one inference; None where it cannot be told.

    In this process memory that is free to be used again would not show.
    """
    what = network.path if isinstance(network, _File) else network
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    try:
        job = trusted_spaces(), pickle.dumps(what), tuple(x.shape), x.dtype, threads
        child = context.Process(target=_report_peak, args=(sender, *job))
        child.start()
    except Exception:  # a network that cannot be pickled: anybody's
        return None
    sender.close()
    try:
        peak: int | None = receiver.recv()
    except EOFError:
        peak = None
    child.join()
    return peak


def _report_peak(
    sender: Any,
    spaces: Sequence[TrustedModule],
    pickled: bytes,
    shape: tuple[int, ...],
    dtype: torch.dtype,
    threads: int,
) -> None:
    torch.set_num_threads(threads)
    adopt(spaces)  # before the network is read, whose blocks may be in a file of one's own
    what = pickle.loads(pickled)  # noqa: S301  (from our own parent)
    is_file = isinstance(what, Path)
    weights = 0 if is_file else sum(tensor.nbytes for tensor in (*what.parameters(), *what.buffers()))

    def infer(shape: tuple[int, ...]) -> None:
        network = _File(what, threads) if is_file else what
        network(torch.rand(shape).to(dtype).contiguous(memory_format=torch.channels_last))

    with torch.no_grad():
        with suppress(Exception):  # the libraries' own code is loaded; a network may refuse what is small
            infer((1, 3, *SMALL))
        peak = process_peak(lambda: infer(shape))
    sender.send(None if peak is None else peak + weights)


@contextmanager
def _measuring(setting: MeasurementSetting, engines: Sequence[str]) -> Iterator[None]:
    """Threads as asked for, no gradients, and room for as many compiled networks as there are."""
    before = torch.get_num_threads()
    torch.set_num_threads(setting.threads)
    try:
        with ExitStack() as stack:
            stack.enter_context(torch.no_grad())
            if "compiled" in engines:
                torch._dynamo.reset()
                config: Any = torch._dynamo.config
                stack.enter_context(config.patch(cache_size_limit=MOST_COMPILED))
            yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def _products(precision: str) -> Iterator[None]:
    """A GPU rounds factors to 10 bits in tf32, and in nothing else."""
    convolutions, products = torch.backends.cudnn, torch.backends.cuda.matmul
    before = convolutions.allow_tf32, products.allow_tf32
    convolutions.allow_tf32 = products.allow_tf32 = precision == "tf32"
    try:
        yield
    finally:
        convolutions.allow_tf32, products.allow_tf32 = before


def _why(error: Exception) -> str:
    full = out_of_memory(error)
    if full is not None:
        return f"out of memory ({full})"
    line = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    return line if isinstance(error, NasError) else f"{type(error).__name__}: {line}"
