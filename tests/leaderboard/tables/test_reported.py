from __future__ import annotations

import re
from itertools import combinations

import numpy as np
import pandas as pd
import pytest

from leaderboard.tables.reported import reported

TABLE = reported()
COLUMNS = {"params", "multi_adds", "psnr_db", "ssim"}
LOW_RESOLUTION_PIXELS = {2: 640 * 360, 3: 1280 * 720 // 9, 4: 320 * 180}
"""Input pixels for an output of 1280x720, at which papers count Multi-Adds."""


def flagged(column: str) -> set[tuple[str, int, str]]:
    """Network, scale and set of the rows whose `column` is marked."""
    marked = [
        column in [name for part in (why or "").split("; ") for name in part.partition(":")[0].split(", ")]
        for why in TABLE["suspect"]
    ]
    return set(TABLE.loc[marked, ["network", "scale", "dataset"]].itertuples(index=False, name=None))


def of(network: str, column: str) -> dict[int, float]:
    """What is printed of a network's cost, by scale."""
    rows = TABLE[TABLE["network"] == network].drop_duplicates("scale")
    return dict(zip(rows["scale"], rows[column], strict=True))


def test_the_table_is_whole_and_typed() -> None:
    assert len(TABLE) == 238
    assert not TABLE.duplicated(["network", "scale", "dataset"]).any()
    assert TABLE.dtypes.astype(str).to_dict() == {
        **{"network": "object", "cites": "object", "scale": "int64", "params": "int64"},
        **{"multi_adds": "float64", "dataset": "object", "psnr_db": "float64", "ssim": "float64"},
        **{"reported_in": "object", "page": "object", "suspect": "object"},
    }
    assert TABLE.drop(columns=["multi_adds", "suspect"]).notna().all(axis=None)
    assert set(TABLE.loc[TABLE["multi_adds"].isna(), "network"]) == {"DCDN"}
    assert TABLE["suspect"].map(lambda why: why is None or bool(re.match(r"[a-z_, ]+: .", why))).all()
    assert set(TABLE["dataset"]) == {"Set5", "Set14", "B100", "Urban100", "Manga109"}
    assert TABLE["psnr_db"].between(25, 39).all() and TABLE["ssim"].between(0.72, 0.98).all()
    first = TABLE.iloc[0]
    assert (first["network"], first["params"], first["psnr_db"], first["ssim"]) == (
        "IDN",
        553_000,
        37.83,
        0.96,
    )
    own = reported()
    own.loc[0, "psnr_db"] = 0.0
    assert reported().loc[0, "psnr_db"] == 37.83


def test_every_mark_names_columns() -> None:
    for why in TABLE["suspect"].dropna():
        for part in why.split("; "):
            assert set(part.partition(":")[0].split(", ")) <= COLUMNS, part


def off_the_line(rows: pd.DataFrame) -> pd.Series:
    """How far each row's SSIM is from the line through PSNR and SSIM, in robust standard deviations.

    The line has the median of the slopes between all pairs (Theil and Sen), so that no row can bend it.
    """
    slopes = [
        (b.ssim - a.ssim) / (b.psnr_db - a.psnr_db)
        for a, b in combinations(rows.itertuples(), 2)
        if a.psnr_db != b.psnr_db
    ]
    rest = rows["ssim"] - np.median(slopes) * rows["psnr_db"]
    rest -= rest.median()
    return rest / (1.4826 * rest.abs().median())


def test_gross_misprints_are_the_rows_far_off_the_line_of_psnr_and_ssim() -> None:
    groups = [rows for _, rows in TABLE.groupby(["scale", "dataset"])]
    distances = pd.concat([off_the_line(rows) for rows in groups])
    gross = TABLE.loc[distances.index[distances.abs() > 20], ["network", "scale", "dataset"]]
    assert set(gross.itertuples(index=False, name=None)) == {
        *(("CARN", 3, "B100"), ("LCRCA", 4, "B100"), ("FDSCSR-S", 3, "Set14")),
    }
    assert {("CARN", 3, "B100"), ("LCRCA", 4, "B100")} <= flagged("ssim")
    assert ("FDSCSR-S", 3, "Set14") in flagged("psnr_db")
    others = TABLE[(TABLE["scale"] == 3) & (TABLE["dataset"] == "Set14") & (TABLE["network"] != "FDSCSR-S")]
    assert others["psnr_db"].max() < 33.37 - 2.9
    carn = TABLE[(TABLE["network"] == "CARN") & (TABLE["scale"] == 3)].set_index("dataset")["ssim"]
    assert carn["B100"] == carn["Urban100"]


def test_an_ssim_above_that_of_many_networks_with_more_psnr_is_marked() -> None:
    """Of ten or more networks with at least 0.05 dB more, 45 % or more have less SSIM."""
    found = set()
    for (scale, dataset), rows in TABLE.groupby(["scale", "dataset"]):
        for row in rows.itertuples():
            better = rows[rows["psnr_db"] >= row.psnr_db + 0.05]
            if len(better) >= 10 and (better["ssim"] < row.ssim).mean() >= 0.45:
                found.add((row.network, scale, dataset))
    assert found == {mark for mark in flagged("ssim") if mark[0] == "ECBSR"}
    assert len(found) == 6


def growth(params: dict[int, float]) -> tuple[float, float]:
    """The least and the most that (x4 - x3) / (x3 - x2) can be, given that counts are printed rounded."""
    rounding = 5_000 if all(value % 10_000 == 0 for value in params.values()) else 500
    corners = [
        (params[4] + a * rounding - params[3] - b * rounding)
        / (params[3] + b * rounding - params[2] - c * rounding)
        for a in (-1, 1)
        for b in (-1, 1)
        for c in (-1, 1)
    ]
    return min(corners), max(corners)


def test_parameters_that_do_not_grow_with_the_scale_as_a_tail_does_are_marked() -> None:
    """A sub-pixel tail has 4, 9, 16 times the channels of an image; one in steps of 2 has 4, 9, 8 times."""
    odd = set()
    for network in TABLE["network"].unique():
        params = of(network, "params")
        if len(params) < 3 or len(set(params.values())) == 1:  # IDN, CARN: one network for all scales
            continue
        if params[3] - params[2] < 1_001:
            odd.add(network)
            continue
        least, most = growth(params)
        if not (least <= 7 / 5 <= most or least <= -1 / 5 <= most):
            odd.add(network)
    assert odd == {"AFAN-M", "GLADSR", "EFRDN"}
    assert {(network, scale) for network, scale, _ in flagged("params")} == {
        *(("AFAN-M", 3), ("GLADSR", 4), ("EFRDN", 2), ("EFRDN", 3), ("SwinIR", 4)),
    }
    least, most = growth(of("DRSAN-48s", "params"))
    assert least <= -1 / 5 <= most  # fewer at x4 than at x3, and yet in order
    gladsr = of("GLADSR", "params")
    assert round((gladsr[3] + 7 / 5 * (gladsr[3] - gladsr[2])) / 1e3) == 834


def test_multi_adds_that_are_the_same_per_input_pixel_at_all_scales_are_marked() -> None:
    """They grow with the tail in every network but one."""
    flat = set()
    for network in TABLE["network"].unique():
        costs = {scale: cost for scale, cost in of(network, "multi_adds").items() if cost == cost}
        if 2 in costs and 4 in costs:
            per_pixel = {scale: cost / LOW_RESOLUTION_PIXELS[scale] for scale, cost in costs.items()}
            if per_pixel[4] < 1.003 * per_pixel[2]:
                flat.add(network)
    assert flat == {"EFRDN"}
    assert {(name, scale) for name, scale, _ in flagged("multi_adds") if name == "EFRDN"} == {
        *(("EFRDN", 2), ("EFRDN", 3)),
    }
    # Its two tails have 3 s^2 outputs of 3x3 kernels on 32 channels: so much more at x4, of 484 K.
    assert 2 * 3 * (16 - 4) * 9 * 32 / (of("EFRDN", "multi_adds")[4] / LOW_RESOLUTION_PIXELS[4]) > 0.04


@pytest.mark.parametrize(("scale", "convolutions"), [(2, "105.7"), (3, "47.4"), (4, "27.1")])
def test_fdscsrs_multi_adds_are_its_convolutions_and_three_times_its_transposed_ones(
    scale: int, convolutions: str
) -> None:
    """36 transposed convolutions with 648 weights and stride 2, counted at four times their input's size."""
    too_many = 36 * 3 * 648 * LOW_RESOLUTION_PIXELS[scale]
    printed = of("FDSCSR-S", "multi_adds")[scale]
    assert abs(printed - too_many - float(convolutions) * 1e9) < 0.1e9
    whys = TABLE[(TABLE["network"] == "FDSCSR-S") & (TABLE["scale"] == scale)]["suspect"]
    assert whys.str.contains(f", {convolutions} G without that", regex=False).all()


def test_what_other_papers_print_of_the_same_network_is_told() -> None:
    elsewhere = {  # SMFANet, Table 2; LatticeNet, ECCV 2020
        ("ESRT", "multi_adds", None): (298e9, "298 G"),
        ("SwinIR", "multi_adds", None): (65e9, "65 G"),
        ("SwinIR", "params", None): (930e3, "930K"),
        ("LatticeNet", "psnr_db", "Set5"): (32.30, "32.30 dB"),
        ("LatticeNet", "ssim", "Urban100"): (0.7873, "0.7873"),
    }
    for (network, column, dataset), (value, words) in elsewhere.items():
        rows = TABLE[(TABLE["network"] == network) & (TABLE["scale"] == 4)]
        rows = rows if dataset is None else rows[rows["dataset"] == dataset]
        assert len(rows)
        assert (rows[column] != value).all()
        assert rows["suspect"].str.contains(words, regex=False).all()
        assert {(network, 4, name) for name in rows["dataset"]} <= flagged(column)


def test_nothing_is_marked_without_a_test_above() -> None:
    assert {network for column in COLUMNS for network, _, _ in flagged(column)} == {
        *("CARN", "LCRCA", "FDSCSR-S", "ECBSR", "AFAN-M", "GLADSR", "EFRDN", "ESRT", "SwinIR", "LatticeNet"),
    }
    assert {name for name, _, _ in flagged("psnr_db")} == {"FDSCSR-S", "LatticeNet"}


def test_networks_found_by_search_have_the_numbers_that_are_the_yardstick() -> None:
    wanted = {
        "FALSR-A": (1_021e3, 234.7e9, 37.82, 33.55, 32.12),
        "FALSR-B": (326e3, 74.7e9, 37.61, 33.29, 31.97),
        "FALSR-C": (408e3, 93.7e9, 37.66, 33.26, 31.96),
        "ESRN-V": (324e3, 73.4e9, 37.85, 33.42, 32.10),
    }
    for name, (params, multi_adds, *psnr_db) in wanted.items():
        rows = TABLE[(TABLE["network"] == name) & (TABLE["scale"] == 2)].set_index("dataset")
        assert set(rows["params"]) == {params} and set(rows["multi_adds"]) == {multi_adds}
        assert list(rows.loc[["Set5", "Set14", "B100"], "psnr_db"]) == psnr_db
