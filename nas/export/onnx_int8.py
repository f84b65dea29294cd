"""ONNX files in 8-bit integers, quantised after training.

What is computed in integers was decided by measurements (``docs/measuring.md``): activations unsigned with a
zero point, one range a tensor; weights signed and symmetric, one range an output channel. For these ONNX
Runtime has its fast kernels on x86; with signed activations the same networks took up to twice as long. The
survey's case study (Light-F2SRGAN, Electronics 2023, 12(11), 2544, released code) has asymmetric weights, for
which there are none. Ranges of activations are the extremes over all images, or the mean over images of each
one's extremes: some networks lost less with one, some with the other, so that a file is made both ways and
the nearer to float32 is kept.
"""

from __future__ import annotations

import contextlib
import logging
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from nas.core.files import write_whole
from nas.errors import CompressError

COMPARED = 32
"""About so many patches decide between two ways to find the ranges."""

INSTALL = "pip install 'paretosr[compress]'"

_LAYERS = {"Conv", "ConvTranspose", "Gemm", "MatMul"}


def quantise_onnx(float_file: Path, int8_file: Path, patches: Iterable[Tensor]) -> None:
    """Writes the network of ``float_file`` with 8-bit weights and activations to ``int8_file``.

    Static, QDQ format. ``patches`` are low-resolution images, (3, H, W) or (B, 3, H, W), float in [0, 1]:
    what the ranges of activations are found on; some dozens of training patches are enough. What comes after
    the last layer (an enlarged image that is added, for example) and a path without layers stay in float32,
    and so do products of two activations. Batch normalisation and re-parameterised convolutions have to be
    folded before. Raises CompressError for a file that is no ONNX file, is quantised already or has no layer,
    and for no patches.
    """
    onnx, quantization = _packages()
    images = _Images(patches)
    with tempfile.TemporaryDirectory(prefix="paretosr-") as folder, _quiet():
        plain = Path(folder) / "plain.onnx"
        images.name = _session(float_file, plain).get_inputs()[0].name
        model = onnx.load(str(plain))
        for number, node in enumerate(model.graph.node):
            node.name = f"{node.op_type}{number}"
        onnx.save(model, str(plain))
        kinds = {node.op_type for node in model.graph.node}
        if kinds & {"QuantizeLinear", "QLinearConv"}:
            raise CompressError(f"{float_file}: is quantised already")
        if not kinds & _LAYERS:
            raise CompressError(f"{float_file}: has no convolution and no linear layer to quantise")
        kept, image = _after_layers(model)
        tries = [Path(folder) / f"{kind}.onnx" for kind in ("extremes", "means")]
        try:
            ranges = images.ranges(model, image)
            for quantised in tries:
                _quantise(quantization, plain, quantised, images, kept, ranges)
            best = min(tries, key=lambda quantised: images.difference(plain, quantised))
        except OSError:
            raise
        except Exception as error:  # a patch too small for the network, for example; they have no common type
            raise CompressError(f"{float_file}: cannot be quantised ({_first_line(error)})") from error

        def write(path: Path) -> None:
            shutil.copyfile(best, path)

        write_whole(int8_file, write)


def _packages() -> tuple[Any, Any]:
    """The modules onnx and onnxruntime.quantization."""
    try:
        import onnx
        from onnxruntime import quantization
    except ImportError as error:
        raise CompressError(f"quantising needs {error.name}, which is missing: {INSTALL}") from None
    return onnx, quantization


def _quantise(
    quantization: Any,
    plain: Path,
    quantised: Path,
    images: _Images,
    in_float: list[str],
    ranges: dict[str, list[dict[str, Any]]],
) -> None:
    """One way to ``quantised``, whose name says which: all images' extremes, or means of each one's."""
    images.set_range(0, len(images))
    quantization.quantize_static(
        str(plain),
        str(quantised),
        images,
        quant_format=quantization.QuantFormat.QDQ,
        activation_type=quantization.QuantType.QUInt8,
        weight_type=quantization.QuantType.QInt8,
        per_channel=True,
        nodes_to_exclude=in_float,
        extra_options={
            "CalibMovingAverage": quantised.stem == "means",
            "MatMulConstBOnly": True,
            "QDQOpTypePerChannelSupportToAxis": {"MatMul": 1},
            "TensorQuantOverrides": ranges,
        },
    )


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__


def _session(path: Any, simplified: Path | None = None) -> Any:
    """ONNX Runtime with a file, or its bytes; its constants are folded in ``simplified``."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # what goes wrong is raised, too
    if simplified is not None:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
        options.optimized_model_filepath = str(simplified)
    try:
        return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime's exceptions have no common type
        raise CompressError(f"{path}: no readable ONNX file ({_first_line(error)})") from error


def _after_layers(model: Any) -> tuple[list[str], list[str]]:
    """Names of the nodes that stay in float32, and of the quantised tensors that are the image already.

    The former are those from which no layer follows and that do more than move pixels: 256 levels over an
    image's range would be seen, and there is nothing for integers to speed up.
    """
    readers: dict[str, list[Any]] = {}
    for node in model.graph.node:
        for name in node.input:
            readers.setdefault(name, []).append(node)
    leads: set[str] = set()
    kept, image = [], []
    for node in reversed(model.graph.node):  # a node comes after those that it reads
        followers = [reader for name in node.output for reader in readers.get(name, [])]
        if any(reader.op_type in _LAYERS or reader.name in leads for reader in followers):
            leads.add(node.name)
        elif node.op_type in _LAYERS | {"DepthToSpace"}:
            image += node.output
        else:
            kept.append(node.name)
    return kept, image


class _Images:
    """Gives ONNX Runtime one image after the other."""

    def __init__(self, patches: Iterable[Tensor]) -> None:
        self.name = ""
        single = (image for patch in patches for image in (patch if patch.dim() == 4 else patch[None]))
        self._images = [image[None].detach().cpu().float().contiguous().numpy() for image in single]
        if not self._images:
            raise CompressError("quantising needs at least one patch to find the ranges of activations on")
        self._left = iter(self._images)

    def __len__(self) -> int:
        return len(self._images)

    def get_next(self) -> dict[str, np.ndarray] | None:
        image = next(self._left, None)
        return None if image is None else {self.name: image}

    def set_range(self, start_index: int, end_index: int) -> None:
        self._left = iter(self._images[start_index:end_index])

    def ranges(self, model: Any, image: list[str]) -> dict[str, list[dict[str, Any]]]:
        """Ranges that are settled: an 8-bit input loses nothing, and the tensors of the image keep all."""
        import onnx

        watched = onnx.ModelProto()
        watched.CopyFrom(model)
        own = [output.name for output in model.graph.output]
        kept = onnx.TensorProto.FLOAT
        watched.graph.output.extend(
            onnx.helper.make_tensor_value_info(name, kept, None) for name in image if name not in own
        )
        session = _session(watched.SerializeToString())
        low, high = np.zeros(len(image), np.float32), np.zeros(len(image), np.float32)
        for patch in self._images:
            for number, values in enumerate(session.run(image, {self.name: patch})):
                low[number] = min(low[number], values.min())
                high[number] = max(high[number], values.max())
        found = {name: [{"rmin": low[n], "rmax": high[n]}] for n, name in enumerate(image)}
        exact = {"scale": np.array(1 / 255, np.float32), "zero_point": np.array(0, np.uint8)}
        return found | {self.name: [exact]}

    def difference(self, one: Path, other: Path) -> float:
        """Mean squared difference of what two files make of some of the images, evenly spread."""
        sessions = [_session(path) for path in (one, other)]
        every = max(1, len(self._images) // COMPARED)
        differences = []
        for image in self._images[::every]:
            (a,), (b,) = (session.run(None, {self.name: image}) for session in sessions)
            differences.append(float(((a - b) ** 2).mean()))
        return sum(differences) / len(differences)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keeps the advice that onnxruntime.quantization gives on the root logger to itself."""

    def stays(record: logging.LogRecord) -> bool:
        return "onnxruntime" not in record.pathname

    logger = logging.getLogger()
    logger.addFilter(stays)
    try:
        yield
    finally:
        logger.removeFilter(stays)
