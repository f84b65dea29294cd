"""Layouts of distillation networks: IMDN, RFDN, BSRN, LKDN, RLFN."""

from __future__ import annotations

from nas.networks.released.layout import Held, Names, Shapes, numbered
from nas.networks.released.naming import sized


def imdn(shapes: Shapes) -> Held:
    """IMDN (arXiv 1909.11856): a fixed quarter of the channels is set aside."""
    width, blocks = shapes.size("fea_conv.weight"), shapes.count("IMDB{}", 1)
    block = {f"c{step + 1}": f"steps.{step}.0" for step in range(3)}
    block |= {"c4": "last", "c5": "fuse", "cca.conv_du.0": "attention.gate.0"}
    block |= {"cca.conv_du.2": "attention.gate.2"}
    names = {"fea_conv": "stem", **numbered(block, blocks, 1, "IMDB{}", "blocks.{}")}
    names |= {"c.0": "end.0", "LR_conv": "end.2", "upsampler.0": "tail.0"}
    genotype = sized("imdn", width, blocks)
    return Held(genotype=genotype, scale=shapes.scale("upsampler.0.weight"), names=names)


def rfdn(shapes: Shapes) -> Held:
    """RFDN (arXiv 2009.11551), as in its released code."""
    width, blocks = shapes.size("fea_conv.weight"), shapes.count("B{}", 1)
    block = {f"c{step + 1}_d": f"distillers.{step}" for step in range(3)}
    block |= {f"c{step + 1}_r": f"refiners.{step}" for step in range(3)}
    block |= {"c4": "last", "c5": "fuse"}
    esa = {"conv1": "squeeze", "conv_f": "skip", "conv_max": "body.0", "conv2": "stride"}
    esa |= {"conv3": "body.2", "conv3_": "body.4", "conv4": "expand"}
    block |= {f"esa.{name}": f"attention.{own}" for name, own in esa.items()}
    names = {"fea_conv": "stem", **numbered(block, blocks, 1, "B{}", "blocks.{}")}
    names |= {"c.0": "end.0", "LR_conv": "end.2", "upsampler.0": "tail.0"}
    genotype = sized("rfdn", width, blocks)
    return Held(genotype=genotype, scale=shapes.scale("upsampler.0.weight"), names=names)


def _blueprint(name: str, own: str) -> Names:
    """The 1x1 and the depthwise convolution of a blueprint separable one."""
    return {f"{name}.pw": f"{own}.0", f"{name}.dw": f"{own}.1"}


def _distillation(blocks: int, block: Names) -> Names:
    """BSRN's frame, which LKDN has, too; ``block`` are the names of what follows the stages of a block."""
    stages: Names = {}
    for step in range(3):
        stages |= {f"c{step + 1}_d": f"distillers.{step}"}
        stages |= _blueprint(f"c{step + 1}_r", f"refiners.{step}")
    stages |= {**_blueprint("c4", "last"), "c5": "fuse", **block}
    names = {**_blueprint("fea_conv", "stem.conv"), **numbered(stages, blocks, 1, "B{}", "blocks.{}")}
    return {**names, "c1": "end.0", **_blueprint("c2", "end.2")}


def bsrn(shapes: Shapes) -> Held:
    """BSRN (arXiv 2205.05996)."""
    block = {f"esa.{name}": f"attention.0.{own}" for name, own in _blueprint_esa().items()}
    block |= {f"esa.{name}": f"attention.0.{own}" for name, own in _blueprint("conv2", "stride").items()}
    block |= {f"cca.conv_du.{place}": f"attention.1.gate.{place}" for place in (0, 2)}
    return _of_bsrn(shapes, "esa-cca", block)


def bsrn_s(shapes: Shapes) -> Held:
    """BSRN-S, BSRN's entry to NTIRE 2022, its weights of the channels folded."""
    block = {f"esa.{name}": f"attention.0.{own}" for name, own in _blueprint_esa().items()}
    block |= {"esa.conv2": "attention.0.stride", "conv_out": "attention.1"}
    return _of_bsrn(shapes, "esa-point", block)


def _blueprint_esa() -> Names:
    """ESA of blueprint convolutions, without the strided one."""
    esa = {"conv1": "squeeze", "conv_f": "skip", **_blueprint("conv_max", "body.0"), "conv4": "expand"}
    return {**esa, **_blueprint("conv3", "body.2"), **_blueprint("conv3_", "body.4")}


def _of_bsrn(shapes: Shapes, attention: str, block: Names) -> Held:
    blocks, tail = shapes.count("B{}", 1), "upsampler.upsampleOneStep.0"
    genotype = sized("bsrn", shapes.size("fea_conv.pw.weight"), blocks, attention=attention)
    names = {**_distillation(blocks, block), tail: "tail.0"}
    return Held(genotype=genotype, scale=shapes.scale(f"{tail}.weight"), names=names)


def rlfn(shapes: Shapes) -> Held:
    """RLFN, RLFN-S and the pruned RLFN of NTIRE 2022 (arXiv 2205.07514).

    The last has 46 channels and 48 inside its blocks: it is described as a network of 48 with narrower ends.
    """
    width, inner = shapes.size("conv_1.weight"), shapes.size("block_1.c1_r.weight")
    blocks = shapes.count("block_{}", 1)
    block = {f"c{step + 1}_r": f"body.{2 * step}" for step in range(3)} | {"c5": "fuse"}
    esa = {"conv1": "squeeze", "conv_f": "skip", "conv2": "stride", "conv3": "body", "conv4": "expand"}
    block |= {f"esa.{name}": f"attention.{own}" for name, own in esa.items()}
    names = {"conv_1": "stem", **numbered(block, blocks, 1, "block_{}", "blocks.{}")}
    names |= {"conv_2": "end", "upsampler.0": "tail.0"}
    genotype = sized("rlfn", max(width, inner), blocks)
    scale = shapes.scale("upsampler.0.weight")
    return Held(genotype=genotype, scale=scale, names=names, narrower=width != inner)


def lkdn(shapes: Shapes) -> Held:
    """LKDN and LKDN-S (arXiv 2407.14340), the latter folded."""
    blocks = shapes.count("B{}", 1)
    kernels = {"pointwise": 0, "depthwise": 1, "depthwise_dilated": 2}
    block = {f"atten.{name}": f"attention.weight.{place}" for name, place in kernels.items()}
    block |= {"c6": "project", "pixel_norm": "norm.norm"}
    genotype = sized("lkdn", shapes.size("fea_conv.pw.weight"), blocks)
    names = {**_distillation(blocks, block), "upsampler.0": "tail.0"}
    return Held(genotype=genotype, scale=shapes.scale("upsampler.0.weight"), names=names)
