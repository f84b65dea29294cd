"""EFRDN: dense distillation modules that share weights, then two dense efficient transformers.

(EFRDN, An efficient feature reuse distillation network, CVIU 2024, doi 10.1016/j.cviu.2024.104178.) No code
was released. What the text leaves open was inferred from the costs that its tables print at x4; every such
choice is a field of :class:`Efrdn`. ``docs/efrdn.md`` compares the tables row by row.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from search_spaces.axes import choice
from search_spaces.blocks.attention import ContrastChannelAttention, EnhancedSpatialAttention
from search_spaces.blocks.convolutions import square3x3
from search_spaces.blocks.distillation import MultiDistillationBlock, ResidualDistillationBlock
from search_spaces.blocks.esrt import TokenStage
from search_spaces.blocks.lattice import AsymmetricDistillationBlock, DistillationVariant
from search_spaces.blocks.tails import PixelShuffleTail
from search_spaces.errors import require_scale
from search_spaces.genotype import Genotype

_ACDM = {"module": ("acdm",)}
_FFLB = {"fflb": (True,)}
_MODULES = 4
_HEADS = 8


@dataclass(frozen=True, kw_only=True)
class Efrdn(Genotype):
    """EFRDN with its open choices; the first option of each is the reading that fits the printed costs.

    Ablations of the paper: ``module`` (Table 2), ``distilled``, ``fflb``, ``mscc`` (Table 3), ``gcrb``,
    ``effb``, ``coefficients="none"`` (Table 4), ``cnn_links`` and ``transformer_links`` (Table 5).

    Inferred, with the alternatives: ``unique`` (2 in the text; 1 gives Table 2's "650K"), ``coefficients``,
    ``merge`` and ``fuse`` (see DistillationVariant), ``mlp_ratio`` (the perceptron's width in quarters of the
    token: ESRT's 1 makes the network 11 % too small, 2 fits), ``reconstruction`` (one convolution for both
    images fits within 0.3 %, a separate one for each within 1.6 %), ``chunks`` (ESRT's 4; LBNet has 16), and
    8 heads. ``cnn_links`` "dense" adds the outputs of all previous modules, which the text describes;
    "literal" takes eq. 2 as it is printed, (i - 1) times the last one.
    """

    width: int = choice(32, 16, 24, 40, 48, 56, 64, doc="channels of the features")
    module: str = choice("acdm", "imdb", "rfdb", doc="distillation module")
    unique: int = choice(2, 1, 4, when=_ACDM, doc="sets of weights among the four modules")
    fflb: bool = choice(True, False, when=_ACDM, doc="lattice blocks on the refined path")
    gcrb: bool = choice(True, False, when=_FFLB, doc="group residual blocks on the lattice's branches")
    effb: bool = choice(True, False, when=_FFLB, doc="fusion block at the lattice's end")
    coefficients: str = choice(
        "branches", "lattices", "pairs", "separate", "none", when=_FFLB, doc="tying of the coefficients"
    )
    merge: str = choice("mixed", "concat", "sum", when={"effb": (True,)}, doc="what the fusion block merges")
    fuse: str = choice("1x1", "3x3", when=_ACDM, doc="last convolution of self-calibrated units")
    mscc: bool = choice(True, False, when=_ACDM, doc="self-calibrated units at the module's end")
    distilled: str = choice("acrb", "3x3", "none", when=_ACDM, doc="what the distilled share passes")
    mlp_ratio: int = choice(2, 1, 4, doc="width of the feed-forward part, in quarters of the token")
    chunks: int = choice(4, 16, doc="parts of the raster that attend to themselves")
    cnn_links: str = choice("dense", "literal", "none", doc="connections between the modules")
    transformer_links: str = choice("dense", "none", doc="connections between the transformers")
    reconstruction: str = choice("tied", "separate", doc="weights of the two reconstructions")

    def build(self, scale: int) -> nn.Module:
        """The network, (B, 3, H, W) in [0, 1] -> (B, 3, scale * H, scale * W), with fresh weights.

        Raises SpaceError for another scale than 2, 3 or 4.
        """
        require_scale(scale)
        return EfrdnNetwork(self, scale)


class EfrdnNetwork(nn.Module):
    """The network that an Efrdn describes (eqs. 1-9).

    conv_1 to conv_6 are 3x3 convolutions of their own weights, and features are added before them as in eq.
    2, not concatenated as the sentence below it says (inferred: only this fits the printed Multi-Adds).
    Without links each part takes the output of the one before and the shallow features (ours: Table 5 says
    no more).
    """

    def __init__(self, choices: Efrdn, scale: int) -> None:
        super().__init__()
        width = choices.width
        unique = _MODULES if choices.unique is None else choices.unique
        self.order = [position % unique for position in range(_MODULES)]
        self.cnn_links, self.transformer_links = choices.cnn_links, choices.transformer_links
        self.stem = square3x3(3, width)
        self.distillers = nn.ModuleList(_module(choices) for _ in range(unique))
        self.convs = nn.ModuleList(square3x3(width, width) for _ in range(_MODULES))
        self.transformers = nn.ModuleList(
            TokenStage(width, heads=_HEADS, hidden=9 * width * choices.mlp_ratio // 4, chunks=choices.chunks)
            for _ in range(2)
        )
        self.tail = PixelShuffleTail(width, scale)
        tied = choices.reconstruction == "tied"
        self.shallow_tail = self.tail if tied else PixelShuffleTail(width, scale)

    def forward(self, x: Tensor) -> Tensor:
        """(B, 3, H, W) in [0, 1] -> (B, 3, scale * H, scale * W), not clipped."""
        shallow = self.stem(x)
        convolved = self._convolutional(shallow)
        first, second = self.transformers
        mixed = first(convolved)
        if self.transformer_links == "dense":
            mixed = mixed + convolved
            deep = mixed + second(mixed) + shallow
        else:
            deep = second(mixed) + shallow
        return self.tail(deep) + self.shallow_tail(shallow)

    def _convolutional(self, shallow: Tensor) -> Tensor:
        """The CNN part: eqs. 2 and 3."""
        features, total = shallow, shallow
        for position, (index, conv) in enumerate(zip(self.order, self.convs, strict=True)):
            made = self.distillers[index](features)
            if self.cnn_links == "dense" or position == 0:
                linked = total
            elif self.cnn_links == "literal":
                linked = position * features + shallow
            else:
                linked = features
            features = conv(made + linked)
            total = total + features
        return features + shallow if self.cnn_links == "none" else total


def _module(choices: Efrdn) -> nn.Module:
    """One distillation module; IMDB and RFDB as their own papers have them, with weights of their own."""
    width = choices.width
    if choices.module == "imdb":
        return MultiDistillationBlock(
            width, conv=square3x3, attention=ContrastChannelAttention, depth=3, share=0.25
        )
    if choices.module == "rfdb":
        return ResidualDistillationBlock(
            width, conv=square3x3, attention=EnhancedSpatialAttention, depth=3, share=0.5
        )
    return AsymmetricDistillationBlock(width, reading=_reading(choices))


def _reading(choices: Efrdn) -> DistillationVariant:
    """The choices about the module; those that do not apply (None) keep their defaults."""
    names = DistillationVariant.__dataclass_fields__
    taken = {name: getattr(choices, name) for name in names if getattr(choices, name) is not None}
    return DistillationVariant(**taken)
