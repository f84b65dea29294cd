"""Networks as ONNX files: written, and run by ONNX Runtime in the place of a module."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

OPSET = 20
LR, SR = "lr", "sr"
"""Names of the input, (B, 3, H, W) in [0, 1], and of the output, (B, 3, scale * H, scale * W)."""


def write_onnx(module: nn.Module, scale: int, path: Path) -> None:
    """Writes `module`, in float32 and eval mode, with dynamic height and width; `scale` goes into its metadata."""
    from torch.export import Dim

    sides = {2: Dim("height", min=2, max=16384), 3: Dim("width", min=2, max=16384)}
    program = torch.onnx.export(
        module.eval(),
        (torch.rand(1, 3, 37, 45),),
        dynamo=True,
        dynamic_shapes=(sides,),
        input_names=[LR],
        output_names=[SR],
        opset_version=OPSET,
        verbose=False,
    )
    assert program is not None
    program.model.metadata_props["paretosr.scale"] = str(scale)
    program.save(str(path))


class OnnxNetwork(nn.Module):
    """An ONNX file as a network: (B, 3, H, W) float32 in [0, 1] -> (B, 3, scale * H, scale * W), on the CPU."""

    def __init__(self, path: Path, threads: int = 0) -> None:
        super().__init__()
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        self.session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        self.scale = int(self.session.get_modelmeta().custom_metadata_map["paretosr.scale"])

    def forward(self, x: Tensor) -> Tensor:
        """Runs the file."""
        (sr,) = self.session.run([SR], {LR: x.cpu().numpy()})
        return torch.from_numpy(sr)
