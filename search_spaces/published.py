"""Published networks: points of the composed space where it can express them, else networks of their own.

To add one, put a line in PUBLISHED: its test compares the built network with the costs given here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from search_spaces.errors import SpaceError, unknown
from search_spaces.genotype import Genotype
from search_spaces.lightweight import Lightweight
from search_spaces.networks.ecbsr import Ecbsr
from search_spaces.networks.efrdn import Efrdn
from search_spaces.networks.esrt import Esrt
from search_spaces.networks.f2srgan import F2srgan
from search_spaces.networks.latticenet import LatticeNet
from search_spaces.networks.lbnet import Lbnet
from search_spaces.networks.man import Man
from search_spaces.networks.plainusr import PlainUsr
from search_spaces.networks.safmnpp import SafmnPlus
from search_spaces.networks.span import Span
from search_spaces.networks.spanv2 import SpanV2
from search_spaces.networks.swinir import SwinIr

if TYPE_CHECKING:
    from torch import nn

_ECBSR_NOTE = (
    "the network sees luma alone, which is what is counted; chroma is enlarged bicubically, as the field "
    "shows such results"
)
_MAN_NOTE = "checkpoints hold 24 numbers more, the frozen mean colour"


@dataclass(frozen=True, kw_only=True)
class Printed:
    """One row of a table of costs: parameters, and Multi-Adds at an output of 1280x720.

    ``conv_only``: the row counts convolution modules and leaves out linear layers and attention.
    ``in_training``: the row counts the branches that are folded for use.
    ``params_within`` and ``multi_adds_within``: the fraction by which the network built here may differ, None
    where the row is known not to be what the network costs (``Published.note`` says why). ``multi_adds`` is
    None where the source gives none.
    """

    params: float
    multi_adds: float | None = None
    conv_only: bool = False
    in_training: bool = False
    params_within: float | None = 0.005
    multi_adds_within: float | None = 0.005


@dataclass(frozen=True, kw_only=True)
class Published:
    """A network of a paper: how to build it, what is printed about it, and what it costs by our own count.

    Exactly one of ``genotype`` and ``builder`` is set; ``builder`` takes the scale. ``otherwise`` maps a
    scale to the genotype there, where it is another. ``printed`` and ``counted`` map a scale to a row;
    ``counted`` are counts of the released code made independently. ``inspired``: only the abstract is known,
    so that the network is no reproduction.
    """

    source: str
    genotype: Genotype | None = None
    builder: Callable[[int], nn.Module] | None = None
    otherwise: Mapping[int, Genotype] = field(default_factory=dict)
    printed: Mapping[int, Printed] = field(default_factory=dict)
    counted: Mapping[int, Printed] = field(default_factory=dict)
    inspired: bool = False
    note: str = ""

    def __post_init__(self) -> None:
        if (self.genotype is None) == (self.builder is None):
            raise SpaceError(f"{self.source}: give either a genotype or a builder")

    def build(self, scale: int) -> nn.Module:
        """The network at ``scale``, with fresh weights: (B, 3, H, W) in [0, 1] -> (B, 3, s * H, s * W)."""
        genotype = self.genotype_at(scale)
        if genotype is not None:
            return genotype.build(scale)
        assert self.builder is not None
        return self.builder(scale)

    def genotype_at(self, scale: int) -> Genotype | None:
        """The genotype at ``scale``; None for a network of its own."""
        return self.otherwise.get(scale, self.genotype)


def _exact(params: int, multi_adds: float) -> Printed:
    """A count of released code: exact in parameters, one thousandth in Multi-Adds (their rounding)."""
    return Printed(params=params, multi_adds=multi_adds, params_within=0, multi_adds_within=0.001)


_SMFANET_NOTE = (
    "the printed Multi-Adds are those of its coarse 1x1 after the enlargement: the released code, which is "
    "counted here, has it before, with the same result and 5 to 7 % less"
)
_VAPSR = Lightweight(
    width=48,
    blocks=21,
    block="vab",
    attention="lka-5",
    sharing="none",
    aggregation="conv",
    tail="two-step",
)

PUBLISHED: dict[str, Published] = {
    "imdn": Published(
        genotype=Lightweight(
            width=64,
            blocks=6,
            block="imdb",
            depth=3,
            share=0.25,
            attention="cca",
            kernel="3x3",
            activation="lrelu",
            sharing="none",
            aggregation="fuse",
        ),
        source="IMDN, arXiv 1909.11856",
        printed={
            2: Printed(params=694e3, multi_adds=158.8e9, params_within=0.001, multi_adds_within=0.002),
            3: Printed(params=703e3, multi_adds=71.5e9, params_within=0.001),
            4: Printed(params=715e3, multi_adds=40.9e9, params_within=0.001, multi_adds_within=0.002),
        },
        counted={2: _exact(694_404, 158.77e9), 3: _exact(703_059, 71.34e9), 4: _exact(715_176, 40.89e9)},
    ),
    "rfdn": Published(
        genotype=Lightweight(
            width=50,
            blocks=4,
            block="rfdb",
            depth=3,
            share=0.5,
            attention="esa",
            kernel="3x3",
            activation="lrelu",
            sharing="none",
            aggregation="fuse",
        ),
        source="RFDN, arXiv 2009.11551, released code (AIM 2020)",
        printed={4: Printed(params=433e3)},
        counted={
            2: Printed(params=417.2e3, multi_adds=91.30e9, params_within=0.001, multi_adds_within=0.002),
            4: Printed(params=433.4e3, multi_adds=23.76e9, params_within=0.001, multi_adds_within=0.002),
        },
        note="the paper's tables (534 K, 550 K) belong to no setting of the released block",
    ),
    "bsrn": Published(
        genotype=Lightweight(
            width=64,
            stem="blueprint",
            blocks=8,
            block="esdb",
            depth=3,
            share=0.5,
            attention="esa-cca",
            kernel="blueprint",
            activation="gelu",
            sharing="none",
            aggregation="fuse-blueprint",
        ),
        source="BSRN, arXiv 2205.05996",
        printed={
            2: Printed(params=332e3, multi_adds=73.0e9, multi_adds_within=0.02),
            3: Printed(params=340e3, multi_adds=33.3e9, multi_adds_within=0.02),
            4: Printed(params=352e3, multi_adds=19.4e9, multi_adds_within=0.02),
        },
        counted={2: _exact(331_628, 71.94e9), 3: _exact(340_283, 32.80e9), 4: _exact(352_400, 19.18e9)},
        note="the paper's tool counts 1 to 1.5 % more Multi-Adds than there are",
    ),
    "rlfn": Published(
        genotype=Lightweight(
            width=52,
            blocks=6,
            block="rlfb",
            depth=3,
            attention="esa-slim",
            kernel="3x3",
            activation="lrelu",
            sharing="none",
            aggregation="conv",
        ),
        source="RLFN, arXiv 2205.07514",
        printed={
            2: Printed(params=527e3, multi_adds=115.4e9),
            4: Printed(params=543e3, multi_adds=29.8e9),
        },
        counted={2: _exact(526_856, 115.416e9), 4: _exact(543_740, 29.822e9)},
    ),
    "safmn": Published(
        genotype=Lightweight(
            width=36, blocks=8, block="safm", kernel="3x3", sharing="none", aggregation="plain"
        ),
        source="SAFMN, arXiv 2302.13800",
        printed={
            2: Printed(params=228e3, multi_adds=52e9, multi_adds_within=0.02),
            3: Printed(params=233e3, multi_adds=23e9, multi_adds_within=0.02),
            4: Printed(params=240e3, multi_adds=14e9, multi_adds_within=0.04),
        },
        counted={2: _exact(227_820, 51.48e9), 3: _exact(232_695, 23.34e9), 4: _exact(239_520, 13.54e9)},
    ),
    "smfanet": Published(
        genotype=Lightweight(width=36, blocks=8, block="fmb", sharing="none", aggregation="plain"),
        source="SMFANet, ECCV 2024, released code",
        printed={
            2: Printed(params=186e3, multi_adds=41e9, multi_adds_within=None),
            3: Printed(params=191e3, multi_adds=19e9, multi_adds_within=None),
            4: Printed(params=197e3, multi_adds=11e9, multi_adds_within=None),
        },
        counted={2: _exact(185_628, 38.79e9), 3: _exact(190_503, 17.71e9), 4: _exact(197_328, 10.37e9)},
        note=_SMFANET_NOTE,
    ),
    "smfanet-plus": Published(
        genotype=Lightweight(width=48, blocks=12, block="fmb", sharing="none", aggregation="plain"),
        source="SMFANet+, ECCV 2024, released code",
        printed={
            2: Printed(params=480e3, multi_adds=108e9, multi_adds_within=None),
            3: Printed(params=487e3, multi_adds=48e9, multi_adds_within=None),
            4: Printed(params=496e3, multi_adds=28e9, multi_adds_within=None),
        },
        counted={2: _exact(480_300, 101.14e9), 3: _exact(486_795, 45.55e9), 4: _exact(495_888, 26.18e9)},
        note=_SMFANET_NOTE,
    ),
    "lkdn": Published(
        genotype=Lightweight(
            width=56,
            stem="blueprint",
            blocks=8,
            block="lkdb",
            depth=3,
            share=0.5,
            attention="lka-5",
            kernel="blueprint",
            activation="gelu",
            sharing="none",
            aggregation="fuse-blueprint",
        ),
        source="LKDN, arXiv 2407.14340, released code",
        printed={4: Printed(params=322e3, multi_adds=18.3e9)},
        counted={2: _exact(303_812, 68.72e9), 3: _exact(311_387, 31.27e9), 4: _exact(321_992, 18.23e9)},
    ),
    "lkdn-s": Published(
        genotype=Lightweight(
            width=42,
            stem="blueprint",
            blocks=5,
            block="lkdb",
            depth=3,
            share=0.5,
            attention="lka-5",
            kernel="blueprint",
            branches="blueprint-rep",
            activation="gelu",
            sharing="none",
            aggregation="fuse-blueprint",
            tail="pixel_shuffle-rep",
        ),
        source="LKDN-S, arXiv 2407.14340, released code",
        counted={2: _exact(115_533, 26.01e9), 4: _exact(129_177, 7.286e9)},
        note="released at x4; in training it has 172,449 parameters there",
    ),
    "vapsr": Published(
        genotype=_VAPSR,
        otherwise=dict.fromkeys((2, 3), replace(_VAPSR, blocks=20)),
        source="VapSR, arXiv 2210.05960, released code",
        printed={4: Printed(params=342e3, multi_adds=19.5e9)},
        counted={2: _exact(329_236, 73.98e9), 3: _exact(336_811, 33.60e9), 4: _exact(342_220, 19.52e9)},
        note="it has 20 blocks at x2 and x3, and 21 at x4",
    ),
    "vapsr-s": Published(
        genotype=replace(_VAPSR, width=32, blocks=11, aggregation="conv-grouped"),
        source="VapSR-S, arXiv 2210.05960, released code",
        printed={4: Printed(params=155e3)},
        counted={4: _exact(154_956, 8.993e9)},
        note="released at x4",
    ),
    "gpdn": Published(
        genotype=Lightweight(
            width=32, blocks=8, block="gpdb", sharing="none", aggregation="plain", skip="bicubic"
        ),
        source="GPDN, released code (DCC_st39)",
        counted={
            2: Printed(params=92.3e3, multi_adds=20.14e9, params_within=0.001, multi_adds_within=0.002),
            4: Printed(params=102_728, multi_adds=5.63e9, params_within=0, multi_adds_within=0.002),
        },
        note="the article's tables could not be read; the released checkpoints hold 102,728 parameters at x4",
    ),
    "swinir-light": Published(
        builder=SwinIr().build,
        source="SwinIR, arXiv 2108.10257",
        printed={
            2: Printed(params=878e3, multi_adds=195.6e9, params_within=None, multi_adds_within=None),
            4: Printed(params=897e3, multi_adds=49.6e9, params_within=None, multi_adds_within=None),
        },
        counted={
            2: Printed(params=910_152, multi_adds=240.9e9, params_within=0, multi_adds_within=0.03),
            3: Printed(params=918_267, multi_adds=109.2e9, params_within=0, multi_adds_within=0.03),
            4: Printed(params=929_628, multi_adds=62.7e9, params_within=0, multi_adds_within=0.03),
        },
        note="the paper leaves out the relative position biases and the attention products",
    ),
    "f2srgan": Published(
        builder=F2srgan().build,
        source="F2SRGAN, Electronics 2023, 12(11), 2544, released code (generator)",
        counted={
            2: Printed(params=184_865, params_within=0),
            4: Printed(params=202_209, params_within=0),
        },
        note="checkpoints hold 24 numbers more, the frozen mean colour; Fourier transforms are not counted",
    ),
    "f2srgan-student": Published(
        builder=F2srgan(blocks=8, fourier=False).build,
        source="Light-F2SRGAN, Electronics 2023, 12(11), 2544, released code (student before pruning)",
        counted={4: Printed(params=113_121, params_within=0)},
        note="the checkpoint holds 24 numbers more, the frozen mean colour",
    ),
    "sdan-inspired": Published(
        genotype=Lightweight(
            width=40,
            stem="blueprint",
            blocks=8,
            block="sdm",
            depth=3,
            share=0.5,
            attention="mm-lka",
            kernel="blueprint",
            activation="gelu",
            sharing="none",
            aggregation="fuse-blueprint",
        ),
        source="inspired by SDAN, arXiv 2506.12475 (abstract only; sizes are ours)",
        inspired=True,
    ),
    "lmswn-inspired": Published(
        genotype=Lightweight(
            width=40,
            stem="pyramid",
            blocks=6,
            block="wrd",
            depth=3,
            share=0.5,
            attention="cca",
            kernel="3x3",
            branches="asymmetric",
            activation="lrelu",
            sharing="none",
            aggregation="fuse",
        ),
        source="inspired by LMSWN, Comput. Eng. Sci. 46(8):1433-1443, 2024 (abstract only; sizes are ours)",
        inspired=True,
    ),
    "paretosr-1": Published(
        genotype=Lightweight(
            width=32,
            blocks=8,
            block="safm",
            kernel="3x3",
            branches="asymmetric",
            sharing="none",
            aggregation="dense",
            skip="bicubic",
        ),
        source="ours: found under FALSR-B's budget (docs/results.md)",
        counted={2: _exact(181_004, 40.808e9)},
        note="its weights at x2 come with the package; the count is ours (nas cost --check: others agree)",
    ),
    "efrdn": Published(
        genotype=Efrdn(),
        source="EFRDN, doi 10.1016/j.cviu.2024.104178",
        printed={
            2: Printed(
                params=768e3,
                multi_adds=111.6e9,
                conv_only=True,
                in_training=True,
                params_within=0.02,
                multi_adds_within=None,
            ),
            3: Printed(
                params=768e3,
                multi_adds=49.5e9,
                conv_only=True,
                in_training=True,
                params_within=0.02,
                multi_adds_within=None,
            ),
            4: Printed(params=767.9e3, multi_adds=27.9e9, conv_only=True, in_training=True),
        },
        note="No code was released: widths are inferred from the x4 tables. The printed Multi-Adds leave out "
        "the transformers, and those at x2 and x3 are the x4 figure times the area. See docs/efrdn.md.",
    ),
    "lbnet": Published(
        builder=Lbnet().build,
        source="LBNet, arXiv 2204.13286",
        printed={
            2: Printed(params=731e3, multi_adds=153.2e9, conv_only=True),
            4: Printed(params=742e3, multi_adds=38.9e9, conv_only=True),
        },
        note="The printed Multi-Adds leave out the transformers.",
    ),
    "esrt": Published(
        builder=Esrt().build,
        source="ESRT, arXiv 2108.11084",
        printed={4: Printed(params=751e3, multi_adds=67.7e9, multi_adds_within=None)},
        counted={4: Printed(params=752e3, multi_adds=298e9)},
        note="What the printed Multi-Adds count is not known; others measure 298 G, as is counted here.",
    ),
    "latticenet": Published(
        builder=LatticeNet().build,
        source="LatticeNet, ECCV 2020",
        printed={
            2: Printed(params=756e3, multi_adds=169.5e9),
            3: Printed(params=765e3, multi_adds=76.3e9),
            4: Printed(params=777e3, multi_adds=43.6e9),
        },
    ),
    "span-28": Published(
        genotype=Span(width=28, blocks=6),
        source="SPAN (NTIRE 2026 baseline), arXiv 2311.12770, released code",
        printed={4: Printed(params=151e3)},
        counted={2: _exact(141_580, 32.48e9), 4: _exact(150_688, 8.64e9)},
        note="the challenge prints 9.83 G Multi-Adds for an input of 256x256 pixels, which is 8.64 G here",
    ),
    "span-48": Published(
        genotype=Span(width=48, blocks=6),
        source="SPAN, arXiv 2311.12770, released code",
        counted={2: _exact(410_700, 94.39e9), 3: _exact(417_195, 42.55e9), 4: _exact(426_288, 24.49e9)},
    ),
    "span-52": Published(
        genotype=Span(width=52, blocks=6),
        source="SPAN, arXiv 2311.12770, released code",
        counted={2: _exact(481_324, 110.64e9), 4: _exact(498_208, 28.63e9)},
    ),
    "spanv2": Published(
        genotype=SpanV2(width=32, blocks=5),
        source="SPANV2, NTIRE 2026 challenge on efficient super-resolution, released code",
        printed={4: Printed(params=139e3)},
        counted={2: _exact(135_144, 31.11e9), 4: _exact(139_104, 8.01e9)},
        note="the challenge prints 1.59 G Multi-Adds for an input of 256x256 pixels, because its tool cannot "
        "count an operation of the team's own; there are 9.11 G, which is 8.01 G here. The form in which the "
        "network was trained is not published",
    ),
    "plainusr-u": Published(
        genotype=PlainUsr(size="ultra", width=16, blocks=3),
        source="PlainUSR, arXiv 2409.13435, released code",
        counted={2: _exact(13_628, 3.11e9), 4: _exact(19_820, 1.133e9)},
    ),
    "plainusr-t": Published(
        genotype=PlainUsr(size="ultra", width=32, blocks=3),
        source="PlainUSR, arXiv 2409.13435, released code",
        counted={2: _exact(48_724, 11.18e9), 4: _exact(60_100, 3.45e9)},
    ),
    "plainusr-s": Published(
        genotype=PlainUsr(size="small", width=32, blocks=5),
        source="PlainUSR, arXiv 2409.13435, released code",
        counted={2: _exact(57_236, 12.10e9), 4: _exact(68_612, 3.68e9)},
    ),
    "plainusr-m": Published(
        genotype=PlainUsr(size="medium", width=48, blocks=5),
        source="PlainUSR, arXiv 2409.13435, released code",
        counted={2: _exact(148_932, 30.67e9), 4: _exact(165_492, 8.62e9)},
    ),
    "plainusr": Published(
        genotype=PlainUsr(size="base", width=64, blocks=5),
        source="PlainUSR, arXiv 2409.13435, released code",
        counted={2: _exact(311_364, 60.66e9), 4: _exact(333_108, 16.41e9)},
    ),
    "plainusr-l": Published(
        genotype=PlainUsr(size="large", width=80, blocks=5),
        source="PlainUSR, arXiv 2409.13435, released code",
        counted={2: _exact(707_076, 149.12e9), 4: _exact(734_004, 38.83e9)},
    ),
    "safmn-pp": Published(
        genotype=SafmnPlus(width=36, blocks=6),
        source="SAFMN++, NTIRE 2024 challenge on efficient super-resolution, released code",
        printed={4: Printed(params=212e3)},
        counted={2: _exact(199_908, 45.91e9), 4: _exact(211_572, 12.15e9)},
        note="the challenge prints 13.86 G Multi-Adds for an input of 256x256 pixels, 0.3 % more than "
        "there are",
    ),
    "safmn-pp-light": Published(
        genotype=SafmnPlus(width=32, blocks=2, light=True),
        source="light SAFMN++, AIS 2024 challenge on real-time super-resolution, released code",
        counted={2: _exact(55_808, 12.79e9), 4: _exact(66_176, 3.795e9)},
    ),
    "ecbsr-m4c8": Published(
        genotype=Ecbsr(width=8, blocks=4),
        source="ECBSR, ACM MM 2021, released code",
        counted={2: _exact(2_748, 0.614e9), 4: _exact(3_624, 0.2032e9)},
        note=_ECBSR_NOTE,
    ),
    "ecbsr-m4c16": Published(
        genotype=Ecbsr(width=16, blocks=4),
        source="ECBSR, ACM MM 2021, released code",
        counted={2: _exact(10_100, 2.289e9), 4: _exact(11_840, 0.672e9)},
        note=_ECBSR_NOTE,
    ),
    "ecbsr-m10c16": Published(
        genotype=Ecbsr(width=16, blocks=10),
        source="ECBSR, ACM MM 2021, released code",
        note=_ECBSR_NOTE,
    ),
    "ecbsr-m10c32": Published(
        genotype=Ecbsr(width=32, blocks=10),
        source="ECBSR, ACM MM 2021, released code",
        note=_ECBSR_NOTE,
    ),
    "ecbsr-m16c64": Published(
        genotype=Ecbsr(width=64, blocks=16),
        source="ECBSR, ACM MM 2021, released code",
        printed={
            2: Printed(params=596e3, multi_adds=137.3e9, multi_adds_within=0.01),
            4: Printed(params=603e3, multi_adds=34.7e9, multi_adds_within=0.01),
        },
        counted={2: _exact(594_884, 136.56e9), 4: _exact(601_808, 34.54e9)},
        note="the printed Multi-Adds are the printed parameters, biases included, times the pixels; "
        f"{_ECBSR_NOTE}",
    ),
    "ecbsr-m4c16-rgb": Published(
        genotype=Ecbsr(width=16, blocks=4, colour="rgb"),
        source="ours, after ECBSR, ACM MM 2021: three colours instead of luma",
        counted={4: _exact(16_768, 0.9539e9)},
        note="the count is ours, by hand from its layers",
    ),
    "man-tiny": Published(
        genotype=Man(width=48, blocks=5),
        source="MAN, arXiv 2209.14145, released code",
        printed={4: Printed(params=150e3, multi_adds=8.4e9)},
        counted={2: _exact(134_412, 29.97e9), 3: _exact(140_907, 13.97e9), 4: _exact(150_000, 8.39e9)},
        note=_MAN_NOTE,
    ),
    "man-light": Published(
        genotype=Man(width=60, blocks=24),
        source="MAN, arXiv 2209.14145, released code",
        printed={4: Printed(params=840e3, multi_adds=47.1e9)},
        counted={2: _exact(823_392, 183.99e9), 4: _exact(842_868, 47.12e9)},
        note=_MAN_NOTE,
    ),
}


def published(name: str) -> Published:
    """The network called ``name``. Raises SpaceError that names the nearest one."""
    if name not in PUBLISHED:
        raise unknown("published network", name, PUBLISHED)
    return PUBLISHED[name]


def published_name(genotype: Genotype) -> str | None:
    """What papers call a network, by its genotype; None where none of PUBLISHED is it."""
    return published_names().get(genotype.id)


def published_names() -> dict[str, str]:
    """The id of each published genotype -> what papers call the network."""
    return {
        genotype.id: name
        for name, entry in reversed(PUBLISHED.items())
        for genotype in (*entry.otherwise.values(), entry.genotype)
        if genotype is not None
    }
