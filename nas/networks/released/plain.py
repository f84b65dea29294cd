"""Layouts of chains of 3x3 convolutions, which are trained with branches: SPAN, SPANV2, PlainUSR, ECBSR."""

from __future__ import annotations

from nas.networks.released.layout import Held, LayoutError, Names, Shapes, numbered
from search_spaces.networks.ecbsr import Ecbsr
from search_spaces.networks.plainusr import SIZES, PlainUsr, Proportions
from search_spaces.networks.span import Span
from search_spaces.networks.spanv2 import SpanV2


def span(shapes: Shapes) -> Held:
    """SPAN (arXiv 2311.12770), folded: 48 and 52 channels, 28 in the NTIRE challenges."""
    blocks = shapes.count("block_{}", 1)
    block = {"c1_r.eval_conv": "enter.0", "c2_r.eval_conv": "refine.0", "c3_r.eval_conv": "refine.2"}
    names = {"conv_1.eval_conv": "stem", **numbered(block, blocks - 1, 1, "block_{}", "blocks.{}")}
    names |= {f"block_{blocks}.{name}": f"last.{own}" for name, own in block.items()}
    names |= {"conv_cat": "fuse", "conv_2.eval_conv": "end", "upsampler.0": "tail.0"}
    genotype = Span(width=shapes.size("conv_1.eval_conv.weight"), blocks=blocks, branches="none")
    return Held(genotype=genotype, scale=shapes.scale("upsampler.0.weight"), names=names)


def spanv2(shapes: Shapes) -> Held:
    """SPANV2 of NTIRE 2026, in its folded form, the only one that was released."""
    blocks = shapes.count("block_{}", 1)
    convolutions = {f"c{step + 1}.conv": 2 * step for step in range(3)}
    block = {name: f"body.{place}" for name, place in convolutions.items()} | {"guidance_map_conv": "guide"}
    names = {f"block_1.{name}": f"enter.0.{place}" for name, place in convolutions.items()}
    names |= numbered(block, blocks - 1, 2, "block_{}", "blocks.{}")
    names |= {"conv_near": "near", "depthwise_conv": "tail.0", "pointwise_conv": "tail.1"}
    genotype = SpanV2(width=shapes.size("block_1.c1.conv.weight"), blocks=blocks)
    return Held(genotype=genotype, scale=shapes.scale("conv_near.weight"), names=names)


def plainusr(shapes: Shapes) -> Held:
    """PlainUSR (arXiv 2409.13435), all sizes, folded."""
    width = shapes.size("head.weight") - 3
    ultra = "blockm.body.3.body.2.weight" not in shapes and "blockm.body.5.body.2.weight" not in shapes
    order = ("block1", "blockm", "block2") if ultra else ("block1", "block2", "blockm", "block3", "block4")
    depth = 3 if "blockm.body.4.weight" in shapes else 2
    block: Names = {f"body.{2 * step}": f"body.{2 * step}" for step in range(depth)}
    attention = f"body.{2 * depth - 1}.body"
    if ultra:
        block |= {f"{attention}.0": "attention.importance"}
    else:
        parts = {0: "squeeze", 2: "stride", 3: "expand"}
        block |= {f"{attention}.{place}": f"attention.{name}" for place, name in parts.items()}
    names: Names = {"head": "stem"}
    for place, called in enumerate(order):
        names |= numbered(block, 1, 0, called, f"blocks.{place}")
    names |= {"tail.0": "tail.0"}
    levels = [shapes.size(f"{called}.body.0.weight") for called in order[: len(order) // 2 + 1]]
    hidden = None if ultra else shapes.size(f"block1.{attention}.0.weight")
    fitting = [size for size, parts in SIZES.items() if _fits(parts, width, levels, hidden, depth)]
    if not fitting:
        raise LayoutError(
            f"width {width} with blocks of {levels}, {depth} convolutions each, is no size of it"
        )
    genotype = PlainUsr(size=fitting[0], width=width, blocks=len(order), branches="none")
    return Held(genotype=genotype, scale=shapes.scale("tail.0.weight"), names=names)


def _fits(parts: Proportions, width: int, levels: list[int], hidden: int | None, depth: int) -> bool:
    """Whether a size of PlainUSR has these channels and this depth."""
    inner = None if parts.hidden is None else max(1, round(width * parts.hidden))
    return (depth, hidden, levels) == (parts.depth, inner, [round(width * level) for level in parts.levels])


def ecbsr(shapes: Shapes) -> Held:
    """ECBSR (ACM MM 2021), folded; luma alone, or three channels."""
    blocks = shapes.count("backbone.{}", 0) - 2
    colours = shapes.size("backbone.0.conv3x3.weight", 1)
    last = f"backbone.{blocks + 1}.conv3x3"
    inside = "body." if colours == 1 else ""
    block = {"conv3x3": "0", "act": "1"}
    names = numbered(block, blocks + 1, 0, "backbone.{}", f"{inside}blocks.{{}}") | {last: f"{inside}last"}
    genotype = Ecbsr(
        width=shapes.size("backbone.0.conv3x3.weight"),
        blocks=blocks,
        colour="y" if colours == 1 else "rgb",
        branches="none",
    )
    scale = shapes.scale(f"{last}.weight", colours)
    return Held(genotype=genotype, scale=scale, names=names)
