"""Networks of which weights were released, as plain functions of the tensors in the authors' files.

Written from descriptions of the released code, independently of the networks here: each takes the tensors of
a file by the authors' names and an image (B, 3, H, W) in [0, 1].
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

State = dict[str, Tensor]


def conv(state: State, name: str, x: Tensor, **settings: Any) -> Tensor:
    """The convolution called ``name``, zero padded unless ``settings`` say otherwise."""
    weight = state[f"{name}.weight"]
    settings.setdefault("padding", weight.shape[-1] // 2)
    return F.conv2d(x, weight, state.get(f"{name}.bias"), **settings)


def span_forward(state: State, x: Tensor) -> Tensor:
    c = lambda name, x: conv(state, f"{name}.eval_conv", x)  # noqa: E731
    stem = c("conv_1", (x - torch.tensor([0.4488, 0.4371, 0.4040]).view(1, 3, 1, 1)) * 255.0)
    outputs, first = [stem], stem
    for i in range(1, 7):
        first = F.silu(c(f"block_{i}.c1_r", outputs[-1]))
        h = c(f"block_{i}.c3_r", F.silu(c(f"block_{i}.c2_r", first)))
        outputs.append((h + outputs[-1]) * (torch.sigmoid(h) - 0.5))
    collected = torch.cat([stem, c("conv_2", outputs[6]), outputs[1], first], dim=1)
    return F.pixel_shuffle(conv(state, "upsampler.0", conv(state, "conv_cat", collected)), 4)


def spanv2_forward(state: State, x: Tensor) -> Tensor:
    features = x
    for i in range(1, 6):
        h = F.relu(conv(state, f"block_{i}.c1.conv", features))
        h = conv(state, f"block_{i}.c3.conv", F.relu(conv(state, f"block_{i}.c2.conv", h)))
        gate = f"block_{i}.guidance_map_conv"
        features = F.relu(h) if i == 1 else (features + h) * conv(state, gate, h)
    collected = torch.cat([conv(state, "conv_near", x, groups=3), features], dim=1)
    collected = conv(state, "depthwise_conv", collected, groups=collected.shape[1])
    return F.pixel_shuffle(conv(state, "pointwise_conv", collected), 4)


def plainusr_forward(state: State, x: Tensor) -> Tensor:
    features = conv(state, "head", x)
    ultra = "block3.body.0.weight" not in state
    for name in (
        ("block1", "blockm", "block2") if ultra else ("block1", "block2", "blockm", "block3", "block4")
    ):
        part = state[f"{name}.body.0.weight"].shape[1]
        y = conv(state, f"{name}.body.0", features[:, :part])
        y = conv(state, f"{name}.body.2", F.leaky_relu(y, 0.05))
        lia = f"{name}.body.3.body"
        if ultra and name == "blockm":
            y = y * torch.sigmoid(conv(state, f"{lia}.0", y)) * torch.sigmoid(y[:, :1])
        elif not ultra:
            z = conv(state, f"{lia}.0", y)
            z = F.avg_pool2d(z.exp() * z, 7, 3) / F.avg_pool2d(z.exp(), 7, 3)
            z = torch.sigmoid(conv(state, f"{lia}.3", conv(state, f"{lia}.2", z, stride=2)))
            w = F.interpolate(z, y.shape[-2:], mode="bilinear", align_corners=False)
            y = y * w * torch.sigmoid(y[:, :1])
        features = torch.cat([y, features[:, part:]], dim=1)
    return F.pixel_shuffle(conv(state, "tail.0", features), 4)


def bsrn_s_state(width: int, blocks: int, scale: int) -> State:
    """Random tensors in the layout of BSRN-S; linear layers have matrices."""
    torch.manual_seed(0)
    half, quarter = width // 2, width // 4
    state: State = {}

    def add(name: str, *shape: int, bias: bool = True) -> None:
        state[f"{name}.weight"] = torch.randn(shape) / (shape[1] * torch.tensor(shape[2:]).prod()) ** 0.5
        if bias:
            state[f"{name}.bias"] = 0.1 * torch.randn(shape[0])

    def blueprint(name: str, inputs: int, outputs: int) -> None:
        add(f"{name}.pw", outputs, inputs, 1, 1, bias=False)
        add(f"{name}.dw", outputs, 1, 3, 3)

    blueprint("fea_conv", 12, width)
    for block in (f"B{number + 1}" for number in range(blocks)):
        state[f"{block}.cw"] = 1 + 0.2 * torch.randn(1, width)
        for step in (1, 2, 3):
            add(f"{block}.c{step}_d", half, width)
            blueprint(f"{block}.c{step}_r", width, width)
        blueprint(f"{block}.c4", width, half)
        add(f"{block}.c5", width, 4 * half)
        add(f"{block}.esa.conv1", quarter, width)
        add(f"{block}.esa.conv_f", quarter, quarter)
        for name in ("conv_max", "conv3", "conv3_"):
            blueprint(f"{block}.esa.{name}", quarter, quarter)
        add(f"{block}.esa.conv2", quarter, quarter, 3, 3)
        add(f"{block}.esa.conv4", width, quarter)
        add(f"{block}.conv_out", width, width)
    add("c1", width, blocks * width)
    blueprint("c2", width, width)
    add("upsampler.upsampleOneStep.0", 3 * scale**2, width, 3, 3)
    return state


def bsrn_s_forward(state: State, x: Tensor) -> Tensor:
    def linear(name: str, x: Tensor) -> Tensor:
        return F.conv2d(x, state[f"{name}.weight"][:, :, None, None], state[f"{name}.bias"])

    def blueprint(name: str, x: Tensor) -> Tensor:
        y = conv(state, f"{name}.pw", x)
        return conv(state, f"{name}.dw", y, groups=y.shape[1])

    def attention(name: str, x: Tensor) -> Tensor:
        squeezed = linear(f"{name}.conv1", x)
        y = F.max_pool2d(conv(state, f"{name}.conv2", squeezed, stride=2, padding=0), 7, 3)
        y = F.gelu(blueprint(f"{name}.conv3", F.gelu(blueprint(f"{name}.conv_max", y))))
        y = F.interpolate(blueprint(f"{name}.conv3_", y), x.shape[-2:], mode="bilinear", align_corners=False)
        return x * torch.sigmoid(linear(f"{name}.conv4", y + linear(f"{name}.conv_f", squeezed)))

    features = shallow = blueprint("fea_conv", x.repeat(1, 4, 1, 1))
    outputs: list[Tensor] = []
    while f"B{len(outputs) + 1}.cw" in state:
        block, kept, rest = f"B{len(outputs) + 1}", [], features
        for step in (1, 2, 3):
            kept.append(F.gelu(linear(f"{block}.c{step}_d", rest)))
            rest = F.gelu(blueprint(f"{block}.c{step}_r", rest) + rest)
        kept.append(F.gelu(blueprint(f"{block}.c4", rest)))
        fused = attention(f"{block}.esa", linear(f"{block}.c5", torch.cat(kept, dim=1)))
        features = features + linear(f"{block}.conv_out", fused * state[f"{block}.cw"][:, :, None, None])
        outputs.append(features)
    deep = blueprint("c2", F.gelu(linear("c1", torch.cat(outputs, dim=1)))) + shallow
    last = conv(state, "upsampler.upsampleOneStep.0", deep)
    return F.pixel_shuffle(last, int((last.shape[1] // 3) ** 0.5))


def safmnpp_forward(state: State, x: Tensor) -> Tensor:
    features = conv(state, "to_feat", x)
    height, width = x.shape[-2:]
    for i in range(6):
        y = conv(state, f"feats.{i}.conv1.proj", features)
        first, rest = y[:, :12], y[:, 12:]
        z = F.adaptive_max_pool2d(first, (height // 8, width // 8))
        z = conv(state, f"feats.{i}.conv1.dwconv", z, groups=12)
        z = F.interpolate(z, (height, width), mode="bilinear", align_corners=False)
        y = F.gelu(torch.cat([rest, F.gelu(z) * first], dim=1))
        y = F.gelu(conv(state, f"feats.{i}.conv2.conv1", conv(state, f"feats.{i}.conv1.out", y)))
        features = features + conv(state, f"feats.{i}.conv2.conv2", y)
    image = F.interpolate(x, scale_factor=4, mode="bilinear", align_corners=False)
    return F.pixel_shuffle(conv(state, "to_img.0", features), 4) + image


def lkdn_forward(state: State, x: Tensor) -> Tensor:
    """LKDN and LKDN-S; the latter also in its training form."""
    stem = blueprint(state, "fea_conv", x.repeat(1, 4, 1, 1))
    features, outputs = stem, []
    for i in range(1, sum(name.endswith(".c5.weight") for name in state) + 1):
        rest, kept = features, []
        for step in (1, 2, 3):
            kept.append(F.gelu(conv(state, f"B{i}.c{step}_d", rest)))
            rest = F.gelu(blueprint(state, f"B{i}.c{step}_r", rest))
        kept.append(F.gelu(blueprint(state, f"B{i}.c4", rest)))
        u = conv(state, f"B{i}.c5", torch.cat(kept, dim=1))
        w = conv(state, f"B{i}.atten.pointwise", u)
        w = conv(state, f"B{i}.atten.depthwise", w, groups=w.shape[1])
        w = conv(state, f"B{i}.atten.depthwise_dilated", w, groups=w.shape[1], dilation=3, padding=6)
        y = conv(state, f"B{i}.c6", u * w).movedim(1, -1)
        norm = state[f"B{i}.pixel_norm.weight"], state[f"B{i}.pixel_norm.bias"]
        features = features + F.layer_norm(y, y.shape[-1:], *norm, 1e-5).movedim(-1, 1)
        outputs.append(features)
    deep = blueprint(state, "c2", F.gelu(conv(state, "c1", torch.cat(outputs, dim=1)))) + stem
    if "upsampler.0.weight" in state:
        return F.pixel_shuffle(conv(state, "upsampler.0", deep), 4)
    wide = conv(state, "upsampler.conv1x1", deep)
    bias = state["upsampler.conv1x1.bias"].view(1, -1, 1, 1)
    padded = bias.expand(-1, -1, wide.shape[2] + 2, wide.shape[3] + 2).clone()
    padded[:, :, 1:-1, 1:-1] = wide
    tail = conv(state, "upsampler.conv3x3", padded, padding=0)
    tail = tail + conv(state, "upsampler.conv1", deep) + conv(state, "upsampler.conv3", deep)
    return F.pixel_shuffle(tail, 4)


def blueprint(state: State, name: str, x: Tensor) -> Tensor:
    """1x1 and depthwise 3x3, with the branches of LKDN-S where the file has them."""
    y = conv(state, f"{name}.pw", x)
    branched = f"{name}.rep1x1.weight" in state
    y = y + x if branched else y
    z = conv(state, f"{name}.dw", y, groups=y.shape[1])
    return z + y + conv(state, f"{name}.rep1x1", y, groups=y.shape[1]) if branched else z


FORWARDS: dict[str, Callable[[State, Tensor], Tensor]] = {
    "lkdn": lkdn_forward,
    "lkdn-s": lkdn_forward,
    "plainusr": plainusr_forward,
    "plainusr-u": plainusr_forward,
    "safmn-pp": safmnpp_forward,
    "span-28": span_forward,
    "spanv2": spanv2_forward,
}
"""By the published name."""
