"""The authors' names for the tensors of networks here: makes files in their layouts for tests.

Each layout is a list of substitutions from the names here, written from descriptions of the released code and
independently of the package, which goes the other way. Numbers that begin at 1 in a layout are counted up.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

import torch
from torch import Tensor

Rules = tuple[tuple[str, str | Callable[[re.Match[str]], str]], ...]
Match = re.Match[str]


def up(pattern: str, step: int = 1) -> Callable[[Match], str]:
    """Fills ``pattern`` with the groups of a match; the first is a number that is raised by ``step``."""
    return lambda match: pattern.format(int(match[1]) + step, *match.groups()[1:])


BLUEPRINT: Rules = ((r"\.0\.weight$", ".pw.weight"), (r"\.1\.(weight|bias)$", r".dw.\1"))
ESA: Rules = (
    (r"\.squeeze\.", ".conv1."),
    (r"\.skip\.", ".conv_f."),
    (r"\.stride\.", ".conv2."),
    (r"\.body\.0\.", ".conv_max."),
    (r"\.body\.2\.", ".conv3."),
    (r"\.body\.4\.", ".conv3_."),
    (r"\.expand\.", ".conv4."),
)
STEPS: Rules = (
    (r"distillers\.(\d)\.", up("c{}_d.")),
    (r"refiners\.(\d)\.", up("c{}_r.")),
    (r"\.last\.", ".c4."),
    (r"\.fuse\.", ".c5."),
)
BSRN_FRAME: Rules = (
    (r"^stem\.conv\.", "fea_conv."),
    (r"^blocks\.(\d+)\.", up("B{}.")),
    *STEPS,
    (r"^end\.0\.", "c1."),
    (r"^end\.2\.", "c2."),
)
SAFMN_FRAME: Rules = (
    (r"^stem\.", "to_feat."),
    (r"^blocks\.", "feats."),
    (r"^tail\.0\.", "to_img.0."),
)
LKA: Rules = (
    (r"\.weight\.0\.(weight|bias)$", r".pointwise.\1"),
    (r"\.weight\.1\.(weight|bias)$", r".depthwise.\1"),
    (r"\.weight\.2\.(weight|bias)$", r".depthwise_dilated.\1"),
)

LAYOUTS: dict[str, Rules] = {
    "imdn": (
        (r"^stem\.", "fea_conv."),
        (r"^blocks\.(\d+)\.", up("IMDB{}.")),
        (r"steps\.(\d)\.0\.", up("c{}.")),
        (r"\.last\.", ".c4."),
        (r"\.fuse\.", ".c5."),
        (r"attention\.gate\.", "cca.conv_du."),
        (r"^end\.0\.", "c.0."),
        (r"^end\.2\.", "LR_conv."),
        (r"^tail\.0\.", "upsampler.0."),
    ),
    "rfdn": (
        (r"^stem\.", "fea_conv."),
        (r"^blocks\.(\d+)\.", up("B{}.")),
        *STEPS,
        (r"\.attention\.", ".esa."),
        *ESA,
        (r"^end\.0\.", "c.0."),
        (r"^end\.2\.", "LR_conv."),
        (r"^tail\.0\.", "upsampler.0."),
    ),
    "bsrn": (
        *BSRN_FRAME,
        (r"attention\.1\.gate\.", "cca.conv_du."),
        (r"attention\.0\.", "esa."),
        *ESA,
        (r"^tail\.0\.", "upsampler.upsampleOneStep.0."),
        (r"(fea_conv|c\d_r|c4|c2|conv_max|conv2|conv3|conv3_)\.0\.weight$", r"\1.pw.weight"),
        (r"(fea_conv|c\d_r|c4|c2|conv_max|conv2|conv3|conv3_)\.1\.", r"\1.dw."),
    ),
    "lkdn": (
        *BSRN_FRAME,
        (r"\.attention(\.weight\.\d\.)", r".atten\1"),
        *LKA,
        (r"\.project\.", ".c6."),
        (r"\.norm\.norm\.", ".pixel_norm."),
        (r"(c\d_r)\.point\.", r"\1.pw."),
        (r"(c\d_r)\.depthwise\.", r"\1.dw."),
        (r"(c\d_r)\.scale\.", r"\1.rep1x1."),
        (r"^tail\.0\.(weight|bias)", r"upsampler.0.\1"),
        (r"^tail\.0\.square\.", "upsampler.conv3."),
        (r"^tail\.0\.point\.", "upsampler.conv1."),
        (r"^tail\.0\.widen\.", "upsampler.conv1x1."),
        (r"^tail\.0\.narrow\.", "upsampler.conv3x3."),
        (r"(fea_conv|c\d_r|c4|c2)\.0\.weight$", r"\1.pw.weight"),
        (r"(fea_conv|c\d_r|c4|c2)\.1\.", r"\1.dw."),
    ),
    "rlfn": (
        (r"^stem\.", "conv_1."),
        (r"^blocks\.(\d+)\.", up("block_{}.")),
        (r"(block_\d+\.)body\.0\.", r"\1c1_r."),
        (r"(block_\d+\.)body\.2\.", r"\1c2_r."),
        (r"(block_\d+\.)body\.4\.", r"\1c3_r."),
        (r"\.fuse\.", ".c5."),
        (r"\.attention\.body\.", ".esa.conv3."),
        (r"\.attention\.", ".esa."),
        *ESA,
        (r"^end\.", "conv_2."),
        (r"^tail\.0\.", "upsampler.0."),
    ),
    "safmn": (
        *SAFMN_FRAME,
        (r"\.norm(\d)\.norm\.", r".norm\1."),
        (r"modulation\.seen\.", "safm.mfr."),
        (r"modulation\.fuse\.", "safm.aggr."),
        (r"mixer\.", "ccm.ccm."),
    ),
    "gpdn": (
        *SAFMN_FRAME,
        (r"\.norm(\d)\.norm\.", r".norm\1."),
        (r"pooling\.seen\.3\.", "feat_mix.mfr4."),
        (r"pooling\.seen\.", "feat_mix.mfr."),
        (r"pooling\.fuse\.", "feat_mix.aggr."),
        (r"attention\.body\.", "cab.cab."),
        (r"attention\.gate\.1\.0\.", "cab.cab.3.attention.1."),
        (r"attention\.gate\.1\.2\.", "cab.cab.3.attention.3."),
    ),
    "smfanet": (
        *SAFMN_FRAME,
        (r"modulation\.weight$", "smfa.alpha"),
        (r"modulation\.variance_weight$", "smfa.belt"),
        (r"modulation\.enter\.", "smfa.linear_0."),
        (r"modulation\.gate\.", "smfa.linear_1."),
        (r"modulation\.leave\.", "smfa.linear_2."),
        (r"modulation\.coarse\.", "smfa.dw_conv."),
        (r"modulation\.local\.3\.", "smfa.lde.conv_1."),
        (r"modulation\.local\.", "smfa.lde.conv_0."),
        (r"mixer\.enter\.", "pcfn.conv_0."),
        (r"mixer\.partial\.", "pcfn.conv_1."),
        (r"mixer\.leave\.", "pcfn.conv_2."),
    ),
    "safmn-pp": (
        *SAFMN_FRAME,
        (r"modulation\.enter\.", "conv1.proj."),
        (r"modulation\.coarse\.", "conv1.dwconv."),
        (r"modulation\.leave\.", "conv1.out."),
        (r"mixer\.0\.", "conv2.conv1."),
        (r"mixer\.2\.", "conv2.conv2."),
    ),
    "safmn-pp-light": (
        *SAFMN_FRAME,
        (r"modulation\.enter\.", "conv1.proj."),
        (r"modulation\.coarse\.", "conv1.dwconv."),
        (r"modulation\.leave\.", "conv1.out."),
        (r"mixer\.", "conv2.conv."),
    ),
    "vapsr": (
        (r"^stem\.", "conv_first."),
        (r"^blocks\.(\d+)\.body\.0\.", r"body.\1.proj_1."),
        (r"^blocks\.(\d+)\.body\.3\.", r"body.\1.proj_2."),
        (r"^blocks\.(\d+)\.body\.2\.", r"body.\1.atten_branch."),
        (r"atten_branch\.", "atten_branch."),
        (r"atten_branch(\.weight\.\d)", r"atten_branch\1"),
        *LKA,
        (r"^blocks\.(\d+)\.norm\.norm\.", r"body.\1.pixel_norm."),
        (r"^end\.", "conv_body."),
        (r"^tail\.", "upsampler."),
    ),
    "man": (
        (r"^stem\.", "head."),
        (r"^blocks\.(\d+)\.0\.", r"body.0.body.\1.LKA."),
        (r"^blocks\.(\d+)\.1\.", r"body.0.body.\1.LFE."),
        (r"\.norm\.norm\.", ".norm."),
        (r"LKA\.enter\.", "LKA.proj_first.0."),
        (r"LKA\.leave\.", "LKA.proj_last.0."),
        (r"LKA\.large\.0\.", "LKA.LKA3."),
        (r"LKA\.large\.1\.", "LKA.LKA5."),
        (r"LKA\.large\.2\.", "LKA.LKA7."),
        (r"LKA\.small\.0\.", "LKA.X3."),
        (r"LKA\.small\.1\.", "LKA.X5."),
        (r"LKA\.small\.2\.", "LKA.X7."),
        (r"LFE\.enter\.", "LFE.Conv1."),
        (r"LFE\.gate\.", "LFE.DWConv1."),
        (r"LFE\.leave\.", "LFE.Conv2."),
        (r"^end\.enter\.0\.", "body.0.body_t.conv0.0."),
        (r"^end\.weight\.", "body.0.body_t.att."),
        (r"^end\.leave\.", "body.0.body_t.conv1."),
    ),
    "span": (
        (r"^stem\.", "conv_1.eval_conv."),
        (r"^end\.", "conv_2.eval_conv."),
        (r"^fuse\.", "conv_cat."),
        (r"^blocks\.(\d+)\.", up("block_{}.")),
        (r"^last\.", "block_6."),
        (r"enter\.0\.", "c1_r.eval_conv."),
        (r"refine\.0\.", "c2_r.eval_conv."),
        (r"refine\.2\.", "c3_r.eval_conv."),
        (r"eval_conv\.widen\.", "conv.0."),
        (r"eval_conv\.square\.", "conv.1."),
        (r"eval_conv\.narrow\.", "conv.2."),
        (r"eval_conv\.point\.", "sk."),
        (r"^tail\.0\.", "upsampler.0."),
    ),
    "spanv2": (
        (r"^near\.", "conv_near."),
        (r"^enter\.0\.0\.", "block_1.c1.conv."),
        (r"^enter\.0\.2\.", "block_1.c2.conv."),
        (r"^enter\.0\.4\.", "block_1.c3.conv."),
        (r"^blocks\.(\d+)\.", up("block_{}.", 2)),
        (r"body\.0\.", "c1.conv."),
        (r"body\.2\.", "c2.conv."),
        (r"body\.4\.", "c3.conv."),
        (r"\.guide\.", ".guidance_map_conv."),
        (r"^tail\.0\.", "depthwise_conv."),
        (r"^tail\.1\.", "pointwise_conv."),
    ),
}


def authors_names(layout: str, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Tensors by the names here -> by the authors' names, in the same order."""
    made = {}
    for name, tensor in weights.items():
        for pattern, written in LAYOUTS[layout]:
            name = re.sub(pattern, written, name)
        made[name] = tensor.detach().clone()
    assert len(made) == len(weights)
    if layout == "man":
        mean, same = torch.tensor([0.4488, 0.4371, 0.4040]), torch.eye(3).view(3, 3, 1, 1)
        made = {"sub_mean.weight": same, "sub_mean.bias": -mean, **made}
        made |= {"add_mean.weight": same, "add_mean.bias": mean}
    return made


def authors_plainusr(weights: Mapping[str, Tensor], blocks: int) -> dict[str, Tensor]:
    """PlainUSR, in training too: blocks have names, and the places inside depend on what a block has."""
    order = {3: ("block1", "blockm", "block2"), 5: ("block1", "block2", "blockm", "block3", "block4")}[blocks]
    branches = {"widen": "expand_conv", "square": "fea_conv", "narrow": "reduce_conv"}
    asr = {"seed": "se.tensor", "squeeze": "se.se.1.weight", "excite": "se.se.3.weight"}
    deepest = max(int(name.split(".")[3]) for name in weights if ".body." in name)
    guided = any(".guide." in name for name in weights)
    made = {}
    for name, tensor in weights.items():
        words = name.split(".")
        if words[0] != "blocks":
            made[name.replace("stem", "head")] = tensor.detach().clone()
            continue
        block = order[int(words[1])]
        if words[2] == "attention":
            place = {"importance": 0, "squeeze": 0, "stride": 2, "expand": 3}[words[3]]
            ours = f"body.{deepest + 1 + guided}.body.{place}.{words[4]}"
        elif words[4] in branches:
            ours = f"body.{words[3]}.{branches[words[4]]}.{words[5]}"
        elif words[4] in asr:
            ours = f"body.{words[3]}.{asr[words[4]]}"
            tensor = tensor.view(1, -1, 1, 1) if words[4] == "seed" else tensor
        elif words[4] == "guide":
            ours = f"body.{deepest + 1}.conv.{words[5]}"
        else:
            ours = f"body.{words[3]}.{words[4]}"
        made[f"{block}.{ours}"] = tensor.detach().clone()
    return made


def authors_ecbsr(weights: Mapping[str, Tensor], blocks: int) -> dict[str, Tensor]:
    """ECBSR in training: three fixed filters, each with a 1x1 of its own before it, and frozen masks."""
    sobel = torch.tensor([[1.0, 0, -1], [2, 0, -2], [1, 0, -1]])
    filters = {"sbx": sobel, "sby": sobel.T, "lpl": torch.tensor([[0.0, 1, 0], [1, -4, 1], [0, 1, 0]])}
    pair = {"widen.weight": "k0", "widen.bias": "b0", "narrow.weight": "k1", "narrow.bias": "b1"}

    edges = {"points.weight": "k0", "points.bias": "b0", "strengths": "scale", "filter_bias": "bias"}
    made = {}
    for name, tensor in weights.items():
        words = name.removeprefix("body.").split(".")
        place = blocks + 1 if words[0] == "last" else int(words[1])
        inner = words[1:] if words[0] == "last" else words[3:]
        if words[0] == "blocks" and words[2] == "1":
            made[f"backbone.{place}.act.weight"] = tensor
            continue
        leaf, head = ".".join(inner), f"backbone.{place}"
        if leaf.startswith("square."):
            made[f"{head}.conv3x3.{inner[1]}"] = tensor
        elif leaf in pair:
            made[f"{head}.conv1x1_3x3.{pair[leaf]}"] = tensor
        else:
            key = edges[leaf]
            parts = tensor.chunk(3) if leaf.startswith("points") else tensor
            for (edge, taps), part in zip(filters.items(), parts, strict=True):
                part = part.view(-1, 1, 1, 1) if key == "scale" else part
                made[f"{head}.conv1x1_{edge}.{key}"] = part
                made[f"{head}.conv1x1_{edge}.mask"] = taps.repeat(len(part), 1, 1, 1)
    return {name: tensor.detach().clone() for name, tensor in made.items()}
