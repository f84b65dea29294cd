"""Networks as torch.export programs: ``.pt2`` files that torch runs without our code."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from nas.errors import ExportError
from nas.export.onnx import EXAMPLE, first_line, free_sizes, quiet
from nas.export.rewrites import exportable


def write_program(module: nn.Module, path: Path) -> None:
    """Writes ``module``, float32 and eval mode, as a program of any batch, height and width.

    Sides of at least ``LEAST_SIDE`` pixels are promised. Raises ExportError for one that cannot be traced.
    """
    network = exportable(module, fourier_as_matrices=False)
    x = torch.rand(EXAMPLE, generator=torch.Generator().manual_seed(0))
    try:
        # The same settings with which torch traces for ONNX: sizes of one are not set apart.
        with quiet(), torch.fx.experimental._config.patch(backed_size_oblivious=True):  # type: ignore[attr-defined]
            program = torch.export.export(
                network,
                (x,),
                dynamic_shapes=(free_sizes(),),
                strict=False,
                prefer_deferred_runtime_asserts_over_guards=True,
            )
    except Exception as error:  # the tracer's errors have no common type
        raise ExportError(f"cannot be traced ({first_line(error)})") from error
    _drop_assertions(program)
    for node in program.graph.nodes:
        node.meta.pop("stack_trace", None)  # the paths of this machine
    with quiet():
        torch.export.save(program, path)


def read_program(path: Path) -> Callable[[Tensor], Tensor]:
    """The program of a file that we wrote, as a function of (B, 3, H, W)."""
    with quiet():
        run: Callable[[Tensor], Tensor] = torch.export.load(path).module()
    return run


def _drop_assertions(program: torch.export.ExportedProgram) -> None:
    """What the tracer wants to be told of every size, such as that a batch is not one; it is not needed."""
    for node in list(program.graph.nodes):
        if node.target is torch.ops.aten._assert_scalar.default:
            program.graph.erase_node(node)
    program.graph.eliminate_dead_code()
    program.graph_module.recompile()
