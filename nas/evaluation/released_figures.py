"""PSNR of released weights as their authors' code reaches it, and as papers print it.

To add figures, put a row into FIGURES.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Figure:
    """PSNR of the luma channel in dB, by benchmark set.

    Attributes:
        network: The published name.
        scale: 2, 3 or 4.
        data: What the weights were trained on; empty where the source does not say.
        printed: As printed, with the places printed.
        printed_in: Where.
        measured: With the authors' code on a CPU: Y of BT.601 after rounding RGB to 8 bits, ``scale`` pixels
            cut from each side.
        sha256: Of the file that was measured; empty where it is not known here.
    """

    network: str
    scale: int
    data: str = ""
    printed: Mapping[str, str] = field(default_factory=dict)
    printed_in: str = ""
    measured: Mapping[str, float] = field(default_factory=dict)
    sha256: str = ""


def _sets(*values: Any) -> dict[str, Any]:
    """The values for Set5 and Set14; None is left out."""
    return {name: value for name, value in zip(("Set5", "Set14"), values, strict=False) if value is not None}


def _prints(network: str, data: str, place: str, rows: Mapping[int, Sequence[str]]) -> list[Figure]:
    """Figures that are printed and were not measured."""
    return [
        Figure(network=network, scale=scale, data=data, printed=_sets(*values), printed_in=place)
        for scale, values in rows.items()
    ]


_SMFANET = "SMFANet paper, Table {}"
_README = "{} repository, README"

FIGURES: tuple[Figure, ...] = (
    Figure(
        network="smfanet",
        scale=4,
        data="DIV2K",
        printed=_sets("32.25", "28.67"),
        printed_in=_SMFANET.format(1),
        measured=_sets(32.253, 28.670),
        sha256="1b6aca8369cfd1f0df326e7f685073728420d1c9ec8921feb113d402b80180c8",
    ),
    Figure(
        network="smfanet-plus",
        scale=4,
        data="DIV2K",
        printed=_sets("32.43", "28.77"),
        printed_in=_SMFANET.format(2),
        sha256="238c4eb5d1b177c42cee93cac9fa96cbae63a52c4daded9d153ae9b771f228d0",
    ),
    Figure(
        network="smfanet-plus",
        scale=4,
        data="DF2K",
        printed=_sets("32.51", "28.87"),
        printed_in=_SMFANET.format(2),
        measured=_sets(32.511, 28.866),
    ),
    Figure(
        network="lkdn",
        scale=4,
        data="DF2K",
        printed=_sets("32.39", "28.79"),
        printed_in=_README.format("LKDN"),
        measured=_sets(32.390, 28.796),
        sha256="f534422583c99dad994fd7df897f6f872637218430cfedf6c2d2a072ea86dbd7",
    ),
    Figure(
        network="vapsr",
        scale=4,
        data="DF2K",
        printed=_sets("32.38", "28.77"),
        printed_in=_README.format("VapSR"),
        measured=_sets(32.400, 28.771),
    ),
    Figure(
        network="plainusr",
        scale=4,
        measured=_sets(32.015, 28.539),
        sha256="afdf923f7bb2e1904d26673653466bd11d809d2daf19a2c7bd6a38391a70efc2",
    ),
    Figure(
        network="span-28",
        scale=4,
        data="DIV2K, LSDIR",
        measured=_sets(31.739, 28.401),
        sha256="6c80f05048313289c6526e5fc9726688d7bb3dfdd6ae3c8b1e7dd09f601e5971",
    ),
    Figure(
        network="rfdn",
        scale=4,
        measured=_sets(32.159, 28.645),
        sha256="11af8ec8ebd68689e90ef1e29044f9804c72d3bd9f7573820b7b26035782760c",
    ),
    Figure(
        network="bsrn",
        scale=4,
        data="DF2K",
        printed=_sets("32.35", "28.73"),
        printed_in=_README.format("LKDN"),
        measured=_sets(32.349, 28.735),
        sha256="47518e0f549f5696da0c84ca2d65bf50d789c7ac20e621909f5fd6c8c8d70bcb",
    ),
    Figure(
        network="rlfn",
        scale=4,
        printed=_sets("32.24", "28.62"),
        printed_in="Omni-SR paper, main table",
        measured=_sets(32.238, 28.620),
        sha256="8c7edb57dfc89048bafba29d591d4c27d4099964b4a9e22df23d6dc257a637c0",
    ),
    *_prints("smfanet", "DIV2K", _SMFANET.format(1), {2: ("38.04", "33.65"), 3: ("34.46", "30.39")}),
    *_prints(
        *("smfanet", "DF2K", _SMFANET.format(1)),
        {2: ("38.08", "33.65"), 3: ("34.42", "30.41"), 4: ("32.25", "28.71")},
    ),
    *_prints("smfanet-plus", "DIV2K", _SMFANET.format(2), {2: ("38.18", "33.82"), 3: ("34.63", "30.52")}),
    *_prints("smfanet-plus", "DF2K", _SMFANET.format(2), {2: ("38.19", "33.92"), 3: ("34.66", "30.57")}),
    *_prints("vapsr-s", "DF2K", _README.format("VapSR"), {4: ("32.14", "28.64")}),
    *_prints(
        *("safmn", "DF2K", "SAFMN paper, efficient SR table"),
        {2: ("38.00", "33.54"), 3: ("34.34", "30.33"), 4: ("32.18", "28.60")},
    ),
    *_prints("rlfn", "", "Omni-SR paper, main table", {2: ("38.07", "33.72")}),
    *_prints(
        *("imdn", "DIV2K", "EFRDN paper, Table 1"),
        {2: ("38.00", "33.63"), 3: ("34.36", "30.32"), 4: ("32.21", "28.58")},
    ),
    *_prints("man-tiny", "DF2K", _README.format("MAN"), {2: ("37.91",), 3: ("34.23",), 4: ("32.07",)}),
    *_prints("man-light", "DF2K", _README.format("MAN"), {2: ("38.18",), 3: ("34.65",), 4: ("32.50",)}),
)


def figures_of(network: str, scale: int, sha256: str) -> list[Figure]:
    """The figures of a file: its own, or those of all training data where its digest is not known."""
    own = [figure for figure in FIGURES if sha256 and figure.sha256 == sha256]
    return own or [figure for figure in FIGURES if (figure.network, figure.scale) == (network, scale)]
