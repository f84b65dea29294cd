"""Layouts of networks that modulate features or have large kernels: SAFMN, GPDN, SMFANet, VapSR, MAN."""

from __future__ import annotations

import torch

from nas.networks.released.layout import Held, LayoutError, Names, Shapes, numbered
from nas.networks.released.naming import sized
from search_spaces.genotype import Genotype
from search_spaces.networks.man import Man
from search_spaces.networks.means import Div2kMean
from search_spaces.networks.safmnpp import SafmnPlus


def _held(shapes: Shapes, block: Names, *genotypes: Genotype) -> Held:
    """SAFMN's frame, which its descendants have, too."""
    blocks = shapes.count("feats.{}", 0)
    names = {"to_feat": "stem", **numbered(block, blocks, 0, "feats.{}", "blocks.{}"), "to_img.0": "tail.0"}
    scale = shapes.scale("to_img.0.weight")
    return Held(genotype=genotypes[0], scale=scale, names=names, others=genotypes[1:])


def safmn(shapes: Shapes) -> Held:
    """SAFMN (arXiv 2302.13800)."""
    width, blocks = shapes.size("to_feat.weight"), shapes.count("feats.{}", 0)
    block = {"norm1": "norm1.norm", "norm2": "norm2.norm"}
    block |= {f"safm.mfr.{level}": f"modulation.seen.{level}" for level in range(4)}
    block |= {"safm.aggr": "modulation.fuse", "ccm.ccm.0": "mixer.0", "ccm.ccm.2": "mixer.2"}
    return _held(shapes, block, sized("safmn", width, blocks))


def gpdn(shapes: Shapes) -> Held:
    """GPDN, its released final class; its classes with and without the bicubic skip have equal tensors."""
    width, blocks = shapes.size("to_feat.weight"), shapes.count("feats.{}", 0)
    block = {"norm1": "norm1.norm", "norm2": "norm2.norm"}
    block |= {f"feat_mix.mfr.{level}": f"pooling.seen.{level}" for level in range(3)}
    block |= {"feat_mix.mfr4": "pooling.seen.3", "feat_mix.aggr": "pooling.fuse"}
    block |= {f"cab.cab.{place}": f"attention.body.{place}" for place in (0, 2)}
    block |= {f"cab.cab.3.attention.{place}": f"attention.gate.1.{place - 1}" for place in (1, 3)}
    return _held(shapes, block, *(sized("gpdn", width, blocks, skip=skip) for skip in ("bicubic", "none")))


def smfanet(shapes: Shapes) -> Held:
    """SMFANet and SMFANet+ (ECCV 2024)."""
    width, blocks = shapes.size("to_feat.weight"), shapes.count("feats.{}", 0)
    block = {"smfa.alpha": "modulation.weight", "smfa.belt": "modulation.variance_weight"}
    block |= {"smfa.linear_0": "modulation.enter", "smfa.linear_1": "modulation.gate"}
    block |= {"smfa.linear_2": "modulation.leave", "smfa.dw_conv": "modulation.coarse"}
    block |= {"smfa.lde.conv_0.0": "modulation.local.0", "smfa.lde.conv_0.1": "modulation.local.1"}
    block |= {"smfa.lde.conv_1": "modulation.local.3", "pcfn.conv_0": "mixer.enter"}
    block |= {"pcfn.conv_1": "mixer.partial", "pcfn.conv_2": "mixer.leave"}
    return _held(shapes, block, sized("smfanet", width, blocks))


def vapsr(shapes: Shapes) -> Held:
    """VapSR and VapSR-S (arXiv 2210.05960); at x4 the image is shuffled in two steps."""
    width, blocks = shapes.size("conv_first.weight"), shapes.count("body.{}", 0)
    kernels = {"pointwise": 0, "depthwise": 1, "depthwise_dilated": 2}
    block = {"proj_1": "body.0", "proj_2": "body.3", "pixel_norm": "norm.norm"}
    block |= {f"atten_branch.{name}": f"body.2.weight.{place}" for name, place in kernels.items()}
    names = {"conv_first": "stem", **numbered(block, blocks, 0, "body.{}", "blocks.{}"), "conv_body": "end"}
    last = 3 if "upsampler.3.weight" in shapes else 2
    names |= {f"upsampler.{place}": f"tail.{place}" for place in (0, last)}
    grouped = shapes.size("conv_body.weight", 1) < width
    genotype = sized("vapsr-s" if grouped else "vapsr", width, blocks)
    scale = 4 if last == 3 else shapes.scale("upsampler.2.weight")
    return Held(genotype=genotype, scale=scale, names=names)


def safmn_plus(shapes: Shapes) -> Held:
    """SAFMN++ (NTIRE 2024) and light SAFMN++ (AIS 2024), which modulates half of the channels."""
    width, blocks = shapes.size("to_feat.weight"), shapes.count("feats.{}", 0)
    block = {"conv1.proj": "modulation.enter", "conv1.dwconv": "modulation.coarse"}
    block |= {"conv1.out": "modulation.leave", "conv2.conv1": "mixer.0", "conv2.conv2": "mixer.2"}
    light = 2 * shapes.size("feats.0.conv1.dwconv.weight") == width
    if "feats.0.conv2.conv.0.weight" in shapes:
        block = {name: own for name, own in block.items() if not name.startswith("conv2")}
        block |= {f"conv2.conv.{place}": f"mixer.{place}" for place in (0, 2)}
    return _held(shapes, block, SafmnPlus(width=width, blocks=blocks, light=light))


def man(shapes: Shapes) -> Held:
    """MAN-tiny and MAN-light (arXiv 2209.14145): one group of blocks, and the mean colour stored with it."""
    width, blocks = shapes.size("head.weight"), shapes.count("body.0.body.{}", 0)
    if "body.1.body.0.LKA.scale" in shapes:
        raise LayoutError("it has several groups of blocks, and the network here has one")
    block = {"LKA.norm": "0.norm.norm", "LKA.scale": "0.scale", "LKA.proj_first.0": "0.enter"}
    block |= {"LKA.proj_last.0": "0.leave", "LFE.norm": "1.norm.norm", "LFE.scale": "1.scale"}
    block |= {"LFE.Conv1": "1.enter", "LFE.DWConv1": "1.gate", "LFE.Conv2": "1.leave"}
    for place, kernel in enumerate((3, 5, 7)):
        block |= {f"LKA.LKA{kernel}.{step}": f"0.large.{place}.{step}" for step in range(3)}
        block |= {f"LKA.X{kernel}": f"0.small.{place}"}
    names = {"head": "stem", **numbered(block, blocks, 0, "body.0.body.{}", "blocks.{}")}
    names |= {"body.0.body_t.conv0.0": "end.enter.0", "body.0.body_t.conv1": "end.leave"}
    names |= {f"body.0.body_t.att.{step}": f"end.weight.{step}" for step in range(3)}
    names |= {"tail.0": "tail.0"}
    same = torch.eye(3)[:, :, None, None]
    mean = Div2kMean().mean.flatten()
    constants = {"sub_mean.weight": same, "sub_mean.bias": -mean}
    constants |= {"add_mean.weight": same, "add_mean.bias": mean}
    scale = shapes.scale("tail.0.weight")
    return Held(genotype=Man(width=width, blocks=blocks), scale=scale, names=names, constants=constants)
