"""Networks as ONNX files: written, and run by ONNX Runtime in the place of a module."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nas.errors import ExportError, RecipeError
from nas.export.rewrites import exportable

OPSET = 20
"""The version of ONNX's operations: the newest that ONNX Runtime of 2024 has."""

LR, SR = "lr", "sr"
"""Names of the input, (B, 3, H, W) in [0, 1], and of the output, (B, 3, scale * H, scale * W)."""

SCALE, LEAST = "paretosr.scale", "paretosr.least"
"""Names in a file's metadata: the scale, and the smallest height and width that it was traced for."""

LEAST_SIDE, MOST_SIDE = 16, 2**14
MOST_LEAST = 1024
"""Of the smallest height and width that a file may say it was traced for."""

EXAMPLE = (2, 3, 37, 45)

_INSTALL = "pip install 'paretosr[export]'"


def write_onnx(module: nn.Module, scale: int, path: Path) -> None:
    """Writes ``module`` to ``path`` in float32, eval mode, opset OPSET, with any batch, height and width.

    ``module`` stays as it is; Foldable parts are folded in the file. Sides of at least LEAST_SIDE pixels
    are promised (smaller ones: see :class:`OnnxNetwork`). Raises ExportError for a network that cannot be
    traced, or whose size came out fixed, and where packages are missing.
    """
    _require("onnx", "onnxscript")
    network = exportable(module)
    x = torch.rand(EXAMPLE, generator=torch.Generator().manual_seed(0))
    try:
        with quiet():
            program: Any = torch.onnx.export(
                network,
                (x,),
                dynamo=True,
                dynamic_shapes=(free_sizes(),),
                input_names=[LR],
                output_names=[SR],
                opset_version=OPSET,
                external_data=False,
                optimize=False,  # ONNX Runtime does the same when it loads the file; here it takes minutes
                verbose=False,
            )
    except Exception as error:  # the exporter's errors have no common type
        raise ExportError(f"cannot be traced for ONNX ({first_line(error)})") from error
    fixed = [str(side) for side in program.model.graph.inputs[0].shape if isinstance(side, int)]
    if len(fixed) > 1:  # the three colours
        raise ExportError(f"came out with fixed sizes ({', '.join(fixed)}): a part of it depends on the size")
    _strip(program.model)
    program.model.metadata_props.update({SCALE: str(scale), LEAST: str(LEAST_SIDE)})
    program.save(str(path))


def _strip(model: Any) -> None:
    """Takes away where in which source each node came from: three quarters of a small file, and the paths of
    the machine that wrote it.
    """
    import onnx_ir

    for node in onnx_ir.traversal.RecursiveGraphIterator(model.graph):
        node.metadata_props.clear()
        for value in node.outputs:
            value.metadata_props.clear()
    for value in [*model.graph.inputs, *model.graph.initializers.values()]:
        value.metadata_props.clear()


def free_sizes() -> dict[int, Any]:
    """What torch.export is told of an input: batch, height and width are free."""
    from torch.export import Dim

    sides = {2: Dim("height", min=LEAST_SIDE, max=MOST_SIDE), 3: Dim("width", min=LEAST_SIDE, max=MOST_SIDE)}
    return {0: Dim("batch", min=1, max=2**10), **sides}


class OnnxNetwork(nn.Module):
    """An ONNX file as a network: (B, 3, H, W) float32 in [0, 1] -> (B, 3, scale * H, scale * W), on the CPU.

    ``threads`` 0 leaves the number to ONNX Runtime. A file of others is asked for its scale by an image.
    Images smaller than what the file was traced for are extended by replication, and the result is cut.
    Raises ExportError for a file that is none, or no super-resolution network of one image.
    """

    def __init__(self, path: Path, threads: int = 0) -> None:
        super().__init__()
        _require("onnxruntime")
        import onnxruntime

        if not path.is_file():
            raise ExportError(f"{path}: there is no such file")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 4  # what goes wrong is raised, too
        try:
            self.session = onnxruntime.InferenceSession(
                str(path), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # its errors have no common type
            raise ExportError(f"{path}: is no ONNX file that runs ({first_line(error)})") from error
        self.path = path
        self._input, self._output = self._ends()
        about = self.session.get_modelmeta().custom_metadata_map
        try:
            self.least = int(about.get(LEAST, 1))
            told = int(about[SCALE]) if SCALE in about else None
            if not 1 <= self.least <= MOST_LEAST:
                raise ValueError(f"{LEAST} is {self.least}; 1 to {MOST_LEAST} are allowed")
        except ValueError as error:
            raise ExportError(f"{path}: its metadata are damaged ({error})") from error
        self.scale = self._probe()
        if told not in (None, self.scale):
            raise ExportError(f"{path}: says x{told} and enlarges x{self.scale}")

    def forward(self, x: Tensor) -> Tensor:
        """Runs the file."""
        height, width = x.shape[-2:]
        below, right = max(0, self.least - height), max(0, self.least - width)
        if below or right:
            x = F.pad(x, (0, right, 0, below), mode="replicate")
        lr = x.detach().cpu().float().contiguous().numpy()
        try:
            (sr,) = self.session.run([self._output], {self._input: lr})
        except Exception as error:  # its errors have no common type
            raise ExportError(f"{self.path}: failed on {width}x{height} ({first_line(error)})") from error
        return torch.from_numpy(sr)[..., : height * self.scale, : width * self.scale]

    def _ends(self) -> tuple[str, str]:
        """The names of the one input and the one output."""
        inputs, outputs = self.session.get_inputs(), self.session.get_outputs()
        if len(inputs) != 1 or len(outputs) != 1:
            raise self._stranger(f"has {len(inputs)} inputs and {len(outputs)} outputs")
        shape = inputs[0].shape
        if inputs[0].type != "tensor(float)" or len(shape) != 4 or shape[1] not in (3, "3"):
            raise self._stranger(f"takes {inputs[0].type} of {shape}")
        if any(isinstance(side, int) for side in shape[2:]):
            raise self._stranger(f"takes images of {shape[3]}x{shape[2]} alone")
        return inputs[0].name, outputs[0].name

    def _probe(self) -> int:
        """By how much it enlarges an image."""
        side = max(24, self.least)
        lr = torch.zeros(1, 3, side, side + 8).numpy()
        try:
            (sr,) = self.session.run([self._output], {self._input: lr})
        except Exception as error:  # its errors have no common type
            raise self._stranger(f"failed on {side + 8}x{side} ({first_line(error)})") from error
        scale = sr.shape[-2] // side if sr.ndim == 4 else 0
        if scale not in (1, 2, 3, 4, 8) or sr.shape != (1, 3, side * scale, (side + 8) * scale):
            raise self._stranger(f"makes {tuple(sr.shape)} of {tuple(lr.shape)}")
        return scale

    def _stranger(self, why: str) -> ExportError:
        return ExportError(f"{self.path}: is no super-resolution network of RGB images: {why}")


def _require(*packages: str) -> None:
    """Raises RecipeError with the command that installs what is missing."""
    from importlib.util import find_spec

    missing = [package for package in packages if find_spec(package) is None]
    if missing:
        raise RecipeError(f"ONNX files need {' and '.join(missing)}: {_INSTALL}")


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Without what the tracer and the exporter warn about: packages they would use, deprecated calls."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "torch.export", "onnxscript")]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)


def first_line(error: Exception) -> str:
    """The kind of an error and the first line of what it says."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0][:200]}" if lines else type(error).__name__
