"""Networks in 8-bit integers: ONNX files quantised after training, and training that knows what is to come.

What is computed in integers was decided by measurements (``docs/measuring.md``): activations unsigned with a
zero point, one range a tensor; weights signed and symmetric, one range an output channel. For these ONNX
Runtime has its fast kernels on x86; with signed activations the same networks took up to twice as long. The
survey's case study (Light-F2SRGAN, Electronics 2023, 12(11), 2544, released code) has asymmetric weights, for
which there are none. Ranges of activations are the extremes over all images, or the mean over images of each
one's extremes: some networks lost less with one, some with the other, so that a file is made both ways and
the nearer to float32 is kept. Gradients pass the rounding unchanged within the range (the straight-through
estimator of Jacob et al., arXiv 1712.05877, sec. 3, as in the case study).
"""

from __future__ import annotations

import contextlib
import logging
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parametrize

from nas.core.files import write_whole
from nas.errors import CompressError
from search_spaces.blocks.convolutions import AsymmetricConv, Foldable

BITS = (2, 16)
"""The fewest and the most bits that training can simulate; files have 8."""

MOMENTUM = 0.01
"""The share by which a range of activations narrows towards each batch's extremes."""

COMPARED = 32
"""About so many patches decide between two ways to find the ranges."""

INSTALL = "pip install 'paretosr[compress]'"

_LAYERS = {"Conv", "ConvTranspose", "Gemm", "MatMul"}
_INNER = ("fake_input", "fake_output")


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


def prepare_qat(module: nn.Module, weight_bits: int = 8, activation_bits: int = 8) -> nn.Module:
    """Makes ``module``, in place, compute as its quantised file will; gives it back.

    Weights of all convolutions and linear layers are rounded as they are used, and so are the layers' inputs
    and outputs, within ranges that follow the images while in training mode. The parameters stay float32 and
    may be trained. While prepared the names in the state dict differ; :func:`finish_qat` restores them.
    Optimisers are to be made after this. An asymmetric convolution is rounded as the one convolution it will
    be folded to. What is no layer (Fourier weights, position biases, normalisation) is left alone. Raises
    CompressError for a number of bits outside of BITS, and for a module that is prepared already or has no
    layer.
    """
    for what, bits in (("weights", weight_bits), ("activations", activation_bits)):
        if not BITS[0] <= bits <= BITS[1]:
            raise CompressError(f"{bits} bits for {what}: between {BITS[0]} and {BITS[1]} are possible")
    if any(isinstance(part, FakeActivation) for part in module.modules()):
        raise CompressError("the network is prepared for quantisation already")
    layers = list(_layers(module))
    if not layers:
        raise CompressError("the network has no convolution and no linear layer to quantise")
    for layer in layers:
        for name in _INNER:
            layer.add_module(name, FakeActivation(activation_bits))
        layer.register_forward_pre_hook(_round_input)
        layer.register_forward_hook(_round_output)
        owner, rest = (layer.square, _strips(layer)) if isinstance(layer, AsymmetricConv) else (layer, None)
        axis = 1 if isinstance(layer, nn.ConvTranspose2d) else 0
        if not isinstance(layer, Foldable) or rest is not None:
            parametrize.register_parametrization(owner, "weight", FakeWeight(weight_bits, axis, rest))
    return module.to(next(module.parameters()).device)


def finish_qat(module: nn.Module) -> nn.Module:
    """Takes off, in place, what :func:`prepare_qat` put on; gives the module back.

    It is a float32 network again with the names it had, and the weights of its layers lie on the integers'
    grid, so that quantising its file rounds none of them again. Raises CompressError where it was not
    prepared.
    """
    prepared = [
        part for part in module.modules() if isinstance(getattr(part, _INNER[0], None), FakeActivation)
    ]
    if not prepared:
        raise CompressError("the network is not prepared for quantisation")
    for layer in prepared:
        for name in _INNER:
            delattr(layer, name)
        for hooks, own in ((layer._forward_pre_hooks, _round_input), (layer._forward_hooks, _round_output)):
            for key in [key for key, hook in hooks.items() if hook is own]:
                del hooks[key]
        owner = layer.square if isinstance(layer, AsymmetricConv) else layer
        if parametrize.is_parametrized(owner, "weight"):
            parametrize.remove_parametrizations(owner, "weight", leave_parametrized=True)
            if "bias" in owner._parameters:  # the order it was made in
                owner._parameters["bias"] = owner._parameters.pop("bias")
    return module


class FakeWeight(nn.Module):
    """Rounds weights to a symmetric grid of ``2 ** bits - 1`` values, one step size for each index of
    ``axis``.

    ``rest`` gives what is added to the weights before they are used; then the sum lies on the grid.
    """

    def __init__(self, bits: int, axis: int = 0, rest: Callable[[], Tensor] | None = None) -> None:
        super().__init__()
        self.most, self.axis, self.rest = 2 ** (bits - 1) - 1, axis, rest

    def forward(self, weight: Tensor) -> Tensor:
        """Any shape -> the same shape."""
        rest = None if self.rest is None else self.rest()
        whole = weight if rest is None else weight + rest
        others = [axis for axis in range(whole.dim()) if axis != self.axis]
        step = whole.detach().abs().amax(others).div(self.most).clamp_min(torch.finfo(torch.float32).tiny)
        zero = torch.zeros_like(step, dtype=torch.int32)
        rounded = torch.fake_quantize_per_channel_affine(whole, step, zero, self.axis, -self.most, self.most)
        return rounded if rest is None else rounded - rest


class FakeActivation(nn.Module):
    """Rounds activations to ``2 ** bits`` values over a range that it finds while in training mode.

    The range always holds zero. It widens to new extremes at once and narrows slowly, so that a layer that
    runs several times in a network (shared weights) has the range of its widest use. Before anything was
    seen, activations pass in evaluation mode as they are.
    """

    low: Tensor
    high: Tensor
    seen: Tensor

    def __init__(self, bits: int) -> None:
        super().__init__()
        self.most = 2**bits - 1
        for name in ("low", "high", "seen"):
            self.register_buffer(name, torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        """Any shape with images first -> the same shape."""
        if self.training:
            self._follow(x.detach())
        elif not self.seen:
            return x
        step = ((self.high - self.low) / self.most).clamp_min(torch.finfo(torch.float32).eps)
        zero = (-self.low / step).round().clamp(0, self.most).int()
        rounded = torch.fake_quantize_per_tensor_affine(x.float(), step, zero, 0, self.most)
        return rounded.to(x.dtype)

    @torch.no_grad()
    def _follow(self, x: Tensor) -> None:
        """No question is asked of the device, so that a CUDA graph can record it."""
        x = x.float()
        share = torch.where(self.seen > 0, MOMENTUM, 1.0)
        low, high = x.amin().clamp_max(0), x.amax().clamp_min(0)
        torch.minimum(self.low.lerp(low, share), low, out=self.low)
        torch.maximum(self.high.lerp(high, share), high, out=self.high)
        self.seen.fill_(1)


def _layers(module: nn.Module) -> Iterator[nn.Module]:
    """The layers that a file computes in integers, each once; what is folded in a file is one layer."""
    if isinstance(module, Foldable | nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
        yield module
        return
    found: dict[nn.Module, None] = {}
    for child in module.children():
        found.update(dict.fromkeys(_layers(child)))
    yield from found


def _strips(layer: AsymmetricConv) -> Callable[[], Tensor]:
    def strips() -> Tensor:
        return F.pad(layer.horizontal.weight, (0, 0, 1, 1)) + F.pad(layer.vertical.weight, (1, 1, 0, 0))

    return strips


def _round_input(layer: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
    fake: Any = layer.fake_input
    return fake(inputs[0]), *inputs[1:]


def _round_output(layer: nn.Module, inputs: tuple[Any, ...], output: Tensor) -> Tensor:
    fake: Any = layer.fake_output
    rounded: Tensor = fake(output)
    return rounded
